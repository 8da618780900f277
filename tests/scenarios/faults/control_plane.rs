//! The control plane frozen and killed at each step of a revocation.

use std::thread::scope;

use rustix::process::Signal;

use super::{AtWork, BOUND_MICROS, Halves, SILENCE, SOON_MICROS, decided, halves, offboard, stays_gone, wait_departed};
use super::{start_control_plane, start_gateway};
use doorward_tests::traffic::micros_now;
use doorward_tests::wait::wait_until;

#[test]
fn a_control_plane_frozen_before_the_commit_pauses_traffic_and_ends_it_when_it_goes_on() {
    let Halves { control_plane, gateway: _gateway, shop } = halves(1);
    let at_work = AtWork::begin(&shop);
    let frozen = micros_now();
    control_plane.signal(Signal::STOP);
    scope(|scope| {
        let asked = offboard(scope, &shop, super::EMAIL);
        at_work.is_over("frozen before the commit", frozen, BOUND_MICROS);
        control_plane.signal(Signal::CONT);
        let (_, outcome) = asked.join().unwrap();
        let outcome = outcome.expect("the command comes to its end");
        assert!(outcome["receipts"][0]["enforced_after_ms"].is_u64(), "{outcome}");
        // Whatever else was frozen in the middle of its work is done first, on a disk that everybody shares here.
        at_work.is_over("when it went on", decided(&outcome), 3 * SOON_MICROS);
    });
    at_work.was_reset();
    stays_gone(&shop, &at_work);
}

#[test]
fn a_control_plane_killed_between_the_commit_and_the_receipt_comes_back_with_the_decision() {
    let Halves { mut control_plane, gateway, shop } = halves(1);
    let at_work = AtWork::begin(&shop);
    // A gateway that holds still confirms nothing.
    gateway.signal(Signal::STOP);
    scope(|scope| {
        let asked = offboard(scope, &shop, super::EMAIL);
        wait_departed(&shop, super::EMAIL);
        control_plane.kill();
        let woken = micros_now();
        gateway.signal(Signal::CONT);
        let (since, outcome) = asked.join().unwrap();
        assert!(outcome.is_none(), "nobody was told of a receipt: {outcome:?}");
        assert!(woken - since < BOUND_MICROS, "the gateway still had its authority when it went on");
        at_work.is_over("killed before the receipt", since, BOUND_MICROS);
    });
    let _again = start_control_plane(&shop);
    shop.doorward.ready(1);
    at_work.stays_silent("after the restart", SILENCE);
    at_work.was_reset();
    stays_gone(&shop, &at_work);
}

#[test]
fn a_control_plane_frozen_after_the_commit_holds_up_the_answer_alone() {
    let Halves { control_plane, gateway, shop } = halves(1);
    let at_work = AtWork::begin(&shop);
    gateway.signal(Signal::STOP);
    scope(|scope| {
        let asked = offboard(scope, &shop, super::EMAIL);
        wait_departed(&shop, super::EMAIL);
        // The delta is on its way; the receipt will find nobody who takes it.
        control_plane.signal(Signal::STOP);
        gateway.signal(Signal::CONT);
        at_work.is_over("frozen before the receipt was written", micros_now(), SOON_MICROS);
        at_work.was_reset();
        control_plane.signal(Signal::CONT);
        let (_, outcome) = asked.join().unwrap();
        let outcome = outcome.expect("the command comes to its end");
        // Either in its five seconds, or as missing and written down later: never lost.
        let status = || shop.status()["last_receipts"][0]["revision"].clone();
        wait_until("the receipt in the record", super::LONG, || status() == outcome["revision"]);
    });
    stays_gone(&shop, &at_work);
}

#[test]
fn a_gateway_that_starts_without_its_control_plane_lets_nobody_through() {
    let Halves { mut control_plane, mut gateway, shop } = halves(1);
    let at_work = AtWork::begin(&shop);
    control_plane.kill();
    gateway.kill();
    at_work.falls_silent();
    let _gateway = start_gateway(&shop);
    wait_until("the interface", super::LONG, || {
        shop.world.gateway.stdout("ip", &["-o", "link", "show"]).contains(&shop.doorward.interface)
    });
    at_work.restart_client(&shop);
    at_work.stays_silent("a gateway alone", SILENCE);
    let _control_plane = start_control_plane(&shop);
    shop.doorward.ready(1);
    let laptop = &shop.world.laptops[0];
    let panel = doorward_tests::world::at(doorward_tests::world::PANEL[0], 5432);
    wait_until("the person to come in again without hands", super::LONG, || {
        let attempt = doorward_tests::traffic::knock_tcp(laptop, panel, std::time::Duration::from_secs(2));
        attempt == doorward_tests::traffic::Attempt::Opened
    });
}
