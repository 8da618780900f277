//! Names that no two scenarios share, and the sweeping up of what a killed test run left.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

/// Prefix of everything that the harness makes on the machine: namespaces, interfaces, folders.
const PREFIX: &str = "dwt";

static SCENARIOS: AtomicU32 = AtomicU32::new(0);
static SWEEP: Once = Once::new();

/// A prefix that is one scenario's alone: `dwt<pid>x<number>`.
///
/// The process id tells a later run whether whoever made a leftover still lives.
#[must_use]
pub fn fresh() -> String {
    SWEEP.call_once(sweep);
    format!("{PREFIX}{}x{}", std::process::id(), SCENARIOS.fetch_add(1, Ordering::Relaxed))
}

/// A name for a network interface (15 characters at most), which also names a UAPI socket that all namespaces share.
#[must_use]
pub fn interface() -> String {
    let number = SCENARIOS.fetch_add(1, Ordering::Relaxed);
    format!("dw{}i{number}", std::process::id())
}

/// Folder for files that other users must be able to reach: Doorward's control plane runs without root.
#[must_use]
pub fn folder(prefix: &str) -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::Builder::new().prefix(&format!("{prefix}-")).tempdir().expect("making a temporary folder");
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).expect("opening the temporary folder");
    dir
}

fn sweep() {
    let listed = Command::new("ip").args(["netns", "list"]).output().expect("running ip: apt install iproute2");
    for line in String::from_utf8_lossy(&listed.stdout).lines() {
        let name = line.split_whitespace().next().unwrap_or_default();
        if orphaned(name) {
            let _ = Command::new("ip").args(["netns", "delete", name]).status();
        }
    }
    for folder in [std::env::temp_dir(), PathBuf::from("/var/run/wireguard")] {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            if orphaned(&entry.file_name().to_string_lossy()) {
                unmount_below(&entry.path());
                remove(&entry.path());
            }
        }
    }
}

/// Takes away what a scenario mounted in its folder: a small disk.
fn unmount_below(folder: &Path) {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    for path in
        mounts.lines().filter_map(|line| line.split(' ').nth(1)).filter(|path| Path::new(path).starts_with(folder))
    {
        let _ = Command::new("umount").args(["--lazy", path]).status();
    }
}

fn remove(path: &Path) {
    let _ = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
}

/// Says whether the harness made this name in a process that is gone.
fn orphaned(name: &str) -> bool {
    let Some(rest) = name.strip_prefix(PREFIX).or_else(|| name.strip_prefix("dw")) else {
        return false;
    };
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    let ours = rest[digits.len()..].starts_with(['x', 'i']);
    ours && !digits.is_empty() && !Path::new("/proc").join(&digits).exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_dead_runs_are_swept() {
        assert!(orphaned("dwt4194304999x3-gateway"));
        assert!(orphaned("dw4194304999i3.sock"));
        assert!(!orphaned(&fresh()));
        assert!(!orphaned("doorward0.sock"));
        assert!(!orphaned("dw0"));
        assert!(interface().len() <= 15);
    }
}
