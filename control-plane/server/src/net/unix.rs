//! Unix sockets in the data folder: the admin's and the local gateway's. The kernel says who is at the other end.

use std::io;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::{UnixListener, UnixStream};

use super::files::file_error;
use super::serve::{Acceptor, Peer};
use crate::ControlPlaneError;

/// Who may use a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SocketAccess {
    /// Whoever may open the file: its owner and its group.
    Admin,
    /// Root, whose gateway it is, and the server's own user.
    Feed,
}

impl SocketAccess {
    const fn mode(self) -> u32 {
        match self {
            Self::Admin => 0o660,
            // The gateway drops the capability that passes over modes, and joins the folder's group instead.
            Self::Feed => 0o660,
        }
    }
}

/// A bound socket; its file goes when it is dropped.
pub(crate) struct UnixAcceptor {
    listener: UnixListener,
    access: SocketAccess,
    path: PathBuf,
}

impl Drop for UnixAcceptor {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::debug!(%error, path = %self.path.display(), "the socket file could not be removed");
        }
    }
}

/// Binds a socket; a file that a killed server left behind is replaced, one that answers is not.
pub(crate) fn bind_unix(path: &Path, access: SocketAccess) -> Result<UnixAcceptor, ControlPlaneError> {
    match std::fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => {
            let source = io::Error::new(io::ErrorKind::AlreadyExists, "it is there and is no socket");
            return Err(file_error("replace", path, source));
        }
        Ok(_) if std::os::unix::net::UnixStream::connect(path).is_ok() => {
            return Err(ControlPlaneError::AlreadyRunning { path: path.to_path_buf() });
        }
        Ok(_) => std::fs::remove_file(path).map_err(|source| file_error("replace", path, source))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(source) => return Err(file_error("look at", path, source)),
    }
    let listener = UnixListener::bind(path).map_err(|source| file_error("create the socket", path, source))?;
    let acceptor = UnixAcceptor { listener, access, path: path.to_path_buf() };
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(access.mode()))
        .map_err(|source| file_error("set the mode of", path, source))?;
    Ok(acceptor)
}

impl Acceptor for UnixAcceptor {
    type Io = UnixStream;

    async fn accept(&mut self) -> Option<(UnixStream, Peer)> {
        loop {
            let stream = match self.listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, path = %self.path.display(), "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            match peer_of(&stream, self.access) {
                Ok(Some(peer)) => return Some((stream, peer)),
                Ok(None) => {
                    tracing::warn!(path = %self.path.display(), "a user without the right to this socket was turned away")
                }
                Err(error) => tracing::debug!(%error, "a connection ended before it said who it is"),
            }
        }
    }
}

fn peer_of(stream: &UnixStream, access: SocketAccess) -> io::Result<Option<Peer>> {
    let uid = stream.peer_cred()?.uid();
    Ok(match access {
        SocketAccess::Admin => Some(Peer::Admin { uid, name: user_name(uid) }),
        SocketAccess::Feed if uid == 0 || uid == rustix::process::geteuid().as_raw() => Some(Peer::FeedSocket),
        SocketAccess::Feed => None,
    })
}

/// Looks a user up in `/etc/passwd`; users of a directory service appear by number.
fn user_name(uid: u32) -> Option<String> {
    std::fs::read_to_string("/etc/passwd").ok()?.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    })
}
