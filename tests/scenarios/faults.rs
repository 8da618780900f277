//! Revocations while something is broken, with a capture on the protected side as the witness.
//!
//! ```text
//!   laptop: download :443 · idle connection :444 · questions and answers :5432, as a database session has them
//!      └── café ── internet ── gateway ── lan0 (witness) ── panel
//! ```
//!
//! Each scenario breaks something from outside, by signals, by a relay or a rule in the feed's way, by a wall clock that one
//! process alone sees, by what is done to files; and looks for packets towards the panel that should not be there. Resets
//! are none: the gateway sends them.
//!
//! Not here: the database while it is away (see `journal.rs`), and a machine that sleeps, which cannot be had here: the
//! boot clock is moved at a start, and by the core's tests.

mod control_plane;
mod copies;
mod disk;
mod failover;
mod feed;
mod gateway;
mod journal;
mod session;
mod wall_clock;

use std::cell::RefCell;
use std::net::IpAddr;
use std::time::Duration;

use doorward_tests::client::{Client, WgQuick};
use doorward_tests::doorward::Settings;
use doorward_tests::process::Process;
use doorward_tests::service::{End, Manner, TcpServer};
use doorward_tests::shop::{Shop, micros};
use doorward_tests::traffic::{Attempt, Traffic, knock_tcp, micros_now};
use doorward_tests::wait::{holds_for, wait_until};
use doorward_tests::witness::{Seen, Witness};
use doorward_tests::world::{PANEL, at};
use serde_json::Value;

const LONG: Duration = Duration::from_secs(20);
/// `[authority] ttl` of these scenarios.
const TTL: &str = "2s";
/// The promise where the feed works: from the commit to the last packet.
const SOON_MICROS: i64 = 1_000_000;
/// The promise whatever fails: the same, with `authority_ttl`.
const BOUND_MICROS: i64 = 3_000_000;
/// How long nothing may be seen before it counts as silence: longer than every retransmission that is due.
const SILENCE: Duration = Duration::from_millis(2_500);

const EMAIL: &str = "dba@agency.example";

/// A shop whose halves run as processes of their own.
struct Halves {
    control_plane: Process,
    gateway: Process,
    shop: Shop,
}

fn halves(laptops: u8) -> Halves {
    let shop = Shop::closed(laptops, &Settings { ttl: TTL, ..Settings::default() });
    let control_plane = start_control_plane(&shop);
    shop.doorward.ready(0);
    let gateway = start_gateway(&shop);
    shop.doorward.ready(1);
    shop.resource("panel", &[PANEL[0]], &["tcp/443-444", "tcp/5432"]);
    Halves { control_plane, gateway, shop }
}

fn start_control_plane(shop: &Shop) -> Process {
    shop.doorward.start(&shop.world.gateway, &["run", "control-plane"], &[])
}

fn start_gateway(shop: &Shop) -> Process {
    shop.doorward.start(&shop.world.gateway, &["run", "gateway"], &[])
}

/// Somebody at work: three connections, and the capture of what comes of them.
struct AtWork {
    download: Traffic,
    idle: Traffic,
    session: Traffic,
    witness: Witness,
    _servers: [TcpServer; 3],
    client: RefCell<Option<Client>>,
    config: WgQuick,
}

impl AtWork {
    fn begin(shop: &Shop) -> Self {
        let inside = &shop.world.inside;
        let serve = |port, manner| TcpServer::start(inside, at(PANEL[0], port), manner);
        let servers = [serve(443, Manner::Stream), serve(444, Manner::Echo), serve(5432, Manner::Echo)];
        let witness = Witness::inside(&shop.world);
        let config = shop.person(EMAIL, "panel");
        let client = shop.client(0, &config);
        let laptop = &shop.world.laptops[0];
        let at_work = Self {
            download: Traffic::tcp_download(laptop, at(PANEL[0], 443)),
            idle: Traffic::tcp_idle(laptop, at(PANEL[0], 444)),
            session: Traffic::tcp_chat(laptop, at(PANEL[0], 5432)),
            witness,
            _servers: servers,
            client: RefCell::new(Some(client)),
            config,
        };
        at_work.works();
        at_work
    }

    /// Waits until download and session go on.
    #[track_caller]
    fn works(&self) {
        self.download.flows(LONG);
        self.session.flows(LONG);
    }

    /// Ends the person's client and starts it afresh, which shakes hands at once.
    fn restart_client(&self, shop: &Shop) {
        drop(self.client.take());
        self.client.replace(Some(shop.client(0, &self.config)));
    }

    /// How many packets came through the gateway.
    fn passed(&self) -> usize {
        self.witness.count(is_let_through)
    }

    /// Waits until nothing comes through any more, and returns when the last packet did.
    #[track_caller]
    fn falls_silent(&self) -> i64 {
        let last = || self.witness.last(is_let_through).unwrap_or(0);
        let quiet = i64::try_from(SILENCE.as_micros()).unwrap();
        wait_until("silence on the protected side", LONG, || micros_now() - last() > quiet);
        last()
    }

    /// Waits until nothing comes through any more; the last packet must not have come later than so much after a moment.
    #[track_caller]
    fn is_over(&self, what: &str, since: i64, bound_micros: i64) {
        let late = self.falls_silent() - since;
        println!("{what}: last packet {} ms after it was decided", late / 1000);
        assert!(late <= bound_micros, "{what}: a packet {late} µs after it was decided");
    }

    /// Watches that nothing comes through.
    #[track_caller]
    fn stays_silent(&self, what: &str, span: Duration) {
        let before = self.passed();
        holds_for(what, span, || self.passed() == before);
    }

    /// All three connections were reset at the laptop.
    #[track_caller]
    fn was_reset(&self) {
        for traffic in [&self.download, &self.idle, &self.session] {
            let (how, _) = traffic.ends(LONG);
            assert!(matches!(how, End::Cut(_)), "a connection ends with a reset: {how:?}");
        }
    }
}

fn is_let_through(packet: &Seen) -> bool {
    packet.to == PANEL[0].parse::<IpAddr>().unwrap() && !packet.is_reset()
}

/// Nothing that was acknowledged is lost, and the person stays outside with a fresh start of the client.
#[track_caller]
fn stays_gone(shop: &Shop, at_work: &AtWork) {
    assert_eq!(shop.doorward.json(&["person", "show", EMAIL])["state"], "departed");
    let verified = shop.doorward.json(&["audit", "verify"]);
    assert_eq!(verified["intact"], true, "{verified}");
    let before = at_work.passed();
    at_work.restart_client(shop);
    let attempt = knock_tcp(&shop.world.laptops[0], at(PANEL[0], 5432), Duration::from_secs(2));
    assert_ne!(attempt, Attempt::Opened, "who is gone comes in again");
    assert_eq!(at_work.passed(), before, "a packet of somebody who is gone");
}

/// Offboards over the admin socket, from a thread of its own.
fn offboard<'scope>(
    scope: &'scope std::thread::Scope<'scope, '_>,
    shop: &'scope Shop,
    email: &'scope str,
) -> std::thread::ScopedJoinHandle<'scope, (i64, Option<Value>)> {
    scope.spawn(move || {
        let asked = micros_now();
        let said = shop.doorward.says(&["person", "offboard", email, "--json"]);
        (asked, serde_json::from_str(&said.stdout).ok())
    })
}

/// When it was decided, as the answer says.
#[track_caller]
fn decided(outcome: &Value) -> i64 {
    micros(&outcome["decided_at"])
}

/// Waits until the control plane has somebody as departed.
#[track_caller]
fn wait_departed(shop: &Shop, email: &str) {
    wait_until("the decision", LONG, || {
        let said = shop.doorward.says(&["person", "show", email, "--json"]);
        let person: Value = serde_json::from_str(&said.stdout).unwrap_or_default();
        person["state"] == "departed"
    });
}
