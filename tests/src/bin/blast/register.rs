//! The admin: people, resources, grants and devices by the thousand, over Doorward's API.

use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use boringtun::x25519::{PublicKey, StaticSecret};
use clap::Args;
use doorward_tests::http::Connection;
use serde_json::{Value, json};

use crate::{Outcome, say};

/// Devices of one person.
const DEVICES_EACH: usize = 100;

/// `blast register`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Doorward's admin socket
    #[arg(long)]
    socket: PathBuf,
    /// Devices to register
    #[arg(long)]
    devices: usize,
    /// Rules of each person; the last one allows the target
    #[arg(long, default_value_t = 1)]
    rules: u32,
    /// What the floods are to reach
    #[arg(long)]
    target: Ipv4Addr,
    /// Configs to write: those of the first devices
    #[arg(long)]
    live: usize,
    /// An existing folder for the configs
    #[arg(long)]
    out: PathBuf,
}

/// Registers everything, and writes the configs of those that will be played.
pub(crate) fn run(arguments: &Arguments) -> Outcome<()> {
    let stream =
        UnixStream::connect(&arguments.socket).map_err(|error| format!("{}: {error}", arguments.socket.display()))?;
    let mut admin = Admin { connection: Connection::new(stream) };
    for rule in 1..arguments.rules {
        // Places that nobody goes to: 10.64.0.1 and on.
        let place = Ipv4Addr::from_bits(Ipv4Addr::new(10, 64, 0, 0).to_bits() + rule);
        admin.resource(rule, place, &["tcp/443"])?;
    }
    admin.resource(arguments.rules, arguments.target, &["tcp/9", "udp/9", "udp/19", "icmp"])?;
    let mut email = String::new();
    for number in 0..arguments.devices {
        if number % DEVICES_EACH == 0 {
            email = format!("person{}@shop.example", number / DEVICES_EACH);
            admin.post("/api/v1/people", &json!({"email": email, "name": "Some Body", "kind": "staff"}))?;
            for rule in 1..=arguments.rules {
                admin.post("/api/v1/grants", &json!({"email": email, "resource": name(rule), "for": "8h"}))?;
            }
        }
        let secret = secret(number)?;
        let key = STANDARD.encode(PublicKey::from(&secret).as_bytes());
        let device = json!({"email": email, "name": format!("device{number}"), "public_key": key});
        let added = admin.post("/api/v1/devices", &device)?;
        if number < arguments.live {
            let text = config(&secret, &added).ok_or_else(|| format!("no config in {added}"))?;
            fs::write(arguments.out.join(format!("{number:06}.conf")), text)?;
        }
    }
    say(&format!("registered {} devices with {} rules a person", arguments.devices, arguments.rules))
}

struct Admin {
    connection: Connection<UnixStream>,
}

impl Admin {
    fn post(&mut self, path: &str, body: &Value) -> Outcome<Value> {
        let answer = self.connection.request("POST", path, Some(&body.to_string()))?;
        if !(200..300).contains(&answer.status) {
            return Err(format!("{path}: {} {}", answer.status, answer.body).into());
        }
        Ok(serde_json::from_str(&answer.body)?)
    }

    fn resource(&mut self, rule: u32, target: Ipv4Addr, allow: &[&str]) -> Outcome<()> {
        self.post("/api/v1/resources", &json!({"name": name(rule), "targets": [target], "allow": allow}))?;
        Ok(())
    }
}

fn name(rule: u32) -> String {
    format!("resource{rule}")
}

/// Any 32 bytes are an X25519 secret once clamped; these need to differ, not to be secret.
fn secret(number: usize) -> Outcome<StaticSecret> {
    let mut bytes = [7_u8; 32];
    let number = u64::try_from(number)?.to_le_bytes();
    // Past the first byte, whose low bits clamping clears.
    bytes.iter_mut().skip(8).zip(number).for_each(|(byte, digit)| *byte = digit);
    Ok(StaticSecret::from(bytes))
}

fn config(secret: &StaticSecret, added: &Value) -> Option<String> {
    let gateway = added["client"]["gateways"].as_array()?.first()?;
    Some(format!(
        "[Interface]\nPrivateKey = {}\nAddress = {}/32\n[Peer]\nPublicKey = {}\nEndpoint = {}\n",
        STANDARD.encode(secret.as_bytes()),
        added["address_v4"].as_str()?,
        gateway["public_key"].as_str()?,
        gateway["endpoint"].as_str()?
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_config_has_what_the_api_answered() {
        let added = json!({"address_v4": "100.80.0.2", "client": {"gateways": [
            {"name": "main", "public_key": "a key", "endpoint": "10.1.0.1:51820"}
        ]}});
        let text = config(&secret(1).unwrap(), &added).unwrap();
        for line in ["Address = 100.80.0.2/32", "PublicKey = a key", "Endpoint = 10.1.0.1:51820"] {
            assert!(text.lines().any(|one| one == line), "{text}");
        }
        assert_ne!(secret(1).unwrap().as_bytes(), secret(256).unwrap().as_bytes());
    }
}
