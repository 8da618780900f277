//! The control plane's server: it answers the API, decides through the domain, commits through the store and feeds the
//! gateways.

pub mod api;
mod app;
mod client_text;
mod clock;
mod config;
pub mod database;
mod error;
mod feed;
mod http;
mod jobs;
mod metrics;
mod net;
mod router;
mod run;

use std::pin::Pin;

pub use client_text::{ClientTextError, wg_quick};
pub use config::{AcmeSection, ControlPlaneConfig, LdapSection, MailSection, OidcSection, ServerSection};
pub use doorward_domain::{DirectoryTerms, DisuseTerms};
pub use error::ControlPlaneError;
pub use http::pages::page_routes;

/// Tells the server to finish what it does and to leave.
pub type Shutdown = tokio_util::sync::CancellationToken;

/// Where the server answers, once it does.
#[derive(Debug, Clone)]
pub struct Ready {
    /// The API over HTTPS.
    pub https: std::net::SocketAddr,
    /// The feed over mutual TLS, where it is on.
    pub feed: Option<std::net::SocketAddr>,
    /// SHA-256 of the API's certificate, hexadecimal.
    pub certificate_sha256: String,
}

/// The control plane at work: a future that is boxed here, so that whoever runs it does not compile it once more.
pub type Running = Pin<Box<dyn Future<Output = Result<(), ControlPlaneError>> + Send>>;

/// Runs the control plane until `shutdown` is cancelled (on a tokio runtime of several threads).
///
/// # Errors
/// [`ControlPlaneError`] when it cannot start; everything is opened before the first request is answered.
#[must_use]
pub fn run(config: ControlPlaneConfig, shutdown: Shutdown) -> Running {
    let (ready, _) = tokio::sync::oneshot::channel();
    run_announcing(config, shutdown, ready)
}

/// Does what [`run`] does, and sends [`Ready`] once every listener answers.
///
/// # Errors
/// As [`run`].
#[must_use]
pub fn run_announcing(
    config: ControlPlaneConfig,
    shutdown: Shutdown,
    ready: tokio::sync::oneshot::Sender<Ready>,
) -> Running {
    Box::pin(run::run(config, shutdown, ready))
}
