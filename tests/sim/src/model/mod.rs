//! The reference: what a gateway promises, written down once more, in the simplest way and without a look at how the
//! core does it. Lists instead of tables; every question is answered by going through everything.
//!
//! A verdict says that a packet is forbidden, or may pass, or must pass. "May" is there where the promises leave a gateway
//! the choice: whether a timer ran before a wall clock was set back, for example.

mod flows;
mod leases;
mod names;
mod sessions;
mod time;

use std::net::IpAddr;

use doorward_gateway_core::{Command, FlowTuple};
use doorward_model::{DeviceId, Lockdown, TunnelNetwork};

use crate::packet::{Body, Flaw, Inner};

use flows::Flows;
pub use flows::Way;
pub use leases::Held;
use leases::{Leases, Place};
use names::Names;
pub use sessions::{Session, Sessions};
pub use time::Moment;

/// What a gateway must do with a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It must not pass, because of this.
    Forbidden(&'static str),
    /// It may.
    Allowed,
    /// It must.
    Required,
}

/// Everything that a gateway has heard and done since it started.
#[derive(Debug)]
pub struct Model {
    network: TunnelNetwork,
    authority_max: u64,
    revision: Option<u64>,
    authority_until: u64,
    lockdown: bool,
    exempt: Vec<DeviceId>,
    own: Vec<IpAddr>,
    leases: Leases,
    names: Names,
    flows: Flows,
    /// The sessions of devices.
    pub sessions: Sessions,
}

impl Model {
    /// A gateway that has just started.
    #[must_use]
    pub fn new(network: TunnelNetwork, authority_max: u64) -> Self {
        Self {
            network,
            authority_max,
            revision: None,
            authority_until: 0,
            lockdown: false,
            exempt: Vec::new(),
            own: Vec::new(),
            leases: Leases::default(),
            names: Names::default(),
            flows: Flows::default(),
            sessions: Sessions::default(),
        }
    }

    /// The revision in force.
    #[must_use]
    pub fn revision(&self) -> Option<u64> {
        self.revision
    }

    /// The leases in force.
    #[must_use]
    pub fn leases(&self) -> &[Held] {
        &self.leases.held
    }

    /// A message of the feed, or other addresses of the machine.
    pub fn command(&mut self, now: Moment, command: &Command) {
        let mut changed = Vec::new();
        match command {
            Command::Snapshot(snapshot) => {
                // An older one would bring back what ended.
                if self.revision.is_some_and(|held| snapshot.revision.0 < held) {
                    return;
                }
                self.revision = Some(snapshot.revision.0);
                self.set_lockdown(snapshot.lockdown, &snapshot.lockdown_exempt);
                let sent_at = snapshot.sent_at.as_microsecond();
                self.leases.replace_all(&snapshot.leases, (now, sent_at), &self.network);
                changed.extend(snapshot.leases.iter().map(|lease| lease.device));
            }
            Command::Delta(delta) => changed = self.delta(now, delta),
            Command::Heartbeat(heartbeat) => {
                // It proves nothing when it answers no ping, or speaks of another state than the one in force.
                if Some(heartbeat.revision.0) == self.revision && heartbeat.echo_boot_micros <= now.boot {
                    let ttl = heartbeat.authority_ttl_ms.saturating_mul(1_000).min(self.authority_max);
                    self.authority_until = self.authority_until.max(heartbeat.echo_boot_micros.saturating_add(ttl));
                }
            }
            Command::OwnAddresses(own) => self.own.clone_from(own),
            Command::Resolved { name, addresses } => self.names.resolved(now, name, addresses, &self.leases.held),
            // Schedules have no resolver and no portal.
            Command::ResolverListens(_) | Command::PortalListens { .. } => {}
        }
        self.names.settle(&self.leases.held);
        self.settle(now, &changed);
    }

    /// Returns the devices whose leases it wrote.
    fn delta(&mut self, now: Moment, delta: &doorward_model::Delta) -> Vec<DeviceId> {
        use doorward_model::Change;
        let follows = self.revision == Some(delta.base.0) && delta.revision > delta.base;
        let is_later = self.revision.is_none_or(|held| delta.revision.0 > held);
        let mut leases = Vec::new();
        for change in &delta.changes {
            match change {
                // A removal is honoured whatever else is wrong.
                Change::Remove(removal) => self.leases.remove(removal.device),
                // So is a lockdown, unless a later word was heard.
                Change::Lockdown { state: Lockdown::On, exempt } if is_later => {
                    self.set_lockdown(Lockdown::On, exempt);
                }
                Change::Lockdown { state: Lockdown::Off, exempt } if follows => {
                    self.set_lockdown(Lockdown::Off, exempt);
                }
                Change::Lockdown { .. } => {}
                Change::Lease(lease) => leases.push(lease.clone()),
            }
        }
        if !follows {
            return Vec::new();
        }
        self.revision = Some(delta.revision.0);
        self.leases.change(&leases, (now, delta.sent_at.as_microsecond()), &self.network);
        leases.iter().map(|lease| lease.device).collect()
    }

    fn set_lockdown(&mut self, state: Lockdown, exempt: &[DeviceId]) {
        self.lockdown = state == Lockdown::On;
        self.exempt = exempt.to_vec();
    }

    /// What a command ended ends at once: flows without a rule, sessions without a lease. What merely ran out by time
    /// ends at once where its lease was written again; elsewhere a timer may come first, or a wall clock set right.
    fn settle(&mut self, now: Moment, changed: &[DeviceId]) {
        let (leases, place) = (&self.leases, Place { own: &self.own, network: &self.network });
        let (lockdown, exempt) = (self.lockdown, &self.exempt);
        self.sessions.settle(now, &leases.held, |device| changed.contains(&device));
        self.flows.settle(|flow| {
            let is_same =
                |held: &&Held| held.lease.public_key == flow.key && held.addresses().contains(&flow.tuple.device.ip());
            let Some(held) = leases.of(flow.device).filter(is_same) else { return flows::Fate::Ends };
            let bound = lockdown && !exempt.contains(&flow.device);
            if bound || !held.may_ever_lead(&flow.tuple, &flow.ways, place) {
                return flows::Fate::Ends;
            }
            let fate =
                if held.stands(now) { held.fate(&flow.tuple, &flow.ways, place, now) } else { flows::Fate::Ends };
            match fate {
                flows::Fate::Ends if !changed.contains(&flow.device) => flows::Fate::Unsure,
                flows::Fate::Ends | flows::Fate::Unsure | flows::Fate::Stays => fate,
            }
        });
    }

    /// Timers ran: what is over by now may be forgotten for good.
    pub fn timers_ran(&mut self, now: Moment) {
        let (leases, place) = (&self.leases, Place { own: &self.own, network: &self.network });
        self.sessions.doubt(|device| leases.of(device).is_none_or(|held| held.is_over(now)));
        self.flows.doubt(|flow| {
            leases.of(flow.device).is_none_or(|held| {
                !held.stands(now) || held.fate(&flow.tuple, &flow.ways, place, now) != flows::Fate::Stays
            })
        });
    }

    /// Whether a device may send or get anything at this moment.
    fn standing(&self, now: Moment, held: &Held) -> Result<(), &'static str> {
        if now.boot >= self.authority_until {
            return Err("authority is over");
        }
        if !held.holds(now) {
            return Err("the lease does not hold");
        }
        if self.lockdown && !self.exempt.contains(&held.device()) {
            return Err("lockdown");
        }
        if !held.is_signed_in(now) {
            return Err("the sign-in window is closed");
        }
        Ok(())
    }

    /// Where the machine is.
    fn place(&self) -> Place<'_> {
        Place { own: &self.own, network: &self.network }
    }

    /// Says what must happen to a packet that a session of that device brought, and by which ways it may go.
    #[must_use]
    pub fn up(&self, now: Moment, device: DeviceId, inner: &Inner) -> (Verdict, Vec<Way>) {
        let forbidden = |why| (Verdict::Forbidden(why), Vec::new());
        let Some(held) = self.leases.of(device) else { return forbidden("there is no lease") };
        if let Err(why) = self.standing(now, held) {
            return forbidden(why);
        }
        if !held.addresses().contains(&inner.source.ip()) {
            return forbidden("the source is not the device's own");
        }
        if !matches!(inner.flaw, Flaw::None | Flaw::Padded) {
            return forbidden("it is malformed");
        }
        match (inner.body, tuple_up(inner)) {
            (Body::Error(about), _) => {
                if about.device.ip() != inner.source.ip() || about.remote.ip() != inner.destination.ip() {
                    return forbidden("it is about somebody else's packet");
                }
                let flow = self.flows.live(held.device(), &about, now);
                (self.by_flow(now, held, flow), flow.map(|flow| flow.ways.clone()).unwrap_or_default())
            }
            (_, Some(tuple)) => self.lead(now, held, &tuple),
            (_, None) => forbidden("it asks for nothing"),
        }
    }

    /// Says what must happen to a packet with those ends: a flow keeps its way, and what begins one may not get the ends
    /// behind the gateway that another flow has.
    fn lead(&self, now: Moment, held: &Held, tuple: &FlowTuple) -> (Verdict, Vec<Way>) {
        let fate = |flow: &flows::Flow| held.fate(&flow.tuple, &flow.ways, self.place(), now);
        let own = self.flows.live(held.device(), tuple, now);
        if let Some(flow) = own.filter(|flow| flow.is_sure && fate(flow) == flows::Fate::Stays) {
            return (Verdict::Required, flow.ways.clone());
        }
        let (mut ways, mut is_sure) = held.ways(tuple, self.place(), &self.names, now);
        let mut why = "no rule leads there";
        ways.retain(|way| {
            let taken = self.flows.live_behind(held.device(), &way.behind(*tuple), now);
            let taken = taken.filter(|flow| flow.tuple != *tuple && fate(flow) != flows::Fate::Ends);
            is_sure &= taken.is_none();
            let surely = taken.is_some_and(|flow| flow.is_sure && fate(flow) == flows::Fate::Stays);
            if surely {
                why = "another flow has its ends";
            }
            !surely
        });
        let own = own.filter(|flow| fate(flow) != flows::Fate::Ends);
        for way in own.map(|flow| flow.ways.as_slice()).unwrap_or_default() {
            ways.extend((!ways.contains(way)).then(|| way.clone()));
        }
        match (ways.is_empty(), is_sure) {
            (true, _) => (Verdict::Forbidden(why), ways),
            (false, true) => (Verdict::Required, ways),
            (false, false) => (Verdict::Allowed, ways),
        }
    }

    /// Says what must happen to a packet from a resource, for which device it is, and the service address that the device
    /// knows its sender by.
    #[must_use]
    pub fn down(&self, now: Moment, inner: &Inner) -> (Verdict, Option<DeviceId>, Option<IpAddr>) {
        let Some(held) = self.leases.held.iter().find(|held| held.addresses().contains(&inner.destination.ip())) else {
            return (Verdict::Forbidden("no device has the address"), None, None);
        };
        let device = Some(held.device());
        if let Err(why) = self.standing(now, held) {
            return (Verdict::Forbidden(why), device, None);
        }
        if !matches!(inner.flaw, Flaw::None | Flaw::Padded) {
            return (Verdict::Forbidden("it is malformed"), device, None);
        }
        let tuple = match inner.body {
            Body::Error(about) if about.device.ip() == inner.destination.ip() => Some(about),
            Body::Error(_) => None,
            Body::Tcp(_) | Body::Udp | Body::EchoRequest | Body::EchoReply => tuple_down(inner),
        };
        let Some(tuple) = tuple else { return (Verdict::Forbidden("it answers nothing"), device, None) };
        let flow = self.flows.live_behind(held.device(), &tuple, now);
        let service = flow.filter(|flow| flow.behind() != flow.tuple).map(|flow| flow.tuple.remote.ip());
        (self.by_flow(now, held, flow), device, service)
    }

    fn by_flow(&self, now: Moment, held: &Held, flow: Option<&flows::Flow>) -> Verdict {
        let Some(flow) = flow else { return Verdict::Forbidden("the device opened no such flow") };
        match held.fate(&flow.tuple, &flow.ways, self.place(), now) {
            flows::Fate::Ends => Verdict::Forbidden("no rule holds that leads there"),
            flows::Fate::Stays if flow.is_sure => Verdict::Required,
            flows::Fate::Stays | flows::Fate::Unsure => Verdict::Allowed,
        }
    }

    /// A packet of that device passed, by one of these ways, which all have one target.
    pub fn passed_up(&mut self, now: Moment, device: DeviceId, inner: &Inner, ways: Vec<Way>) {
        let (Some(tuple), Some(held)) = (tuple_up(inner), self.leases.of(device)) else { return };
        let place = Place { own: &self.own, network: &self.network };
        let is_sure = held.fate(&tuple, &ways, place, now) == flows::Fate::Stays;
        self.flows.used_up(now, &held.lease, (tuple, ways), inner.body, is_sure);
    }

    /// A packet to that device passed.
    pub fn passed_down(&mut self, now: Moment, device: DeviceId, inner: &Inner) {
        if let Some(tuple) = tuple_down(inner) {
            self.flows.used_down(now, device, &tuple, inner.body);
        }
    }

    /// Says whether that device ever opened that flow, named as the device sees it.
    #[must_use]
    pub fn ever_opened(&self, device: DeviceId, tuple: &FlowTuple) -> bool {
        self.flows.all().any(|flow| flow.tuple == *tuple && device == flow.device)
    }

    /// Says whether there ever was a flow with those ends behind the gateway.
    #[must_use]
    pub fn ever_behind(&self, behind: &FlowTuple) -> bool {
        self.flows.all().any(|flow| flow.behind() == *behind)
    }

    /// Says whether a flow with those ends behind the gateway may be there.
    #[must_use]
    pub fn may_have(&self, device: DeviceId, behind: &FlowTuple) -> bool {
        self.flows.may_have(device, behind)
    }

    /// Says whether the gateway may answer that key's handshake.
    #[must_use]
    pub fn answers(&self, now: Moment, key: &doorward_model::PublicKey) -> Option<&Held> {
        self.leases.held.iter().find(|held| held.lease.public_key == *key).filter(|held| held.holds(now))
    }
}

/// The flow that a packet of a device belongs to or opens.
#[must_use]
pub fn tuple_up(inner: &Inner) -> Option<FlowTuple> {
    let (device, mut remote) = (inner.source, inner.destination);
    match inner.body {
        Body::Tcp(_) | Body::Udp => {}
        Body::EchoRequest => remote.set_port(0),
        Body::EchoReply | Body::Error(_) => return None,
    }
    Some(FlowTuple { protocol: inner.protocol()?, device, remote })
}

/// The flow that a packet to a device belongs to.
#[must_use]
pub fn tuple_down(inner: &Inner) -> Option<FlowTuple> {
    let (mut remote, device) = (inner.source, inner.destination);
    match inner.body {
        Body::Tcp(_) | Body::Udp => {}
        Body::EchoReply => remote.set_port(0),
        Body::EchoRequest | Body::Error(_) => return None,
    }
    Some(FlowTuple { protocol: inner.protocol()?, device, remote })
}
