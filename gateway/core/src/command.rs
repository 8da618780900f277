//! What the shell may tell the core.

use std::net::IpAddr;
use std::sync::Arc;

use doorward_model::{Delta, Heartbeat, Snapshot};

/// A message of the feed, or a fact about the machine the core runs on.
#[derive(Debug, Clone)]
pub enum Command {
    /// Everything, put together from its pages. What it does not list is removed. Several cores read the same one.
    Snapshot(Arc<Snapshot>),
    /// What changed since the revision it names.
    Delta(Delta),
    /// The control plane answered a ping.
    Heartbeat(Heartbeat),
    /// The addresses of the machine itself, which no prefix of a resource covers. Replaces the list before; the
    /// tunnel's own addresses need not be in it.
    OwnAddresses(Vec<IpAddr>),
}
