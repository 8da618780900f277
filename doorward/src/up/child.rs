//! One child: started, watched, restarted with patience, ended.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{UpError, privilege};
use crate::config::{CONFIG_FROM_STDIN, Config};
use crate::error::CliError;
use crate::output;
use crate::run::RunCommand;

/// Tells a child which process supervises it.
const SUPERVISOR_VARIABLE: &str = "DOORWARD_SUPERVISED";

/// Waits between restarts: from 100 ms, doubling, to 5 s.
const RESTART_WAIT_MIN: Duration = Duration::from_millis(100);
const RESTART_WAIT_MAX: Duration = Duration::from_secs(5);

/// A child that ran this long was well; the waits begin anew.
const WELL_AFTER: Duration = Duration::from_secs(30);

/// How long a child may take to leave after SIGTERM.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(10);

/// One of the two parts.
pub(super) struct Child<'a> {
    part: RunCommand,
    ids: Option<(u32, u32)>,
    data: PathBuf,
    config: &'a str,
    shutdown: &'a CancellationToken,
    announced: &'a CancellationToken,
}

/// How a run of the child came to its end.
enum Ended {
    /// By itself.
    Exited(ExitStatus),
    /// Because it was asked to.
    Asked,
}

impl<'a> Child<'a> {
    /// Describes a child; `ids` are the user and group it runs as, root's own without them.
    pub(super) fn new(
        part: RunCommand,
        ids: Option<(u32, u32)>,
        data: &Path,
        config: &'a Config,
        shutdown: &'a CancellationToken,
        announced: &'a CancellationToken,
    ) -> Self {
        Self { part, ids, data: data.to_owned(), config: config.text(), shutdown, announced }
    }

    /// Keeps the child running until `shutdown`, which it cancels itself when the child cannot start at all.
    pub(super) async fn keep_running(&self) -> Result<(), UpError> {
        let ended = self.restart_until_shutdown().await;
        self.shutdown.cancel();
        ended
    }

    async fn restart_until_shutdown(&self) -> Result<(), UpError> {
        let part = self.part.word();
        let mut wait = RESTART_WAIT_MIN;
        loop {
            let started = Instant::now();
            let status = match self.run_once().await? {
                Ended::Asked => return Ok(()),
                Ended::Exited(status) => status,
            };
            if self.shutdown.is_cancelled() {
                return Ok(());
            }
            // Before the first time all was ready, an error of its own is final: restarting would repeat it.
            if let (false, Some(code)) = (self.announced.is_cancelled(), status.code()) {
                let code = u8::try_from(code).ok().filter(|code| *code != 0).unwrap_or(1);
                return Err(UpError::ChildRefused { part, code });
            }
            if started.elapsed() >= WELL_AFTER {
                wait = RESTART_WAIT_MIN;
            }
            output::warn(&format!("the {part} ended ({status}) and is started again in {} ms", wait.as_millis()));
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.shutdown.cancelled() => return Ok(()),
            }
            wait = wait.saturating_mul(2).min(RESTART_WAIT_MAX);
        }
    }

    async fn run_once(&self) -> Result<Ended, UpError> {
        let part = self.part.word();
        let spawn_failed = |source: io::Error| UpError::Spawn { part, source };
        // The running program itself, also where its path is closed to the control plane's user.
        let mut command = std::process::Command::new("/proc/self/exe");
        command.arg0("doorward").args(["run", part, "--config", CONFIG_FROM_STDIN, "--data"]).arg(&self.data);
        command.env(SUPERVISOR_VARIABLE, std::process::id().to_string());
        if let Some((uid, gid)) = self.ids {
            // It becomes that user itself, because it may first have to open a way to the data folder.
            command.env(privilege::ACCOUNT_VARIABLE, format!("{uid}:{gid}"));
        }
        // The service manager hears from the supervisor alone.
        command.env_remove("NOTIFY_SOCKET").current_dir(&self.data).stdin(Stdio::piped());
        let mut child = Command::from(command).spawn().map_err(spawn_failed)?;
        if let Some(mut stdin) = child.stdin.take() {
            // A child that died before reading is seen by its exit.
            let _ = stdin.write_all(self.config.as_bytes()).await;
        }
        tokio::select! {
            status = child.wait() => return status.map(Ended::Exited).map_err(spawn_failed),
            () = self.shutdown.cancelled() => {}
        }
        if let Some(pid) = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw) {
            // It may have left in this moment; the wait below tells.
            let _ = rustix::process::kill_process(pid, Signal::TERM);
        }
        if tokio::time::timeout(LEAVE_TIMEOUT, child.wait()).await.is_err() {
            output::warn(&format!("the {part} did not leave within {} s and is killed", LEAVE_TIMEOUT.as_secs()));
            child.kill().await.map_err(spawn_failed)?;
        }
        Ok(Ended::Asked)
    }
}

/// In a child: gives up root where it was told to, and asks the kernel for SIGTERM when the supervisor dies. Does nothing
/// in a process that has no supervisor.
///
/// # Errors
/// [`UpError::Privilege`], or [`UpError::SupervisorGone`] when the supervisor died before the kernel knew.
pub(crate) fn take_place(part: RunCommand, data_dir: &Path) -> Result<(), CliError> {
    let Ok(supervisor) = std::env::var(SUPERVISOR_VARIABLE) else { return Ok(()) };
    // First this: the kernel forgets the death signal when the user changes.
    privilege::become_named_user(data_dir).map_err(UpError::from)?;
    let gone = || UpError::SupervisorGone { part: part.word() };
    // The process would be listed as `exe`, the last part of the path it was started by.
    let _ = rustix::thread::set_name(c"doorward");
    rustix::process::set_parent_process_death_signal(Some(Signal::TERM)).map_err(|_| gone())?;
    let parent = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().to_string());
    if parent.as_deref() == Some(supervisor.as_str()) { Ok(()) } else { Err(gone().into()) }
}
