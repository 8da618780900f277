//! WireGuard: messages, tunnels, sessions, endpoints, and what keeps floods out. It knows keys and datagrams, no policy.

pub(crate) mod admission;
pub(crate) mod bucket;
pub(crate) mod index;
pub(crate) mod message;
pub(crate) mod neighbourhood;
pub mod noise;
pub(crate) mod peer;
pub(crate) mod tombstones;
pub(crate) mod tunnel;
pub(crate) mod waiting;
