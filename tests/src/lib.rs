//! The end-to-end harness: real WireGuard clients, real networks, a real Doorward, and a witness who watches.
//!
//! Every scenario builds this world out of network namespaces of its own, so that scenarios run side by side and the
//! machine's own network is never touched:
//!
//! ```text
//!   laptop N ───────────── café ═══════════════ internet ═══════════════ gateway ─────────── inside
//!   172.16.N.2         172.16.N.1           198.51.100.1             203.0.113.2         10.0.5.10  panel
//!   2001:db8:16:N::2   198.51.100.7 (NAT)   203.0.113.1              10.0.5.1            10.0.5.20  database
//!   wireguard-go       2001:db8:100::7      192.0.2.1                2001:db8:203::2     fd00:5::10, fd00:5::20
//!                      (IPv6 is routed,     2001:db8:100::1          fd00:5::1           tcpdump (the witness)
//!                       not translated)     2001:db8:203::1          Doorward
//!                                                 │
//!                                              office  192.0.2.9   a control plane on another machine
//! ```
//!
//! A harness has one way to say that something is wrong: it panics with a sentence. Nothing here sleeps for a guessed
//! time; whatever takes time is waited for by [`wait::wait_until`] with a bound.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::missing_panics_doc,
    reason = "a test harness fails by panicking with a sentence, and shows what it captured"
)]

pub mod client;
pub mod doorward;
pub mod dump;
pub mod file;
pub mod flood;
pub mod host_state;
pub mod http;
pub mod names;
pub mod netns;
pub mod postgres;
pub mod process;
pub mod raw;
pub mod relay;
pub mod service;
pub mod shop;
pub mod sign_in;
pub mod tcp_relay;
pub mod traffic;
pub mod wait;
pub mod wall_clock;
pub mod witness;
pub mod world;
