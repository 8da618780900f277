//! From SQLite to PostgreSQL, and from one control plane to two.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use doorward_store::test_support::TestDatabase;

use crate::harness::{ControlPlane, Ran, doorward};

fn postgres() -> TestDatabase {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(TestDatabase::postgres())
        .unwrap()
}

#[test]
fn a_database_is_copied_while_nobody_uses_it_and_a_second_control_plane_gets_the_keys() {
    let database = postgres();
    let mut plane = ControlPlane::start();
    plane.run("person add support@shop.example --name Support --kind staff").done();
    let copy = |plane: &ControlPlane, more: &str| {
        let mut command = plane.line(&format!("database copy --json{more}"));
        Ran::run(command.arg("--to").arg(database.url()))
    };
    copy(&plane, "").refused(1, "stop it first");
    plane.stop();
    let dry = copy(&plane, " --dry-run").json();
    assert_eq!((&dry["copied"], &dry["tables"]["principals"]), (&false.into(), &1.into()));
    assert!(plane.data().join("doorward.db").exists());
    let done = copy(&plane, "").json();
    assert_eq!((&done["copied"], &done["audit_rows"]), (&true.into(), &dry["audit_rows"]));
    assert!(plane.data().join("doorward.db.copied").exists() && !plane.data().join("doorward.db").exists());
    copy(&plane, "").refused(1, "no SQLite database");

    let shared = format!("database = \"{}\"", database.url());
    plane.configure(&shared);
    copy(&plane, "").refused(2, "PostgreSQL already");
    plane.start_once_more();
    assert_eq!(plane.json("person list")[0]["email"], "support@shop.example");
    assert_eq!(plane.json("audit verify")["intact"], true);

    // Another one, which has keys of its own until it is given these.
    let mut second = ControlPlane::start();
    second.stop();
    second.configure(&shared);
    let refused = second.start_again();
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains("seal key and feed authority"), "{refused:?}");
    let file = plane.data().join("replica.json");
    let export = || Ran::run(plane.line("replica export --out").arg(&file));
    let import = |second: &ControlPlane, file: &Path| Ran::run(second.line("replica import").arg(file));
    export().done();
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    export().refused(1, "it exists");
    import(&second, &file).refused(1, "is another key");
    for own in ["keys", "feed-ca"] {
        std::fs::remove_dir_all(second.data().join(own)).unwrap();
    }
    import(&second, &file).done();
    import(&second, &file).done();
    second.start_once_more();
    import(&second, &file).refused(1, "stop it first");
    assert_eq!(second.json("person list")[0]["email"], "support@shop.example");
    assert_eq!(second.json("status")["certificate"]["sha256"], plane.json("status")["certificate"]["sha256"]);
    let damaged = plane.data().join("damaged.json");
    std::fs::write(&damaged, "{\"doorward_replica\":1,\"files\":[]}").unwrap();
    second.stop();
    import(&second, &damaged).refused(2, "keys/seal.key is missing");
    // Where all others are lost, the keys that are left count.
    plane.stop();
    std::fs::remove_file(second.data().join("keys/seal.key")).unwrap();
    assert!(second.start_again().stderr.contains("doorward replica adopt"));
    second.run("replica adopt").done();
    second.start_once_more();
}

#[test]
fn a_control_plane_on_sqlite_has_nothing_to_adopt() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = doorward();
    command.args(["replica", "adopt", "--data"]).arg(folder.path());
    Ran::run(&mut command).refused(2, "SQLite");
}
