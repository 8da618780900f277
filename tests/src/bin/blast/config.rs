//! The part of a wg-quick file that a client without an interface needs.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use boringtun::x25519::{PublicKey, StaticSecret};

use crate::Outcome;

/// A device as its config file describes it.
pub(crate) struct Config {
    pub(crate) secret: StaticSecret,
    /// Its IPv4 address inside the tunnel.
    pub(crate) address: Ipv4Addr,
    /// The gateway's key.
    pub(crate) gateway: PublicKey,
    pub(crate) preshared_key: Option<[u8; 32]>,
    pub(crate) endpoint: SocketAddr,
}

impl Config {
    /// Reads a config file.
    pub(crate) fn read(path: &Path) -> Outcome<Self> {
        let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        Self::parse(&text).map_err(|error| format!("{}: {error}", path.display()).into())
    }

    /// Reads all files of folders, in the order of their names, and files that are named.
    pub(crate) fn read_all(paths: &[PathBuf]) -> Outcome<Vec<Self>> {
        let mut files = Vec::new();
        for path in paths {
            if path.is_dir() {
                let mut inside = fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect::<Outcome<Vec<_>>>()?;
                inside.sort();
                files.append(&mut inside);
            } else {
                files.push(path.clone());
            }
        }
        if files.is_empty() {
            return Err("there is no config file".into());
        }
        files.iter().map(|file| Self::read(file)).collect()
    }

    fn parse(text: &str) -> Outcome<Self> {
        let value = |key: &str| {
            text.lines().find_map(|line| {
                let (name, value) = line.split_once('=')?;
                name.trim().eq_ignore_ascii_case(key).then(|| value.trim())
            })
        };
        let needed = |key: &str| value(key).ok_or_else(|| format!("no {key}"));
        let addresses = needed("Address")?;
        let address = addresses
            .split(',')
            .find_map(|one| one.trim().split('/').next()?.parse().ok())
            .ok_or_else(|| format!("no IPv4 address in `{addresses}`"))?;
        Ok(Self {
            secret: key(needed("PrivateKey")?)?.into(),
            address,
            gateway: key(needed("PublicKey")?)?.into(),
            preshared_key: value("PresharedKey").map(key).transpose()?,
            endpoint: needed("Endpoint")?.parse().map_err(|error| format!("Endpoint: {error}"))?,
        })
    }
}

fn key(text: &str) -> Outcome<[u8; 32]> {
    let bytes = STANDARD.decode(text).map_err(|error| format!("a key is not base64: {error}"))?;
    bytes.try_into().map_err(|_| "a key has not 32 bytes".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_doorward_writes() {
        let key = STANDARD.encode([7_u8; 32]);
        let text = format!(
            "[Interface]\nPrivateKey = {key}\nAddress = fd00::2/128, 100.80.0.2/32\nMTU = 1280\n\n[Peer]\n\
             PublicKey = {key}\nPresharedKey = {key}\nEndpoint = 10.1.0.1:51820\nAllowedIPs = 100.80.0.0/16\n"
        );
        let config = Config::parse(&text).unwrap();
        assert_eq!(config.address, Ipv4Addr::new(100, 80, 0, 2));
        assert_eq!(config.endpoint, "10.1.0.1:51820".parse().unwrap());
        assert_eq!(config.preshared_key, Some([7; 32]));
        assert!(Config::parse("[Interface]\nAddress = 10.0.0.1/32\n").is_err());
    }
}
