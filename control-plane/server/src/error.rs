//! Why the control plane did not start, or stopped.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Why the control plane ended. Each sentence says what to do.
#[derive(Debug, thiserror::Error)]
pub enum ControlPlaneError {
    /// The configuration cannot work.
    #[error("{0}")]
    Config(String),
    /// The database did not open.
    #[error(transparent)]
    Database(#[from] doorward_store::StoreError),
    /// A file in the data folder could not be written or read.
    #[error("cannot {operation} {}: {hint}", path.display())]
    File {
        /// What was tried, a verb.
        operation: &'static str,
        /// With which file.
        path: PathBuf,
        /// What to do about it.
        hint: &'static str,
        /// Why.
        source: io::Error,
    },
    /// Another control plane serves this data folder.
    #[error("another Doorward serves {}: stop it first, or give this one another folder with --data", path.display())]
    AlreadyRunning {
        /// The socket that answers.
        path: PathBuf,
    },
    /// The other control planes of this database have other keys.
    #[error(
        "the {what} in {} differs from the other control planes' of this database: run `doorward replica export` where one of them runs and `doorward replica import` here, and write the same [network] (if none of them is left, `doorward replica adopt` makes this one the first)",
        path.display()
    )]
    OtherKeys {
        /// What differs.
        what: String,
        /// The data folder.
        path: PathBuf,
    },
    /// A port is taken or cannot be bound.
    #[error("cannot listen on {address} for {what}: {hint}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Which listener.
        what: &'static str,
        /// What to do about it.
        hint: String,
        /// Why.
        source: io::Error,
    },
    /// A certificate could not be made or read.
    #[error("TLS cannot be set up: {message}")]
    Tls {
        /// What is wrong and what to do.
        message: String,
    },
}
