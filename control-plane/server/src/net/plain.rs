//! Plain HTTP on the machine itself, for a browser at the end of an SSH tunnel.

use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};

use super::serve::{Acceptor, Peer};

/// Accepts connections on a loopback address.
pub(crate) struct PlainAcceptor {
    listener: TcpListener,
}

impl PlainAcceptor {
    /// Takes a bound listener.
    pub(crate) const fn new(listener: TcpListener) -> Self {
        Self { listener }
    }
}

impl Acceptor for PlainAcceptor {
    type Io = TcpStream;

    async fn accept(&mut self) -> Option<(TcpStream, Peer)> {
        loop {
            match self.listener.accept().await {
                // A credential must follow here too: whoever is on the machine is nobody yet.
                Ok((stream, source)) => return Some((stream, Peer::Https { source })),
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }
}
