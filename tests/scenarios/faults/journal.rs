//! A decision that waits in the journal, while somebody or something meddles with the files.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

use doorward_store::Store;
use doorward_tests::process::Process;
use doorward_tests::shop::Shop;
use doorward_tests::wait::wait_until;
use serde_json::Value;

use super::copies::database;
use super::{AtWork, EMAIL, Halves, LONG, SILENCE, SOON_MICROS, halves, start_control_plane, stays_gone};

fn journal(shop: &Shop) -> PathBuf {
    shop.doorward.data.join("journal")
}

/// Offboards while another program holds the database, and kills the control plane before it can write: the journal alone
/// has the decision, and somebody was told that it is done.
#[track_caller]
fn offboard_into_the_journal(shop: &Shop, at_work: &AtWork, control_plane: &mut Process) -> Value {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    // What is dropped here is taken back there.
    let _inside = runtime.enter();
    let store = runtime.block_on(Store::open("sqlite:doorward.db", &shop.doorward.data)).unwrap();
    let held = runtime.block_on(store.write()).unwrap();
    let asked = doorward_tests::traffic::micros_now();
    let outcome = shop.doorward.json(&["person", "offboard", EMAIL]);
    assert_eq!(outcome["journalled"], true, "{outcome}");
    control_plane.kill();
    drop(held);
    runtime.block_on(store.close());
    // The database that says nothing is waited for at most so long.
    at_work.is_over("an offboarding in the journal alone", asked, 2 * SOON_MICROS);
    at_work.was_reset();
    outcome
}

/// Waits until the database has everything; then the person is gone there, once.
#[track_caller]
fn is_written(shop: &Shop, at_work: &AtWork) {
    wait_until("the journal to be written", LONG, || shop.status()["database"]["journalled"] == 0);
    let audit = shop.doorward.run(&["audit", "export", "--format", "jsonl"]);
    let offboarded = audit.lines().filter(|row| row.contains("\"person.offboard\"")).count();
    assert_eq!(offboarded, 1, "{audit}");
    stays_gone(shop, at_work);
}

#[test]
fn an_older_copy_beside_a_journal_serves_nobody_and_takes_in_what_the_journal_says() {
    let Halves { mut control_plane, gateway: _gateway, shop } = halves(1);
    let at_work = AtWork::begin(&shop);
    let [file, wal, shm] = database(&shop);
    assert!(control_plane.terminate().success());
    let copy = fs::read(&file).unwrap();
    let mut control_plane = start_control_plane(&shop);
    shop.doorward.ready(1);
    // What the copy does not have.
    shop.staff("later@shop.example");
    shop.device("later@shop.example", "phone");
    at_work.works();
    offboard_into_the_journal(&shop, &at_work, &mut control_plane);

    fs::write(&file, copy).unwrap();
    let _ = (fs::remove_file(wal), fs::remove_file(shm));
    let _control_plane = start_control_plane(&shop);
    shop.doorward.ready(0);
    wait_until("an alert that says what to do", LONG, || shop.alert_names(&["doorward gateway accept-restored"]));
    at_work.stays_silent("an older copy beside a journal", SILENCE);
    shop.doorward.json(&["gateway", "accept-restored"]);
    shop.doorward.ready(1);
    is_written(&shop, &at_work);
}

#[test]
fn a_journal_with_a_torn_line_and_foreign_bytes_behind_it_still_puts_out_whom_it_names() {
    let Halves { mut control_plane, gateway: _gateway, shop } = halves(1);
    let at_work = AtWork::begin(&shop);
    offboard_into_the_journal(&shop, &at_work, &mut control_plane);
    let path = journal(&shop);
    let bytes = fs::read(&path).unwrap();
    let end = bytes.iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    // Half of the same line once more, and something that was never a line.
    file.write_all_at(&bytes[..end / 2], end as u64).unwrap();
    file.write_all_at(b"\xff\xfe not one of ours {}", (end + end / 2) as u64).unwrap();
    let _control_plane = start_control_plane(&shop);
    shop.doorward.ready(1);
    is_written(&shop, &at_work);
}

#[test]
fn a_journal_that_cannot_be_read_is_no_journal_to_start_without() {
    let Halves { mut control_plane, gateway: _gateway, shop } = halves(1);
    let at_work = AtWork::begin(&shop);
    offboard_into_the_journal(&shop, &at_work, &mut control_plane);
    let (path, aside) = (journal(&shop), shop.world.folder.path().join("journal.aside"));
    fs::rename(&path, &aside).unwrap();
    fs::create_dir(&path).unwrap();
    let said = shop.doorward.start_in_vain(&shop.world.gateway, &[], &["run", "control-plane"]);
    assert_ne!(said.code, 0);
    said.refuses(said.code, &["journal"]);
    at_work.stays_silent("a control plane without its journal", SILENCE);
    fs::remove_dir(&path).unwrap();
    fs::rename(&aside, &path).unwrap();
    let _control_plane = start_control_plane(&shop);
    shop.doorward.ready(1);
    is_written(&shop, &at_work);
}
