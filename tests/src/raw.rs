//! Packets written by hand, IP header and all: whatever an honest network stack would never send.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;

use rustix::net::{AddressFamily, SendFlags, SocketType, ipproto, sendto, socket};

use crate::netns::Namespace;

/// A raw socket of one family, inside a namespace.
#[derive(Debug)]
pub struct RawSocket(OwnedFd);

impl RawSocket {
    /// Opens one; the kernel fills in an IPv4 header's length and checksum and nothing else.
    #[must_use]
    pub fn open(namespace: &Namespace, v6: bool) -> Self {
        let family = if v6 { AddressFamily::INET6 } else { AddressFamily::INET };
        let opened = namespace.run(|| socket(family, SocketType::RAW, Some(ipproto::RAW)));
        Self(opened.unwrap_or_else(|error| panic!("a raw socket (scenarios need root): {error}")))
    }

    /// Sends a whole IP packet the way that routes lead to `to`.
    ///
    /// # Errors
    /// As `sendto` does: no route, a full queue.
    pub fn send(&self, packet: &[u8], to: IpAddr) -> std::io::Result<usize> {
        Ok(sendto(&self.0, packet, SendFlags::empty(), &SocketAddr::new(to, 0))?)
    }
}
