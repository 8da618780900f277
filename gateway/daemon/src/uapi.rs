//! WireGuard's cross-platform socket, read-only: what `wg show` asks for.
//!
//! `get=1` is answered with public data; `set=1` is refused, because peers come from leases alone. The private key and
//! pre-shared keys never leave. Format: <https://www.wireguard.com/xplatform/>.

use std::fmt::Write as _;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use doorward_gateway_core::PeerStatus;
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Take};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;

use crate::error::GatewayError;
use crate::shards::ShardHandle;

/// Where every WireGuard implementation puts its sockets, and where `wg` looks.
const FOLDER: &str = "/var/run/wireguard";

/// A request is `get=1` or `set=1` and lines of keys, each of 64 hex digits at most.
pub(crate) const REQUEST_BYTES_MAX: u64 = 64 * 1024;

/// How long a client may take for its request, and for taking the answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Clients served at a time.
const CLIENTS_MAX: usize = 8;

/// "Operation not permitted", as the protocol wants errors.
const EPERM: i32 = 1;

/// "Invalid argument".
const EINVAL: i32 = 22;

fn socket_path(interface: &str) -> PathBuf {
    Path::new(FOLDER).join(format!("{interface}.sock"))
}

/// Removes the socket of a gateway that was killed; one that somebody serves is left alone.
pub(crate) fn remove_stale(interface: &str) {
    let path = socket_path(interface);
    if StdUnixStream::connect(&path).is_err() {
        // Absent is as good as removed, and what cannot be removed is reported when the socket is bound.
        let _gone = std::fs::remove_file(&path);
    }
}

/// The bound socket; dropping this removes its file.
pub(crate) struct UapiSocket {
    path: PathBuf,
    listener: std::os::unix::net::UnixListener,
}

impl UapiSocket {
    /// Binds the interface's socket, mode 0600.
    ///
    /// # Errors
    /// [`GatewayError::UapiTaken`], [`GatewayError::Uapi`].
    pub(crate) fn bind(interface: &str) -> Result<Self, GatewayError> {
        let path = socket_path(interface);
        let failed = |source| GatewayError::Uapi { path: path.clone(), source };
        std::fs::create_dir_all(FOLDER).map_err(failed)?;
        if StdUnixStream::connect(&path).is_ok() {
            return Err(GatewayError::UapiTaken { path });
        }
        remove_stale(interface);
        let socket = Socket::new(Domain::UNIX, Type::STREAM.cloexec().nonblocking(), None).map_err(failed)?;
        socket.bind(&SockAddr::unix(&path).map_err(failed)?).map_err(failed)?;
        // The mode is set before anybody can connect: nothing listens yet.
        let closed = std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600));
        closed.and_then(|()| socket.listen(8)).map_err(failed)?;
        Ok(Self { path: path.clone(), listener: socket.into() })
    }

    /// Returns the listening socket for the runtime.
    ///
    /// # Errors
    /// [`GatewayError::Uapi`].
    pub(crate) fn listener(&self) -> Result<UnixListener, GatewayError> {
        self.listener
            .try_clone()
            .and_then(UnixListener::from_std)
            .map_err(|source| GatewayError::Uapi { path: self.path.clone(), source })
    }
}

impl Drop for UapiSocket {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(path = %self.path.display(), %error, "cannot remove the UAPI socket");
        }
    }
}

/// Answers clients for ever.
pub(crate) async fn serve(listener: UnixListener, shard: ShardHandle, listen_port: u16) {
    let slots = Arc::new(Semaphore::new(CLIENTS_MAX));
    loop {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let shard = shard.clone();
                tokio::spawn(async move {
                    // `wg` first connects and says nothing, to see whether anybody is there.
                    if let Err(error) = answer(stream, &shard, listen_port).await {
                        tracing::debug!(%error, "a UAPI client went away");
                    }
                    drop(slot);
                });
            }
            Err(error) => {
                tracing::debug!(%error, "cannot accept a UAPI client");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn answer(stream: UnixStream, shard: &ShardHandle, listen_port: u16) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut lines = bounded(read);
    loop {
        let request = tokio::time::timeout(PATIENCE, read_request(&mut lines)).await??;
        let text = match request {
            None => return Ok(()),
            Some(Request::Get) => match tokio::time::timeout(PATIENCE, shard.peers()).await? {
                Some(peers) => render(listen_port, &peers),
                None => return Ok(()),
            },
            Some(Request::Set) => format!("errno={EPERM}\n\n"),
            Some(Request::Unknown) => format!("errno={EINVAL}\n\n"),
        };
        tokio::time::timeout(PATIENCE, write.write_all(text.as_bytes())).await??;
    }
}

/// Reads lines, and no more bytes than a client may send.
fn bounded<R: AsyncRead + Unpin>(read: R) -> BufReader<Take<R>> {
    BufReader::new(read.take(REQUEST_BYTES_MAX))
}

/// Lists what a client asks for until it hangs up, for the fuzz target.
pub(crate) async fn requests<R: AsyncRead + Unpin>(client: R) -> Vec<&'static str> {
    let (mut lines, mut requests) = (bounded(client), Vec::new());
    while let Ok(Some(request)) = read_request(&mut lines).await {
        requests.push(match request {
            Request::Get => "get",
            Request::Set => "set",
            Request::Unknown => "unknown",
        });
    }
    requests
}

#[derive(Debug, PartialEq, Eq)]
enum Request {
    Get,
    Set,
    Unknown,
}

/// Reads up to the empty line that ends a request; `None` when the client hung up.
async fn read_request<R: tokio::io::AsyncBufRead + Unpin>(lines: &mut R) -> io::Result<Option<Request>> {
    let mut request = None;
    let mut line = String::new();
    loop {
        line.clear();
        if lines.read_line(&mut line).await? == 0 {
            return Ok(None);
        }
        match line.trim_end_matches(['\r', '\n']) {
            "" if request.is_some() => return Ok(request),
            "" => (),
            "get=1" if request.is_none() => request = Some(Request::Get),
            "set=1" if request.is_none() => request = Some(Request::Set),
            _ if request.is_none() => request = Some(Request::Unknown),
            _ => (),
        }
    }
}

/// Writes the answer to `get=1`.
fn render(listen_port: u16, peers: &[PeerStatus]) -> String {
    let mut text = format!("listen_port={listen_port}\nfwmark=0\n");
    for peer in peers {
        // Writing to a String cannot fail.
        let _written = write_peer(&mut text, peer);
    }
    text.push_str("errno=0\n\n");
    text
}

fn write_peer(text: &mut String, peer: &PeerStatus) -> std::fmt::Result {
    writeln!(text, "public_key={}", hex::encode(peer.public_key.as_bytes()))?;
    if let Some(endpoint) = peer.endpoint {
        writeln!(text, "endpoint={endpoint}")?;
    }
    let handshake = peer.last_handshake.map(|at| (at.as_second(), at.subsec_nanosecond())).unwrap_or_default();
    writeln!(text, "last_handshake_time_sec={}\nlast_handshake_time_nsec={}", handshake.0, handshake.1)?;
    writeln!(text, "tx_bytes={}\nrx_bytes={}\npersistent_keepalive_interval=0", peer.tx_bytes, peer.rx_bytes)?;
    for prefix in peer.allowed_ips {
        writeln!(text, "allowed_ip={prefix}")?;
    }
    writeln!(text, "protocol_version=1")
}

#[cfg(test)]
mod tests {
    use doorward_model::{DeviceId, PublicKey};

    use super::*;

    fn peer(byte: u8) -> PeerStatus {
        PeerStatus {
            device: DeviceId::new("0192f0c1-7a3e-7cc1-b2f4-0123456789ab".parse::<DeviceId>().unwrap().uuid()),
            public_key: PublicKey::from_bytes([byte; 32]).unwrap(),
            has_preshared_key: true,
            endpoint: Some("[2001:db8::9]:51820".parse().unwrap()),
            last_handshake: Some("2026-11-21T12:00:00.5Z".parse().unwrap()),
            rx_bytes: 148,
            tx_bytes: 92,
            allowed_ips: ["100.80.0.2/32".parse().unwrap(), "fd64:6f6f:7277::2/128".parse().unwrap()],
        }
    }

    #[test]
    fn get_answers_in_wireguards_format_and_without_secrets() {
        let text = render(51820, &[peer(7), PeerStatus { endpoint: None, last_handshake: None, ..peer(9) }]);
        let wanted = format!(
            "listen_port=51820\nfwmark=0\npublic_key={}\nendpoint=[2001:db8::9]:51820\n\
             last_handshake_time_sec=1795262400\nlast_handshake_time_nsec=500000000\ntx_bytes=92\nrx_bytes=148\n\
             persistent_keepalive_interval=0\nallowed_ip=100.80.0.2/32\nallowed_ip=fd64:6f6f:7277::2/128\n\
             protocol_version=1\npublic_key={}\nlast_handshake_time_sec=0\nlast_handshake_time_nsec=0\n",
            "07".repeat(32),
            "09".repeat(32)
        );
        assert!(text.starts_with(&wanted), "{text}");
        assert!(text.ends_with("errno=0\n\n"));
        assert!(!text.contains("private_key") && !text.contains("preshared_key"));
    }

    #[tokio::test]
    async fn requests_end_with_an_empty_line_and_setting_is_its_own_kind() {
        let mut text: &[u8] = b"get=1\n\nset=1\nprivate_key=00\nget=1\n\nfoo\n\nget=1\n";
        assert_eq!(read_request(&mut text).await.unwrap(), Some(Request::Get));
        assert_eq!(read_request(&mut text).await.unwrap(), Some(Request::Set));
        assert_eq!(read_request(&mut text).await.unwrap(), Some(Request::Unknown));
        assert_eq!(read_request(&mut text).await.unwrap(), None);
    }
}
