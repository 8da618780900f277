//! The data folder: root's, writable for the control plane's group, sticky so that neither side removes the other's files.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, chown};
use std::path::Path;

use super::UpError;
use super::account::Account;

/// Read, write and enter for root and the group; sticky.
const DATA_MODE: u32 = 0o1770;

/// The gateway's own folder: root's alone.
const GATEWAY_MODE: u32 = 0o700;

/// Files by which a folder is known to be Doorward's.
const OURS: [&str; 5] = ["up.lock", "doorward.db", "doorward.toml", "gateway", "admin.sock"];

/// Prepares the folder and takes its lock, which holds as long as the file is open.
pub(super) fn prepare(data: &Path, account: &Account) -> Result<File, UpError> {
    let failed = |operation: &'static str, path: &Path| {
        let path = path.to_owned();
        move |source: io::Error| UpError::Prepare { operation, path, source }
    };
    if data.is_dir() && !is_ours_or_empty(data).map_err(failed("read", data))? {
        return Err(UpError::NotOurs { path: data.to_owned() });
    }
    fs::create_dir_all(data).map_err(failed("make", data))?;
    let lock = lock(data)?;
    chown(data, Some(0), Some(account.gid)).map_err(failed("give the group its rights to", data))?;
    fs::set_permissions(data, Permissions::from_mode(DATA_MODE)).map_err(failed("set the mode of", data))?;
    if let Some(closed) = data.ancestors().skip(1).find(|folder| !may_enter(folder, account)) {
        return Err(UpError::NotReachable { user: account.name.clone(), path: closed.to_owned() });
    }
    let gateway = data.join("gateway");
    match DirBuilder::new().mode(GATEWAY_MODE).create(&gateway) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        made => made.map_err(failed("make", &gateway))?,
    }
    let found = fs::symlink_metadata(&gateway).map_err(failed("read", &gateway))?;
    // Whoever could put a folder of their own here would be handed the gateway's private key.
    if !found.is_dir() || found.uid() != 0 {
        return Err(failed("use", &gateway)(io::Error::other("it is not root's: move it away")));
    }
    fs::set_permissions(&gateway, Permissions::from_mode(GATEWAY_MODE)).map_err(failed("set the mode of", &gateway))?;
    Ok(lock)
}

fn is_ours_or_empty(data: &Path) -> io::Result<bool> {
    let mut empty = true;
    for entry in fs::read_dir(data)? {
        let name = entry?.file_name();
        if OURS.iter().any(|ours| name == *ours) {
            return Ok(true);
        }
        empty = false;
    }
    Ok(empty)
}

fn lock(data: &Path) -> Result<File, UpError> {
    let path = data.join("up.lock");
    let no_follow = i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or_default();
    let failed = |source: io::Error| UpError::Prepare { operation: "lock", path: path.clone(), source };
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(no_follow)
        .open(&path)
        .map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(UpError::AlreadyRunning { path: data.to_owned() }),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

/// Says whether the account may pass through a folder, by owner, group and mode. Access lists are not read.
fn may_enter(folder: &Path, account: &Account) -> bool {
    let Ok(found) = fs::metadata(folder) else { return false };
    let bit = if found.uid() == account.uid {
        0o100
    } else if found.gid() == account.gid {
        0o010
    } else {
        0o001
    };
    found.mode() & bit != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_with_other_files_is_not_taken_over() {
        let folder = tempfile::tempdir().unwrap();
        assert!(is_ours_or_empty(folder.path()).unwrap());
        fs::write(folder.path().join("thesis.tex"), "").unwrap();
        assert!(!is_ours_or_empty(folder.path()).unwrap());
        fs::write(folder.path().join("doorward.toml"), "").unwrap();
        assert!(is_ours_or_empty(folder.path()).unwrap());
    }

    #[test]
    fn a_second_supervisor_does_not_get_the_lock() {
        let folder = tempfile::tempdir().unwrap();
        let first = lock(folder.path()).unwrap();
        assert!(matches!(lock(folder.path()), Err(UpError::AlreadyRunning { .. })));
        drop(first);
        assert!(lock(folder.path()).is_ok());
    }

    #[test]
    fn closed_folders_on_the_way_are_found() {
        let folder = tempfile::tempdir().unwrap();
        let nobody = Account { name: "nobody".to_owned(), uid: 65534, gid: 65534 };
        fs::set_permissions(folder.path(), Permissions::from_mode(0o700)).unwrap();
        assert!(!may_enter(folder.path(), &nobody));
        fs::set_permissions(folder.path(), Permissions::from_mode(0o711)).unwrap();
        assert!(may_enter(folder.path(), &nobody));
    }
}
