//! Which socket of a reuse-port group gets a datagram, decided in the kernel by the datagram itself.

use std::io;
use std::os::fd::AsFd;

use nix::libc::{sock_filter, sock_fprog};
use nix::sys::socket::{setsockopt, sockopt};

/// Instructions of classic BPF (Linux Documentation/networking/filter.rst).
const LOAD_BYTE: u16 = 0x30;
const JUMP: u16 = 0x05;
const JUMP_IF_EQUAL: u16 = 0x15;
const MODULO: u16 = 0x94;
const RETURN_CONSTANT: u16 = 0x06;
const RETURN_ACCUMULATOR: u16 = 0x16;

const fn step(code: u16, jt: u8, jf: u8, k: u32) -> sock_filter {
    sock_filter { code, jt, jf, k }
}

/// The program for a group of `shards` sockets: initiations, and what is no WireGuard, go to the first; everything else to
/// the shard that its receiver index names. What is too short for that ends the program, which means the first as well.
fn program(shards: u16) -> [sock_filter; 10] {
    [
        step(LOAD_BYTE, 0, 0, 0),       // 0: the message's type (WireGuard whitepaper, section 5.4)
        step(JUMP_IF_EQUAL, 3, 0, 4),   // 1: transport data: to 5
        step(JUMP_IF_EQUAL, 2, 0, 3),   // 2: cookie reply: to 5
        step(JUMP_IF_EQUAL, 3, 0, 2),   // 3: response: to 7
        step(RETURN_CONSTANT, 0, 0, 0), // 4
        step(LOAD_BYTE, 0, 0, 5),       // 5: byte 1 of the receiver index at 4
        step(JUMP, 0, 0, 1),            // 6: to 8
        step(LOAD_BYTE, 0, 0, 9),       // 7: byte 1 of the receiver index at 8
        step(MODULO, 0, 0, u32::from(shards)), // 8
        step(RETURN_ACCUMULATOR, 0, 0, 0), // 9
    ]
}

/// Steers the reuse-port group that a socket is in; its sockets were bound in the order of their shards.
///
/// # Errors
/// The kernel's, where it takes no program.
pub(crate) fn steer(socket: &impl AsFd, shards: u16) -> io::Result<()> {
    let mut program = program(shards);
    let len = u16::try_from(program.len()).unwrap_or(0);
    let program = sock_fprog { len, filter: program.as_mut_ptr() };
    setsockopt(socket, sockopt::AttachReusePortCbpf, &program).map_err(io::Error::from)
}
