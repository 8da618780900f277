//! Joining and cutting undo each other, to the byte.

use etherparse::PacketBuilder;
use proptest::prelude::*;

use super::split::Split;
use super::{Coalescer, OFFLOAD_HEADER_LEN, Offload, Segmentation, TunnelWriter};
use crate::TunnelSink as _;

/// A writer that cuts what it gets, as the kernel would.
#[derive(Default)]
struct Cutter {
    writes: usize,
    packets: Vec<Vec<u8>>,
}

impl TunnelWriter for Cutter {
    fn write(&mut self, framed: &[u8]) {
        self.writes += 1;
        let (header, packet) = framed.split_first_chunk::<OFFLOAD_HEADER_LEN>().unwrap();
        self.packets.extend(cut(Offload::read(header).unwrap(), packet));
    }
}

fn cut(offload: Offload, packet: &[u8]) -> Vec<Vec<u8>> {
    let mut packet = packet.to_vec();
    let mut split = Split::new(offload, &mut packet).unwrap();
    let (count, longest) = (split.count(), split.longest());
    let mut all = Vec::new();
    while let Some(range) = split.next(&mut packet) {
        all.push(packet[range].to_vec());
    }
    assert_eq!(u64::try_from(all.len()).unwrap(), count);
    assert!(all.iter().all(|segment| segment.len() <= longest));
    all
}

/// One end of a connection that numbers what it sends.
#[derive(Clone)]
struct Sender {
    v6: bool,
    udp: bool,
    port: u16,
    sequence: u32,
    id: u16,
}

impl Sender {
    fn packet(&mut self, len: usize, push: bool, fin: bool) -> Vec<u8> {
        let payload: Vec<u8> = (0..len).map(|n| u8::try_from((n * 7 + len) % 251).unwrap()).collect();
        let builder = if self.v6 {
            PacketBuilder::ipv6([1; 16], [2; 16], 64)
        } else {
            PacketBuilder::ip(etherparse::IpHeaders::Ipv4(
                etherparse::Ipv4Header {
                    identification: self.id,
                    dont_fragment: true,
                    ..etherparse::Ipv4Header::new(0, 64, etherparse::ip_number::TCP, [10, 0, 0, 1], [10, 0, 0, 2])
                        .unwrap()
                },
                etherparse::Ipv4Extensions::default(),
            ))
        };
        self.id = self.id.wrapping_add(1);
        let mut packet = Vec::new();
        if self.udp {
            builder.udp(self.port, 443).write(&mut packet, &payload).unwrap();
            return packet;
        }
        let mut header = etherparse::TcpHeader::new(self.port, 443, self.sequence, 4_000);
        header.acknowledgment_number = 77;
        (header.ack, header.psh, header.fin) = (true, push, fin);
        header.set_options_raw(&[1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2]).unwrap();
        builder.tcp_header(header).write(&mut packet, &payload).unwrap();
        self.sequence = self.sequence.wrapping_add(u32::try_from(len).unwrap());
        packet
    }
}

fn senders() -> Vec<Sender> {
    let sender =
        |n: u16| Sender { v6: n & 1 == 1, udp: n & 2 == 2, port: 1_000 + n, sequence: 0xffff_f000, id: 65_500 };
    (0..40).map(sender).collect()
}

fn joined(packets: &[Vec<u8>]) -> Cutter {
    let mut coalescer = Coalescer::new(Cutter::default(), true);
    for packet in packets {
        coalescer.packet(packet);
    }
    coalescer.flush();
    std::mem::take(coalescer.writer())
}

/// The packets of one sender, by its port.
fn of_port(packets: &[Vec<u8>], v6: bool, port: u16) -> Vec<Vec<u8>> {
    let at = if v6 { 40 } else { 20 };
    let is = |packet: &&Vec<u8>| (packet[0] >> 4 == 6) == v6 && packet[at..at + 2] == port.to_be_bytes();
    packets.iter().filter(is).cloned().collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn every_packet_arrives_whole_and_in_the_order_of_its_flow(
        steps in proptest::collection::vec((0_usize..40, prop_oneof![Just(1_368_usize), Just(1_200), 0_usize..1_400], 0_u8..40), 1..300),
    ) {
        let mut senders = senders();
        let packets: Vec<Vec<u8>> = steps
            .iter()
            .map(|(sender, len, flags)| senders[*sender].packet(*len, *flags == 1, *flags == 2))
            .collect();
        let out = joined(&packets);
        prop_assert_eq!(out.packets.len(), packets.len());
        for sender in senders {
            prop_assert_eq!(
                of_port(&out.packets, sender.v6, sender.port),
                of_port(&packets, sender.v6, sender.port)
            );
        }
    }

    #[test]
    fn no_bytes_and_no_header_panic(
        header in any::<[u8; OFFLOAD_HEADER_LEN]>(),
        mut packet in proptest::collection::vec(any::<u8>(), 0..400),
        first in prop_oneof![Just(0x45_u8), Just(0x60), any::<u8>()],
        protocol in prop_oneof![Just(6_u8), Just(17)],
    ) {
        if let Some(byte) = packet.first_mut() { *byte = first; }
        for at in [6, 9] {
            if let Some(byte) = packet.get_mut(at) { *byte = protocol; }
        }
        let mut coalescer = Coalescer::new(Cutter::default(), true);
        coalescer.packet(&packet);
        coalescer.packet(&packet);
        coalescer.flush();
        if let Some(offload) = Offload::read(&header) {
            let len = packet.len();
            if let Some(mut split) = Split::new(offload, &mut packet) {
                let mut pieces = 0;
                while let Some(range) = split.next(&mut packet) {
                    prop_assert!(range.end <= len);
                    pieces += 1;
                    prop_assert!(pieces <= len + 1);
                }
            }
        }
    }
}

#[test]
fn a_run_of_segments_is_one_write() {
    let mut senders = senders();
    for sender in [0, 1, 2, 3] {
        let packets: Vec<Vec<u8>> = (0..40).map(|_| senders[sender].packet(1_368, false, false)).collect();
        let out = joined(&packets);
        assert_eq!((out.writes, out.packets), (1, packets), "sender {sender}");
    }
}

#[test]
fn what_was_damaged_at_its_sender_leaves_alone_and_unmended() {
    let mut sender = senders()[0].clone();
    let mut packets: Vec<Vec<u8>> = (0..3).map(|_| sender.packet(1_000, false, false)).collect();
    packets[1][500] ^= 1;
    let out = joined(&packets);
    assert_eq!(out.writes, 3);
    assert_eq!(out.packets, packets);
}

#[test]
fn headers_that_differ_are_not_joined() {
    let mut sender = senders()[0].clone();
    // Another class of service (RFC 2474), with the header's checksum put right.
    let first = sender.packet(1_000, false, false);
    let mut marked = sender.packet(1_000, false, false);
    marked[1] = 0xb8;
    marked[10..12].fill(0);
    let checksum = !crate::packet::checksum::fold(crate::packet::checksum::sum(&marked[..20]));
    marked[10..12].copy_from_slice(&checksum.to_ne_bytes());
    assert_eq!(joined(&[first, marked]).writes, 2);
}

#[test]
fn only_the_last_segment_ends_a_connection() {
    let mut sender = senders()[0].clone();
    let mut packet = sender.packet(2_500, true, true);
    let offload = Offload { checksum: Some((20, 16)), segmentation: Segmentation::Tcp { size: 1_000 } };
    let flags: Vec<u8> = cut(offload, &packet).iter().map(|segment| segment[33]).collect();
    assert_eq!(flags, [0x10, 0x10, 0x19]);
    packet[33] |= 0x80;
    let flags: Vec<u8> = cut(offload, &packet).iter().map(|segment| segment[33]).collect();
    assert_eq!(flags, [0x90, 0x10, 0x19]);
}
