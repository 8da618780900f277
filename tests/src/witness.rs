//! The witness: tcpdump on one side, whose kernel time stamps say when the last packet was seen.

use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use etherparse::{LaxNetSlice, LaxSlicedPacket, TransportSlice};

use crate::netns::Namespace;
use crate::process::Process;
use crate::wait::wait_until;

/// A packet that the witness saw.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Microseconds since 1970, taken by the kernel.
    pub at: i64,
    /// Where it came from.
    pub from: IpAddr,
    /// Where it went.
    pub to: IpAddr,
    /// What it carried.
    pub kind: Kind,
    /// The bytes from the IP header on.
    pub packet: Vec<u8>,
}

/// What a packet carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// TCP, with ports and the flags that scenarios ask about.
    Tcp {
        /// Source port.
        from: u16,
        /// Destination port.
        to: u16,
        /// A reset.
        reset: bool,
        /// The opening of a connection.
        syn: bool,
    },
    /// UDP, with ports.
    Udp {
        /// Source port.
        from: u16,
        /// Destination port.
        to: u16,
    },
    /// ICMP or ICMPv6, with its type.
    Icmp(u8),
    /// Something else.
    Other,
}

impl Seen {
    /// Says whether the packet goes to this TCP or UDP port.
    #[must_use]
    pub fn to_port(&self, port: u16) -> bool {
        matches!(self.kind, Kind::Tcp { to, .. } | Kind::Udp { to, .. } if to == port)
    }

    /// Says whether it is a TCP reset.
    #[must_use]
    pub fn is_reset(&self) -> bool {
        matches!(self.kind, Kind::Tcp { reset: true, .. })
    }
}

/// A capture that runs until dropped.
#[derive(Debug)]
pub struct Witness {
    process: Process,
    file: PathBuf,
}

impl Witness {
    /// Starts to watch an interface of a namespace, and returns once the kernel hands packets over.
    #[must_use]
    pub fn start(namespace: &Namespace, folder: &std::path::Path, title: &str, interface: &str) -> Self {
        let file = folder.join(format!("{title}.pcap"));
        let path = file.to_str().expect("a path in UTF-8");
        let command = [
            "tcpdump",
            "-Z",
            "root",
            "-i",
            interface,
            "-s",
            "192",
            "-U",
            "--immediate-mode",
            "-w",
            path,
            "-B",
            "8192",
            "ip or ip6",
        ];
        let process = Process::start(title, namespace, folder, &command, &[]);
        wait_until("tcpdump to listen", Duration::from_secs(10), || process.log().contains("listening on"));
        Self { process, file }
    }

    /// Watches the protected side of a world: everything that came through the gateway.
    #[must_use]
    pub fn inside(world: &crate::world::World) -> Self {
        Self::start(&world.inside, world.folder.path(), "witness-inside", "lan0")
    }

    /// Returns all packets seen so far, in order.
    #[must_use]
    pub fn seen(&self) -> Vec<Seen> {
        let bytes = fs::read(&self.file).unwrap_or_default();
        let mut packets = Vec::new();
        // The file's head ends with the link's type: 1 for Ethernet, where 14 bytes stand before the IP header.
        let header = if bytes.get(20) == Some(&1) { 14 } else { 0 };
        let mut rest = bytes.get(24..).unwrap_or_default();
        while let Some((seen, after)) = record(rest, header) {
            packets.extend(seen);
            rest = after;
        }
        packets
    }

    /// Returns the time of the last packet for which the question holds, microseconds since 1970.
    #[must_use]
    pub fn last(&self, question: impl Fn(&Seen) -> bool) -> Option<i64> {
        self.seen().iter().rev().find(|packet| question(packet)).map(|packet| packet.at)
    }

    /// How many packets there are for which the question holds.
    #[must_use]
    pub fn count(&self, question: impl Fn(&Seen) -> bool) -> usize {
        self.seen().iter().filter(|packet| question(packet)).count()
    }

    /// Ends the capture and returns everything, what was still buffered included.
    #[must_use]
    pub fn finish(mut self) -> Vec<Seen> {
        self.process.terminate();
        self.seen()
    }
}

/// Takes one record of a pcap file (native byte order): the packet, if it is one of ours to judge, and the rest.
fn record(bytes: &[u8], link_header: usize) -> Option<(Option<Seen>, &[u8])> {
    let word = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let (seconds, micros, len) = (word(0)?, word(4)?, usize::try_from(word(8)?).ok()?);
    let frame = bytes.get(16..16 + len)?;
    let at = i64::from(seconds) * 1_000_000 + i64::from(micros);
    Some((parse(at, frame.get(link_header..)?), &bytes[16 + len..]))
}

fn parse(at: i64, packet: &[u8]) -> Option<Seen> {
    // Snapshots are cut short, so the lax parser reads the headers that are there.
    let sliced = LaxSlicedPacket::from_ip(packet).ok()?;
    let (from, to) = match sliced.net.as_ref()? {
        LaxNetSlice::Ipv4(v4) => {
            (IpAddr::from(v4.header().source_addr()), IpAddr::from(v4.header().destination_addr()))
        }
        LaxNetSlice::Ipv6(v6) => {
            (IpAddr::from(v6.header().source_addr()), IpAddr::from(v6.header().destination_addr()))
        }
        LaxNetSlice::Arp(_) => return None,
    };
    let kind = match sliced.transport {
        Some(TransportSlice::Tcp(tcp)) => {
            Kind::Tcp { from: tcp.source_port(), to: tcp.destination_port(), reset: tcp.rst(), syn: tcp.syn() }
        }
        Some(TransportSlice::Udp(udp)) => Kind::Udp { from: udp.source_port(), to: udp.destination_port() },
        Some(TransportSlice::Icmpv4(icmp)) => Kind::Icmp(icmp.type_u8()),
        Some(TransportSlice::Icmpv6(icmp)) => Kind::Icmp(icmp.type_u8()),
        Some(TransportSlice::Igmp(_)) | None => Kind::Other,
    };
    Some(Seen { at, from, to, kind, packet: packet.to_vec() })
}

/// Says whether the bytes were seen anywhere: a canary that must never travel in the clear.
#[must_use]
pub fn carries(seen: &[Seen], canary: &[u8]) -> bool {
    seen.iter().any(|packet| packet.packet.windows(canary.len()).any(|window| window == canary))
}
