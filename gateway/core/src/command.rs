//! What the shell may tell the core.

use std::net::IpAddr;
use std::sync::Arc;

use doorward_model::{Delta, DnsName, Heartbeat, ResourceName, Snapshot};

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
    /// What a name of [`crate::Event::NamesWanted`] resolves to, in place of what it did before: 16 addresses at most are
    /// kept, in order. Flows that are open go on; without another answer for an hour the name opens none. Nothing is to
    /// be said of a name that could not be asked for; one that does not exist has no addresses.
    Resolved {
        /// The name.
        name: DnsName,
        /// Its addresses, of both families.
        addresses: Vec<IpAddr>,
    },
    /// Whether a resolver listens on port 53 of the gateway's tunnel addresses. Devices reach it while that is so.
    ResolverListens(bool),
    /// What of the portal listens on the gateway's tunnel addresses. Devices with a lease reach it, in quarantine too.
    PortalListens {
        /// The portal's TCP port, where the control plane is on this machine.
        port: Option<u16>,
        /// Whether a page on port 80 tells who is in quarantine so; plain HTTP to a resource is led there then.
        landing: bool,
    },
}

/// How the shell's resolver names a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResourceAsked {
    /// By its name.
    Name(ResourceName),
    /// By a service address.
    Address(IpAddr),
}
