//! What the gateway changed on the host, written down before it is changed, so that a gateway that was killed leaves
//! a note for the next one.

use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::GatewayError;
use crate::key::write_private;
use crate::{nat, uapi};

/// A kernel setting and what it was before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct SavedSetting {
    path: PathBuf,
    value: String,
}

/// The note itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Note {
    interface: String,
    settings: Vec<SavedSetting>,
}

/// The gateway's folder, locked: one gateway for each data folder.
pub(crate) struct GatewayDir {
    path: PathBuf,
    /// Locked for as long as it is open; the kernel unlocks it when the process ends, however it ends.
    _lock: File,
}

impl GatewayDir {
    /// Makes the folder if need be and locks it.
    ///
    /// # Errors
    /// [`GatewayError::DataDir`], [`GatewayError::AlreadyRunning`].
    pub(crate) fn open(path: PathBuf, data_dir: &Path) -> Result<Self, GatewayError> {
        let failed = |source| GatewayError::DataDir { path: path.clone(), source };
        if let Err(error) = DirBuilder::new().recursive(true).mode(0o700).create(&path)
            && error.kind() != io::ErrorKind::AlreadyExists
        {
            return Err(failed(error));
        }
        let lock = File::create(path.join("lock")).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path, _lock: lock }),
            Err(std::fs::TryLockError::WouldBlock) => Err(GatewayError::AlreadyRunning { path: data_dir.to_owned() }),
            Err(std::fs::TryLockError::Error(source)) => Err(failed(source)),
        }
    }

    /// Returns the path of a file in the folder.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

/// The changes of this run. Dropping it puts every setting back, last change first, and removes the note.
pub(crate) struct HostState {
    file: PathBuf,
    note: Note,
}

impl HostState {
    /// Clears what a killed gateway left, by its note, and starts a note of its own.
    ///
    /// # Errors
    /// [`GatewayError::DataDir`] when the note cannot be written; [`GatewayError::Nft`] and
    /// [`GatewayError::NftMissing`] when an old table cannot be removed.
    pub(crate) fn begin(dir: &GatewayDir, interface: &str) -> Result<Self, GatewayError> {
        let file = dir.file("host-state.json");
        match std::fs::read(&file) {
            Ok(bytes) => clear(&bytes)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => (),
            Err(source) => return Err(GatewayError::DataDir { path: file, source }),
        }
        let state = Self { file, note: Note { interface: interface.to_owned(), settings: Vec::new() } };
        state.write()?;
        Ok(state)
    }

    /// Sets a kernel setting and remembers what it was; one that has that value already is left alone.
    ///
    /// # Errors
    /// [`GatewayError::Sysctl`], [`GatewayError::DataDir`].
    pub(crate) fn set(&mut self, path: &Path, value: &str) -> Result<(), GatewayError> {
        let failed = |source| GatewayError::Sysctl { path: path.to_owned(), value: value.to_owned(), source };
        let before = std::fs::read_to_string(path).map_err(failed)?.trim().to_owned();
        if before == value {
            return Ok(());
        }
        self.note.settings.push(SavedSetting { path: path.to_owned(), value: before });
        self.write()?;
        std::fs::write(path, value).map_err(failed)
    }

    fn write(&self) -> Result<(), GatewayError> {
        let failed = |source| GatewayError::DataDir { path: self.file.clone(), source };
        let text = serde_json::to_vec_pretty(&self.note).map_err(|error| failed(error.into()))?;
        write_private(&self.file, &text).map_err(failed)
    }
}

impl Drop for HostState {
    fn drop(&mut self) {
        restore(&self.note.settings);
        if let Err(error) = std::fs::remove_file(&self.file) {
            tracing::warn!(path = %self.file.display(), %error, "cannot remove the note of what was changed on this host");
        }
    }
}

fn clear(note: &[u8]) -> Result<(), GatewayError> {
    let Ok(note) = serde_json::from_slice::<Note>(note) else {
        // Written whole or not at all, so this is not ours; nothing in it can be trusted to be put back.
        tracing::warn!("the note of what an earlier gateway changed on this host is unreadable and is ignored");
        return Ok(());
    };
    tracing::info!(interface = note.interface, "clearing what a gateway that was killed left on this host");
    nat::remove_table(&note.interface)?;
    uapi::remove_stale(&note.interface);
    restore(&note.settings);
    Ok(())
}

fn restore(settings: &[SavedSetting]) {
    for setting in settings.iter().rev() {
        // A note never leads outside of the kernel's own settings, even if somebody wrote into it.
        let is_setting = setting.path.starts_with("/proc/sys/net")
            && setting.path.components().all(|part| !matches!(part, std::path::Component::ParentDir));
        if !is_setting {
            continue;
        }
        match std::fs::write(&setting.path, &setting.value) {
            Ok(()) => (),
            // The interface that the setting belonged to went away.
            Err(error) if error.kind() == io::ErrorKind::NotFound => (),
            Err(error) => {
                tracing::warn!(path = %setting.path.display(), value = setting.value, %error, "cannot put a kernel setting back");
            }
        }
    }
}

/// Turns forwarding on for both families.
///
/// Turning it on for IPv6 makes the kernel ignore router advertisements (Documentation/networking/ip-sysctl.rst,
/// `accept_ra`), which would take a host's default route away; where they are accepted they stay accepted.
///
/// # Errors
/// [`GatewayError::Sysctl`], [`GatewayError::DataDir`].
pub(crate) fn forward_packets(state: &mut HostState) -> Result<(), GatewayError> {
    state.set(Path::new("/proc/sys/net/ipv4/ip_forward"), "1")?;
    let forwarding = Path::new("/proc/sys/net/ipv6/conf/all/forwarding");
    if !forwarding.exists() {
        return Ok(());
    }
    if std::fs::read_to_string(forwarding).is_ok_and(|value| value.trim() == "0") {
        for entry in std::fs::read_dir("/proc/sys/net/ipv6/conf").into_iter().flatten().flatten() {
            let path = entry.path().join("accept_ra");
            if std::fs::read_to_string(&path).is_ok_and(|value| value.trim() == "1") {
                state.set(&path, "2")?;
            }
        }
    }
    state.set(forwarding, "1")
}

/// Keeps the kernel from talking IPv6 by itself on the tunnel: no link-local address, no router solicitations.
pub(crate) fn quiet_ipv6(interface: &str) {
    for (name, value) in [("addr_gen_mode", "1"), ("accept_ra", "0"), ("router_solicitations", "0")] {
        // Goes away with the interface; absent where there is no IPv6.
        let path = Path::new("/proc/sys/net/ipv6/conf").join(interface).join(name);
        if path.exists()
            && let Err(error) = std::fs::write(&path, value)
        {
            tracing::debug!(path = %path.display(), %error, "cannot quiet IPv6 on the tunnel device");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_gateway_on_one_folder_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let first = GatewayDir::open(dir.path().join("gateway"), dir.path()).unwrap();
        let second = GatewayDir::open(dir.path().join("gateway"), dir.path());
        assert!(matches!(second, Err(GatewayError::AlreadyRunning { .. })));
        drop(first);
        assert!(GatewayDir::open(dir.path().join("gateway"), dir.path()).is_ok());
    }

    #[test]
    fn a_note_cannot_write_outside_of_the_kernels_settings() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("victim");
        std::fs::write(&file, "kept").unwrap();
        let up = PathBuf::from(format!("/proc/sys/net/../../..{}", file.display()));
        restore(&[
            SavedSetting { path: file.clone(), value: "gone".into() },
            SavedSetting { path: up, value: "gone".into() },
        ]);
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "kept");
    }
}
