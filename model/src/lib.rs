//! The vocabulary that the gateway and the control plane share: ids, keys, names, resources, time limits, leases and
//! the feed's messages.
//!
//! Everything here is parsed once, where it enters, and cannot be wrong afterwards: a [`ResourceName`] that exists is a
//! valid one. Each `FromStr` and each `Deserialize` goes through the same parser, and each error says what was expected.
//!
//! Architecture invariant: no I/O, no async, no clock and no randomness in this crate.

mod dns;
mod email;
mod feed;
mod id;
mod key;
mod lease;
mod name;
mod network;
mod resource;
mod steering;
mod window;

pub use dns::{DnsName, DnsNameError};
pub use email::{Email, EmailError};
pub use feed::{
    Change, DeviceUsage, EndedDevice, FeedMessage, GatewayHello, Heartbeat, HelloReply, Lockdown, Ping, Receipt,
    Removal, Revision, SNAPSHOT_PAGE_LEASES_MAX, Snapshot, SnapshotPage, USAGE_DEVICES_MAX, UsageReport,
};
pub use feed::{Delta, GatewayEvent, GatewayEventKind};
pub use id::{
    AccountId, DecisionId, DeviceId, GatewayId, GrantId, GroupId, IdError, PrincipalId, RequestId, ResourceId, SourceId,
};
/// A point in time on the wall clock, UTC (RFC 3339 in text).
pub use jiff::Timestamp;
pub use key::{KeyError, PresharedKey, PublicKey};
pub use lease::{EndReason, Lease, Rule, Tombstone};
pub use name::{DeviceName, GatewayName, GroupName, NameError, PersonName, ResourceName, SourceName};
pub use network::{ServiceAddress, TunnelNetwork, TunnelNetworkError};
pub use resource::{Allow, AllowError, PortRange, Protocol, Target, TargetError};
pub use steering::{is_steering, repeatable};
pub use window::{Interval, Span, TimeLimit, TimeLimitError, deserialize_duration, parse_duration};
