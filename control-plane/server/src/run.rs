//! Opening everything in order, serving, and leaving.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use doorward_domain::LeaseTerms;
use doorward_store::Store;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio_util::task::TaskTracker;

use crate::app::accounts::Accounts;
use crate::app::{App, Server};
use crate::clock::Clock;
use crate::feed::Hub;
use crate::http::Visits;
use crate::net::{
    FeedAuthority, PlainAcceptor, SocketAccess, TlsAcceptor, UnixAcceptor, api_tls, bind_unix, create_data_dir,
    feed_tls, serve,
};
use crate::router::{feed_router, web_router};
use crate::{ControlPlaneConfig, ControlPlaneError, Ready, Shutdown, jobs, metrics};

/// Shortest `authority_ttl`: below it, ordinary scheduling delays would pause traffic.
const AUTHORITY_TTL_MIN: Duration = Duration::from_secs(1);
/// How long work that outlives its request may take once the server leaves.
const WORKERS_DRAIN: Duration = Duration::from_secs(2);

/// Everything that is bound, before anything is served.
struct Listeners {
    admin: UnixAcceptor,
    feed_socket: UnixAcceptor,
    https: TcpListener,
    feed: Option<TcpListener>,
    metrics: Option<TcpListener>,
    local_http: Option<TcpListener>,
}

/// See [`crate::run_announcing`].
pub(crate) async fn run(
    config: ControlPlaneConfig,
    shutdown: Shutdown,
    ready: oneshot::Sender<Ready>,
) -> Result<(), ControlPlaneError> {
    check(&config)?;
    create_data_dir(&config.data_dir)?;
    // The sockets come first: they tell whether another server has this folder, before its database is touched.
    let listeners = bind(&config).await?;
    let certificate = api_tls(&config.server, &config.data_dir)?;
    let authority = FeedAuthority::open(&config.data_dir.join("feed-ca"))?;
    let feed_config = feed_tls(&authority)?;
    let app = open(&config, authority, &shutdown).await?;
    let Listeners { admin, feed_socket, https, feed, metrics: metrics_listener, local_http } = listeners;
    let answers = Ready {
        https: local_address(&https, config.server.listen),
        feed: feed.as_ref().zip(config.server.feed_listen).map(|(listener, address)| local_address(listener, address)),
        certificate_sha256: certificate.sha256,
    };
    tracing::info!(listen = %answers.https, certificate.sha256 = %answers.certificate_sha256, "the API answers over HTTPS");
    let (api, socket_feed) = (web_router(&app), feed_router(&app, false));
    let servers = TaskTracker::new();
    servers.spawn(serve(admin, api.clone(), shutdown.clone()));
    servers.spawn(serve(feed_socket, socket_feed, shutdown.clone()));
    servers.spawn(serve(TlsAcceptor::start(https, certificate.config, false), api.clone(), shutdown.clone()));
    if let Some(listener) = local_http {
        tracing::info!(listen = ?config.server.local_http, "the portal answers on this machine over plain HTTP too");
        servers.spawn(serve(PlainAcceptor::new(listener), api, shutdown.clone()));
    }
    if let Some(listener) = feed {
        tracing::info!(listen = ?answers.feed, "gateways on other machines may connect");
        let acceptor = TlsAcceptor::start(listener, feed_config, true);
        servers.spawn(serve(acceptor, feed_router(&app, true), shutdown.clone()));
    }
    if let Some(listener) = metrics_listener {
        servers.spawn(metrics::serve(app.clone(), listener, shutdown.clone()));
    }
    servers.spawn(jobs::run(app.clone(), shutdown.clone()));
    // Nobody has to listen for this.
    let _ = ready.send(answers);
    shutdown.cancelled().await;
    servers.close();
    servers.wait().await;
    app.workers.close();
    if tokio::time::timeout(WORKERS_DRAIN, app.workers.wait()).await.is_err() {
        tracing::info!("receipts that were still awaited are not written down");
    }
    app.store.close().await;
    Ok(())
}

fn check(config: &ControlPlaneConfig) -> Result<(), ControlPlaneError> {
    if config.authority_ttl < AUTHORITY_TTL_MIN {
        return Err(ControlPlaneError::Config(format!(
            "`[authority] ttl` is {:?}: give at least {} s",
            config.authority_ttl,
            AUTHORITY_TTL_MIN.as_secs()
        )));
    }
    if let Some(address) = config.server.local_http.filter(|address| !address.ip().is_loopback()) {
        return Err(ControlPlaneError::Config(format!(
            "`[server] local_http = \"{address}\"` would show passwords to the network: give a loopback address such as 127.0.0.1:8480"
        )));
    }
    Ok(())
}

async fn bind(config: &ControlPlaneConfig) -> Result<Listeners, ControlPlaneError> {
    let admin = bind_unix(&config.data_dir.join("admin.sock"), SocketAccess::Admin)?;
    let feed_socket = bind_unix(&config.data_dir.join("feed.sock"), SocketAccess::Feed)?;
    let https = bind_tcp(config.server.listen, "the API", "listen").await?;
    let feed = match config.server.feed_listen {
        Some(address) => Some(bind_tcp(address, "gateways", "feed_listen").await?),
        None => None,
    };
    let metrics = match config.server.metrics {
        Some(address) => Some(bind_tcp(address, "metrics", "metrics").await?),
        None => None,
    };
    let local_http = match config.server.local_http {
        Some(address) => Some(bind_tcp(address, "browsers on this machine", "local_http").await?),
        None => None,
    };
    Ok(Listeners { admin, feed_socket, https, feed, metrics, local_http })
}

async fn bind_tcp(address: SocketAddr, what: &'static str, key: &str) -> Result<TcpListener, ControlPlaneError> {
    TcpListener::bind(address).await.map_err(|source| {
        let because = if source.kind() == ErrorKind::AddrInUse {
            "another program has this port; stop it, or"
        } else if source.kind() == ErrorKind::PermissionDenied {
            "ports below 1024 need a right that this program gave up;"
        } else if source.kind() == ErrorKind::AddrNotAvailable {
            "this machine does not have that address;"
        } else {
            "the system refused;"
        };
        let hint = format!("{because} set another `[server] {key}`");
        ControlPlaneError::Listen { address, what, hint, source }
    })
}

fn local_address(listener: &TcpListener, configured: SocketAddr) -> SocketAddr {
    listener.local_addr().unwrap_or(configured)
}

async fn open(
    config: &ControlPlaneConfig,
    feed_authority: FeedAuthority,
    shutdown: &Shutdown,
) -> Result<App, ControlPlaneError> {
    let store = Store::open(&config.server.database, &config.data_dir).await?;
    let mut read = store.read().await?;
    let recorded_at_latest = read.latest_recorded_at().await?;
    let revision = read.revision().await?;
    drop(read);
    let (clock, accounts) = (Clock::start(recorded_at_latest), Accounts::open(config)?);
    store.policy_keep(&accounts.policy.version, &accounts.policy.text, clock.now()).await?;
    Ok(Arc::new(Server {
        clock,
        hub: Hub::new(revision.0, shutdown.clone()),
        terms: LeaseTerms { network: config.network, sign_in_window: config.sign_in_window },
        zone: config.zone.clone(),
        portal: config.server.url.clone(),
        routes: config.routes,
        authority_ttl: config.authority_ttl,
        feed_authority,
        remote_feed: config.server.feed_listen.is_some(),
        accounts,
        trusted_proxies: config.server.trusted_proxies.clone(),
        visits: Visits::default(),
        workers: TaskTracker::new(),
        store,
    }))
}
