//! What the control plane is told: its own section of the file, and what the whole file decides for it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use doorward_model::{DnsName, TunnelNetwork};
use serde::Deserialize;

use crate::api::Routes;

/// `[server]` of `doorward.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServerSection {
    /// Where the API listens (HTTPS). Default `0.0.0.0:8443`.
    pub listen: SocketAddr,
    /// How people reach it, such as `https://door.shop.example:8443`; its host goes into the generated certificate.
    pub url: Option<String>,
    /// `sqlite:FILE`, relative to the data folder, or `postgres://…`. Default `sqlite:doorward.db`.
    pub database: String,
    /// Where gateways on other machines connect (mutual TLS), such as `0.0.0.0:8444`. Absent: none can.
    pub feed_listen: Option<SocketAddr>,
    /// A certificate chain in PEM; absent: one is generated in the data folder. Goes with `tls_key`.
    pub tls_certificate: Option<PathBuf>,
    /// The certificate's private key in PEM.
    pub tls_key: Option<PathBuf>,
    /// Where Prometheus reads metrics (plain HTTP), such as `127.0.0.1:9587`. Absent: nowhere.
    pub metrics: Option<SocketAddr>,
}

impl Default for ServerSection {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([0, 0, 0, 0], 8443)),
            url: None,
            database: "sqlite:doorward.db".to_owned(),
            feed_listen: None,
            tls_certificate: None,
            tls_key: None,
            metrics: None,
        }
    }
}

/// All that [`crate::run`] needs to know.
#[derive(Debug, Clone)]
pub struct ControlPlaneConfig {
    /// Its own section.
    pub server: ServerSection,
    /// The tunnel's network, the same as the gateways'.
    pub network: TunnelNetwork,
    /// The zone in which each resource has its name.
    pub zone: DnsName,
    /// What people's configs route.
    pub routes: Routes,
    /// How long a gateway goes on enforcing what it last heard; at least 1 s.
    pub authority_ttl: Duration,
    /// How long a sign-in lasts; zero: leases follow grants alone.
    pub sign_in_window: Duration,
    /// The data folder; it exists and is writable.
    pub data_dir: PathBuf,
}
