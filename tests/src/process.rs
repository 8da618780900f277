//! Long-running programs: started in a namespace, their output kept, killed and waited for when dropped.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::netns::Namespace;
use crate::wait::wait_for;

/// How long a program has to leave by itself before it is killed.
const LEAVE: Duration = Duration::from_secs(12);

/// Lines of a program's output that a failing scenario shows.
const SHOWN_LINES: usize = 60;

/// A program that runs until the scenario ends it.
#[derive(Debug)]
pub struct Process {
    title: String,
    child: Child,
    log: PathBuf,
    over: bool,
}

impl Process {
    /// Starts a program in a namespace; its output goes to `TITLE.log` in `dir`, appended over restarts.
    ///
    /// The kernel kills it when the thread that started it ends, so that a killed test run leaves nothing running.
    #[must_use]
    pub fn start(title: &str, namespace: &Namespace, dir: &Path, command: &[&str], env: &[(&str, &str)]) -> Self {
        let log = dir.join(format!("{title}.log"));
        let file = File::options().create(true).append(true).open(&log).expect("opening a log");
        let mut process = Command::new("setpriv");
        process.args(["--pdeathsig", "KILL", "ip", "netns", "exec", namespace.name()]).args(command);
        for (key, value) in env {
            process.env(key, value);
        }
        let child = process
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("sharing a log"))
            .stderr(file)
            .spawn()
            .expect("running setpriv: apt install util-linux");
        Self { title: title.to_owned(), child, log, over: false }
    }

    /// Returns the process id: `setpriv` and `ip` replace themselves by the program.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Returns what the program printed so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Says whether the program is still there.
    pub fn running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        let _ = kill_process(pid, signal);
    }

    /// Kills the program (`kill -9`) and waits for its end.
    pub fn kill(&mut self) {
        self.over = true;
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Asks the program to end (SIGTERM) and waits for it.
    ///
    /// # Panics
    /// When it does not leave within 12 s.
    #[track_caller]
    pub fn terminate(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait(LEAVE)
    }

    /// Waits for the program's own end.
    ///
    /// # Panics
    /// When it is still running after `bound`.
    #[track_caller]
    pub fn wait(&mut self, bound: Duration) -> ExitStatus {
        let what = format!("the end of {}", self.title);
        let status = wait_for(&what, bound, || self.child.try_wait().expect("waiting for a process"));
        self.over = true;
        status
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let tail = lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n");
            eprintln!("──── {} ────\n{tail}", self.title);
        }
        if self.over {
            return;
        }
        // Once politely, because `doorward up` and wireguard-go clean up behind themselves; then for good.
        self.signal(Signal::TERM);
        for _ in 0..300 {
            if !self.running() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Lists the processes whose parent is `parent`, with their command lines.
#[must_use]
pub fn children(parent: u32) -> Vec<(u32, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").expect("reading /proc").flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
        if status_field(pid, "PPid").is_some_and(|ppid| ppid == parent.to_string()) {
            let line = fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default();
            found.push((pid, line.replace('\0', " ")));
        }
    }
    found
}

/// Reads one field of `/proc/PID/status`, such as `VmRSS`, `CapEff` or `Uid`.
#[must_use]
pub fn status_field(pid: u32, field: &str) -> Option<String> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    Some(line.trim().to_owned())
}

/// Resident memory of a process in KiB.
#[must_use]
pub fn resident_kib(pid: u32) -> u64 {
    let field = status_field(pid, "VmRSS").expect("a living process has a resident size");
    field.trim_end_matches("kB").trim().parse().expect("VmRSS is a number")
}
