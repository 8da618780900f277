//! The packets inside of the tunnel.

use std::net::Ipv4Addr;

use clap::ValueEnum;
use etherparse::{PacketBuilder, TcpOptionElement};

use crate::Outcome;

/// Where floods go: the discard protocol (RFC 863), over UDP and TCP.
pub(crate) const SINK_PORT: u16 = 9;
/// The port of every device: one flow each.
const DEVICE_PORT: u16 = 40_000;
/// What a tunnel of the usual MTU carries; padding goes no further (WireGuard whitepaper, section 5.4.6).
const TUNNEL_MTU: usize = 1_420;
const TTL: u8 = 64;

/// What a flood consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// UDP with 64 bytes of payload
    #[value(name = "udp-64")]
    Udp64,
    /// UDP with 1380 bytes of payload
    #[value(name = "udp-1380")]
    Udp1380,
    /// One TCP stream's consecutive segments of 1368 bytes, with time stamps as Linux sends them
    #[value(name = "tcp-1368")]
    Tcp1368,
}

impl Kind {
    /// Bytes of payload in each packet.
    pub(crate) fn payload(self) -> usize {
        match self {
            Self::Udp64 => 64,
            Self::Udp1380 => 1_380,
            Self::Tcp1368 => 1_368,
        }
    }
}

/// One device's flow, packet by packet.
pub(crate) struct Flow {
    kind: Kind,
    device: Ipv4Addr,
    target: Ipv4Addr,
    sequence: u32,
    payload: Vec<u8>,
}

impl Flow {
    pub(crate) fn new(kind: Kind, device: Ipv4Addr, target: Ipv4Addr) -> Self {
        Self { kind, device, target, sequence: 1, payload: vec![0x5a; kind.payload()] }
    }

    /// Writes the flow's next packet, padded as it is before sealing, over what is in the buffer.
    pub(crate) fn next(&mut self, packet: &mut Vec<u8>) -> Outcome<()> {
        packet.clear();
        let ip = PacketBuilder::ipv4(self.device.octets(), self.target.octets(), TTL);
        match self.kind {
            Kind::Udp64 | Kind::Udp1380 => ip.udp(DEVICE_PORT, SINK_PORT).write(packet, &self.payload)?,
            Kind::Tcp1368 => {
                let options = [TcpOptionElement::Noop, TcpOptionElement::Noop, TcpOptionElement::Timestamp(1, 1)];
                let tcp = ip.tcp(DEVICE_PORT, SINK_PORT, self.sequence, 1_024).ack(1).options(&options)?;
                tcp.write(packet, &self.payload)?;
                self.sequence = self.sequence.wrapping_add(u32::try_from(self.payload.len())?);
            }
        }
        pad(packet);
        Ok(())
    }
}

/// Writes one small datagram that opens a device's flow to a port of the target.
pub(crate) fn opener(device: Ipv4Addr, target: Ipv4Addr, port: u16) -> Outcome<Vec<u8>> {
    let mut packet = Vec::new();
    PacketBuilder::ipv4(device.octets(), target.octets(), TTL)
        .udp(DEVICE_PORT, port)
        .write(&mut packet, b"here I am")?;
    pad(&mut packet);
    Ok(packet)
}

/// Transport data is padded to 16 bytes, but not beyond the tunnel's MTU.
fn pad(packet: &mut Vec<u8>) {
    let padded = packet.len().next_multiple_of(16).min(TUNNEL_MTU.max(packet.len()));
    packet.resize(padded, 0);
}

#[cfg(test)]
mod tests {
    use etherparse::{SlicedPacket, TransportSlice};

    use super::*;

    const DEVICE: Ipv4Addr = Ipv4Addr::new(100, 80, 0, 2);
    const TARGET: Ipv4Addr = Ipv4Addr::new(10, 2, 0, 2);

    #[test]
    fn segments_follow_each_other_and_their_checksums_are_right() {
        let mut flow = Flow::new(Kind::Tcp1368, DEVICE, TARGET);
        let mut packet = Vec::new();
        for expected in [1, 1_369, 2_737] {
            flow.next(&mut packet).unwrap();
            assert_eq!(packet.len(), TUNNEL_MTU);
            let sliced = SlicedPacket::from_ip(&packet).unwrap();
            let Some(TransportSlice::Tcp(tcp)) = sliced.transport else { panic!("{sliced:?}") };
            assert_eq!(tcp.sequence_number(), expected);
            let sum = tcp.calc_checksum_ipv4(DEVICE.octets(), TARGET.octets()).unwrap();
            assert_eq!(sum, tcp.checksum());
        }
    }

    #[test]
    fn datagrams_have_the_sizes_of_their_names_and_are_padded() {
        for (kind, padded) in [(Kind::Udp64, 96), (Kind::Udp1380, 1_408)] {
            let mut packet = Vec::new();
            Flow::new(kind, DEVICE, TARGET).next(&mut packet).unwrap();
            assert_eq!(packet.len(), padded);
            let sliced = SlicedPacket::from_ip(&packet).unwrap();
            let Some(TransportSlice::Udp(udp)) = sliced.transport else { panic!("{sliced:?}") };
            assert_eq!(usize::from(udp.length()), 8 + kind.payload());
        }
    }
}
