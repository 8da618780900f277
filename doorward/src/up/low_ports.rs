//! Ports below 1024: opened before the control plane gives its privileges away, which is when nothing else is open yet.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use doorward_control_plane::ControlPlaneConfig;

/// The first port that everybody may open.
const FREE_FROM: u16 = 1024;

/// Opens the control plane's ports below 1024. What cannot be opened is left to the server, which says why.
pub(crate) fn open_low_ports(config: &ControlPlaneConfig) -> Vec<Arc<TcpListener>> {
    let server = &config.server;
    let asked_at = Some(config.acme.http_listen).filter(|_| !config.acme.names.is_empty());
    let wanted = [Some(server.listen), server.feed_listen, server.metrics, server.local_http, asked_at];
    let low = wanted.into_iter().flatten().filter(|address: &SocketAddr| (1..FREE_FROM).contains(&address.port()));
    low.filter_map(|address| TcpListener::bind(address).ok().map(Arc::new)).collect()
}
