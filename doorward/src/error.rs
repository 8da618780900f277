//! What can go wrong at the command line, and the exit code each has.

use std::error::Error as StdError;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use doorward_control_plane::api::ErrorCode;

use crate::config::ConfigError;
use crate::up::UpError;

/// Why a command failed. Each sentence says what to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    /// The words on the command line do not fit together.
    #[error("{0}")]
    Usage(String),
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The server answered with an error.
    #[error("{message}")]
    Api {
        /// What kind.
        code: ErrorCode,
        /// Its sentence.
        message: String,
    },
    /// Nobody listens on the admin socket.
    #[error("no Doorward answers at {}: start it with `doorward up`, or point --data at its folder", socket.display())]
    NotRunning {
        /// The socket.
        socket: PathBuf,
    },
    /// The admin socket is not for this user.
    #[error("you may not use {}: run this as root, or as a member of the group doorward", socket.display())]
    NotPermitted {
        /// The socket.
        socket: PathBuf,
    },
    /// The admin socket, or the server at `--server`, could not be reached.
    #[error("{server} cannot be reached: check the address, and that Doorward runs there")]
    Unreachable {
        /// The socket or the URL.
        server: String,
        /// What the system said.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// The server at `--server` shows a certificate that is not trusted.
    #[error(
        "the certificate of {server} is not trusted: give Doorward's own certificate with --ca FILE (its tls folder has it)"
    )]
    Certificate {
        /// The URL.
        server: String,
        /// What TLS said.
        source: io::Error,
    },
    /// The connection broke, or nothing came in time.
    #[error(
        "{server} did not finish its answer: look with `doorward status` whether the change was made before trying again"
    )]
    Interrupted {
        /// The socket or the URL.
        server: String,
        /// What happened.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// The answer is no JSON of the expected shape.
    #[error("the answer of {server} was not understood: use the `doorward` program of the server's version")]
    Answer {
        /// The socket or the URL.
        server: String,
        /// What did not fit.
        source: serde_json::Error,
    },
    /// A file on this side.
    #[error("cannot {operation} {}: {hint}", path.display())]
    File {
        /// A verb.
        operation: &'static str,
        /// The file.
        path: PathBuf,
        /// What to do.
        hint: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// Standard output is closed or full.
    #[error("cannot write to standard output: check the disk or the pipe behind it")]
    Stdout {
        /// What the system said.
        source: io::Error,
    },
    /// The command ran and its result is a failure: a broken audit chain, a config that could not be written.
    #[error("{0}")]
    Failed(String),
    /// `doorward up` ended.
    #[error(transparent)]
    Up(#[from] UpError),
    /// The control plane did not start, or stopped.
    #[error(transparent)]
    ControlPlane(#[from] doorward_control_plane::ControlPlaneError),
    /// The gateway did not start, or stopped.
    #[error(transparent)]
    Gateway(#[from] doorward_gateway::GatewayError),
}

impl CliError {
    /// Returns the number of the exit code: 1 failed, 2 wrong usage, 3 not found, 4 refused, 5 server not reachable.
    pub(crate) fn exit_number(&self) -> u8 {
        match self {
            Self::Usage(_) | Self::Config(_) => 2,
            Self::Api { code, .. } => match code {
                ErrorCode::NotFound => 3,
                ErrorCode::Invalid => 2,
                ErrorCode::Refused | ErrorCode::FreshFactorNeeded | ErrorCode::Unauthenticated => 4,
                ErrorCode::Conflict | ErrorCode::Unavailable | ErrorCode::Internal => 1,
            },
            Self::NotRunning { .. }
            | Self::NotPermitted { .. }
            | Self::Unreachable { .. }
            | Self::Certificate { .. } => 5,
            Self::Up(error) => error.exit_number(),
            Self::ControlPlane(doorward_control_plane::ControlPlaneError::Config(_))
            | Self::Gateway(doorward_gateway::GatewayError::Config(_)) => 2,
            Self::Interrupted { .. }
            | Self::Answer { .. }
            | Self::File { .. }
            | Self::Stdout { .. }
            | Self::Failed(_)
            | Self::ControlPlane(_)
            | Self::Gateway(_) => 1,
        }
    }

    /// Returns the exit code.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.exit_number())
    }

    /// Writes the sentence, with the causes behind it in brackets.
    pub(crate) fn sentence(&self) -> String {
        let mut sentence = self.to_string();
        let mut cause = self.source();
        // Bounded: a chain of errors that goes deeper tells a person nothing more.
        for _ in 0..8 {
            let Some(error) = cause else { break };
            let text = error.to_string();
            if !sentence.contains(&text) {
                sentence.push_str(&format!(" ({text})"));
            }
            cause = error.source();
        }
        sentence
    }
}
