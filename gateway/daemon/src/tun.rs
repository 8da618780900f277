//! The TUN device: each read and each write carries a virtio-net header and a packet that may stand for several.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use doorward_gateway_core::{OFFLOAD_HEADER_LEN, Offload, TunnelWriter};
use rustix::io::Errno;
use tun_rs::{DeviceBuilder, SyncDevice};

use crate::error::GatewayError;

/// The device's MTU: 1500 less WireGuard's 80 bytes over IPv6.
pub(crate) const TUN_MTU: u16 = 1420;

/// The longest packet that stands for several, with its header.
const FRAME_BYTES_MAX: usize = 65_536 + OFFLOAD_HEADER_LEN;

/// What the device did, since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct TunCounters {
    /// Reads that brought a packet; it may stand for several.
    pub(crate) read: u64,
    /// Writes that the device took.
    pub(crate) written: u64,
    /// Writes that the device would not take.
    pub(crate) write_failed: u64,
    /// Reads that failed.
    pub(crate) read_failed: u64,
}

impl TunCounters {
    /// Adds what another queue did.
    pub(crate) fn add(&mut self, other: &Self) {
        self.read = self.read.wrapping_add(other.read);
        self.written = self.written.wrapping_add(other.written);
        self.write_failed = self.write_failed.wrapping_add(other.write_failed);
        self.read_failed = self.read_failed.wrapping_add(other.read_failed);
    }
}

/// One queue of the open device; the kernel removes the device when the last one is dropped.
pub(crate) struct TunQueue {
    device: SyncDevice,
    buffer: Box<[u8]>,
    /// What it did.
    pub(crate) counters: TunCounters,
}

impl TunQueue {
    /// Makes the device with that many queues; it is down and has no addresses.
    ///
    /// # Errors
    /// [`GatewayError::NoTunDevice`], [`GatewayError::NotPrivileged`], [`GatewayError::InterfaceTaken`],
    /// [`GatewayError::Tun`].
    pub(crate) fn create(name: &str, queues: u16) -> Result<Vec<Self>, GatewayError> {
        // tun-rs would make the missing node itself, and leave it behind.
        if !std::path::Path::new("/dev/net/tun").exists() {
            return Err(GatewayError::NoTunDevice);
        }
        let device = DeviceBuilder::new()
            .name(name)
            .mtu(TUN_MTU)
            .offload(true)
            .multi_queue(queues > 1)
            .inherit_enable_state()
            .build_sync()
            .map_err(|error| create_error(name, error))?;
        let mut all = vec![device];
        for _ in 1..queues {
            let more = all.first().map(SyncDevice::try_clone).transpose().map_err(|error| create_error(name, error))?;
            all.extend(more);
        }
        all.into_iter().map(|device| Self::new(name, device)).collect()
    }

    fn new(name: &str, device: SyncDevice) -> Result<Self, GatewayError> {
        device.set_nonblocking(true).map_err(|source| GatewayError::Tun { name: name.to_owned(), source })?;
        Ok(Self { device, buffer: vec![0; FRAME_BYTES_MAX].into_boxed_slice(), counters: TunCounters::default() })
    }

    /// Says whether the kernel takes UDP packets that stand for several.
    pub(crate) fn joins_udp(&self) -> bool {
        self.device.udp_gso()
    }

    /// Reads one packet, or `None` when there is none.
    pub(crate) fn read(&mut self) -> Option<(Offload, &mut [u8])> {
        match rustix::io::read(&self.device, &mut *self.buffer) {
            Ok(len) => {
                self.counters.read = self.counters.read.wrapping_add(1);
                let (header, packet) = self.buffer.get_mut(..len)?.split_first_chunk_mut::<OFFLOAD_HEADER_LEN>()?;
                Some((Offload::read(header)?, packet))
            }
            Err(Errno::AGAIN) => None,
            Err(_) => {
                self.counters.read_failed = self.counters.read_failed.wrapping_add(1);
                None
            }
        }
    }

    /// Says whether the device is gone: somebody deleted the interface.
    pub(crate) fn is_gone(&self) -> bool {
        self.device.name().is_err()
    }
}

fn create_error(name: &str, source: io::Error) -> GatewayError {
    let is = |errno: Errno| source.raw_os_error() == Some(errno.raw_os_error());
    if is(Errno::NOENT) || is(Errno::NODEV) || is(Errno::NXIO) {
        GatewayError::NoTunDevice
    } else if is(Errno::PERM) {
        GatewayError::NotPrivileged
    } else if is(Errno::BUSY) || is(Errno::INVAL) {
        GatewayError::InterfaceTaken { name: name.to_owned() }
    } else {
        GatewayError::Tun { name: name.to_owned(), source }
    }
}

impl AsFd for TunQueue {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.device.as_fd()
    }
}

impl TunnelWriter for TunQueue {
    fn write(&mut self, framed: &[u8]) {
        match rustix::io::write(&self.device, framed) {
            Ok(_) => self.counters.written = self.counters.written.wrapping_add(1),
            // EIO while the link is down, EAGAIN never in practice: the kernel drops on its own full queues.
            Err(_) => self.counters.write_failed = self.counters.write_failed.wrapping_add(1),
        }
    }
}
