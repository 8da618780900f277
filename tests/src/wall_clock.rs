//! A wall clock that one process alone sees: moved while it runs, by libfaketime. Its boot clock stays everybody's.

use std::fs;
use std::path::{Path, PathBuf};

use crate::doorward::{Doorward, binary, utf8};
use crate::netns::Namespace;
use crate::process::Process;

/// A day in seconds.
pub const DAY: i64 = 86_400;

/// What libfaketime keeps there is gone with the mount namespace that `ip netns exec` makes, however the program ends.
const SHARED_MEMORY: &str = "mount -t tmpfs -o mode=1777 doorward-test /dev/shm && exec \"$@\"";

/// A clock that is handed to a process at its start.
#[derive(Debug)]
pub struct WallClock {
    file: PathBuf,
}

impl WallClock {
    /// Makes a clock that is so many seconds away from this machine's.
    #[must_use]
    pub fn new(folder: &Path, title: &str, ahead: i64) -> Self {
        let clock = Self { file: folder.join(format!("{title}.clock")) };
        clock.set(ahead);
        clock
    }

    /// Sets the clock so many seconds away from this machine's, whatever it was before.
    pub fn set(&self, ahead: i64) {
        // In one step: the file is read at each look at the clock.
        let written = self.file.with_extension("next");
        fs::write(&written, format!("{ahead:+}")).expect("writing a clock");
        fs::rename(&written, &self.file).expect("setting a clock");
    }

    /// Starts `doorward COMMAND…` under this clock.
    #[must_use]
    pub fn start(&self, doorward: &Doorward, machine: &Namespace, command: &[&str]) -> Process {
        let title = format!("doorward-{}", command.join("-"));
        let library = format!("LD_PRELOAD={}", library().display());
        let file = format!("FAKETIME_TIMESTAMP_FILE={}", utf8(&self.file));
        let mut all = vec!["sh", "-c", SHARED_MEMORY, "sh", "env", &library, &file, "FAKETIME_NO_CACHE=1"];
        all.extend(["DONT_FAKE_MONOTONIC=1", utf8(binary())]);
        all.extend(command);
        all.extend(["--config", utf8(&doorward.config), "--data", utf8(&doorward.data)]);
        Process::start(&title, machine, doorward.data.parent().expect("a scenario's folder"), &all, &[])
    }
}

/// The one for programs with threads, wherever this architecture has it.
fn library() -> PathBuf {
    let folders = fs::read_dir("/usr/lib").expect("reading /usr/lib").flatten();
    let found = folders.map(|folder| folder.path().join("faketime/libfaketimeMT.so.1")).find(|path| path.exists());
    found.expect("libfaketime: apt install faketime")
}
