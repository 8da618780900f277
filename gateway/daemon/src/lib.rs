//! The gateway's shell: sockets, the TUN device, threads, NAT, the feed, and what operators look at.
//!
//! Everything that decides about a packet is in `doorward-gateway-core`; this crate carries bytes, time and commands to
//! it and carries out what it says. The road of a packet: `udp` → `shard` → core → `tun`, and
//! back. The road of a revocation: `feed_client` → `shard` → core → `upload`.
//!
//! Architecture invariants: each core has one thread, and nothing on it waits for anything but packets. `udp.rs` and
//! `tun.rs` alone hold sockets of the packet path. What is changed on the host is written down first and undone by
//! dropping its owner.

mod clock;
mod config;
mod conntrack;
mod enrol;
mod error;
mod feed_client;
#[doc(hidden)]
pub mod fuzzing;
mod host_state;
mod http;
mod inward;
mod key;
mod landing;
mod metrics;
mod nat;
mod netlink;
mod planes;
mod privileges;
mod resolver;
mod run;
mod shard;
mod shards;
mod snapshot;
mod sse;
mod steering;
mod tls;
mod tun;
mod uapi;
mod udp;
mod upload;
mod usage;

pub use config::{ConfigError, FeedAddress, GatewayConfig, GatewaySection, InterfaceName, LISTEN_MAX, UPSTREAMS_MAX};
pub use enrol::{EnrolError, TOKEN_VARIABLE};
pub use error::GatewayError;
pub use run::{Ready, clear_leftovers, run};
