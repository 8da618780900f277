//! How the control plane under `doorward up` gives its privileges away, before it opens anything.
//!
//! The child starts as root, reads the configuration, and becomes an ordinary user for good: no capability, no
//! supplementary group, no way to gain either. A data folder inside somebody's private folder (`/root`, a `mktemp -d`)
//! would be out of reach for that user. Rather than opening the private folder to everybody, the child takes a mount
//! namespace of its own in which the closed folder holds nothing but the path to the data folder.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{Gid, Uid, setgid, setgroups, setuid};

/// Tells a child of the supervisor which user and group to become, as `uid:gid`.
pub(super) const ACCOUNT_VARIABLE: &str = "DOORWARD_BECOME";

/// Why privileges could not be given away; the control plane does not start then.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PrivilegeError {
    /// A system call that root may do was refused.
    #[error(
        "the control plane cannot give its privileges away ({operation}): run `doorward up` as root, outside of a sandbox that forbids it"
    )]
    Refused {
        /// What was tried.
        operation: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The data folder lies in a closed folder, and no mount namespace could be made to reach it.
    #[error("user {uid} cannot reach the data folder through {}: choose another with --data, or allow passage with `chmod o+x`", closed.display())]
    Closed {
        /// The user.
        uid: u32,
        /// The outermost folder that is closed to that user.
        closed: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Becomes the user that the supervisor named, for good. Call it while the process has one thread.
///
/// # Errors
/// [`PrivilegeError`] when the system refuses a step; the process must end then.
pub(super) fn become_named_user(data_dir: &Path) -> Result<(), PrivilegeError> {
    let Ok(account) = std::env::var(ACCOUNT_VARIABLE) else { return Ok(()) };
    let ids = account.split_once(':').and_then(|(uid, gid)| Some((uid.parse().ok()?, gid.parse().ok()?)));
    let Some((uid, gid)) = ids else {
        let source = io::Error::new(io::ErrorKind::InvalidInput, format!("{ACCOUNT_VARIABLE} is no `uid:gid`"));
        return Err(PrivilegeError::Refused { operation: "read who to become", source });
    };
    become_user(uid, gid, data_dir)
}

fn become_user(uid: u32, gid: u32, data_dir: &Path) -> Result<(), PrivilegeError> {
    let refused = |operation| move |errno: nix::Error| PrivilegeError::Refused { operation, source: errno.into() };
    if let Some(closed) = outermost_closed(data_dir, uid, gid) {
        open_a_way(&closed, data_dir).map_err(|source| PrivilegeError::Closed { uid, closed, source })?;
    }
    caps::clear(None, caps::CapSet::Bounding).map_err(|error| PrivilegeError::Refused {
        operation: "clear the bounding set",
        source: io::Error::other(error),
    })?;
    setgroups(&[]).map_err(refused("leave all groups"))?;
    setgid(Gid::from_raw(gid)).map_err(refused("change the group"))?;
    setuid(Uid::from_raw(uid)).map_err(refused("change the user"))?;
    rustix::thread::set_no_new_privs(true)
        .map_err(|errno| PrivilegeError::Refused { operation: "forbid new privileges", source: errno.into() })
}

/// Returns the outermost folder above `data_dir` that the user may not pass.
fn outermost_closed(data_dir: &Path, uid: u32, gid: u32) -> Option<PathBuf> {
    let mut folders: Vec<&Path> = data_dir.ancestors().skip(1).collect();
    folders.reverse();
    folders.into_iter().find(|folder| !may_pass(folder, uid, gid)).map(Path::to_owned)
}

fn may_pass(folder: &Path, uid: u32, gid: u32) -> bool {
    let Ok(folder) = fs::metadata(folder) else { return false };
    let passage = if folder.uid() == uid {
        0o100
    } else if folder.gid() == gid {
        0o010
    } else {
        0o001
    };
    folder.mode() & passage != 0
}

/// Covers `closed` with an empty folder that holds the way to `data_dir` alone, for this process and its children.
fn open_a_way(closed: &Path, data_dir: &Path) -> io::Result<()> {
    let none: Option<&str> = None;
    unshare(CloneFlags::CLONE_NEWNS)?;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
    // Held from before it is covered, and from inside the namespace: a folder of another one cannot be mounted here.
    let held: OwnedFd = fs::File::open(data_dir)?.into();
    let cover = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("tmpfs"), closed, Some("tmpfs"), cover, Some("mode=0711,size=64k"))?;
    fs::DirBuilder::new().recursive(true).mode(0o711).create(data_dir)?;
    let source = format!("/proc/self/fd/{}", held.as_raw_fd());
    mount(Some(source.as_str()), data_dir, none, MsFlags::MS_BIND, none)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_outermost_closed_folder_is_found() {
        let root = tempfile::tempdir().unwrap();
        let (closed, data) = (root.path().join("closed"), root.path().join("closed/inner/data"));
        fs::create_dir_all(&data).unwrap();
        fs::set_permissions(root.path(), Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(&closed, Permissions::from_mode(0o700)).unwrap();
        assert_eq!(outermost_closed(&data, 65_534, 65_534), Some(closed.clone()));
        fs::set_permissions(&closed, Permissions::from_mode(0o711)).unwrap();
        assert_eq!(outermost_closed(&data, 65_534, 65_534), None);
    }
}
