//! Long-running commands: configuration errors, a second start, HTTPS with a token, and who may use what.

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::{ControlPlane, Ran, doorward};

/// `nobody` on every Linux.
const NOBODY: u32 = 65534;

fn with_config(text: &str, line: &[&str]) -> Ran {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("doorward.toml");
    std::fs::write(&config, text).unwrap();
    Ran::run(doorward().args(line).arg("--config").arg(&config).arg("--data").arg(folder.path()))
}

#[test]
fn a_wrong_configuration_is_exit_code_2_and_names_the_line() {
    for part in ["control-plane", "gateway"] {
        with_config("[server]\nlisten = \"127.0.0.1:0\"\nlissten = 1\n", &["run", part])
            .refused(2, "line 3: unknown key `lissten`: did you mean `listen`?");
        with_config("[network]\nv4 = \"100.80.0.1/16\"\n", &["run", part]).refused(2, "100.80.0.0/16");
        with_config("[authority]\nttl = \"1h\"\n", &["run", part]).refused(2, "2s to 10m");
    }
    with_config("[gateway]\negress = \"magic\"\n", &["run", "gateway"]).refused(2, "egress");
    Ran::run(doorward().args(["run", "gateway", "--config", "/nonexistent.toml"])).refused(2, "/nonexistent.toml");
    Ran::run(doorward().args(["run", "gateway"]).env("DOORWARD_GATEWAY_NAT", "perhaps"))
        .refused(2, "DOORWARD_GATEWAY_NAT");
}

#[test]
fn a_second_control_plane_on_one_folder_is_refused() {
    let server = ControlPlane::start();
    let second = server.start_again();
    assert_eq!(second.code, 1, "{second:?}");
    assert!(second.stderr.contains("doorward: "), "{second:?}");
    assert_eq!(server.run("status").code, 0, "the first one goes on");
}

#[test]
fn a_taken_port_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let ran = with_config(&format!("[server]\nlisten = \"{address}\"\n"), &["run", "control-plane"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.contains("doorward: ") && ran.stderr.contains(&address), "{ran:?}");
}

#[test]
fn https_works_with_a_token_and_the_server_s_own_certificate() {
    let server = ControlPlane::start();
    let made = server.json("token add ci");
    let token = made["token"].as_str().unwrap().to_owned();
    let certificate = server.data().join("tls").join("cert.pem");
    let over_https = |token: &str, ca: Option<&PathBuf>| {
        let mut command = doorward();
        command.args(["status", "--json", "--server", &server.url()]).env("DOORWARD_TOKEN", token);
        if let Some(ca) = ca {
            command.arg("--ca").arg(ca);
        }
        Ran::run(&mut command)
    };
    assert!(over_https(&token, Some(&certificate)).json()["gateways"].is_array());
    over_https(&token, None).refused(5, "--ca FILE");
    over_https("dwt1_wrong", Some(&certificate)).refused(4, "token");
    over_https(&token, Some(&server.data().join("doorward.toml"))).refused(1, "certificate in PEM");
    assert!(server.run("token list").done().contains("ci"));
    server.run("token revoke ci").done();
    over_https(&token, Some(&certificate)).refused(4, "token");
}

/// Copies the binary to where every user may run it.
fn for_everybody() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let copy = folder.path().join("doorward");
    std::fs::copy(env!("CARGO_BIN_EXE_doorward"), &copy).unwrap();
    (folder, copy)
}

/// Runs as `nobody` where the tests run as root, and as whoever runs them otherwise.
fn unprivileged(binary: &Path) -> Command {
    let mut command = Command::new(binary);
    command.env_clear();
    if std::fs::metadata("/proc/self").map(|found| std::os::unix::fs::MetadataExt::uid(&found)).unwrap() == 0 {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

#[test]
fn up_without_root_says_so() {
    let (folder, binary) = for_everybody();
    Ran::run(unprivileged(&binary).args(["up", "--data"]).arg(folder.path().join("data"))).refused(1, "needs root");
    assert!(!folder.path().join("data").exists());
}

#[test]
fn a_socket_of_somebody_else_names_root_and_the_group() {
    let (folder, binary) = for_everybody();
    let socket = folder.path().join("admin.sock");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    // Mode 0 closes the socket to its owner as well, should the tests run without root.
    std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o000)).unwrap();
    Ran::run(unprivileged(&binary).args(["status", "--data"]).arg(folder.path())).refused(5, "group doorward");
}
