//! The control plane of a schedule: what it decided, and what it wrote on the wire.

use std::net::IpAddr;
use std::sync::LazyLock;

use doorward_gateway_core::Command;
use doorward_model::{
    Allow, Change, Delta, DeviceId, DeviceName, DnsName, Email, EndReason, GrantId, Heartbeat, Interval, Lease,
    Lockdown, PresharedKey, PrincipalId, PublicKey, Removal, ResourceName, Revision, Rule, ServiceAddress, Snapshot,
    Target, Timestamp, Tombstone, TunnelNetwork,
};
use uuid::Uuid;

/// How many devices there are.
pub const DEVICES: u8 = 4;
/// "Never", where a step counts seconds.
const NEVER: i32 = 9_999;

/// What every world has in common, parsed once.
struct Pool {
    name: DeviceName,
    email: Email,
    resource: ResourceName,
    rules: Vec<(Vec<Target>, Vec<Allow>, Option<ServiceAddress>)>,
}

/// What a service address is asked for.
const EVERYTHING: &str = "tcp/1-65535 udp/1-65535 icmp";

/// The rules that leases are made of: targets, and what is allowed there.
const RULES: [(&str, &str); 9] = [
    ("10.0.5.20 fd00:5::20", "tcp/5432 udp/53 icmp"),
    ("10.0.5.0/24", "tcp/443 udp/53"),
    ("10.0.0.0/8", "tcp/1-65535 udp/1-65535 icmp"),
    ("169.254.169.254", "tcp/80 udp/53"),
    ("10.0.5.1", "tcp/5432 udp/53 icmp"),
    ("128.0.0.0/1 64.0.0.0/2", "tcp/1-65535 udp/1-65535 icmp"),
    ("", "tcp/5432 udp/53 icmp"),
    ("10.0.5.20 fd00:5::20", ""),
    ("fd00::/8", "tcp/1-65535 udp/1-65535 icmp"),
];

/// More of them, for resources with a service address: its slot, targets, what is allowed there.
const SERVICES: [(u32, &str, &str); 6] = [
    (1, "10.0.5.20 fd00:5::20", "tcp/5432 udp/53 icmp"),
    (2, "db.shop.example", EVERYTHING),
    (3, "10.0.5.20", EVERYTHING),
    (4, "10.0.5.0/24 100.80.0.3 db.shop.example 10.0.5.21", EVERYTHING),
    (2, "other.shop.example fd00:5::20", EVERYTHING),
    (1, "10.0.5.21", "tcp/5432 udp/53"),
];

/// The names that rules lead to.
const NAMES: [&str; 2] = ["db.shop.example", "other.shop.example"];

/// What a name may resolve to.
const RESOLVED: [&str; 8] = [
    "10.0.5.20 fd00:5::20",
    "10.0.5.99",
    "",
    "127.0.0.1 10.0.5.21",
    "100.80.0.3",
    "10.0.5.1 fd00:ec2::254 fd00:5::21",
    "::ffff:10.0.5.99",
    "100.80.255.252 224.0.0.5",
];

/// A name of `NAMES`, and addresses of `RESOLVED`.
#[must_use]
pub fn resolved(name: i32, which: i32) -> Option<Command> {
    let pick = |number: i32, from: &[&'static str]| {
        let bound = i32::try_from(from.len()).ok()?;
        from.get(usize::try_from(number.rem_euclid(bound)).ok()?).copied()
    };
    let name: DnsName = pick(name, &NAMES)?.parse().ok()?;
    let addresses = pick(which, &RESOLVED)?.split_whitespace().filter_map(|text| text.parse().ok()).collect();
    Some(Command::Resolved { name, addresses })
}

static POOL: LazyLock<Option<Pool>> = LazyLock::new(|| {
    let rule = |(targets, allow): (&str, &str)| {
        let targets = targets.split_whitespace().map(|text| text.parse().ok()).collect::<Option<_>>()?;
        Some((targets, allow.split_whitespace().map(|text| text.parse().ok()).collect::<Option<_>>()?))
    };
    let plain = RULES.into_iter().map(|texts| rule(texts).map(|(targets, allow)| (targets, allow, None)));
    let services = SERVICES.into_iter().map(|(slot, targets, allow)| {
        let (targets, allow) = rule((targets, allow))?;
        Some((targets, allow, Some(TunnelNetwork::default().service_address(slot)?)))
    });
    Some(Pool {
        name: "laptop".parse().ok()?,
        email: "dba@agency.example".parse().ok()?,
        resource: "database".parse().ok()?,
        rules: plain.chain(services).collect::<Option<_>>()?,
    })
});

/// A device's key; 4 is a stranger's and 9 the gateway's.
///
/// # Panics
/// Never: these bytes are no low-order point.
#[must_use]
pub fn key(number: u8) -> PublicKey {
    #[expect(clippy::expect_used, reason = "constant bytes that no world varies")]
    PublicKey::from_bytes([number.wrapping_add(20); 32]).expect("a usable key")
}

/// A pre-shared key; `None` for 0.
#[must_use]
pub fn psk(number: i32) -> Option<PresharedKey> {
    let number = u8::try_from(number.rem_euclid(256)).unwrap_or(0);
    (number != 0).then(|| PresharedKey::from_bytes([number; 32]))
}

/// A device's id.
#[must_use]
pub fn device(number: u8) -> DeviceId {
    DeviceId::new(Uuid::from_u128(u128::from(number).saturating_add(1)))
}

/// A device's addresses; from 4 on they are outside of the network.
#[must_use]
pub fn addresses(number: u8) -> (std::net::Ipv4Addr, std::net::Ipv6Addr) {
    let host = number.saturating_add(2);
    let outside = number >= DEVICES;
    let v4 = if outside { [10, 80, 0, host] } else { [100, 80, 0, host] };
    let first = if outside { 0xfd65 } else { 0xfd64 };
    (v4.into(), [first, 0x6f6f, 0x7277, 0, 0, 0, 0, u16::from(host)].into())
}

/// The control plane.
#[derive(Debug, Default)]
pub struct Control {
    revision: u64,
    leases: Vec<Lease>,
    tombstones: Vec<Tombstone>,
    lockdown: Lockdown,
    exempt: Vec<DeviceId>,
    pending: Vec<Change>,
    /// Everything it wrote.
    pub wire: Vec<Command>,
    /// How much of it came, in order.
    pub came: usize,
    /// The gateway asked for a snapshot.
    pub is_asked: bool,
}

/// What a lease step says.
#[derive(Debug, Clone, Copy)]
pub struct Order {
    /// The device.
    pub device: u8,
    /// Whose key.
    pub key: u8,
    /// Whose address.
    pub address: u8,
    /// Which pre-shared key.
    pub psk: i32,
    /// Seconds to start and end of the lease.
    pub span: (i32, i32),
    /// Seconds to the end of the sign-in window; -1 for none.
    pub sign_in: i32,
    /// Rules: which, seconds to start and end.
    pub rules: [(i32, i32, i32); 2],
}

/// A time so many seconds from `now`, which is in microseconds.
fn at(now: i64, seconds: i32) -> Timestamp {
    if seconds == NEVER {
        return Timestamp::MAX;
    }
    Timestamp::from_microsecond(now.saturating_add(i64::from(seconds).saturating_mul(1_000_000))).unwrap_or_default()
}

impl Control {
    /// One that has decided nothing yet and is asked for a snapshot by a gateway that has just started.
    #[must_use]
    pub fn new() -> Self {
        Self { is_asked: true, ..Self::default() }
    }

    /// Writes a lease. `now` is the control plane's clock in microseconds.
    pub fn lease(&mut self, now: i64, order: Order, joined: bool) {
        let Some(pool) = POOL.as_ref() else { return };
        let (address_v4, address_v6) = addresses(order.address);
        let rules = order.rules.into_iter().enumerate().filter_map(|(slot, (which, from, until))| {
            let which = usize::try_from(which).ok()?;
            let (targets, allow, service) = pool.rules.get(which)?.clone();
            let number = usize::from(order.device).saturating_mul(100).saturating_add(which * 2).saturating_add(slot);
            Some(Rule {
                grant: GrantId::new(Uuid::from_u128(u128::try_from(number).ok()?)),
                resource: pool.resource.clone(),
                service,
                targets,
                allow,
                validity: Interval { not_before: at(now, from), not_after: at(now, until) },
            })
        });
        let lease = Lease {
            device: device(order.device),
            device_name: pool.name.clone(),
            principal: PrincipalId::new(Uuid::from_u128(1)),
            email: pool.email.clone(),
            public_key: key(order.key),
            preshared_key: psk(order.psk),
            address_v4,
            address_v6,
            validity: Interval { not_before: at(now, order.span.0), not_after: at(now, order.span.1) },
            sign_in_until: (order.sign_in != -1).then(|| at(now, order.sign_in)),
            rules: rules.collect(),
        };
        self.leases.retain(|held| held.device != lease.device);
        self.leases.push(lease.clone());
        self.change(now, Change::Lease(lease), joined);
    }

    /// Writes a device's lease again.
    pub fn reissue(&mut self, now: i64, number: u8, narrowed: bool, joined: bool) {
        let Some(lease) = self.leases.iter_mut().find(|held| held.device == device(number)) else { return };
        if narrowed && lease.rules.len() > 1 {
            lease.rules.remove(0);
        }
        let change = Change::Lease(lease.clone());
        self.change(now, change, joined);
    }

    /// Removes a lease.
    pub fn remove(&mut self, now: i64, number: u8, joined: bool) {
        let Some(pool) = POOL.as_ref() else { return };
        let held = self.leases.iter().position(|held| held.device == device(number));
        let public_key = held.and_then(|at| self.leases.get(at)).map_or(key(number), |lease| lease.public_key);
        if let Some(held) = held {
            self.leases.remove(held);
        }
        let tombstone = Tombstone {
            public_key,
            device: device(number),
            device_name: pool.name.clone(),
            email: pool.email.clone(),
            reason: EndReason::Offboarded,
            ended_at: at(now, 0),
        };
        self.tombstones.push(tombstone.clone());
        self.change(now, Change::Remove(Removal { device: device(number), tombstone }), joined);
    }

    /// Begins or lifts a lockdown.
    pub fn lockdown(&mut self, now: i64, on: bool, exempt: i32, joined: bool) {
        let state = if on { Lockdown::On } else { Lockdown::Off };
        let exempt = (0..DEVICES).filter(|number| exempt >> i32::from(*number) & 1 == 1).map(device);
        (self.lockdown, self.exempt) = (state, exempt.collect());
        self.change(now, Change::Lockdown { state, exempt: self.exempt.clone() }, joined);
    }

    fn change(&mut self, now: i64, change: Change, joined: bool) {
        let subject = |change: &Change| match change {
            Change::Lease(lease) => Some(lease.device),
            Change::Remove(removal) => Some(removal.device),
            Change::Lockdown { .. } => None,
        };
        // A delta carries states: of two about one thing the later one.
        self.pending.retain(|held| subject(held) != subject(&change));
        self.pending.push(change);
        if !joined {
            self.commit(now);
        }
    }

    fn commit(&mut self, now: i64) {
        if self.pending.is_empty() {
            return;
        }
        let base = Revision(self.revision);
        self.revision = self.revision.saturating_add(1);
        let changes = std::mem::take(&mut self.pending);
        let delta = Delta { base, revision: Revision(self.revision), sent_at: at(now, 0), changes, ahead: None };
        self.wire.push(Command::Delta(delta));
    }

    /// Writes a snapshot.
    pub fn snapshot(&mut self, now: i64) {
        self.commit(now);
        let snapshot = Snapshot {
            revision: Revision(self.revision),
            sent_at: at(now, 0),
            lockdown: self.lockdown,
            lockdown_exempt: self.exempt.clone(),
            leases: self.leases.clone(),
            tombstones: self.tombstones.clone(),
        };
        self.wire.push(Command::Snapshot(snapshot.into()));
        self.is_asked = false;
    }

    /// Begins a session: a snapshot, and nothing of what was under way before.
    pub fn come_anew(&mut self, now: i64) {
        self.snapshot(now);
        self.came = self.wire.len().saturating_sub(1);
    }

    /// Answers a ping that was written at `boot`.
    pub fn heartbeat(&mut self, now: i64, boot: u64, ttl: i32) {
        self.commit(now);
        self.wire.push(Command::Heartbeat(Heartbeat {
            revision: Revision(self.revision),
            sent_at: at(now, 0),
            echo_boot_micros: boot,
            authority_ttl_ms: u64::try_from(ttl).unwrap_or(0).saturating_mul(1_000),
        }));
    }

    /// Takes the message so far back from the last one.
    pub fn message(&mut self, back: i32) -> Option<Command> {
        let at = self.wire.len().checked_sub(usize::try_from(back).ok()?.saturating_add(1))?;
        if at == self.came {
            self.came = self.came.saturating_add(1);
        }
        self.wire.get(at).cloned()
    }

    /// Takes the next message in order.
    pub fn next_message(&mut self) -> Option<Command> {
        let message = self.wire.get(self.came).cloned()?;
        self.came = self.came.saturating_add(1);
        Some(message)
    }
}

/// Destinations of packets. Service addresses count down from the end of the network; 9 is nobody's slot.
const DESTINATIONS: [&str; 18] = [
    "10.0.5.20",
    "fd00:5::20",
    "10.0.5.21",
    "169.254.169.254",
    "10.0.5.1",
    "100.80.0.3",
    "100.80.0.1",
    "127.0.0.1",
    "fd00:ec2::254",
    "224.0.0.5",
    "100.80.255.253",
    "fd64:6f6f:7277::fffd",
    "100.80.255.252",
    "fd64:6f6f:7277::fffc",
    "100.80.255.251",
    "100.80.255.250",
    "100.80.255.245",
    "10.0.5.99",
];

/// A destination.
#[must_use]
pub fn destination(number: i32) -> IpAddr {
    static PARSED: LazyLock<Vec<IpAddr>> =
        LazyLock::new(|| DESTINATIONS.iter().filter_map(|text| text.parse().ok()).collect());
    let at = usize::try_from(number.rem_euclid(18)).unwrap_or(0);
    PARSED.get(at).copied().unwrap_or(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED))
}

/// Addresses that the machine may have, as bits.
#[must_use]
pub fn own(which: i32) -> Vec<IpAddr> {
    [(1, 4), (2, 0), (4, 1)].into_iter().filter(|(bit, _)| which & bit != 0).map(|(_, at)| destination(at)).collect()
}
