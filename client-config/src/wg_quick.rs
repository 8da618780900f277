//! The wg-quick text: only the keys that every official app accepts.
//!
//! Apple's app refuses a file with a key outside `PrivateKey ListenPort Address DNS MTU` and `PublicKey PresharedKey
//! AllowedIPs Endpoint PersistentKeepalive`. `DNS` is left out on purpose: the official apps would send every name a
//! person looks up into the tunnel.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use doorward_model::{DeviceName, Email, PresharedKey, PublicKey, ResourceName, Timestamp};
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

/// What one device needs to reach Doorward.
#[derive(Debug)]
pub struct ClientConfig {
    /// Whose device it is.
    pub email: Email,
    /// Which of that person's devices.
    pub device: DeviceName,
    /// What it reaches, for the comment.
    pub resources: Vec<ResourceName>,
    /// When the device's own validity ends; `None` for no end.
    pub valid_until: Option<Timestamp>,
    /// The private key, or the word that its owner has it.
    pub interface_key: InterfaceKey,
    /// The public key the device was enrolled with.
    pub public_key: PublicKey,
    /// The device's own addresses in the tunnel, a /32 and a /128.
    pub addresses: Vec<IpNet>,
    /// MTU of the tunnel, in bytes.
    pub mtu: u16,
    /// The gateway's public key.
    pub gateway_public_key: PublicKey,
    /// The pre-shared key, where one is used.
    pub preshared_key: Option<PresharedKey>,
    /// Where the gateway listens.
    pub endpoint: Endpoint,
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
        // One allocation, large enough to stay in place: a growing string would leave unwiped copies of the key behind.
        let allowed = join(&IpNet::aggregate(&self.allowed_ips));
        let resources = self.resources.iter().map(ResourceName::as_str).collect::<Vec<_>>().join(", ");
        let mut text = Zeroizing::new(String::with_capacity(1024 + allowed.len() + resources.len()));
        let until = self.valid_until.map_or_else(|| "until it is revoked".to_owned(), |at| format!("until {at}"));
        let reaches = if resources.is_empty() { "nothing yet".to_owned() } else { resources };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "# Doorward: {}, device {}", self.email, self.device);
        let _ = writeln!(text, "# Reaches: {reaches}");
        let _ = writeln!(text, "# Valid {until}");
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
}

fn join(prefixes: &[IpNet]) -> String {
    prefixes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
#[path = "wg_quick_tests.rs"]
mod tests;
