//! Logins that are kept here, and their end.

use std::path::Path;
use std::process::Command;

use crate::harness::{ControlPlane, Ran, doorward, free_port};

/// Keeps a login for a server, as `doorward login` does.
fn keep(home: &Path, server: &str) {
    let folder = home.join("doorward");
    std::fs::create_dir_all(&folder).unwrap();
    let login = serde_json::json!({
        server: { "email": "anna@shop.example", "token": "dwl1_nobodys", "expires_at": "2999-01-01T00:00:00Z" },
        "https://other.example": { "email": "anna@shop.example", "token": "dwl1_x", "expires_at": "2999-01-01T00:00:00Z" },
    });
    std::fs::write(folder.join("logins.json"), login.to_string()).unwrap();
}

fn kept(home: &Path) -> String {
    std::fs::read_to_string(home.join("doorward").join("logins.json")).unwrap()
}

fn logout(home: &Path, server: &str) -> Command {
    let mut command = doorward();
    command.args(["logout", "--server", server]).env("XDG_CONFIG_HOME", home);
    command
}

#[test]
fn a_login_that_the_server_does_not_know_any_more_has_ended() {
    let server = ControlPlane::start();
    let home = tempfile::tempdir().unwrap();
    keep(home.path(), &server.url());
    let ca = server.data().join("tls").join("cert.pem");
    let said = Ran::run(logout(home.path(), &server.url()).arg("--ca").arg(&ca)).done();
    assert!(said.contains("logged out: anna@shop.example"), "{said}");
    assert!(!kept(home.path()).contains("dwl1_nobodys") && kept(home.path()).contains("dwl1_x"), "that one alone");
    let again = Ran::run(logout(home.path(), &server.url()).arg("--ca").arg(&ca).arg("--json")).json();
    assert_eq!(again["logged_out"], false);
}

#[test]
fn a_login_whose_server_is_away_is_forgotten_and_the_rest_is_said() {
    let home = tempfile::tempdir().unwrap();
    let server = format!("https://localhost:{}", free_port());
    keep(home.path(), &server);
    let ran = Ran::run(&mut logout(home.path(), &server));
    ran.refused(1, "forgotten here");
    assert!(ran.stderr.contains("could not be told") && ran.stderr.contains("security page"), "{ran:?}");
    assert!(!kept(home.path()).contains("dwl1_nobodys"));
}

#[test]
fn a_device_without_a_person_is_for_who_logged_in() {
    let server = ControlPlane::start();
    server.with_people();
    let _gateway = server.with_gateway();
    server.run("device add laptop").refused(2, "device add EMAIL NAME");
    server.run("device add dba@agency.example").refused(2, "needs a name");
    server.run("device add a b c").refused(2, "unexpected");
}
