//! Files that others must not read.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use crate::ControlPlaneError;

/// What to do when a file of the data folder cannot be used.
const HINT: &str = "give the data folder to the user that runs Doorward, and check that the disk has room";

/// Makes the data folder, unless it is there: its owner's, and to be entered by the group that may use the admin socket.
pub(crate) fn create_data_dir(path: &Path) -> Result<(), ControlPlaneError> {
    // Recursive, so a folder that is there is no error.
    DirBuilder::new().recursive(true).mode(0o750).create(path).map_err(|source| file_error("create", path, source))
}

/// Makes a folder that only its owner may enter, unless it is there.
pub(crate) fn create_private_dir(path: &Path) -> Result<(), ControlPlaneError> {
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(source) => Err(file_error("create", path, source)),
    }
}

/// Reads a file; `None` where there is none.
pub(crate) fn read_optional(path: &Path) -> Result<Option<String>, ControlPlaneError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(file_error("read", path, source)),
    }
}

/// Writes a file that only its owner may read: beside its place first, so that a crash leaves all of it or nothing.
pub(crate) fn write_private(path: &Path, text: &str) -> Result<(), ControlPlaneError> {
    let beside = path.with_extension("partial");
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&beside, path)
    })();
    written.map_err(|source| file_error("write", path, source))
}

pub(crate) fn file_error(operation: &'static str, path: &Path, source: io::Error) -> ControlPlaneError {
    ControlPlaneError::File { operation, path: path.to_path_buf(), hint: HINT, source }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_data_folder_that_is_not_there_is_made_and_one_that_is_stays_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("var/doorward");
        create_data_dir(&data).unwrap();
        assert_eq!(std::fs::metadata(&data).unwrap().permissions().mode() & 0o777, 0o750);
        std::fs::set_permissions(&data, std::fs::Permissions::from_mode(0o700)).unwrap();
        create_data_dir(&data).unwrap();
        assert_eq!(std::fs::metadata(&data).unwrap().permissions().mode() & 0o777, 0o700);
    }
}
