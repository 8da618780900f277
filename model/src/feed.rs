//! The feed: how leases travel from the control plane to a gateway, and receipts back.
//!
//! Down, over server-sent events (`GET /feed/v1/stream?session=…`): [`FeedMessage`], one JSON object an event, the
//! revision as the event's id. Up, as POSTs: [`GatewayHello`] first, then [`Ping`], [`Receipt`] and [`GatewayEvent`].
//!
//! **Order.** A stream begins with a whole snapshot (all its pages); deltas follow, each naming the revision it builds
//! on. A gateway that sees a delta built on another revision than its own, or a heartbeat for a revision it does not
//! hold, has missed something: it closes the stream and says hello again, which ends in a snapshot.
//!
//! **Authority.** A gateway writes its boot clock into each ping; the heartbeat that answers echoes it. Authority lasts
//! `authority_ttl` from the moment *the ping was written*, so a heartbeat that was delayed, duplicated or replayed
//! cannot lengthen it, and a feed cut in either direction ends it.
//!
//! **Ahead of the database.** A revocation that was decided while the control plane's database could not be written
//! travels as a [`Delta`] that leads to the revision it builds on and names its [`Delta::ahead`]; the receipt names it too.
//! A gateway that knows nothing of this applies what such a delta removes and then asks for a snapshot.

use std::net::SocketAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{DecisionId, DeviceId, Email, GatewayName, Lease, PublicKey, Tombstone, TunnelNetwork};

/// Leases on one snapshot page at most: keeps a page under about 1 MiB of JSON.
pub const SNAPSHOT_PAGE_LEASES_MAX: usize = 1_000;

/// The number of a state of the control plane; each committed change that concerns gateways adds one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default)]
#[serde(transparent)]
pub struct Revision(pub u64);

impl std::fmt::Display for Revision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// Whether people pass at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum Lockdown {
    /// Leases decide.
    #[default]
    Off,
    /// Nobody passes, until lifted. Devices of an exempt group keep their leases: the control plane marks them.
    On,
}

/// What a gateway hears.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum FeedMessage {
    /// One page of everything; applied when the last page is there.
    Snapshot(SnapshotPage),
    /// What changed since the revision before.
    Delta(Delta),
    /// The control plane is there, and this is its revision.
    Heartbeat(Heartbeat),
}

/// One page of a snapshot. Pages come in order, `page` from 0 to `pages - 1`, all of one revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotPage {
    /// The revision of the whole snapshot.
    pub revision: Revision,
    /// The control plane's wall clock when this was written.
    pub sent_at: Timestamp,
    /// This page's number.
    pub page: u32,
    /// How many there are, at least 1.
    pub pages: u32,
    /// Whether anybody passes.
    pub lockdown: Lockdown,
    /// Devices that pass during a lockdown.
    #[serde(default)]
    pub lockdown_exempt: Vec<DeviceId>,
    /// At most [`SNAPSHOT_PAGE_LEASES_MAX`] leases.
    pub leases: Vec<Lease>,
    /// Recently revoked keys.
    #[serde(default)]
    pub tombstones: Vec<Tombstone>,
}

/// A whole snapshot, put together from its pages. What it does not list is removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Its revision.
    pub revision: Revision,
    /// The control plane's wall clock when it was written.
    pub sent_at: Timestamp,
    /// Whether anybody passes.
    pub lockdown: Lockdown,
    /// Devices that pass during a lockdown.
    pub lockdown_exempt: Vec<DeviceId>,
    /// Every lease.
    pub leases: Vec<Lease>,
    /// Recently revoked keys.
    pub tombstones: Vec<Tombstone>,
}

/// Changes from one revision to a later one. It carries states, not steps: applying it twice is applying it once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delta {
    /// The revision it builds on.
    pub base: Revision,
    /// The revision it leads to.
    pub revision: Revision,
    /// The control plane's wall clock when this was written.
    pub sent_at: Timestamp,
    /// In any order; a device appears once at most.
    pub changes: Vec<Change>,
    /// The decision that this carries ahead of the database; `revision` may be `base` then, and nowhere else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ahead: Option<DecisionId>,
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum Change {
    /// This is the device's lease; it replaces any other.
    Lease(Lease),
    /// The device has no lease.
    Remove(Removal),
    /// Whether anybody passes.
    Lockdown {
        /// The state.
        state: Lockdown,
        /// Devices that pass all the same.
        #[serde(default)]
        exempt: Vec<DeviceId>,
    },
}

/// The end of a device's lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removal {
    /// The device.
    pub device: DeviceId,
    /// The key to go on recognising.
    pub tombstone: Tombstone,
}

/// A sign of life that answers a ping.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// The control plane's revision; all deltas up to it came before.
    pub revision: Revision,
    /// The control plane's wall clock.
    pub sent_at: Timestamp,
    /// [`Ping::boot_micros`] of the newest ping heard in this session, unchanged.
    pub echo_boot_micros: u64,
    /// How long authority lasts from that ping, in milliseconds.
    pub authority_ttl_ms: u64,
}

/// How a gateway introduces itself (`POST /feed/v1/hello`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatewayHello {
    /// Its name. Over mutual TLS the certificate's name counts, and a different one here is refused.
    pub name: GatewayName,
    /// Its WireGuard public key, which goes into people's configs.
    pub public_key: PublicKey,
    /// What people's devices dial: `host:port`, the host an address or a DNS name.
    pub endpoint: String,
    /// The tunnel network it was configured with; another than the control plane's is refused.
    pub network: TunnelNetwork,
    /// The program's version.
    pub version: String,
    /// Whether its resolver answers connected devices for every name, the owner's upstreams included; only then may a
    /// person's config send all names here.
    #[serde(default)]
    pub resolver: bool,
    /// The UDP ports it listens on, for networks that block the endpoint's; empty where it does not say.
    #[serde(default)]
    pub ports: Vec<u16>,
    /// The revision that it enforces: a control plane that has an earlier one alone runs on an older copy of its database.
    /// `None` before the first snapshot.
    #[serde(default)]
    pub revision: Option<Revision>,
}

/// The answer to a hello.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HelloReply {
    /// Names this stream in pings and receipts.
    pub session: Uuid,
    /// How long authority lasts, in milliseconds; pings come at least five times as often.
    pub authority_ttl_ms: u64,
    /// Where people sign in: an `https` URL, absent where the control plane was told none.
    #[serde(default)]
    pub portal: Option<String>,
}

/// A gateway asks for a heartbeat (`POST /feed/v1/ping`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ping {
    /// The session from the hello.
    pub session: Uuid,
    /// The gateway's boot clock, in microseconds.
    pub boot_micros: u64,
    /// The revision it enforces; `None` before the first snapshot.
    pub revision: Option<Revision>,
    /// Devices with a live tunnel (a handshake within the last 180 s).
    pub devices_active: u32,
    /// Devices with a lease.
    pub devices_known: u32,
}

/// What a gateway did with a snapshot or a delta (`POST /feed/v1/receipts`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The session from the hello.
    pub session: Uuid,
    /// The revision that is now enforced.
    pub revision: Revision,
    /// From the message's arrival at the gateway to its enforcement, in microseconds.
    pub enforced_after_micros: u64,
    /// Devices whose lease ended or whose rules shrank by this revision; the first 1,000.
    pub ended: Vec<EndedDevice>,
    /// [`Delta::ahead`] of what is confirmed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ahead: Option<DecisionId>,
}

/// Devices in one [`UsageReport`] at most.
pub const USAGE_DEVICES_MAX: usize = 1_000;

/// Which devices are connected, from where and how much they use (`POST /feed/v1/usage`): what changed since the last
/// report, every 5 s at most. It is for people to look at, and nothing is decided by it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageReport {
    /// The session from the hello.
    pub session: Uuid,
    /// At most [`USAGE_DEVICES_MAX`]; a report may come in several.
    pub devices: Vec<DeviceUsage>,
}

/// One device's use of one gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceUsage {
    /// The device.
    pub device: DeviceId,
    /// Where it was last heard from.
    pub endpoint: Option<SocketAddr>,
    /// When its last handshake was confirmed, by the gateway's wall clock.
    pub last_handshake: Timestamp,
    /// Bytes that it sent, since the gateway started or the device got its lease.
    pub bytes_up: u64,
    /// Bytes that were sent to it, since then.
    pub bytes_down: u64,
}

/// A device that lost something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndedDevice {
    /// The device.
    pub device: DeviceId,
    /// How many flows were ended.
    pub flows_ended: u32,
    /// Milliseconds from its last forwarded packet to the enforcement; `None` when none was forwarded.
    pub last_packet_before_ms: Option<u64>,
}

/// Something a person should know (`POST /feed/v1/events`, a JSON array of up to 100).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatewayEvent {
    /// The gateway's wall clock.
    pub at: Timestamp,
    /// What happened.
    pub kind: GatewayEventKind,
    /// The device, where one is known.
    #[serde(default)]
    pub device: Option<DeviceId>,
    /// Whose, where it is known.
    #[serde(default)]
    pub email: Option<Email>,
    /// From where, on the outside.
    #[serde(default)]
    pub source: Option<SocketAddr>,
    /// One sentence with the names in it.
    pub message: String,
    /// How often since the last event of this kind for this device, at least 1.
    pub count: u64,
}

/// The kinds of events that leave a gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GatewayEventKind {
    /// A revoked or expired key tried a handshake.
    RevokedKeyKnocked,
    /// A device sent what its rules do not allow.
    Denied,
    /// A device used an inner source address that is not its own.
    SpoofedSource,
    /// A device came in from an endpoint for the first time in this tunnel, or moved.
    EndpointMoved,
    /// Two endpoints took turns with one key: the config was copied.
    KeyUsedTwice,
    /// A device completed a handshake after having been silent.
    Connected,
    /// Authority ran out; traffic pauses.
    AuthorityLost,
    /// Authority is back.
    AuthorityRegained,
    /// The two clocks disagree; deadlines were shortened.
    ClockJumped,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Interval, Rule};

    fn lease() -> Lease {
        Lease {
            device: DeviceId::new(Uuid::from_u128(1)),
            device_name: "laptop".parse().unwrap(),
            principal: crate::PrincipalId::new(Uuid::from_u128(2)),
            email: "dba@agency.example".parse().unwrap(),
            public_key: PublicKey::from_bytes([7; 32]).unwrap(),
            preshared_key: Some(crate::PresharedKey::from_bytes([8; 32])),
            address_v4: "100.80.0.2".parse().unwrap(),
            address_v6: "fd64:6f6f:7277::2".parse().unwrap(),
            validity: Interval::ALWAYS,
            sign_in_until: Some(Timestamp::MIN),
            rules: vec![Rule {
                grant: crate::GrantId::new(Uuid::from_u128(3)),
                resource: "customer-db".parse().unwrap(),
                service: None,
                targets: vec!["10.0.5.20".parse().unwrap()],
                allow: vec!["tcp/5432".parse().unwrap()],
                validity: Interval::ALWAYS,
            }],
        }
    }

    #[test]
    fn what_is_written_is_what_is_read() {
        let page = FeedMessage::Snapshot(SnapshotPage {
            revision: Revision(7),
            sent_at: Timestamp::UNIX_EPOCH,
            page: 0,
            pages: 1,
            lockdown: Lockdown::On,
            lockdown_exempt: vec![lease().device],
            leases: vec![lease()],
            tombstones: vec![],
        });
        let delta = FeedMessage::Delta(Delta {
            base: Revision(7),
            revision: Revision(8),
            sent_at: Timestamp::UNIX_EPOCH,
            changes: vec![Change::Lease(lease()), Change::Lockdown { state: Lockdown::Off, exempt: vec![] }],
            ahead: None,
        });
        for message in [page, delta] {
            let text = serde_json::to_string(&message).unwrap();
            assert_eq!(serde_json::from_str::<FeedMessage>(&text).unwrap(), message, "{text}");
            assert!(!text.contains('\n'), "an event is one line: {text}");
        }
    }

    #[test]
    fn a_gateway_that_says_nothing_of_names_and_ports_has_none() {
        let hello = GatewayHello {
            name: "main".parse().unwrap(),
            public_key: PublicKey::from_bytes([7; 32]).unwrap(),
            endpoint: "203.0.113.2:51820".to_owned(),
            network: TunnelNetwork::default(),
            version: "1".to_owned(),
            resolver: true,
            ports: vec![53, 443],
            revision: Some(Revision(7)),
        };
        let mut value = serde_json::to_value(&hello).unwrap();
        assert_eq!(serde_json::from_value::<GatewayHello>(value.clone()).unwrap(), hello);
        let fields = value.as_object_mut().unwrap();
        fields.remove("resolver");
        fields.remove("ports");
        fields.remove("revision");
        let older = serde_json::from_value::<GatewayHello>(value).unwrap();
        assert_eq!((older.resolver, older.ports, older.revision), (false, vec![], None));
    }

    #[test]
    fn a_lease_with_a_key_that_is_none_is_refused_whole() {
        let text = serde_json::to_string(&lease()).unwrap();
        let low_order = text.replace(&lease().public_key.to_string(), "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
        assert!(serde_json::from_str::<Lease>(&low_order).is_err());
    }
}
