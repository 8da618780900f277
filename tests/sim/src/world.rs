//! A schedule, played: the steps become inputs, and every output is held against the model.

mod check;
mod packets;

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use doorward_gateway_core::{BootTime, Command, CoreSettings, FlowTuple, Limits, Now};
use doorward_model::{PublicKey, Timestamp, TunnelNetwork};

use crate::client::{self, CLIENTS, Client, GATEWAY};
use crate::control::{self, Control, DEVICES, Order};
use crate::model::{Model, Moment};
use crate::packet::Written;
use crate::plain::Air;
use crate::step::Step;
use crate::subject::{Fault, Packets, Spread, Subject, Train};

/// Longest authority, as a gateway is configured.
const AUTHORITY: Duration = Duration::from_secs(30);
/// The moment at which every schedule begins.
const START: Moment = Moment { boot: 1_000_000_000, wall: 1_800_000_000_000_000 };
/// Handshake messages that one place may surely send in a second (the core takes 5 at once and 20 a second).
const HANDSHAKES_SURE: usize = 4;

/// What was not as promised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The step at which it was seen, from 0.
    pub step: usize,
    /// What was seen.
    pub what: String,
}

/// What was seen in schedules, to tell whether they are worth anything.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Steps played.
    pub steps: u64,
    /// Packets of devices that had to pass, and did.
    pub up_required: u64,
    /// Packets to devices that had to pass, and did.
    pub down_required: u64,
    /// Packets that passed where the model leaves the choice.
    pub allowed: u64,
    /// Packets that were forbidden, and did not pass.
    pub forbidden: u64,
    /// Handshakes that came about.
    pub handshakes: u64,
    /// Packets that waited for a session and were sent later.
    pub waited: u64,
    /// Resets and refusals of the gateway's own.
    pub own: u64,
    /// Packets that went by a service address, either way.
    pub translated: u64,
    /// Trains of packets to devices that had to pass, and did.
    pub cut: u64,
}

impl Seen {
    /// Adds what was seen elsewhere.
    pub fn add(&mut self, other: &Self) {
        self.steps = self.steps.saturating_add(other.steps);
        self.up_required = self.up_required.saturating_add(other.up_required);
        self.down_required = self.down_required.saturating_add(other.down_required);
        self.allowed = self.allowed.saturating_add(other.allowed);
        self.forbidden = self.forbidden.saturating_add(other.forbidden);
        self.handshakes = self.handshakes.saturating_add(other.handshakes);
        self.waited = self.waited.saturating_add(other.waited);
        self.own = self.own.saturating_add(other.own);
        self.translated = self.translated.saturating_add(other.translated);
        self.cut = self.cut.saturating_add(other.cut);
    }
}

/// A packet that was handed to the gateway.
#[derive(Debug, Clone)]
struct Offered {
    packet: Written,
    boot: u64,
    /// It came out.
    gone: bool,
}

/// A flow by both its names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ends {
    /// As the device sees it.
    seen: FlowTuple,
    /// As the network behind the gateway does.
    behind: FlowTuple,
}

/// A gateway with everybody around it.
struct World {
    air: Rc<Air>,
    now: Moment,
    subject: Subject,
    fault: Fault,
    cores: Spread,
    model: Model,
    control: Control,
    clients: Vec<Client>,
    /// What the gateway sent, for clients to take in.
    mail: Vec<(SocketAddr, Vec<u8>)>,
    /// Datagrams of clients, for replays.
    history: Vec<Vec<u8>>,
    /// Packets of devices, then packets to devices.
    up: Vec<Offered>,
    down: Vec<Offered>,
    /// Flows in the order of their opening.
    opened: Vec<Ends>,
    /// Entries of the ledger that the model knows.
    entries: usize,
    /// Handshake messages with the right mac1: from where, when, and by whom, where an initiation shows it.
    knocks: Vec<(SocketAddr, u64, Option<PublicKey>)>,
    seen: Seen,
}

/// Plays a schedule.
///
/// # Errors
/// The first thing that was not as promised.
pub fn play(steps: &[Step], fault: Fault) -> Result<Seen, Violation> {
    let mut world = World::new(fault);
    for (step, next) in steps.iter().enumerate() {
        world.step(next).map_err(|what| Violation { step, what })?;
    }
    Ok(world.seen)
}

fn settings() -> CoreSettings {
    CoreSettings {
        network: TunnelNetwork::default(),
        authority_ttl_max: AUTHORITY,
        limits: Limits::default(),
        seed: [9; 32],
    }
}

fn start(air: &Rc<Air>, fault: Fault, cores: Spread) -> (Subject, Model) {
    let noise = || Subject::noise(air, control::key(GATEWAY));
    let authority = u64::try_from(AUTHORITY.as_micros()).unwrap_or(0);
    (Subject::new(noise, settings, cores, fault), Model::new(TunnelNetwork::default(), authority))
}

/// What is in no hurry makes cores speak, but lets no packet through.
fn nothing_else(has_end: bool, packets: &Packets, train: &Train) -> Result<(), String> {
    match (has_end, packets.0.is_empty() && train.sent.is_empty()) {
        (false, _) => Err("cores hand something over for ever".to_owned()),
        (true, false) => Err("a packet left that had not come".to_owned()),
        (true, true) => Ok(()),
    }
}

fn number(value: i32, bound: u8) -> u8 {
    u8::try_from(value.rem_euclid(i32::from(bound))).unwrap_or(0)
}

impl World {
    fn new(fault: Fault) -> Self {
        let air = Rc::new(Air::default());
        air.boot.set(START.boot);
        let (subject, model) = start(&air, fault, Spread::ONE);
        let clients = (0..CLIENTS).map(|number| Client::new(&air, number)).collect();
        Self {
            air,
            now: START,
            subject,
            fault,
            cores: Spread::ONE,
            model,
            control: Control::new(),
            clients,
            mail: Vec::new(),
            history: Vec::new(),
            up: Vec::new(),
            down: Vec::new(),
            opened: Vec::new(),
            entries: 0,
            knocks: Vec::new(),
            seen: Seen::default(),
        }
    }

    /// The control plane's clock, which is right.
    fn control_now(&self) -> i64 {
        let passed = i64::try_from(self.now.boot.saturating_sub(START.boot)).unwrap_or(0);
        START.wall.saturating_add(passed)
    }

    fn core_now(&self) -> Now {
        let wall = Timestamp::from_microsecond(self.now.wall).unwrap_or_default();
        Now { boot: BootTime::from_micros(self.now.boot), wall }
    }

    fn step(&mut self, step: &Step) -> Result<(), String> {
        self.seen.steps = self.seen.steps.saturating_add(1);
        match *step {
            Step::Lease { .. } | Step::Reissue { .. } | Step::Remove { .. } | Step::Lockdown { .. } => {
                self.decide(step);
                Ok(())
            }
            Step::Snapshot {} => {
                self.control.snapshot(self.control_now());
                Ok(())
            }
            Step::Deliver { back } => self.control.message(back).map_or(Ok(()), |message| self.deliver(message)),
            Step::Sync {} => self.sync(),
            Step::Lose {} => {
                self.control.next_message();
                Ok(())
            }
            Step::Beat { ttl, ahead, at_once } => {
                let ahead = u64::try_from(ahead).unwrap_or(0).saturating_mul(1_000_000);
                self.control.heartbeat(self.control_now(), self.now.boot.saturating_add(ahead), ttl);
                if at_once == 1 {
                    return self.control.message(0).map_or(Ok(()), |message| self.deliver(message));
                }
                Ok(())
            }
            Step::Own { which } => self.deliver(Command::OwnAddresses(control::own(which))),
            Step::Pass { boot_ms, skew_ms } => {
                self.pass(boot_ms, skew_ms);
                Ok(())
            }
            Step::Timeout {} => self.timeout(),
            Step::Restart {} => {
                self.restart();
                Ok(())
            }
            Step::Spread { cores, astray } => {
                let small = |value: i32| u16::try_from(value.rem_euclid(8)).unwrap_or(0);
                self.cores = Spread { cores: small(cores).max(1), astray: small(astray) };
                self.restart();
                Ok(())
            }
            Step::Resolve { name, which } => {
                control::resolved(name, which).map_or(Ok(()), |message| self.deliver(message))
            }
            Step::Connect { client, place } => self.connect(number(client, CLIENTS), client::place(place)),
            Step::Initiate { client, place } => {
                let place = client::place(place);
                self.initiate(number(client, CLIENTS), place)
            }
            Step::Answer { client } => self.answer(number(client, CLIENTS)),
            Step::Psk { client, psk } => {
                let air = Rc::clone(&self.air);
                if let Some(client) = self.client(number(client, CLIENTS)) {
                    client.set_psk(&air, psk);
                }
                Ok(())
            }
            Step::Up { .. }
            | Step::UpError { .. }
            | Step::Down { .. }
            | Step::DownMany { .. }
            | Step::Replay { .. }
            | Step::Tamper { .. }
            | Step::Rubbish { .. } => self.traffic(step),
        }
    }

    /// Steps of the control plane.
    #[expect(clippy::wildcard_enum_match_arm, reason = "`World::step` hands over these alone")]
    fn decide(&mut self, step: &Step) {
        let now = self.control_now();
        match *step {
            Step::Lease {
                device,
                key,
                address,
                psk,
                from,
                until,
                sign_in,
                rule,
                rule_until,
                second,
                second_from,
                second_until,
                joined,
            } => {
                let device = number(device, DEVICES);
                let further = |by: i32| number(i32::from(device).saturating_add(by), DEVICES);
                let address = if address == 9 { DEVICES } else { further(address) };
                let rules = [(rule, -60, rule_until), (second, second_from, second_until)];
                let order = Order { device, key: further(key), address, psk, span: (from, until), sign_in, rules };
                self.control.lease(now, order, joined == 1);
            }
            Step::Reissue { device, set_back, narrowed, joined } => {
                let now = now.saturating_sub(i64::from(set_back).saturating_mul(1_000_000));
                self.control.reissue(now, number(device, DEVICES), narrowed == 1, joined == 1);
            }
            Step::Remove { device, joined } => self.control.remove(now, number(device, DEVICES), joined == 1),
            Step::Lockdown { on, exempt, joined } => self.control.lockdown(now, on == 1, exempt, joined == 1),
            _ => {}
        }
    }

    fn timeout(&mut self) -> Result<(), String> {
        self.model.timers_ran(self.now);
        self.subject.timeout(self.core_now());
        self.outputs(None)?;
        // A quiet moment, too: what there was no hurry for is done.
        loop {
            let (mut packets, mut train) = (Packets::default(), Train::default());
            let (did, has_end) = self.subject.quiet(self.core_now(), &mut packets, &mut train);
            nothing_else(has_end, &packets, &train)?;
            self.outputs(None)?;
            if !did {
                return Ok(());
            }
        }
    }

    fn restart(&mut self) {
        (self.subject, self.model) = start(&self.air, self.fault, self.cores);
        self.control.is_asked = true;
    }

    fn pass(&mut self, boot_ms: i32, skew_ms: i32) {
        let boot = i64::from(boot_ms.max(0)).saturating_mul(1_000);
        self.now.boot = self.now.boot.saturating_add(u64::try_from(boot).unwrap_or(0));
        self.now.wall = self.now.wall.saturating_add(boot).saturating_add(i64::from(skew_ms).saturating_mul(1_000));
        self.air.boot.set(self.now.boot);
    }

    /// What a feed session does: everything that did not come yet comes; where the gateway asked for it, a session
    /// begins anew, with a snapshot instead.
    fn sync(&mut self) -> Result<(), String> {
        if self.control.is_asked {
            self.control.come_anew(self.control_now());
        }
        while let Some(message) = self.control.next_message() {
            self.deliver(message)?;
        }
        Ok(())
    }

    fn deliver(&mut self, message: Command) -> Result<(), String> {
        self.model.command(self.now, &message);
        self.subject.command(self.core_now(), message);
        self.outputs(None)?;
        self.tables()
    }

    fn client(&mut self, number: u8) -> Option<&mut Client> {
        self.clients.get_mut(usize::from(number))
    }

    fn initiate(&mut self, number: u8, place: SocketAddr) -> Result<(), String> {
        let Some(client) = self.client(number) else { return Ok(()) };
        client.place = place;
        let Some(initiation) = client.initiation() else { return Ok(()) };
        self.receive(place, initiation)
    }

    /// A whole handshake, with a second try where the gateway asks for a cookie.
    fn connect(&mut self, number: u8, place: SocketAddr) -> Result<(), String> {
        let second_ago = self.now.boot.saturating_sub(1_000_000);
        let recent = self.knocks.iter().filter(|(from, at, _)| from.ip() == place.ip() && *at >= second_ago).count();
        let before = self.seen.handshakes;
        self.initiate(number, place)?;
        self.answer(number)?;
        let Some(client) = self.clients.get(usize::from(number)) else { return Ok(()) };
        let held = self.model.answers(self.now, &control::key(client.key));
        let fits = held.is_some_and(|held| held.lease.preshared_key == control::psk(client.psk));
        if fits && recent < HANDSHAKES_SURE && self.seen.handshakes == before {
            return Err(format!("client {number} has a lease and got no session"));
        }
        Ok(())
    }

    /// A client takes in its mail and answers it.
    fn answer(&mut self, number: u8) -> Result<(), String> {
        let Some(client) = self.clients.get(usize::from(number)) else { return Ok(()) };
        let place = client.place;
        for (to, datagram) in std::mem::take(&mut self.mail) {
            if to != place {
                self.mail.push((to, datagram));
                continue;
            }
            let Some(client) = self.client(number) else { return Ok(()) };
            match client.take(&datagram) {
                (Some(reply), _) => {
                    // The answer to a response is the first transport data of a session.
                    if datagram.first() == Some(&2) {
                        self.seen.handshakes = self.seen.handshakes.saturating_add(1);
                    }
                    self.receive(place, reply)?;
                }
                (None, true) => {}
                (None, false) => self.mail.push((to, datagram)),
            }
        }
        Ok(())
    }
}
