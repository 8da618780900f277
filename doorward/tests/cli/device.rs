//! Devices: private keys stay here, files are their owner's alone, and what cannot be delivered is not enrolled.

use std::fs::File;
use std::os::unix::fs::PermissionsExt as _;

use crate::harness::{ControlPlane, GATEWAY_KEY, Ran};

/// Alice's pair of RFC 7748 section 6.1.
const PRIVATE: &str = "dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo=";
const PUBLIC: &str = "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo=";

#[test]
fn a_config_without_a_gateway_is_refused_and_nothing_is_enrolled() {
    let server = ControlPlane::start();
    server.with_people();
    server.run("device add dba@agency.example laptop").refused(1, "no gateway has connected yet");
    assert_eq!(server.json("device list").as_array().map(Vec::len), Some(0));
}

#[test]
fn a_pair_that_is_made_here_goes_into_the_config_alone() {
    let server = ControlPlane::start();
    server.with_people();
    let _gateway = server.with_gateway();
    let out = server.data().join("laptop.conf");
    let printed = Ran::run(server.line("device add dba@agency.example laptop --for 90d --out").arg(&out)).done();
    let config = std::fs::read_to_string(&out).unwrap();
    assert_eq!(std::fs::metadata(&out).unwrap().permissions().mode() & 0o777, 0o600);
    let value = |key: &str| {
        let line = config.lines().find_map(|line| line.strip_prefix(&format!("{key} = ")));
        line.unwrap_or_else(|| panic!("no {key} in {config}")).to_owned()
    };
    let private: doorward_client_config::PrivateKey = value("PrivateKey").parse().unwrap();
    let device = &server.json("device list")[0];
    assert_eq!(device["public_key"], private.public_key().unwrap().to_string());
    assert!(!printed.contains(&value("PrivateKey")));
    assert_eq!(value("PublicKey"), doorward_model::PublicKey::from_bytes(GATEWAY_KEY).unwrap().to_string());
    assert_eq!(value("Endpoint"), "203.0.113.2:51820");
    assert_eq!(value("AllowedIPs"), "10.0.5.20/32, 100.80.0.0/16, fd64:6f6f:7277::/64");
    let addresses =
        format!("{}/32, {}/128", device["address_v4"].as_str().unwrap(), device["address_v6"].as_str().unwrap());
    assert_eq!(value("Address"), addresses);
    let reaches = "# Reaches customer-db at 100.80.255.254, fd64:6f6f:7277::fffe (tcp/5432)\n";
    assert!(config.contains(reaches), "{config}");
    let data = walk(server.data(), &out);
    assert!(
        !data.iter().any(|file| contains(file, value("PrivateKey").as_bytes())),
        "the private key is on the server"
    );
}

#[test]
fn a_public_key_s_owner_keeps_the_private_key() {
    let server = ControlPlane::start();
    server.with_people();
    let _gateway = server.with_gateway();
    let added = server.json(&format!("device add dba@agency.example laptop --public-key {PUBLIC}"));
    assert_eq!(added["public_key"], PUBLIC);
    assert_eq!(added["state"], "active");
    let config = added["config"].as_str().unwrap();
    assert!(
        config.contains(&format!("# PrivateKey = (paste your private key here; it belongs to {PUBLIC})\n")),
        "{config}"
    );
    assert!(!config.contains("\nPrivateKey = "), "{config}");
}

#[test]
fn a_private_key_file_completes_the_config_and_is_not_sent() {
    let server = ControlPlane::start();
    server.with_people();
    let _gateway = server.with_gateway();
    let key = server.data().join("key");
    std::fs::write(&key, format!("{PRIVATE}\n")).unwrap();
    let line = |name: &str, rest: &str| {
        Ran::run(server.line(&format!("device add dba@agency.example {name}{rest} --private-key-file")).arg(&key))
    };
    line("wrong", &format!(" --public-key {}", "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc="))
        .refused(2, "belongs to");
    let config = line("laptop", "").done();
    assert!(config.contains(&format!("PrivateKey = {PRIVATE}\n")), "{config}");
    assert_eq!(server.json("device list")[0]["public_key"], PUBLIC);
}

#[test]
fn json_never_repeats_a_private_key_that_is_in_a_file() {
    let server = ControlPlane::start();
    server.with_people();
    let _gateway = server.with_gateway();
    let out = server.data().join("laptop.conf");
    let in_file = Ran::run(server.line("device add dba@agency.example laptop --json --out").arg(&out)).json();
    assert!(!in_file["config"].as_str().unwrap().contains("\nPrivateKey = "));
    assert!(std::fs::read_to_string(&out).unwrap().contains("\nPrivateKey = "));
    let alone = server.json("device add dba@agency.example phone");
    assert!(alone["config"].as_str().unwrap().contains("\nPrivateKey = "));
}

#[test]
fn a_preshared_key_is_made_or_taken_goes_into_the_config_and_is_changed() {
    let server = ControlPlane::start();
    server.with_people();
    let _gateway = server.with_gateway();
    let made = server.json("device add dba@agency.example laptop --preshared-key");
    let line = |config: &str| config.lines().find_map(|line| line.strip_prefix("PresharedKey = ").map(str::to_owned));
    assert!(line(made["config"].as_str().unwrap()).is_some() && made["has_preshared_key"] == true, "{made}");

    let file = server.data().join("shared.key");
    std::fs::write(&file, format!("{PUBLIC}\n")).unwrap();
    let out = server.data().join("phone.conf");
    let mut add = server.line("device add dba@agency.example phone --json --preshared-key-file");
    let given = Ran::run(add.arg(&file).arg("--out").arg(&out)).json();
    assert_eq!(line(&std::fs::read_to_string(&out).unwrap()).as_deref(), Some(PUBLIC));
    assert!(!given.to_string().contains(PUBLIC), "what is in a file is not repeated: {given}");

    let id = made["id"].as_str().unwrap();
    let changed = server.json(&format!("device preshared-key {id}"));
    let key: doorward_model::PresharedKey = changed["preshared_key"].as_str().unwrap().parse().unwrap();
    assert_ne!(Some(key.expose_base64().to_string()), line(made["config"].as_str().unwrap()));
    let removed = server.json(&format!("device preshared-key {id} --remove"));
    assert_eq!((&removed["has_preshared_key"], removed["preshared_key"].is_null()), (&false.into(), true));
    std::fs::write(&file, "short").unwrap();
    let mut wrong = server.line(&format!("device preshared-key {id} --file"));
    Ran::run(wrong.arg(&file)).refused(2, "shared.key");
    server.run("device preshared-key 0192f0c1-7a3e-7cc1-b2f4-0123456789ab").refused(3, "no device has the id");
}

#[test]
fn when_the_file_cannot_be_written_nothing_is_enrolled() {
    let server = ControlPlane::start();
    server.with_people();
    let _gateway = server.with_gateway();
    let taken = server.data().join("taken.conf");
    std::fs::write(&taken, "mine").unwrap();
    let add = |rest: &str| server.run(&format!("device add dba@agency.example laptop {rest}"));
    add(&format!("--out {}", taken.display())).refused(1, "--force");
    add("--out /nonexistent/laptop.conf").refused(1, "folder");
    add("--out /dev/full --force").refused(1, "no ordinary file");
    add("--qr-svg /nonexistent/laptop.svg").refused(1, "folder");
    assert_eq!(std::fs::read_to_string(&taken).unwrap(), "mine");
    assert_eq!(server.json("device list").as_array().map(Vec::len), Some(0));
    add(&format!("--force --out {}", taken.display())).done();
    assert!(std::fs::read_to_string(&taken).unwrap().contains("[Interface]"));
}

#[test]
fn a_config_that_is_lost_after_enrolment_is_taken_back() {
    let server = ControlPlane::start();
    server.with_people();
    let _gateway = server.with_gateway();
    let full = File::options().write(true).open("/dev/full").unwrap();
    let ran = Ran::run(server.line("device add dba@agency.example laptop").stdout(full));
    ran.refused(1, "the device was revoked again");
    let devices = server.json("device list");
    assert!(devices.as_array().unwrap().iter().all(|device| device["state"] == "revoked"), "{devices}");
}

#[test]
fn qr_codes_are_drawn_for_the_terminal_and_as_svg() {
    let server = ControlPlane::start();
    server.with_people();
    let _gateway = server.with_gateway();
    let svg = server.data().join("phone.svg");
    let drawn = Ran::run(server.line("device add dba@agency.example phone --qr --qr-svg").arg(&svg)).done();
    assert!(drawn.contains('▀') && drawn.lines().count() > 30, "{drawn}");
    assert_eq!(std::fs::metadata(&svg).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(std::fs::read_to_string(&svg).unwrap().starts_with("<svg "));
    server
        .run(&format!("device add dba@agency.example tablet --qr --public-key {PUBLIC}"))
        .refused(2, "--private-key-file");
}

/// Reads every file below a folder but one.
fn walk(folder: &std::path::Path, but: &std::path::Path) -> Vec<Vec<u8>> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path != but);
    entries
        .flat_map(|path| match std::fs::symlink_metadata(&path) {
            Ok(found) if found.is_dir() => walk(&path, but),
            Ok(found) if found.is_file() => vec![std::fs::read(&path).unwrap()],
            Ok(_) | Err(_) => Vec::new(),
        })
        .collect()
}

fn contains(file: &[u8], part: &[u8]) -> bool {
    file.windows(part.len()).any(|window| window == part)
}
