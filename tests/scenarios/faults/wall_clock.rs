//! The wall clock of one half set a day forward, a day back and right again. The capture has this machine's own time.

use std::time::Duration;

use doorward_tests::process::Process;
use doorward_tests::shop::{Shop, micros};
use doorward_tests::traffic::{Attempt, Traffic, knock_tcp, micros_now};
use doorward_tests::wait::{holds_for, wait_until};
use doorward_tests::wall_clock::{DAY, WallClock};
use doorward_tests::world::{PANEL, at};

use super::{AtWork, EMAIL, LONG, SOON_MICROS, stays_gone};
use doorward_tests::doorward::Settings;

/// How long honest work is watched after each step of a clock: longer than authority lasts.
const WATCHED: Duration = Duration::from_secs(4);

/// Between two looks at this machine's own clock.
const SECONDS_60: i64 = 60_000_000;

/// A shop with a wall clock for each half.
struct Clocked {
    control_plane: Process,
    gateway: Process,
    /// The control plane's, and the gateway's.
    clocks: [WallClock; 2],
    shop: Shop,
}

fn clocked() -> Clocked {
    let shop = Shop::closed(1, &Settings { ttl: super::TTL, ..Settings::default() });
    let clocks = ["control-plane", "gateway"].map(|half| WallClock::new(shop.world.folder.path(), half, 0));
    let machine = &shop.world.gateway;
    let control_plane = clocks[0].start(&shop.doorward, machine, &["run", "control-plane"]);
    shop.doorward.ready(0);
    let gateway = clocks[1].start(&shop.doorward, machine, &["run", "gateway"]);
    shop.doorward.ready(1);
    shop.resource("panel", &[PANEL[0]], &["tcp/443-444", "tcp/5432"]);
    Clocked { control_plane, gateway, clocks, shop }
}

/// Somebody at work whose grant lasts for a month.
fn for_a_month(shop: &Shop) -> AtWork {
    let at_work = AtWork::begin(shop);
    let grants = shop.doorward.json(&["grant", "list"]);
    shop.grant(EMAIL, "panel", "30d");
    shop.doorward.run(&["grant", "revoke", grants[0]["id"].as_str().unwrap()]);
    at_work.works();
    at_work
}

/// Watches that the session is never without an answer for as long as a second.
#[track_caller]
fn goes_on(at_work: &AtWork, what: &str) {
    at_work.works();
    holds_for(what, WATCHED, || micros_now() - at_work.session.last_answer() < SOON_MICROS);
}

#[track_caller]
fn offboard(shop: &Shop, at_work: &AtWork, what: &str) {
    let asked = micros_now();
    let outcome = shop.doorward.json(&["person", "offboard", EMAIL]);
    assert!(outcome["receipts"][0]["enforced_after_ms"].is_u64(), "{outcome}");
    at_work.is_over(what, asked, SOON_MICROS);
    at_work.was_reset();
    stays_gone(shop, at_work);
}

#[test]
fn a_control_planes_clock_that_jumps_either_way_holds_up_neither_work_nor_an_offboarding_and_ends_nobody_for_good() {
    let Clocked { control_plane: _control_plane, gateway: _gateway, clocks: [clock, _], shop } = clocked();
    let at_work = for_a_month(&shop);
    let contractor =
        ["person", "add", "temp@agency.example", "--name", "T", "--kind", "contractor", "--sponsor", EMAIL];
    shop.doorward.run(&[&contractor[..], &["--until", "2d"]].concat());
    shop.device_with(EMAIL, "kiosk", &["--for", "2d"]);
    for (ahead, way) in [(4 * DAY, "set forward by"), (-DAY, "set back by"), (0, "set forward by")] {
        clock.set(ahead);
        goes_on(&at_work, way);
        wait_until("an alert of the clock", LONG, || shop.alert_names(&["the control plane's wall clock", way]));
    }
    assert_eq!(shop.doorward.json(&["person", "show", "temp@agency.example"])["state"], "active");
    let devices = shop.doorward.json(&["device", "list"]);
    assert!(devices.as_array().unwrap().iter().all(|device| device["state"] == "active"), "{devices}");
    clock.set(-DAY);
    goes_on(&at_work, "a day behind once more");
    offboard(&shop, &at_work, "with a clock a day behind");
}

#[test]
fn a_control_plane_whose_clock_was_ahead_and_is_right_again_starts_at_the_right_time() {
    let Clocked { mut control_plane, gateway: _gateway, clocks: [clock, _], shop } = clocked();
    let told =
        |way| wait_until("an alert of the clock", LONG, || shop.alert_names(&["control plane's wall clock", way]));
    clock.set(DAY);
    told("set forward by");
    shop.staff("ahead@shop.example");
    clock.set(0);
    told("set back by");
    shop.staff("right@shop.example");
    assert!(control_plane.terminate().success());
    let _control_plane = clock.start(&shop.doorward, &shop.world.gateway, &["run", "control-plane"]);
    shop.doorward.ready(1);
    shop.staff("later@shop.example");
    let audit = shop.doorward.run(&["audit", "export", "--format", "jsonl"]);
    let last: serde_json::Value = serde_json::from_str(audit.lines().last().unwrap()).unwrap();
    let behind = micros_now() - micros(&last["at"]);
    assert!((0..SECONDS_60).contains(&behind), "{behind} µs behind: {last}");
    assert_eq!(shop.doorward.json(&["audit", "verify"])["intact"], true);
}

#[test]
fn a_control_plane_that_starts_with_its_clock_a_day_behind_goes_on_from_its_record() {
    let Clocked { mut control_plane, gateway: _gateway, clocks: [clock, _], shop } = clocked();
    let at_work = for_a_month(&shop);
    assert!(control_plane.terminate().success());
    clock.set(-DAY);
    let _control_plane = clock.start(&shop.doorward, &shop.world.gateway, &["run", "control-plane"]);
    shop.doorward.ready(1);
    goes_on(&at_work, "a start with a clock a day behind");
    wait_until("an alert of the clock", LONG, || shop.alert_names(&["the control plane's wall clock", "set back by"]));
    let audit = shop.doorward.run(&["audit", "export", "--format", "jsonl"]);
    let times = audit.lines().map(|row| serde_json::from_str::<serde_json::Value>(row).unwrap()["at"].to_string());
    assert!(times.is_sorted(), "time went back in the record: {audit}");

    // A grant that is given now lasts as long as it says, and no longer.
    let month = shop.doorward.json(&["grant", "list"]);
    let month = month.as_array().unwrap().iter().find(|grant| grant["state"] == "active").unwrap();
    let given = micros_now();
    shop.grant(EMAIL, "panel", "5s");
    shop.doorward.run(&["grant", "revoke", month["id"].as_str().unwrap()]);
    let answered = micros_now();
    let silent = at_work.falls_silent();
    println!("a grant for 5 s: the last packet {} ms after it was given", (silent - given) / 1000);
    assert!(silent - answered <= 5_000_000 + SOON_MICROS && silent - given >= 4_000_000, "{} µs", silent - given);
    shop.grant(EMAIL, "panel", "1h");
    let laptop = &shop.world.laptops[0];
    wait_until("the next grant to hold", LONG, || {
        knock_tcp(laptop, at(PANEL[0], 5432), Duration::from_secs(2)) == Attempt::Opened
    });
    let asked = micros_now();
    shop.doorward.json(&["person", "offboard", EMAIL]);
    at_work.is_over("after a start with a clock a day behind", asked, SOON_MICROS);
    stays_gone(&shop, &at_work);
}

#[test]
fn a_gateways_clock_a_day_ahead_ends_what_it_says_is_over_and_nothing_else_and_one_behind_lengthens_nothing() {
    let Clocked { control_plane: _control_plane, gateway: _gateway, clocks: [_, clock], shop } = clocked();
    // For an hour.
    let at_work = AtWork::begin(&shop);
    clock.set(DAY);
    at_work.is_over("a grant for an hour, a day ahead", micros_now(), SOON_MICROS);
    wait_until("an alert of the clock", LONG, || shop.alert_names(&["the wall clock moved by"]));
    clock.set(0);
    // By the boot clock the hour goes on. A connection that had a packet meanwhile was cut, as at every end.
    let laptop = &shop.world.laptops[0];
    let opens = || knock_tcp(laptop, at(PANEL[0], 5432), Duration::from_secs(2)) == Attempt::Opened;
    wait_until("the rest of the hour", LONG, opens);
    let session = Traffic::tcp_chat(laptop, at(PANEL[0], 5432));
    clock.set(-DAY);
    session.flows(LONG);
    holds_for("a day behind", WATCHED, || micros_now() - session.last_answer() < SOON_MICROS);

    let hour = shop.doorward.json(&["grant", "list"])[0]["id"].as_str().unwrap().to_owned();
    let given = micros_now();
    shop.grant(EMAIL, "panel", "6s");
    shop.doorward.run(&["grant", "revoke", &hour]);
    let answered = micros_now();
    let silent = at_work.falls_silent();
    println!("a grant for 6 s, a day behind: the last packet {} ms after it was given", (silent - given) / 1000);
    assert!(silent - answered <= 6_000_000 + SOON_MICROS && silent - given >= 5_000_000, "{} µs", silent - given);

    shop.grant(EMAIL, "panel", "30d");
    wait_until("a grant for a month to hold", LONG, opens);
    clock.set(DAY);
    let session = Traffic::tcp_chat(laptop, at(PANEL[0], 5432));
    session.flows(LONG);
    let asked = micros_now();
    shop.doorward.json(&["person", "offboard", EMAIL]);
    at_work.is_over("with a gateway's clock a day ahead", asked, SOON_MICROS);
    stays_gone(&shop, &at_work);
}
