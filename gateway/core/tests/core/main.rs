//! The core driven from outside: real WireGuard clients in memory, packets made by hand, time as an argument.
#![expect(clippy::unwrap_used, clippy::panic, reason = "test helpers outside of test functions")]

mod harness;
mod packets;

mod bounds;
mod clocks;
mod feed;
mod passing;
mod pitfalls;
mod resolver;
mod revocation;
mod services;
mod shares;
mod tunnels;
