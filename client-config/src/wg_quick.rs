//! The wg-quick text: only the keys that every official app accepts.
//!
//! Apple's app refuses a file with a key outside `PrivateKey ListenPort Address DNS MTU` and `PublicKey PresharedKey
//! AllowedIPs Endpoint PersistentKeepalive`. `DNS` is written only where the caller names a resolver that answers for
//! everything: the official apps send every name a person looks up to it.

use std::fmt::Write as _;

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use doorward_model::{Allow, DeviceName, DnsName, Email, PresharedKey, PublicKey, ResourceName, Timestamp};
use ipnet::IpNet;
use zeroize::Zeroizing;

use crate::{Endpoint, PrivateKey};

/// MTU in people's configs: 1280 bytes, IPv6's minimum (RFC 8200 section 5), which fits every network a person roams to.
pub const MTU_DEFAULT: u16 = 1280;

/// Seconds between keepalives: 25, below the shortest UDP mapping time-out seen in NATs (30 s; RFC 4787 section 4.3).
pub const PERSISTENT_KEEPALIVE_DEFAULT: u16 = 25;

/// Who holds the device's private key.
#[derive(Debug)]
pub enum InterfaceKey {
    /// The pair was made, or read, on this side: the config is whole.
    Here(PrivateKey),
    /// The key never left its owner's device: the config says where to paste it.
    WithItsOwner,
}

/// One line of the comment: what the device reaches, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reached {
    /// The resource.
    pub name: ResourceName,
    /// Its own addresses inside Doorward's network, where it has some.
    pub addresses: Vec<IpAddr>,
    /// Its DNS name, where something answers for it.
    pub dns_name: Option<DnsName>,
    /// What is allowed there.
    pub allow: Vec<Allow>,
}

/// What one device needs to reach Doorward.
#[derive(Debug)]
pub struct ClientConfig {
    /// Whose device it is.
    pub email: Email,
    /// Which of that person's devices.
    pub device: DeviceName,
    /// What it reaches, for the comment.
    pub resources: Vec<Reached>,
    /// When the device's own validity ends; `None` for no end.
    pub valid_until: Option<Timestamp>,
    /// The private key, or the word that its owner has it.
    pub interface_key: InterfaceKey,
    /// The public key the device was enrolled with.
    pub public_key: PublicKey,
    /// The device's own addresses in the tunnel, a /32 and a /128.
    pub addresses: Vec<IpNet>,
    /// The resolver that answers for every name, inside the tunnel; empty where there is none, and no `DNS` line then.
    pub dns: Vec<IpAddr>,
    /// MTU of the tunnel, in bytes.
    pub mtu: u16,
    /// The gateway's public key.
    pub gateway_public_key: PublicKey,
    /// The pre-shared key, where one is used.
    pub preshared_key: Option<PresharedKey>,
    /// Where the gateway listens.
    pub endpoint: Endpoint,
    /// Other UDP ports it listens on, for the comment.
    pub other_ports: Vec<u16>,
    /// What the app sends into the tunnel; aggregated and sorted in the text. The gateway decides what passes.
    pub allowed_ips: Vec<IpNet>,
    /// Seconds between keepalives; 0 for none.
    pub persistent_keepalive: u16,
}

impl ClientConfig {
    /// Writes the config as `wg-quick` and the official apps read it. The text holds a private key when
    /// [`ClientConfig::interface_key`] does, and is wiped when dropped.
    #[must_use]
    pub fn to_wg_quick(&self) -> Zeroizing<String> {
        let head = self.head();
        let allowed = join(&IpNet::aggregate(&self.allowed_ips));
        // One allocation, large enough to stay in place: a growing string would leave unwiped copies of the key behind.
        let mut text = Zeroizing::new(String::with_capacity(1024 + head.len() + allowed.len()));
        text.push_str(&head);
        // Writing to a String cannot fail.
        let _ = writeln!(text, "[Interface]");
        match &self.interface_key {
            InterfaceKey::Here(key) => {
                let _ = writeln!(text, "PrivateKey = {}", key.expose_base64().as_str());
            }
            InterfaceKey::WithItsOwner => {
                let key = self.public_key;
                let _ = writeln!(text, "# PrivateKey = (paste your private key here; it belongs to {key})");
            }
        }
        let _ = writeln!(text, "Address = {}", join(&self.addresses));
        if !self.dns.is_empty() {
            let _ = writeln!(text, "DNS = {}", join(&self.dns));
        }
        let _ = writeln!(text, "MTU = {}", self.mtu);
        let _ = writeln!(text, "\n[Peer]");
        let _ = writeln!(text, "PublicKey = {}", self.gateway_public_key);
        if let Some(key) = &self.preshared_key {
            let key = Zeroizing::new(STANDARD.encode(key.expose_secret()));
            let _ = writeln!(text, "PresharedKey = {}", key.as_str());
        }
        // An empty list would be refused by some apps, and allows nothing anyway.
        if !allowed.is_empty() {
            let _ = writeln!(text, "AllowedIPs = {allowed}");
        }
        let _ = writeln!(text, "Endpoint = {}", self.endpoint);
        if self.persistent_keepalive > 0 {
            let _ = writeln!(text, "PersistentKeepalive = {}", self.persistent_keepalive);
        }
        text
    }

    /// Writes the comment lines: whose it is, what it reaches, until when, and what to try where it does not connect.
    fn head(&self) -> String {
        let mut head = format!("# Doorward: {}, device {}\n", self.email, self.device);
        if self.resources.is_empty() {
            head.push_str("# Reaches nothing yet\n");
        }
        for Reached { name, addresses, dns_name, allow } in &self.resources {
            let places: Vec<String> =
                addresses.iter().map(ToString::to_string).chain(dns_name.iter().map(ToString::to_string)).collect();
            let at = if places.is_empty() { String::new() } else { format!(" at {}", places.join(", ")) };
            let _ = writeln!(head, "# Reaches {name}{at} ({})", join(allow));
        }
        let until = self.valid_until.map_or_else(|| "until it is revoked".to_owned(), |at| format!("until {at}"));
        let _ = writeln!(head, "# Valid {until}");
        let port = self.endpoint.port();
        let others: Vec<u16> = self.other_ports.iter().copied().filter(|other| *other != port).collect();
        if !others.is_empty() {
            let _ = writeln!(
                head,
                "# If this network blocks UDP port {port}, change it in Endpoint to {}{}.",
                if others.len() > 1 { "one of " } else { "" },
                join(&others)
            );
        }
        head
    }
}

/// Leaves the comment lines out of a config: no app keeps them, and a QR code with fewer bytes scans better.
#[must_use]
pub fn without_comments(config: &str) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(config.len()));
    config.split_inclusive('\n').filter(|line| !line.starts_with('#')).for_each(|line| text.push_str(line));
    text
}

fn join<T: ToString>(items: &[T]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
#[path = "wg_quick_tests.rs"]
mod tests;
