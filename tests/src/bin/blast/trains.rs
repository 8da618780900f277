//! Sending datagrams in trains: one system call, one buffer, many datagrams (UDP_SEGMENT).

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::thread;

use quinn_udp::{Transmit, UdpSocketState};
use rustix::io::Errno;

use crate::Outcome;

/// What one send may carry at most, with room for the headers of an IPv4 packet.
const TRAIN_BYTES_MAX: usize = 65_000;

/// The interface's queue is full, or nobody listens: a train is lost, as it would be anywhere else.
const LOST: [Errno; 2] = [Errno::NOBUFS, Errno::CONNREFUSED];

/// A socket that sends trains.
pub(crate) struct Trains {
    pub(crate) socket: UdpSocket,
    state: UdpSocketState,
}

impl Trains {
    pub(crate) fn bind(address: SocketAddr) -> Outcome<Self> {
        let socket = UdpSocket::bind(address).map_err(|error| format!("binding {address}: {error}"))?;
        let state = UdpSocketState::new((&socket).into())?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket, state })
    }

    /// Datagrams of this size that fit into one train.
    pub(crate) fn datagrams_max(&self, size: usize) -> usize {
        self.state.max_gso_segments().min(TRAIN_BYTES_MAX / size.max(1)).max(1)
    }

    /// Sends a train, and waits where the socket's buffer is full. Returns whether the kernel took it.
    pub(crate) fn send(&self, destination: SocketAddr, contents: &[u8], size: usize) -> Outcome<bool> {
        let train = Transmit { destination, ecn: None, contents, segment_size: Some(size), src_ip: None };
        loop {
            match self.state.try_send((&self.socket).into(), &train) {
                Ok(()) => return Ok(true),
                Err(error) if error.kind() == ErrorKind::WouldBlock => thread::yield_now(),
                Err(error) if LOST.map(Errno::raw_os_error).iter().any(|lost| error.raw_os_error() == Some(*lost)) => {
                    return Ok(false);
                }
                Err(error) => return Err(format!("sending a train to {destination}: {error}").into()),
            }
        }
    }
}
