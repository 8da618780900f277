//! The feed between two machines: standing still in either direction, late, and cut over and over.

use std::time::Duration;

use doorward_tests::doorward::{Doorward, Settings};
use doorward_tests::process::Process;
use doorward_tests::shop::Shop;
use doorward_tests::tcp_relay::{TcpRelay, Way};
use doorward_tests::traffic::micros_now;
use doorward_tests::wait::wait_until;
use doorward_tests::world::{OFFICE, PANEL, at};

use super::{AtWork, BOUND_MICROS, EMAIL, LONG, SILENCE, SOON_MICROS, TTL, decided, stays_gone};

/// Late enough to be felt, early enough for authority to go on.
const LATE: Duration = Duration::from_millis(400);
/// Later than authority lasts.
const TOO_LATE: Duration = Duration::from_millis(2_500);

pub(super) struct Apart {
    _control_plane: Process,
    pub(super) gateway: Process,
    relay: TcpRelay,
    /// The gateway's own folder.
    pub(super) remote: Doorward,
    pub(super) shop: Shop,
}

/// The control plane in the office, the gateway on its machine, the relay in between.
pub(super) fn apart() -> Apart {
    let server = "feed_listen = \"0.0.0.0:8444\"";
    let shop = Shop::closed(1, &Settings { ttl: TTL, server, ..Settings::default() });
    let office = &shop.world.office;
    let control_plane = shop.doorward.start(office, &["run", "control-plane"], &[]);
    shop.doorward.ready(0);
    let relay = TcpRelay::start(office, at(OFFICE, 8445), at(OFFICE, 8444));
    let token = shop.doorward.json(&["gateway", "token", "add", "main"]);
    let token = token["token"].as_str().unwrap_or_else(|| panic!("a token: {token}"));
    let road = format!("control_plane = \"https://{}\"", relay.address());
    let settings = Settings { ttl: TTL, gateway: &road, ..Settings::default() };
    let remote = Doorward::prepare(shop.world.folder.path(), "gateway-data", &settings);
    let gateway = remote.start(&shop.world.gateway, &["run", "gateway"], &[("DOORWARD_GATEWAY_TOKEN", token)]);
    shop.doorward.ready(1);
    shop.resource("panel", &[PANEL[0]], &["tcp/443-444", "tcp/5432"]);
    Apart { _control_plane: control_plane, gateway, relay, remote, shop }
}

#[test]
fn a_feed_that_says_nothing_any_more_ends_a_revoked_person_by_the_bound() {
    let Apart { relay, shop, .. } = &apart();
    let at_work = AtWork::begin(shop);
    relay.hold(Way::Down);
    let outcome = shop.doorward.json(&["person", "offboard", EMAIL]);
    assert!(outcome["receipts"][0]["enforced_after_ms"].is_null(), "nobody can have confirmed it: {outcome}");
    at_work.is_over("nothing comes down", decided(&outcome), BOUND_MICROS);
    // What was held up comes all at once, heartbeats of the past among it.
    let before = at_work.passed();
    relay.release(Way::Down);
    at_work.was_reset();
    at_work.stays_silent("after the repair", SILENCE);
    assert_eq!(at_work.passed(), before, "a packet after the repair");
    wait_until("the late receipt in the record", LONG, || {
        shop.status()["last_receipts"][0]["revision"] == outcome["revision"]
    });
    stays_gone(shop, &at_work);
}

#[test]
fn a_gateway_that_is_not_heard_any_more_still_hears_a_revocation() {
    let Apart { relay, shop, .. } = &apart();
    let at_work = AtWork::begin(shop);
    relay.hold(Way::Up);
    let outcome = shop.doorward.json(&["person", "offboard", EMAIL]);
    at_work.is_over("nothing goes up", decided(&outcome), SOON_MICROS);
    wait_until("an alert that names the gateway", LONG, || shop.alert_names(&["main", "did not confirm"]));
    relay.release(Way::Up);
    at_work.was_reset();
    shop.doorward.ready(1);
    stays_gone(shop, &at_work);
}

/// A rule of the packet filter on the gateway's machine, until dropped: what connection tracking thinks has no part in it.
struct Rule<'shop>(&'shop Shop);

impl<'shop> Rule<'shop> {
    fn set(shop: &'shop Shop, hook: &str, rule: &str) -> Self {
        let chain = format!("type filter hook {hook} priority -400; policy accept;");
        let add = [
            "add table ip fault",
            &format!("add chain ip fault feed {{ {chain} }}"),
            &format!("add rule ip fault feed {rule}"),
        ];
        shop.world.gateway.nft(&(add.join("\n") + "\n"));
        Self(shop)
    }

    fn lift(self) {
        self.0.world.gateway.nft("delete table ip fault\n");
    }
}

#[test]
fn a_rule_that_drops_what_the_feed_says_ends_a_revoked_person_by_the_bound() {
    let Apart { shop, gateway: _gateway, .. } = &apart();
    let at_work = AtWork::begin(shop);
    let rule = Rule::set(shop, "prerouting", "tcp sport 8445 drop");
    let outcome = shop.doorward.json(&["person", "offboard", EMAIL]);
    assert!(outcome["receipts"][0]["enforced_after_ms"].is_null(), "nobody can have confirmed it: {outcome}");
    at_work.is_over("what comes down is dropped", decided(&outcome), BOUND_MICROS);
    let before = at_work.passed();
    rule.lift();
    at_work.was_reset();
    shop.doorward.ready(1);
    assert_eq!(at_work.passed(), before, "a packet after the repair");
    stays_gone(shop, &at_work);
}

#[test]
fn a_rule_that_drops_what_the_gateway_says_holds_up_no_revocation() {
    let Apart { shop, gateway: _gateway, .. } = &apart();
    let at_work = AtWork::begin(shop);
    let rule = Rule::set(shop, "output", "tcp dport 8445 drop");
    let outcome = shop.doorward.json(&["person", "offboard", EMAIL]);
    at_work.is_over("what goes up is dropped", decided(&outcome), SOON_MICROS);
    rule.lift();
    at_work.was_reset();
    shop.doorward.ready(1);
    stays_gone(shop, &at_work);
}

#[test]
fn a_rule_that_resets_every_connection_of_the_feed_ends_a_revoked_person_by_the_bound() {
    let Apart { shop, gateway: _gateway, .. } = &apart();
    let at_work = AtWork::begin(shop);
    let rule = Rule::set(shop, "output", "tcp dport 8445 reject with tcp reset");
    let outcome = shop.doorward.json(&["person", "offboard", EMAIL]);
    at_work.is_over("connections of the feed are reset", decided(&outcome), BOUND_MICROS);
    at_work.stays_silent("a feed that cannot be opened", SILENCE);
    let before = at_work.passed();
    rule.lift();
    shop.doorward.ready(1);
    at_work.was_reset();
    assert_eq!(at_work.passed(), before, "a packet after the repair");
    stays_gone(shop, &at_work);
}

#[test]
fn a_late_feed_makes_a_revocation_late_by_as_much_and_one_that_is_too_late_lets_nobody_through() {
    let Apart { relay, shop, .. } = &apart();
    let at_work = AtWork::begin(shop);
    relay.delay(Way::Down, TOO_LATE);
    let cut = micros_now();
    at_work.is_over("heartbeats older than authority", cut, BOUND_MICROS);
    at_work.stays_silent("heartbeats that come too late", SILENCE);
    relay.delay(Way::Down, LATE);
    // The connections were paused, not cut.
    at_work.works();
    let outcome = shop.doorward.json(&["person", "offboard", EMAIL]);
    let late = i64::try_from(LATE.as_micros()).unwrap();
    at_work.is_over("a late feed", decided(&outcome), SOON_MICROS + late);
    at_work.was_reset();
    stays_gone(shop, &at_work);
}

#[test]
fn what_is_taken_given_back_and_taken_again_behind_a_late_feed_ends_as_it_was_decided_last() {
    let Apart { relay, shop, gateway: _gateway, .. } = &apart();
    let at_work = AtWork::begin(shop);
    let device = shop.doorward.json(&["device", "list"])[0]["id"].as_str().unwrap().to_owned();
    relay.delay(Way::Down, LATE);
    let asked = micros_now();
    // Each order with its action, and how often the record has it by then: who asks for the same thing again changes nothing.
    let orders: [(&[&str], &str, usize); 5] = [
        (&["device", "revoke", &device], "\"device.revoke\"", 1),
        (&["device", "revoke", &device], "\"device.revoke\"", 1),
        (&["person", "offboard", EMAIL], "\"person.offboard\"", 1),
        (&["person", "restore", EMAIL], "\"person.restore\"", 1),
        (&["person", "offboard", EMAIL], "\"person.offboard\"", 2),
    ];
    // Nobody waits for the answer before.
    let said = std::thread::scope(|scope| {
        let mut running = Vec::new();
        for (order, action, times) in orders {
            running.push(scope.spawn(move || shop.doorward.says(order)));
            let rows = || shop.doorward.run(&["audit", "export", "--format", "jsonl"]);
            let decided = || rows().lines().filter(|row| row.contains(action)).count() >= times;
            wait_until("the decision", LONG, decided);
        }
        running.into_iter().map(|it| it.join().unwrap()).collect::<Vec<_>>()
    });
    said.iter().for_each(|said| println!("{} {}{}", said.code, said.stdout, said.stderr));
    let late = i64::try_from(LATE.as_micros()).unwrap();
    at_work.is_over("taken twice, given back, taken again", asked, SOON_MICROS + late);
    at_work.was_reset();
    wait_until("the gateway to hold the newest state", LONG, || shop.status()["gateways"][0]["revisions_behind"] == 0);
    stays_gone(shop, &at_work);
}

#[test]
fn a_feed_that_is_cut_over_and_over_loses_no_revocation() {
    let Apart { relay, shop, .. } = &apart();
    let at_work = AtWork::begin(shop);
    let outcome = std::thread::scope(|scope| {
        let asked = super::offboard(scope, shop, EMAIL);
        // Each cut comes in the middle of something else: a hello, a snapshot, a delta, a receipt.
        let cuts = || {
            relay.cut();
            asked.is_finished()
        };
        wait_until("the command's end", LONG, cuts);
        asked.join().unwrap().1.expect("the command comes to its end")
    });
    at_work.is_over("a feed cut over and over", decided(&outcome), BOUND_MICROS);
    shop.doorward.ready(1);
    at_work.stays_silent("after the cuts", SILENCE);
    at_work.was_reset();
    wait_until("the receipt in the record", LONG, || {
        shop.status()["gateways"][0]["revision"].as_u64() >= outcome["revision"].as_u64()
    });
    stays_gone(shop, &at_work);
}
