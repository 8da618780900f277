//! `doorward up`: a small supervisor of two processes of this same binary.
//!
//! The control plane runs without privileges, the gateway opens what it needs; a crash on one side leaves the other
//! standing and is answered with a restart. The supervisor holds no port, no key and no database.

mod account;
mod child;
mod data_dir;
mod low_ports;
mod privilege;
mod ready;

use std::io;
use std::path::{Path, PathBuf};

use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::error::CliError;
use crate::output::{self, Output};
use crate::run::{self, RunCommand};
use child::Child;

pub(crate) use child::take_place;
pub(crate) use low_ports::open_low_ports;

/// Why `doorward up` ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UpError {
    /// Not root.
    #[error("`doorward up` needs root for the TUN device and NAT: run it with sudo or as a service")]
    NotRoot,
    /// There is neither a user `doorward` nor a user `nobody`.
    #[error(
        "there is no user `doorward` and no user `nobody` for the control plane: make one with `useradd --system doorward`"
    )]
    NoAccount,
    /// The data folder holds somebody else's files.
    #[error("{} has files that are not Doorward's: give --data a folder of its own", path.display())]
    NotOurs {
        /// The folder.
        path: PathBuf,
    },
    /// A file or folder could not be prepared.
    #[error("cannot {operation} {}: check that the disk has room and is writable", path.display())]
    Prepare {
        /// A verb.
        operation: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another supervisor holds the lock.
    #[error("another `doorward up` runs on {}: stop it first, or give this one another folder with --data", path.display())]
    AlreadyRunning {
        /// The data folder.
        path: PathBuf,
    },
    /// A child could not be started.
    #[error("cannot start the {part}: the system refused a process")]
    Spawn {
        /// Which part.
        part: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// A child ended at first start. It has said why itself.
    #[error("the {part} did not start, for the reason above")]
    ChildRefused {
        /// Which part.
        part: &'static str,
        /// Its exit code.
        code: u8,
    },
    /// The control plane could not become an ordinary user.
    #[error(transparent)]
    Privilege(#[from] privilege::PrivilegeError),
    /// The supervisor died before this child was ready for it.
    #[error("the `doorward up` that started this {part} is gone: start it again")]
    SupervisorGone {
        /// Which part.
        part: &'static str,
    },
}

impl UpError {
    /// Returns the exit code's number; a child's wrong usage stays one.
    pub(crate) const fn exit_number(&self) -> u8 {
        match self {
            Self::ChildRefused { code, .. } => *code,
            Self::NotRoot
            | Self::NoAccount
            | Self::NotOurs { .. }
            | Self::Prepare { .. }
            | Self::AlreadyRunning { .. }
            | Self::Spawn { .. }
            | Self::Privilege(_)
            | Self::SupervisorGone { .. } => 1,
        }
    }
}

/// Runs both parts until a signal ends them.
///
/// # Errors
/// What keeps them from starting. Nothing ends the supervisor afterwards but a signal.
pub(crate) fn run(config: &Config, data: &Path, out: Output) -> Result<(), CliError> {
    if !rustix::process::geteuid().is_root() {
        return Err(UpError::NotRoot.into());
    }
    // Checked here as well, so that a mistake in the file is told once and before anything is touched.
    let gateway = config.gateway()?;
    let account = account::find()?;
    let lock = data_dir::prepare(data, &account)?;
    // The children's death signal is tied to the thread that starts them, so that thread must be the main one.
    let runtime = crate::cli::runtime()?;
    let ended = runtime.block_on(async {
        let shutdown = CancellationToken::new();
        run::cancel_on_signal(&shutdown)?;
        let announced = CancellationToken::new();
        let control_plane =
            Child::new(RunCommand::ControlPlane, Some(account.ids()), data, config, &shutdown, &announced);
        let gateway_child = Child::new(RunCommand::Gateway, None, data, config, &shutdown, &announced);
        let words = ready::Words { data, config, gateway: &gateway, user: &account.name };
        let (first, second, ()) = tokio::join!(
            control_plane.keep_running(),
            gateway_child.keep_running(),
            ready::announce(&words, out, &shutdown, &announced)
        );
        first.and(second).map_err(CliError::from)
    });
    // A gateway that was killed just before the end has no successor to clear up after it.
    if let Err(error) = doorward_gateway::clear_leftovers(&gateway) {
        output::warn(&format!("the host may not be as it was before: {error}"));
    }
    drop(lock);
    ended
}
