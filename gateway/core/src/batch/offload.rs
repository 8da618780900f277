//! The header that a tunnel device with offloads puts before each packet (`struct virtio_net_hdr`, virtio 1.2 section
//! 5.1.6; host byte order on a TUN device).

/// Length of the header, in bytes.
pub const OFFLOAD_HEADER_LEN: usize = 10;

/// VIRTIO_NET_HDR_F_NEEDS_CSUM: the checksum field holds the pseudo header's sum and is to be completed.
const NEEDS_CHECKSUM: u8 = 1;
const GSO_NONE: u8 = 0;
const GSO_TCP_V4: u8 = 1;
const GSO_TCP_V6: u8 = 4;
const GSO_UDP: u8 = 5;
/// The segments carry congestion marks; only the first has CWR (RFC 3168 section 6.1.2).
const GSO_ECN: u8 = 0x80;

/// Whether a packet stands for several.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Segmentation {
    /// It is one packet.
    None,
    /// A TCP packet to be cut into segments with `size` bytes of payload each, the last perhaps shorter.
    Tcp {
        /// Bytes of payload a segment.
        size: u16,
    },
    /// The same for UDP.
    Udp {
        /// Bytes of payload a datagram.
        size: u16,
    },
}

/// What is left to do for a packet that the tunnel device gave, or that it is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offload {
    /// Where the sum of an unfinished checksum begins and where in that part its field is; the field holds the pseudo
    /// header's sum. `None` when the checksum is whole.
    pub checksum: Option<(u16, u16)>,
    /// Whether it stands for several.
    pub segmentation: Segmentation,
}

impl Offload {
    /// A whole packet with nothing left to do.
    pub const NONE: Self = Self { checksum: None, segmentation: Segmentation::None };

    /// Reads the header; `None` for a kind of segmentation that was never asked for.
    #[must_use]
    pub fn read(header: &[u8; OFFLOAD_HEADER_LEN]) -> Option<Self> {
        let [flags, kind, _, _, size_a, size_b, start_a, start_b, offset_a, offset_b] = *header;
        let word = |a, b| u16::from_ne_bytes([a, b]);
        let checksum = (flags & NEEDS_CHECKSUM != 0).then(|| (word(start_a, start_b), word(offset_a, offset_b)));
        let size = word(size_a, size_b);
        let segmentation = match kind & !GSO_ECN {
            GSO_NONE => Segmentation::None,
            GSO_TCP_V4 | GSO_TCP_V6 => Segmentation::Tcp { size },
            GSO_UDP => Segmentation::Udp { size },
            _ => return None,
        };
        Some(Self { checksum, segmentation })
    }

    /// Writes the header of a packet whose headers, IP and upper layer, are `headers_len` bytes long.
    #[must_use]
    pub fn write(self, is_v6: bool, headers_len: u16) -> [u8; OFFLOAD_HEADER_LEN] {
        let (kind, size) = match self.segmentation {
            Segmentation::None => (GSO_NONE, 0),
            Segmentation::Tcp { size } => (if is_v6 { GSO_TCP_V6 } else { GSO_TCP_V4 }, size),
            Segmentation::Udp { size } => (GSO_UDP, size),
        };
        let flags = if self.checksum.is_some() { NEEDS_CHECKSUM } else { 0 };
        let (start, offset) = self.checksum.unwrap_or((0, 0));
        let headers_len = if kind == GSO_NONE { 0 } else { headers_len };
        let [len_a, len_b] = headers_len.to_ne_bytes();
        let [size_a, size_b] = size.to_ne_bytes();
        let [start_a, start_b] = start.to_ne_bytes();
        let [offset_a, offset_b] = offset.to_ne_bytes();
        [flags, kind, len_a, len_b, size_a, size_b, start_a, start_b, offset_a, offset_b]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_what_is_read() {
        for offload in [
            Offload::NONE,
            Offload { checksum: Some((20, 16)), segmentation: Segmentation::None },
            Offload { checksum: Some((20, 16)), segmentation: Segmentation::Tcp { size: 1368 } },
            Offload { checksum: Some((40, 6)), segmentation: Segmentation::Udp { size: 1200 } },
        ] {
            assert_eq!(Offload::read(&offload.write(false, 52)), Some(offload));
            assert_eq!(Offload::read(&offload.write(true, 72)), Some(offload));
        }
    }

    #[test]
    fn an_unknown_kind_is_refused_and_the_congestion_mark_is_not_a_kind() {
        let mut header =
            Offload { checksum: Some((20, 16)), segmentation: Segmentation::Tcp { size: 9 } }.write(false, 40);
        header[1] |= 0x80;
        assert!(Offload::read(&header).is_some());
        header[1] = 3;
        assert_eq!(Offload::read(&header), None);
    }
}
