use etherparse::PacketBuilder;
use proptest::prelude::*;

use super::*;
use crate::packet::checksum;
use crate::packet::parse::parse;

/// A whole packet by other people's code, which computes every checksum from nothing.
fn packet(protocol: u8, source: IpAddr, destination: IpAddr, ports: (u16, u16), payload: &[u8]) -> Vec<u8> {
    let ip = match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => PacketBuilder::ipv4(source.octets(), destination.octets(), 64),
        (IpAddr::V6(source), IpAddr::V6(destination)) => PacketBuilder::ipv6(source.octets(), destination.octets(), 64),
        _ => panic!("two families"),
    };
    let mut bytes = Vec::new();
    match protocol {
        TCP => ip.tcp(ports.0, ports.1, 7, 1_000).write(&mut bytes, payload),
        UDP => ip.udp(ports.0, ports.1).write(&mut bytes, payload),
        ICMP_V4 => ip.icmpv4_echo_request(ports.0, 1).write(&mut bytes, payload),
        _ => ip.icmpv6_echo_request(ports.0, 1).write(&mut bytes, payload),
    }
    .unwrap();
    bytes
}

/// An ICMP error, checksums from nothing.
fn error(from: IpAddr, to: IpAddr, quoted: &[u8]) -> Vec<u8> {
    let mut message = if from.is_ipv4() { vec![3, 4, 0, 0, 0, 0, 5, 0] } else { vec![2, 0, 0, 0, 0, 0, 5, 0] };
    message.extend_from_slice(quoted);
    let (protocol, sum) = if from.is_ipv4() {
        (ICMP_V4, checksum::plain(&message))
    } else {
        (ICMP_V6, checksum::with_pseudo_header(from, to, ICMP_V6, &message))
    };
    message[2..4].copy_from_slice(&sum);
    checksum::wrap(from, to, protocol, &message).unwrap()
}

fn address(v6: bool) -> impl Strategy<Value = IpAddr> {
    if v6 {
        any::<u128>().prop_map(|bits| IpAddr::V6(std::net::Ipv6Addr::from_bits(bits))).boxed()
    } else {
        any::<u32>().prop_map(|bits| IpAddr::V4(std::net::Ipv4Addr::from_bits(bits))).boxed()
    }
}

/// Device, service address, target, and a protocol of their family.
fn ends() -> impl Strategy<Value = (IpAddr, IpAddr, IpAddr, u8)> {
    any::<bool>().prop_flat_map(|v6| {
        let icmp = if v6 { ICMP_V6 } else { ICMP_V4 };
        (address(v6), address(v6), address(v6), prop_oneof![Just(TCP), Just(UDP), Just(icmp)])
    })
}

fn payload() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(any::<u8>(), 0..80)
}

/// Where the checksum of TCP or UDP is.
fn transport_sum(packet: &[u8], protocol: u8) -> std::ops::Range<usize> {
    let at = if packet[0] >> 4 == 4 { 20 } else { 40 } + if protocol == TCP { 16 } else { 6 };
    at..at + 2
}

/// The sum over the pseudo header alone, as a kernel leaves it for the hardware to complete.
fn partial(packet: &[u8], protocol: u8) -> [u8; 2] {
    let read = parse(packet).unwrap();
    let header_len = if packet[0] >> 4 == 4 { 20 } else { 40 };
    let zeroes = vec![0; packet.len() - header_len];
    checksum::with_pseudo_header(read.source, read.destination, protocol, &zeroes).map(|byte| !byte)
}

proptest! {
    #[test]
    fn a_rewritten_packet_is_the_packet_that_would_have_been_written(
        (device, service, target, protocol) in ends(), ports in any::<(u16, u16)>(), payload in payload(),
    ) {
        let mut up = packet(protocol, device, service, ports, &payload);
        prop_assert!(rewrite(&mut up, Side::Destination, target, Checksums::Whole));
        prop_assert_eq!(&up, &packet(protocol, device, target, ports, &payload));
        let mut down = packet(protocol, target, device, ports, &payload);
        prop_assert!(rewrite(&mut down, Side::Source, service, Checksums::Whole));
        prop_assert_eq!(&down, &packet(protocol, service, device, ports, &payload));
    }

    #[test]
    fn an_error_and_what_it_quotes_are_rewritten_together(
        (device, service, target, protocol) in ends(),
        router in any::<u128>(), ports in any::<(u16, u16)>(), payload in payload(), cut in 0_usize..100,
    ) {
        // Half of TCP's checksum is no checksum: nobody can check it, and it stays.
        prop_assume!(cut != 9);
        let router = match device {
            IpAddr::V4(_) => IpAddr::V4(std::net::Ipv4Addr::from_bits(u32::try_from(router & 0xffff_ffff).unwrap())),
            IpAddr::V6(_) => IpAddr::V6(std::net::Ipv6Addr::from_bits(router)),
        };
        let header_len = if device.is_ipv4() { 20 } else { 40 };
        let quote = |packet: Vec<u8>| packet[..packet.len().min(header_len + 8 + cut)].to_vec();
        // From a router behind the gateway, about a packet of the device.
        let mut down = error(router, device, &quote(packet(protocol, device, target, ports, &payload)));
        prop_assert!(rewrite(&mut down, Side::Source, service, Checksums::Whole));
        prop_assert_eq!(&down, &error(service, device, &quote(packet(protocol, device, service, ports, &payload))));
        // From the device, about a packet of the resource.
        let mut up = error(device, service, &quote(packet(protocol, service, device, ports, &payload)));
        prop_assert!(rewrite(&mut up, Side::Destination, target, Checksums::Whole));
        prop_assert_eq!(&up, &error(device, target, &quote(packet(protocol, target, device, ports, &payload))));
    }

    #[test]
    fn a_partial_checksum_stays_the_sum_of_the_pseudo_header(
        (device, service, target, protocol) in ends(), ports in any::<(u16, u16)>(), payload in payload(),
    ) {
        prop_assume!(matches!(protocol, TCP | UDP));
        let mut down = packet(protocol, target, device, ports, &payload);
        let (at, sum) = (transport_sum(&down, protocol), partial(&down, protocol));
        down[at.clone()].copy_from_slice(&sum);
        prop_assert!(rewrite(&mut down, Side::Source, service, Checksums::Partial));
        let mut wanted = packet(protocol, service, device, ports, &payload);
        let sum = partial(&wanted, protocol);
        wanted[at].copy_from_slice(&sum);
        prop_assert_eq!(down, wanted);
    }

    #[test]
    fn damage_stays_visible(
        (device, service, target, protocol) in ends(),
        ports in any::<(u16, u16)>(), mut payload in payload(), bit in 0..8_u8,
    ) {
        payload.push(0);
        let mut up = packet(protocol, device, service, ports, &payload);
        let last = up.len() - 1;
        up[last] ^= 1 << bit;
        rewrite(&mut up, Side::Destination, target, Checksums::Whole);
        up[last] ^= 1 << bit;
        prop_assert_eq!(up, packet(protocol, device, target, ports, &payload));
    }

    #[test]
    fn no_bytes_panic(
        mut bytes in proptest::collection::vec(any::<u8>(), 0..130),
        first in prop_oneof![Just(0x45_u8), Just(0x46), Just(0x4f), Just(0x60), any::<u8>()],
        protocol in prop_oneof![Just(TCP), Just(UDP), Just(ICMP_V4), Just(ICMP_V6), any::<u8>()],
        v6 in any::<bool>(), source in any::<bool>(), is_partial in any::<bool>(),
    ) {
        for (at, value) in [(0, first), (9, protocol), (6, protocol)] {
            if let Some(place) = bytes.get_mut(at) {
                *place = value;
            }
        }
        let to = if v6 { "fd00:5::20" } else { "10.0.5.20" }.parse().unwrap();
        let side = if source { Side::Source } else { Side::Destination };
        rewrite(&mut bytes, side, to, if is_partial { Checksums::Partial } else { Checksums::Whole });
    }
}

#[test]
fn udp_without_a_checksum_stays_without_one_over_ipv4() {
    let (device, service) = ("100.80.0.2".parse().unwrap(), "100.80.255.254".parse().unwrap());
    let mut up = packet(UDP, device, service, (1, 2), b"x");
    up[26..28].copy_from_slice(&[0, 0]);
    assert!(rewrite(&mut up, Side::Destination, "10.0.5.20".parse().unwrap(), Checksums::Whole));
    assert_eq!(up[26..28], [0, 0]);
    assert_eq!(up[16..20], [10, 0, 5, 20]);
}

#[test]
fn a_udp_checksum_that_comes_out_as_nothing_is_written_as_all_ones() {
    let (device, service, target) =
        ("100.80.0.2".parse().unwrap(), "100.80.255.254".parse().unwrap(), "10.0.5.20".parse().unwrap());
    // The payload that makes the sum with the target complete: what is missing to all ones.
    let bare = packet(UDP, device, target, (1, 2), &[0, 0]);
    let missing = [bare[26], bare[27]];
    let mut up = packet(UDP, device, service, (1, 2), &missing);
    assert!(rewrite(&mut up, Side::Destination, target, Checksums::Whole));
    assert_eq!(up[26..28], [0xff, 0xff]);
    assert_eq!(up, packet(UDP, device, target, (1, 2), &missing));
}

#[test]
fn another_family_is_refused() {
    let mut up = packet(UDP, "100.80.0.2".parse().unwrap(), "100.80.255.254".parse().unwrap(), (1, 2), b"");
    assert!(!rewrite(&mut up, Side::Destination, "fd00::1".parse().unwrap(), Checksums::Whole));
    assert!(!rewrite(&mut [], Side::Source, "10.0.5.20".parse().unwrap(), Checksums::Whole));
}
