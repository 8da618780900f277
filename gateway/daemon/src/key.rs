//! The gateway's private key: made once, kept in a folder that is the gateway's alone.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use doorward_model::PublicKey;
use x25519_dalek::StaticSecret;
use zeroize::Zeroizing;

use crate::error::GatewayError;

/// A key file is 44 characters and a line break; anything much longer is something else.
const KEY_FILE_BYTES_MAX: u64 = 256;

/// Reads the private key, or makes one if there is none.
///
/// # Errors
/// [`GatewayError::KeyUnreadable`], [`GatewayError::KeyFormat`], [`GatewayError::KeyExposed`], and
/// [`GatewayError::DataDir`] when a key cannot be written.
pub(crate) fn load_or_make(path: &Path) -> Result<StaticSecret, GatewayError> {
    match File::open(path) {
        Ok(file) => read(file, path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => make(path),
        Err(source) => Err(GatewayError::KeyUnreadable { path: path.to_owned(), source }),
    }
}

/// Returns the public half, as it goes into people's configs.
///
/// # Errors
/// [`GatewayError::KeyFormat`] for a key whose public half is a low-order point, which no real key has.
pub(crate) fn public_key(secret: &StaticSecret, path: &Path) -> Result<PublicKey, GatewayError> {
    PublicKey::from_bytes(x25519_dalek::PublicKey::from(secret).to_bytes())
        .map_err(|_| GatewayError::KeyFormat { path: path.to_owned() })
}

fn read(file: File, path: &Path) -> Result<StaticSecret, GatewayError> {
    let unreadable = |source| GatewayError::KeyUnreadable { path: path.to_owned(), source };
    if file.metadata().map_err(unreadable)?.mode() & 0o077 != 0 {
        return Err(GatewayError::KeyExposed { path: path.to_owned() });
    }
    let mut text = Zeroizing::new(String::new());
    file.take(KEY_FILE_BYTES_MAX).read_to_string(&mut text).map_err(unreadable)?;
    let format = || GatewayError::KeyFormat { path: path.to_owned() };
    let bytes = Zeroizing::new(STANDARD.decode(text.trim()).map_err(|_| format())?);
    let bytes: Zeroizing<[u8; 32]> = Zeroizing::new(bytes.as_slice().try_into().map_err(|_| format())?);
    Ok(StaticSecret::from(*bytes))
}

fn make(path: &Path) -> Result<StaticSecret, GatewayError> {
    let failed = |source| GatewayError::DataDir { path: path.to_owned(), source };
    let mut bytes = Zeroizing::new([0_u8; 32]);
    fill_random(bytes.as_mut_slice()).map_err(failed)?;
    let text = Zeroizing::new(format!("{}\n", STANDARD.encode(*bytes)));
    write_private(path, text.as_bytes()).map_err(failed)?;
    Ok(StaticSecret::from(*bytes))
}

/// Fills the slice from the kernel's generator.
///
/// # Errors
/// What the kernel says, on kernels without getrandom(2).
pub(crate) fn fill_random(mut bytes: &mut [u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let len = rustix::rand::getrandom(&mut *bytes, rustix::rand::GetRandomFlags::empty())?;
        bytes = bytes.get_mut(len..).unwrap_or_default();
    }
    Ok(())
}

/// Writes a file of mode 0600 whole or not at all: beside its place first, then moved there.
///
/// # Errors
/// What the system says.
pub(crate) fn write_private(path: &Path, contents: &[u8]) -> io::Result<()> {
    let beside = path.with_extension("tmp");
    match std::fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => (),
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    file.write_all(contents)?;
    file.sync_all()?;
    std::fs::rename(&beside, path)?;
    // The rename itself is on disk only when its folder is.
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_read_again_with_mode_0600() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("private.key");
        let made = load_or_make(&path).unwrap();
        let read = load_or_make(&path).unwrap();
        assert_eq!(made.to_bytes(), read.to_bytes());
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_to_string(&path).unwrap().len(), 45);
    }

    #[test]
    fn a_key_that_others_can_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("private.key");
        load_or_make(&path).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(load_or_make(&path), Err(GatewayError::KeyExposed { .. })));
    }

    #[test]
    fn another_file_in_its_place_is_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("private.key");
        write_private(&path, b"not a key\n").unwrap();
        assert!(matches!(load_or_make(&path), Err(GatewayError::KeyFormat { .. })));
        assert_eq!(std::fs::read(&path).unwrap(), b"not a key\n");
    }
}
