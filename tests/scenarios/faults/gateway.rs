//! The gateway frozen, restarted on another clock, and without room on its disk.

use std::process::Command;
use std::thread::scope;
use std::time::Duration;

use doorward_tests::doorward::{binary, utf8};
use doorward_tests::process::Process;
use doorward_tests::service::UdpServer;
use doorward_tests::shop::{Shop, micros, receipt_ms};
use doorward_tests::traffic::{Attempt, Traffic, knock_tcp, micros_now};
use doorward_tests::wait::{holds_for, wait_until};
use doorward_tests::world::{DATABASE, PANEL, at};
use rustix::process::Signal;

use super::{AtWork, BOUND_MICROS, Halves, LONG, SILENCE, SOON_MICROS, decided, halves, offboard, stays_gone};

/// Seconds that the gateway's boot clock is ahead of everybody else's.
const AHEAD: &str = "8640000";

#[test]
fn a_gateway_frozen_through_a_revocation_lets_nothing_through_when_it_goes_on() {
    let Halves { control_plane: _control_plane, gateway, shop } = halves(1);
    let at_work = AtWork::begin(&shop);
    gateway.signal(Signal::STOP);
    let outcome = shop.doorward.json(&["person", "offboard", super::EMAIL]);
    assert!(outcome["receipts"][0]["enforced_after_ms"].is_null(), "a frozen gateway confirms nothing: {outcome}");
    wait_until("an alert that names the gateway", LONG, || shop.alert_names(&["main", "did not confirm"]));
    at_work.is_over("a frozen gateway", decided(&outcome), SOON_MICROS);
    // Five seconds went by, authority long over; what people sent meanwhile waits in the socket.
    let before = at_work.passed();
    gateway.signal(Signal::CONT);
    holds_for("nothing passes a gateway that wakes", SILENCE, || at_work.passed() == before);
    at_work.was_reset();
    wait_until("the late receipt in the record", LONG, || {
        shop.status()["last_receipts"][0]["revision"] == outcome["revision"]
    });
    stays_gone(&shop, &at_work);
}

/// Bytes that wait in the gateway's UDP sockets.
fn waiting(shop: &Shop) -> u64 {
    let listed = shop.world.gateway.stdout("ss", &["-H", "-u", "-l", "-n", "sport = :51820"]);
    listed.lines().filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok()).sum()
}

#[test]
fn of_what_waited_in_front_of_a_frozen_gateway_nothing_passes_for_whoever_was_put_out_meanwhile() {
    let Halves { control_plane: _control_plane, gateway, shop } = halves(2);
    // The leaver's config has the panel's address, and the other one's the database's.
    shop.resource("questions", &[PANEL[0]], &["udp/53"]);
    shop.resource("db", &[DATABASE[0]], &["udp/53"]);
    let _answers = [PANEL, DATABASE].map(|place| UdpServer::start(&shop.world.inside, at(place[0], 53)));
    let at_work = AtWork::begin(&shop);
    shop.grant(super::EMAIL, "questions", "1h");
    let stayer = shop.person("support@shop.example", "db");
    let _client = shop.client(1, &stayer);
    let leaving = Traffic::udp_chat(&shop.world.laptops[0], at(PANEL[0], 53));
    let staying = Traffic::udp_chat(&shop.world.laptops[1], at(DATABASE[0], 53));
    leaving.flows(LONG);
    staying.flows(LONG);

    // Datagrams come in while authority holds, and go on coming for long after it ended.
    gateway.signal(Signal::STOP);
    wait_until("datagrams in front of the gateway", LONG, || waiting(&shop) > 4_096);
    let outcome = shop.doorward.json(&["person", "offboard", super::EMAIL]);
    assert!(outcome["receipts"][0]["enforced_after_ms"].is_null(), "a frozen gateway confirms nothing: {outcome}");
    wait_until("twice the authority", LONG, || micros_now() - decided(&outcome) > 2 * BOUND_MICROS);
    let (before, answers) = (at_work.passed(), (leaving.answers(), at_work.download.answers()));
    println!("{} bytes wait in front of the gateway", waiting(&shop));
    assert!(waiting(&shop) > 4_096, "nothing waits");
    gateway.signal(Signal::CONT);
    holds_for("nothing of it passes", SILENCE, || at_work.passed() == before);
    assert_eq!((leaving.answers(), at_work.download.answers()), answers, "an answer came back");
    staying.flows(LONG);
    at_work.was_reset();
    assert_eq!(at_work.passed(), before);
    stays_gone(&shop, &at_work);
}

#[test]
fn a_gateway_that_is_restarted_while_its_control_plane_is_frozen_waits_for_it() {
    let Halves { control_plane, mut gateway, shop } = halves(1);
    let at_work = AtWork::begin(&shop);
    control_plane.signal(Signal::STOP);
    scope(|scope| {
        let asked = offboard(scope, &shop, super::EMAIL);
        gateway.kill();
        at_work.falls_silent();
        let _gateway = super::start_gateway(&shop);
        at_work.restart_client(&shop);
        at_work.stays_silent("a gateway that nobody answers", SILENCE);
        let before = at_work.passed();
        control_plane.signal(Signal::CONT);
        let (_, outcome) = asked.join().unwrap();
        assert!(outcome.is_some(), "the command comes to its end");
        shop.doorward.ready(1);
        stays_gone(&shop, &at_work);
        assert_eq!(at_work.passed(), before, "a packet after the restart");
    });
}

#[test]
fn two_revocations_behind_a_gateway_that_lags_are_both_enforced_and_confirmed() {
    let Halves { control_plane: _control_plane, gateway, shop } = halves(2);
    let at_work = AtWork::begin(&shop);
    let other = "support@shop.example";
    let config = shop.person(other, "panel");
    let _client = shop.client(1, &config);
    let second = Traffic::tcp_chat(&shop.world.laptops[1], at(PANEL[0], 5432));
    second.flows(LONG);
    gateway.signal(Signal::STOP);
    scope(|scope| {
        let asked = [offboard(scope, &shop, super::EMAIL), offboard(scope, &shop, other)];
        super::wait_departed(&shop, super::EMAIL);
        super::wait_departed(&shop, other);
        gateway.signal(Signal::CONT);
        let woken = micros_now();
        at_work.is_over("two at once", woken, SOON_MICROS);
        for (since, outcome) in asked.map(|asked| asked.join().unwrap()) {
            let outcome = outcome.expect("the command comes to its end");
            println!("confirmed {} ms after the decision", receipt_ms(&outcome));
            assert!(woken - since < BOUND_MICROS, "the gateway had its authority when it went on");
        }
    });
    at_work.was_reset();
    assert!(second.end().is_some(), "the second one's connection ended too");
    stays_gone(&shop, &at_work);
}

/// Starts the gateway with a boot clock of its own.
fn start_ahead(shop: &Shop, seconds: &str) -> Process {
    let (config, data) = (utf8(&shop.doorward.config), utf8(&shop.doorward.data));
    let mut command = vec!["unshare", "-T", "--boottime", seconds, utf8(binary()), "run", "gateway"];
    command.extend(["--config", config, "--data", data]);
    Process::start("gateway-ahead", &shop.world.gateway, shop.world.folder.path(), &command, &[])
}

#[test]
fn a_gateway_whose_boot_clock_is_elsewhere_keeps_every_deadline() {
    let Halves { control_plane: _control_plane, mut gateway, shop } = halves(1);
    assert!(gateway.terminate().success());
    let gateway = start_ahead(&shop, AHEAD);
    shop.doorward.ready(1);
    let uptime = std::fs::read_to_string("/proc/uptime").unwrap();
    let inside = Command::new("nsenter").args(["-T", "-t", &gateway.pid().to_string(), "cat", "/proc/uptime"]).output();
    let seconds = |text: &str| text.split('.').next().unwrap().parse::<u64>().unwrap();
    let inside = String::from_utf8(inside.unwrap().stdout).unwrap();
    assert!(seconds(&inside) > seconds(&uptime) + 8_000_000, "the clock was not moved: {inside} and {uptime}");

    let at_work = AtWork::begin(&shop);
    let grants = shop.doorward.json(&["grant", "list"]);
    let id = grants[0]["id"].as_str().unwrap().to_owned();
    let shorter = shop.doorward.json(&["grant", "add", super::EMAIL, "panel", "--for", "4s"]);
    shop.doorward.run(&["grant", "revoke", &id]);
    let end = micros(&shorter["until"]);
    at_work.is_over("a grant's end on another boot clock", end, SOON_MICROS);
    assert!(at_work.falls_silent() > end - 2_000_000, "it ended too early");

    shop.grant(super::EMAIL, "panel", "1h");
    let laptop = &shop.world.laptops[0];
    let opens = || knock_tcp(laptop, at(PANEL[0], 5432), Duration::from_secs(2)) == Attempt::Opened;
    wait_until("the next grant to hold", LONG, opens);
    // Another clock again, far behind the one before: authority comes from this life's own pings alone.
    drop(gateway);
    let _gateway = start_ahead(&shop, "-3600");
    shop.doorward.ready(1);
    at_work.restart_client(&shop);
    wait_until("the person to come in again", LONG, opens);
    let again = Traffic::tcp_chat(laptop, at(PANEL[0], 5432));
    again.flows(LONG);
    let outcome = shop.doorward.json(&["person", "offboard", super::EMAIL]);
    at_work.is_over("an offboarding on another boot clock", decided(&outcome), SOON_MICROS);
    stays_gone(&shop, &at_work);
}
