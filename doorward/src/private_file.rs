//! Files with a secret in them: mode 0600, written beside their place and moved there whole.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::RenameFlags;

use crate::error::CliError;

/// Room taken before anything is enrolled, in bytes: more than any config, so that a full disk shows beforehand.
const RESERVED_BYTES: usize = 64 * 1024;

/// A file that is not in its place yet. Dropping it leaves nothing behind.
#[derive(Debug)]
pub(crate) struct PrivateFile {
    file: File,
    path: PathBuf,
    beside: PathBuf,
    replace: bool,
    placed: bool,
}

impl PrivateFile {
    /// Makes the file beside its place and takes room on the disk.
    ///
    /// # Errors
    /// The folder is missing or not writable, the disk is full, or the place is taken and `replace` is false.
    pub(crate) fn reserve(path: &Path, replace: bool) -> Result<Self, CliError> {
        let wrong = |hint: &'static str| {
            move |source: io::Error| CliError::File { operation: "write", path: path.to_owned(), hint, source }
        };
        match std::fs::symlink_metadata(path) {
            Ok(found) if !found.is_file() => {
                return Err(wrong("it is no ordinary file, choose another name")(io::ErrorKind::AlreadyExists.into()));
            }
            Ok(_) if !replace => {
                return Err(wrong("it exists, choose another name or give --force")(
                    io::ErrorKind::AlreadyExists.into(),
                ));
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(wrong("check that its folder exists and is yours")(error)),
        }
        let name = path.file_name().ok_or_else(|| wrong("give a file name")(io::ErrorKind::InvalidInput.into()))?;
        let mut hidden = std::ffi::OsString::from(".");
        hidden.push(name);
        hidden.push(format!(".{}.part", std::process::id()));
        let beside = path.with_file_name(hidden);
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&beside)
            .map_err(wrong("check that its folder exists, is yours and has room"))?;
        let mut reserved = Self { file, path: path.to_owned(), beside, replace, placed: false };
        reserved
            .file
            .write_all(&vec![0; RESERVED_BYTES])
            .and_then(|()| reserved.file.sync_all())
            .map_err(wrong("the disk has no room for it, make some first"))?;
        Ok(reserved)
    }

    /// Writes the text and moves the file to its place.
    ///
    /// # Errors
    /// The disk is full, or somebody took the place in the meantime; nothing is left behind.
    pub(crate) fn place(mut self, text: &str) -> Result<(), CliError> {
        let flags = if self.replace { RenameFlags::empty() } else { RenameFlags::NOREPLACE };
        let written = self
            .file
            .set_len(0)
            .and_then(|()| self.file.rewind())
            .and_then(|()| self.file.write_all(text.as_bytes()))
            .and_then(|()| self.file.sync_all())
            .and_then(|()| {
                let here = rustix::fs::CWD;
                rustix::fs::renameat_with(here, &self.beside, here, &self.path, flags).map_err(io::Error::from)
            });
        self.placed = written.is_ok();
        written.map_err(|source| CliError::File {
            operation: "write",
            path: self.path.clone(),
            hint: "make room, or choose a name that is free",
            source,
        })
    }
}

impl Drop for PrivateFile {
    fn drop(&mut self) {
        if !self.placed {
            // Best effort: the file holds zeros or a config whose device is revoked.
            let _ = std::fs::remove_file(&self.beside);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_file_is_its_owner_s_alone_and_stands_whole_in_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("laptop.conf");
        PrivateFile::reserve(&path, false).unwrap().place("[Interface]\n").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "[Interface]\n");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_there_is_kept_unless_told_otherwise() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("laptop.conf");
        std::fs::write(&path, "mine").unwrap();
        assert!(PrivateFile::reserve(&path, false).is_err());
        let late = PrivateFile::reserve(&folder.path().join("late.conf"), false).unwrap();
        std::fs::write(folder.path().join("late.conf"), "mine").unwrap();
        assert!(late.place("theirs").is_err());
        assert_eq!(std::fs::read_to_string(folder.path().join("late.conf")).unwrap(), "mine");
        PrivateFile::reserve(&path, true).unwrap().place("replaced").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "replaced");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn devices_and_missing_folders_are_refused() {
        for wrong in ["/dev/full", "/nowhere/at/all.conf", "/", ".."] {
            assert!(PrivateFile::reserve(Path::new(wrong), true).is_err(), "{wrong}");
        }
    }
}
