//! The data folder: root's, writable for the control plane's group, sticky so that neither side removes the other's files.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, chown, lchown,
};
use std::path::Path;

use super::UpError;
use super::account::Account;

/// Read, write and enter for root and the group; sticky.
const DATA_MODE: u32 = 0o1770;

/// The gateway's own folder: root's alone.
const GATEWAY_MODE: u32 = 0o700;

/// Files by which a folder is known to be Doorward's.
const OURS: [&str; 5] = ["up.lock", "doorward.db", "doorward.toml", "gateway", "admin.sock"];

/// Files and folders that are the control plane's.
const CONTROL_PLANES: [&str; 7] =
    ["doorward.db", "doorward.db-wal", "doorward.db-shm", "journal", "tls", "feed-ca", "keys"];

/// Prepares the folder and takes its lock, which holds as long as the file is open.
pub(super) fn prepare(data: &Path, account: &Account) -> Result<File, UpError> {
    let failed = |operation: &'static str, path: &Path| {
        let path = path.to_owned();
        move |source: io::Error| UpError::Prepare { operation, path, source }
    };
    if data.is_dir() && !is_ours_or_free(data).map_err(failed("read", data))? {
        return Err(UpError::NotOurs { path: data.to_owned() });
    }
    fs::create_dir_all(data).map_err(failed("make", data))?;
    let lock = lock(data)?;
    chown(data, Some(0), Some(account.gid)).map_err(failed("give the group its rights to", data))?;
    fs::set_permissions(data, Permissions::from_mode(DATA_MODE)).map_err(failed("set the mode of", data))?;
    for name in CONTROL_PLANES {
        let path = data.join(name);
        hand_over(&path, account).map_err(failed("hand over", &path))?;
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

/// Says whether the folder is Doorward's, or holds nothing that shows it to be somebody's: no folder and no hidden file.
fn is_ours_or_free(data: &Path) -> io::Result<bool> {
    let mut free = true;
    for entry in fs::read_dir(data)? {
        let entry = entry?;
        let name = entry.file_name();
        if OURS.iter().any(|ours| name == *ours) {
            return Ok(true);
        }
        free &= !entry.file_type()?.is_dir() && !name.as_encoded_bytes().starts_with(b".");
    }
    Ok(free)
}

/// Hands over what an earlier control plane that ran as root left: its successor could not open it.
///
/// Only what is root's is looked into, since nobody else can swap it for a link meanwhile (the data folder is sticky), and
/// a file with a second name somewhere is left alone: it may be somebody else's.
fn hand_over(path: &Path, account: &Account) -> io::Result<()> {
    let found = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found?,
    };
    if found.uid() != 0 || !(found.is_dir() || found.is_file() && found.nlink() == 1) {
        return Ok(());
    }
    if found.is_dir() {
        for entry in fs::read_dir(path)? {
            hand_over(&entry?.path(), account)?;
        }
    }
    lchown(path, Some(account.uid), Some(account.gid))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_with_other_files_is_not_taken_over() {
        let folder = tempfile::tempdir().unwrap();
        assert!(is_ours_or_free(folder.path()).unwrap());
        fs::write(folder.path().join("notes.txt"), "").unwrap();
        assert!(is_ours_or_free(folder.path()).unwrap());
        fs::create_dir(folder.path().join("thesis")).unwrap();
        assert!(!is_ours_or_free(folder.path()).unwrap());
        fs::write(folder.path().join("doorward.toml"), "").unwrap();
        assert!(is_ours_or_free(folder.path()).unwrap());
    }

    #[test]
    fn what_root_left_is_handed_over_and_a_link_or_a_second_name_is_not() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let account = Account { name: "nobody".to_owned(), uid: 65_534, gid: 65_534 };
        let (tls, elsewhere) = (folder.path().join("tls"), folder.path().join("elsewhere"));
        fs::create_dir(&tls).unwrap();
        fs::write(tls.join("key.pem"), "").unwrap();
        fs::write(&elsewhere, "").unwrap();
        fs::hard_link(&elsewhere, tls.join("second-name")).unwrap();
        std::os::unix::fs::symlink(&elsewhere, tls.join("link")).unwrap();
        hand_over(&tls, &account).unwrap();
        assert_eq!(fs::metadata(&tls).unwrap().uid(), account.uid);
        assert_eq!(fs::metadata(tls.join("key.pem")).unwrap().uid(), account.uid);
        assert_eq!(fs::metadata(&elsewhere).unwrap().uid(), 0);
    }

    #[test]
    fn a_second_supervisor_does_not_get_the_lock() {
        let folder = tempfile::tempdir().unwrap();
        let first = lock(folder.path()).unwrap();
        assert!(matches!(lock(folder.path()), Err(UpError::AlreadyRunning { .. })));
        drop(first);
        assert!(lock(folder.path()).is_ok());
    }
}
