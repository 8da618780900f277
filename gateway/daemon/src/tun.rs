//! The TUN device: one IP packet a read, one a write.
//!
//! Offloads (a virtio-net header, segmentation in and out) would change what a read and a write carry, and nothing
//! outside of this file: callers see whole packets.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use doorward_gateway_core::TunnelSink;
use rustix::io::Errno;
use tun_rs::{DeviceBuilder, SyncDevice};

use crate::error::GatewayError;

/// The device's MTU: 1500 less WireGuard's 80 bytes over IPv6.
pub(crate) const TUN_MTU: u16 = 1420;

/// A packet is at most this long, whatever the MTU was set to from outside.
const PACKET_BYTES_MAX: usize = 65_536;

/// What the device did, since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct TunCounters {
    /// Packets read.
    pub(crate) read: u64,
    /// Packets written.
    pub(crate) written: u64,
    /// Packets dropped because the device would not take them.
    pub(crate) write_failed: u64,
    /// Reads that failed.
    pub(crate) read_failed: u64,
}

/// The open device; the kernel removes it when this is dropped.
pub(crate) struct TunDevice {
    device: SyncDevice,
    buffer: Box<[u8]>,
    /// What it did.
    pub(crate) counters: TunCounters,
}

impl TunDevice {
    /// Makes the device; it is down and has no addresses.
    ///
    /// # Errors
    /// [`GatewayError::NoTunDevice`], [`GatewayError::NotPrivileged`], [`GatewayError::InterfaceTaken`],
    /// [`GatewayError::Tun`].
    pub(crate) fn create(name: &str) -> Result<Self, GatewayError> {
        // tun-rs would make the missing node itself, and leave it behind.
        if !std::path::Path::new("/dev/net/tun").exists() {
            return Err(GatewayError::NoTunDevice);
        }
        let device = DeviceBuilder::new()
            .name(name)
            .mtu(TUN_MTU)
            .inherit_enable_state()
            .build_sync()
            .map_err(|error| create_error(name, error))?;
        device.set_nonblocking(true).map_err(|source| GatewayError::Tun { name: name.to_owned(), source })?;
        Ok(Self { device, buffer: vec![0; PACKET_BYTES_MAX].into_boxed_slice(), counters: TunCounters::default() })
    }

    /// Reads one packet, or `None` when there is none.
    pub(crate) fn read(&mut self) -> Option<&[u8]> {
        match self.device.recv(&mut self.buffer) {
            Ok(len) => {
                self.counters.read = self.counters.read.wrapping_add(1);
                self.buffer.get(..len)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
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

impl AsFd for TunDevice {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.device.as_fd()
    }
}

impl TunnelSink for TunDevice {
    fn packet(&mut self, packet: &[u8]) {
        match self.device.send(packet) {
            Ok(_) => self.counters.written = self.counters.written.wrapping_add(1),
            // EIO while the link is down, EAGAIN never in practice: the kernel drops on its own full queues.
            Err(_) => self.counters.write_failed = self.counters.write_failed.wrapping_add(1),
        }
    }
}
