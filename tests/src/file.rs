//! A file that somebody downloads: every byte follows from its place, so that whoever reads it knows what should be there.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::netns::Namespace;
use crate::service::waits;

/// Bytes written or compared at a time.
const BLOCK: usize = 32 * 1024;

/// A server that sends the file to whoever connects, and closes.
#[derive(Debug)]
pub struct FileServer {
    stop: Arc<AtomicBool>,
}

impl FileServer {
    /// Serves a file of `len` bytes until dropped.
    #[must_use]
    pub fn start(namespace: &Namespace, at: SocketAddr, len: usize) -> Self {
        Self::paced(namespace, at, len, usize::MAX)
    }

    /// The same, but no faster than so many bytes a second: a load that lasts.
    #[must_use]
    pub fn paced(namespace: &Namespace, at: SocketAddr, len: usize, bytes_per_second: usize) -> Self {
        let listener = namespace.tcp_listener(at);
        listener.set_nonblocking(true).expect("a non-blocking listener");
        let stop = Arc::new(AtomicBool::new(false));
        let seen = stop.clone();
        thread::spawn(move || accept(&listener, len, bytes_per_second, &seen));
        Self { stop }
    }
}

impl Drop for FileServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
    }
}

fn accept(listener: &TcpListener, len: usize, bytes_per_second: usize, stop: &Arc<AtomicBool>) {
    while !stop.load(Ordering::SeqCst) {
        let Ok((mut stream, _)) = listener.accept() else {
            thread::sleep(Duration::from_millis(2));
            continue;
        };
        let stop = stop.clone();
        thread::spawn(move || {
            stream.set_nonblocking(false)?;
            stream.set_write_timeout(Some(Duration::from_millis(100)))?;
            let mut block = vec![0_u8; BLOCK];
            let mut sent = 0;
            let start = Instant::now();
            while sent < len && !stop.load(Ordering::SeqCst) {
                if (sent as f64) > start.elapsed().as_secs_f64() * bytes_per_second as f64 {
                    thread::sleep(Duration::from_millis(5));
                    continue;
                }
                let part = BLOCK.min(len - sent);
                fill(&mut block[..part], sent);
                match stream.write(&block[..part]) {
                    Ok(written) => sent += written,
                    Err(error) if waits(error.kind()) => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(())
        });
    }
}

/// Downloads the file and compares every byte; returns how long it took.
///
/// # Errors
/// A sentence, when the connection ends early, a byte is wrong, or `bound` passes.
pub fn download(from: &Namespace, to: SocketAddr, len: usize, bound: Duration) -> Result<Duration, String> {
    let start = Instant::now();
    let mut stream = from.tcp_connect(to, bound).map_err(|error| format!("cannot open {to}: {error}"))?;
    stream.set_read_timeout(Some(Duration::from_millis(200))).map_err(|error| error.to_string())?;
    let (mut got, mut expected) = (vec![0_u8; BLOCK], vec![0_u8; BLOCK]);
    let mut received = 0;
    loop {
        if start.elapsed() > bound {
            return Err(format!("{received} of {len} bytes in {bound:?}"));
        }
        match stream.read(&mut got) {
            Ok(0) if received == len => return Ok(start.elapsed()),
            Ok(0) => return Err(format!("ended after {received} of {len} bytes")),
            Ok(count) => {
                fill(&mut expected[..count], received);
                if got[..count] != expected[..count] {
                    return Err(format!("wrong bytes after {received} of {len}"));
                }
                received += count;
            }
            Err(error) if waits(error.kind()) => {}
            Err(error) => return Err(format!("cut after {received} of {len} bytes: {error}")),
        }
    }
}

/// What stands in the file from `offset` on: each group of eight bytes is a mix of its own place.
fn fill(bytes: &mut [u8], offset: usize) {
    let mut at = 0;
    while at < bytes.len() {
        let (group, skip) = ((offset + at) / 8, (offset + at) % 8);
        let word = (group as u64).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes();
        let count = (8 - skip).min(bytes.len() - at);
        bytes[at..at + count].copy_from_slice(&word[skip..skip + count]);
        at += count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_reads_the_same_wherever_one_starts() {
        let (mut whole, mut part) = (vec![0; 1000], vec![0; 500]);
        fill(&mut whole, 0);
        fill(&mut part, 333);
        assert_eq!(whole[333..833], part);
        assert_ne!(whole[..8], whole[8..16]);
    }
}
