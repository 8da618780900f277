//! An older copy of the database, put back.

use std::fs;
use std::path::PathBuf;

use doorward_tests::shop::Shop;
use doorward_tests::traffic::{Attempt, knock_tcp};
use doorward_tests::wait::wait_until;
use doorward_tests::world::{PANEL, at};

use super::{AtWork, EMAIL, Halves, LONG, SILENCE, SOON_MICROS, decided, halves, start_control_plane, start_gateway};

/// The files of an SQLite database; the last two are there while it is in use.
pub(super) fn database(shop: &Shop) -> [PathBuf; 3] {
    ["doorward.db", "doorward.db-wal", "doorward.db-shm"].map(|name| shop.doorward.data.join(name))
}

#[test]
fn an_older_copy_of_the_database_serves_nobody_until_somebody_accepts_it() {
    let Halves { mut control_plane, mut gateway, shop } = halves(1);
    let at_work = AtWork::begin(&shop);
    let [file, wal, shm] = database(&shop);
    assert!(control_plane.terminate().success());
    assert!(!wal.exists(), "a clean stop leaves one file");
    let copy = shop.world.folder.path().join("copy.db");
    fs::copy(&file, &copy).unwrap();
    let mut control_plane = start_control_plane(&shop);
    shop.doorward.ready(1);
    at_work.works();
    let outcome = shop.doorward.json(&["person", "offboard", EMAIL]);
    at_work.is_over("the offboarding", decided(&outcome), SOON_MICROS);
    at_work.was_reset();

    // The copy was made before it. Its owner and its mode stay those of the file it goes into.
    assert!(control_plane.terminate().success());
    fs::write(&file, fs::read(&copy).unwrap()).unwrap();
    assert!(!wal.exists() && !shm.exists());
    let _control_plane = start_control_plane(&shop);
    shop.doorward.ready(0);
    wait_until("an alert that says what to do", LONG, || {
        shop.alert_names(&["an older copy was put back", "doorward gateway accept-restored"])
    });
    assert_eq!(shop.doorward.json(&["person", "show", EMAIL])["state"], "active", "the copy knows nothing of it");
    at_work.restart_client(&shop);
    at_work.stays_silent("an older copy", SILENCE);

    // Other changes count its revisions as far as before and further; a gateway that forgot asks anew.
    shop.staff("other@shop.example");
    for number in 0..4 {
        shop.device("other@shop.example", &format!("phone{number}"));
    }
    at_work.stays_silent("an older copy that has counted as far", SILENCE);
    gateway.kill();
    let _gateway = start_gateway(&shop);
    at_work.restart_client(&shop);
    at_work.stays_silent("a gateway that forgot", SILENCE);
    let status = shop.status();
    assert_eq!(status["gateways"][0]["connected"], false, "{status}");

    let accepted = shop.doorward.json(&["gateway", "accept-restored"]);
    assert!(accepted["revision"].as_u64() > accepted["seen"].as_u64(), "{accepted}");
    shop.doorward.says(&["gateway", "accept-restored"]).refuses(1, &["nothing to accept"]);
    shop.doorward.ready(1);
    let laptop = &shop.world.laptops[0];
    wait_until("the person of the copy to come in", LONG, || {
        knock_tcp(laptop, at(PANEL[0], 5432), std::time::Duration::from_secs(2)) == Attempt::Opened
    });
    let outcome = shop.doorward.json(&["person", "offboard", EMAIL]);
    assert!(outcome["receipts"][0]["enforced_after_ms"].is_u64(), "{outcome}");
    at_work.is_over("the offboarding once more", decided(&outcome), SOON_MICROS);
    super::stays_gone(&shop, &at_work);
}
