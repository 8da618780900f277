//! Several cores for one gateway: each owns its devices alone, so that nothing is locked and nothing is shared.
//!
//! A device belongs to the core that its tunnel address falls to, so a change of its key or its grants never moves it.
//! Transport data names its core in the receiver index: byte 1 of the index, modulo the number of cores, which a classic
//! BPF program reads in the kernel. Initiations arrive at core 0, which finds out who knocks and hands them over once.

use std::net::{IpAddr, SocketAddr};

use doorward_model::{PublicKey, TunnelNetwork};

use crate::Via;
use crate::batch::Offload;
use crate::wireguard::message::INITIATION_LEN;

/// Cores at most: byte 1 of a receiver index tells them apart with room for chance.
pub const SHARES_MAX: u16 = 64;

/// One core's part of the devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    index: u16,
    of: u16,
}

impl Share {
    /// All devices: the only core.
    pub const WHOLE: Self = Self { index: 0, of: 1 };

    /// Makes the parts of `of` cores, at least one and [`SHARES_MAX`] at most.
    pub fn all(of: u16) -> impl Iterator<Item = Self> {
        let of = of.clamp(1, SHARES_MAX);
        (0..of).map(move |index| Self { index, of })
    }

    /// Returns this core's number, from 0.
    #[must_use]
    pub const fn index(self) -> u16 {
        self.index
    }

    /// Returns how many cores there are.
    #[must_use]
    pub const fn of(self) -> u16 {
        self.of
    }

    /// Returns the number of the core that owns a tunnel address.
    pub(crate) fn owner(self, network: &TunnelNetwork, address: IpAddr) -> u16 {
        let host = match address {
            IpAddr::V4(v4) => u128::from(v4.to_bits().wrapping_sub(network.v4().network().to_bits())),
            IpAddr::V6(v6) => v6.to_bits().wrapping_sub(network.v6().network().to_bits()),
        };
        u16::try_from(host.checked_rem(u128::from(self.of)).unwrap_or(0)).unwrap_or(0)
    }

    /// Returns the number of the core that gave out a tunnel's 24 bits of a receiver index.
    pub(crate) fn issuer(self, index: u32) -> u16 {
        u16::try_from((index & 0xff).checked_rem(u32::from(self.of)).unwrap_or(0)).unwrap_or(0)
    }

    /// Makes a tunnel's 24 bits of a receiver index name this core: their low byte, modulo the number of cores.
    pub(crate) fn brand(self, index: u32) -> u32 {
        let (of, low) = (u32::from(self.of), index & 0xff);
        let branded = low.wrapping_sub(low.checked_rem(of).unwrap_or(0)).wrapping_add(u32::from(self.index));
        let branded = if branded > 0xff { branded.wrapping_sub(of) } else { branded };
        index & 0x00ff_ff00 | branded
    }
}

/// What arrived at one core and belongs to another.
#[derive(Debug)]
pub enum Handover {
    /// An initiation that was admitted, by the key that it claims.
    Initiation {
        /// Whose key it claims to have.
        key: PublicKey,
        /// Where it came from.
        from: SocketAddr,
        /// On which socket.
        via: Via,
        /// The whole datagram.
        datagram: [u8; INITIATION_LEN],
    },
    /// Any message that the kernel brought along with others: a train of one sender's datagrams stays whole.
    Datagram {
        /// Where it came from.
        from: SocketAddr,
        /// On which socket.
        via: Via,
        /// The whole datagram.
        datagram: Vec<u8>,
    },
    /// A packet that the tunnel device gave on the wrong queue.
    TunnelPacket {
        /// What the device said about it.
        offload: Offload,
        /// The packet.
        packet: Vec<u8>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_names_its_core_whatever_was_drawn() {
        for of in [1, 2, 3, 7, 64] {
            for share in Share::all(of) {
                for drawn in (0..=0x00ff_ffff_u32).step_by(77) {
                    let index = share.brand(drawn);
                    assert!(index <= 0x00ff_ffff);
                    assert_eq!(index & 0xff_ff00, drawn & 0xff_ff00);
                    assert_eq!(share.issuer(index), share.index());
                }
            }
        }
    }

    #[test]
    fn both_addresses_of_a_device_fall_to_one_core() {
        let network = TunnelNetwork::default();
        for share in Share::all(3) {
            for slot in 0..50 {
                let (v4, v6) = network.device_addresses(slot).unwrap();
                assert_eq!(share.owner(&network, v4.into()), share.owner(&network, v6.into()));
                assert!(share.owner(&network, v4.into()) < 3);
            }
        }
    }
}
