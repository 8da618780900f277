//! What `wg show INTERFACE dump` says, of the gateway and of every client alike.

use std::net::SocketAddr;

use crate::netns::Namespace;

/// A peer's line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerLine {
    /// The peer's public key.
    pub public_key: String,
    /// Whether there is a pre-shared key, where the program says so.
    pub preshared_key: bool,
    /// Where it was last heard.
    pub endpoint: Option<SocketAddr>,
    /// Its allowed IPs.
    pub allowed_ips: Vec<String>,
    /// The time of the latest handshake, seconds since 1970; 0 = none.
    pub latest_handshake: u64,
    /// Bytes received from it.
    pub received: u64,
    /// Bytes sent to it.
    pub sent: u64,
}

/// Returns the peers of an interface.
#[must_use]
#[track_caller]
pub fn peers(machine: &Namespace, interface: &str) -> Vec<PeerLine> {
    let dump = machine.stdout("wg", &["show", interface, "dump"]);
    dump.lines().skip(1).map(|line| peer(line).unwrap_or_else(|| panic!("a peer's line: {line}"))).collect()
}

/// Returns the interface's one peer.
#[must_use]
#[track_caller]
pub fn only_peer(machine: &Namespace, interface: &str) -> PeerLine {
    let mut peers = peers(machine, interface);
    assert_eq!(peers.len(), 1, "one peer is expected: {peers:?}");
    peers.remove(0)
}

fn peer(line: &str) -> Option<PeerLine> {
    let mut columns = line.split('\t');
    let mut next = || columns.next();
    Some(PeerLine {
        public_key: next()?.to_owned(),
        preshared_key: next()? != "(none)",
        endpoint: next()?.parse().ok(),
        allowed_ips: next()?.split(',').map(str::to_owned).collect(),
        latest_handshake: next()?.parse().ok()?,
        received: next()?.parse().ok()?,
        sent: next()?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_back() {
        let read = peer("key=\t(none)\t198.51.100.7:51820\t100.80.0.2/32,fd64::2/128\t17\t1\t2\t25").unwrap();
        assert_eq!((read.received, read.sent, read.latest_handshake), (1, 2, 17));
        assert_eq!(read.allowed_ips.len(), 2);
        assert!(!read.preshared_key);
        assert_eq!(peer("key=\t(none)\t(none)"), None);
    }
}
