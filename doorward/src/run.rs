//! `doorward run`: one part alone, until a signal ends it.

use clap::Subcommand;
use doorward_control_plane::{ControlPlaneConfig, Ready};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::error::CliError;
use crate::notify::notify;
use crate::{logging, up};

pub(crate) const EXAMPLES: &str = "\
Examples:
  doorward run control-plane --config /etc/doorward/doorward.toml
  DOORWARD_GATEWAY_TOKEN=dwg1... doorward run gateway --config /etc/doorward/doorward.toml";

/// Which part.
#[derive(Debug, Clone, Copy, Subcommand)]
pub(crate) enum RunCommand {
    /// Runs the control plane: API, database, feed
    #[command(
        after_help = "Examples:\n  doorward run control-plane\n  doorward run control-plane --config doorward.toml --data ./data"
    )]
    ControlPlane,
    /// Runs the gateway: WireGuard, TUN, NAT; needs root
    #[command(
        after_help = "Examples:\n  doorward run gateway\n  DOORWARD_GATEWAY_TOKEN=dwg1... doorward run gateway --config doorward.toml"
    )]
    Gateway,
}

impl RunCommand {
    /// Returns the word on the command line.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::ControlPlane => "control-plane",
            Self::Gateway => "gateway",
        }
    }
}

/// Runs the part until SIGTERM, SIGINT or SIGHUP.
///
/// # Errors
/// What the part says when it cannot start, or stops.
pub(crate) fn run(part: RunCommand, config: &Config) -> Result<(), CliError> {
    let mut control_plane_config = config.control_plane();
    if matches!(part, RunCommand::ControlPlane) {
        control_plane_config.opened = up::open_low_ports(&control_plane_config);
    }
    up::take_place(part, config.data_dir())?;
    logging::start();
    match part {
        RunCommand::ControlPlane => control_plane(control_plane_config),
        RunCommand::Gateway => gateway(config),
    }
}

fn control_plane(config: ControlPlaneConfig) -> Result<(), CliError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|source| CliError::Failed(format!("cannot start threads: raise the limit on processes ({source})")))?;
    let shutdown = CancellationToken::new();
    runtime.block_on(async {
        cancel_on_signal(&shutdown)?;
        let (sender, ready) = tokio::sync::oneshot::channel();
        tokio::spawn(async move {
            if let Ok(ready) = ready.await {
                notify("READY=1");
                let Ready { https, feed: _, certificate_sha256 } = ready;
                tracing::info!(%https, certificate.sha256 = certificate_sha256, "the control plane answers");
            }
        });
        Ok(doorward_control_plane::run_announcing(config, shutdown, sender).await?)
    })
}

fn gateway(config: &Config) -> Result<(), CliError> {
    let config = config.gateway()?;
    let shutdown = CancellationToken::new();
    listen_for_signals_without_privileges(&shutdown)?;
    // The gateway drops capabilities thread by thread, so it has the main thread, and the runtime is its own.
    doorward_gateway::run(config, shutdown, |ready| {
        notify("READY=1");
        tracing::info!(
            interface = ready.interface,
            endpoint = ready.endpoint,
            "the gateway is up and waits for its first snapshot"
        );
    })?;
    Ok(())
}

/// Starts a thread that turns the first signal into `shutdown`, and that holds no capability.
fn listen_for_signals_without_privileges(shutdown: &CancellationToken) -> Result<(), CliError> {
    let shutdown = shutdown.clone();
    let (listening, heard) = std::sync::mpsc::channel();
    let listen = move || {
        let runtime = crate::cli::runtime()?;
        runtime.block_on(async {
            let dropped = drop_capabilities();
            let cancelling = dropped.and_then(|()| cancel_on_signal(&shutdown));
            let failed = cancelling.is_err();
            // The receiver waits for exactly one answer, and is there until it has it.
            let _ = listening.send(cancelling);
            if !failed {
                shutdown.cancelled().await;
            }
            Ok::<(), CliError>(())
        })
    };
    let refused = |why: String| CliError::Failed(format!("cannot listen for signals: the system refused ({why})"));
    std::thread::Builder::new().name("signals".to_owned()).spawn(listen).map_err(|error| refused(error.to_string()))?;
    heard.recv().map_err(|error| refused(error.to_string()))?
}

/// Gives up every capability of the calling thread.
fn drop_capabilities() -> Result<(), CliError> {
    use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};
    let none = CapabilitySets {
        effective: CapabilitySet::empty(),
        permitted: CapabilitySet::empty(),
        inheritable: CapabilitySet::empty(),
    };
    set_capabilities(None, none)
        .map_err(|error| CliError::Failed(format!("cannot give up privileges: the system refused ({error})")))
}

/// Cancels the token at the first SIGTERM, SIGINT or SIGHUP; needs a runtime that goes on running.
pub(crate) fn cancel_on_signal(shutdown: &CancellationToken) -> Result<(), CliError> {
    let refused =
        |source: std::io::Error| CliError::Failed(format!("cannot listen for signals: the system refused ({source})"));
    let mut terminate = signal(SignalKind::terminate()).map_err(refused)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(refused)?;
    let mut hang_up = signal(SignalKind::hangup()).map_err(refused)?;
    let shutdown = shutdown.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = hang_up.recv() => {}
        }
        shutdown.cancel();
    });
    Ok(())
}
