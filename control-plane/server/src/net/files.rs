//! Files that others must not read.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use crate::ControlPlaneError;

/// What to do when a file of the data folder cannot be used.
const HINT: &str = "give the data folder to the user that runs Doorward, and check that the disk has room";

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
