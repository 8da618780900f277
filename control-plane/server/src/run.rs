//! Opening everything in order, serving, and leaving.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use doorward_domain::{LeaseTerms, SourceKind};
use doorward_store::{SiteKey, Store, StoreError};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio_util::task::TaskTracker;

use crate::app::accounts::{Accounts, Site};
use crate::app::health::{self, Health};
use crate::app::journal::{Journal, keep_written, settle};
use crate::app::{App, KnownSources, Server};
use crate::clock::Clock;
use crate::feed::{History, Hub, Replicas};
use crate::http::{SourceRate, Visits};
use crate::net::{
    Acme, Certificates, FeedAuthority, Ldap, PlainAcceptor, SocketAccess, TlsAcceptor, UnixAcceptor, bind_unix,
    create_data_dir, feed_tls, open_certificates, portal_tls, serve, sha256,
};
use crate::router::{challenge_router, feed_router, local_router, web_router};
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
    challenges: Option<TcpListener>,
}

/// The certificate in use, and the authority that is asked for the next one.
struct Tls {
    certificates: Arc<Certificates>,
    acme: Option<Acme>,
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
    let site = Site::new(&config.server)?;
    let acme = Acme::new(&config, site.url())?;
    let listeners = bind(&config, acme.as_ref().is_some_and(Acme::needs_http)).await?;
    let certificates = open_certificates(&config, site.url().host_str().unwrap_or_default(), acme.as_ref())?;
    let (portal_config, certificate_sha256) = (portal_tls(&certificates)?, certificates.facts().sha256);
    let authority = FeedAuthority::open(&config.data_dir.join("feed-ca"))?;
    let feed_config = feed_tls(&authority)?;
    let app = open(&config, authority, site, Tls { certificates, acme }, &shutdown).await?;
    let Listeners { admin, feed_socket, https, feed, metrics: metrics_listener, local_http, challenges } = listeners;
    let answers = Ready {
        https: local_address(&https, config.server.listen),
        feed: feed.as_ref().zip(config.server.feed_listen).map(|(listener, address)| local_address(listener, address)),
        certificate_sha256,
    };
    tracing::info!(listen = %answers.https, certificate.sha256 = %answers.certificate_sha256, "the API answers over HTTPS");
    let (api, socket_feed) = (web_router(&app), feed_router(&app, false));
    let servers = TaskTracker::new();
    servers.spawn(serve(admin, api.clone(), shutdown.clone()));
    servers.spawn(serve(feed_socket, socket_feed, shutdown.clone()));
    servers.spawn(serve(TlsAcceptor::start(https, portal_config, false), api.clone(), shutdown.clone()));
    if let Some(listener) = local_http {
        tracing::info!(listen = ?config.server.local_http, "the portal answers on this machine over plain HTTP too");
        servers.spawn(serve(PlainAcceptor::new(listener), local_router(api), shutdown.clone()));
    }
    if let Some(listener) = challenges {
        servers.spawn(serve(PlainAcceptor::new(listener), challenge_router(&app), shutdown.clone()));
    }
    if let Some(listener) = feed {
        tracing::info!(listen = ?answers.feed, "gateways on other machines may connect");
        let acceptor = TlsAcceptor::start(listener, feed_config, true);
        servers.spawn(serve(acceptor, feed_router(&app, true), shutdown.clone()));
    }
    if let Some(listener) = metrics_listener {
        servers.spawn(metrics::serve(app.clone(), listener, shutdown.clone()));
    }
    let files = config.server.tls_certificate.zip(config.server.tls_key);
    servers.spawn(jobs::run(app.clone(), files, shutdown.clone()));
    servers.spawn(until(shutdown.clone(), app.clone()));
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

/// Looks after the database, and writes what it did not take.
async fn until(shutdown: Shutdown, app: App) {
    tokio::select! {
        () = shutdown.cancelled() => {}
        ((), ()) = async { tokio::join!(health::watch(&app), keep_written(&app)) } => {}
    }
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

async fn bind(config: &ControlPlaneConfig, challenges: bool) -> Result<Listeners, ControlPlaneError> {
    let admin = bind_unix(&config.data_dir.join("admin.sock"), SocketAccess::Admin)?;
    let feed_socket = bind_unix(&config.data_dir.join("feed.sock"), SocketAccess::Feed)?;
    let (server, opened) = (&config.server, config.opened.as_slice());
    let https = bind_tcp(opened, server.listen, "the API", "[server] listen").await?;
    let feed = maybe(opened, server.feed_listen, "gateways", "[server] feed_listen").await?;
    let metrics = maybe(opened, server.metrics, "metrics", "[server] metrics").await?;
    let local_http = maybe(opened, server.local_http, "browsers on this machine", "[server] local_http").await?;
    let asked_at = challenges.then_some(config.acme.http_listen);
    let challenges = maybe(opened, asked_at, "the certificate authority", "[acme] http_listen").await?;
    Ok(Listeners { admin, feed_socket, https, feed, metrics, local_http, challenges })
}

async fn maybe(
    opened: &[Arc<std::net::TcpListener>],
    address: Option<SocketAddr>,
    what: &'static str,
    key: &str,
) -> Result<Option<TcpListener>, ControlPlaneError> {
    match address {
        Some(address) => bind_tcp(opened, address, what, key).await.map(Some),
        None => Ok(None),
    }
}

/// Binds an address, or takes the listener that was opened on it before this process gave its privileges up.
async fn bind_tcp(
    opened: &[Arc<std::net::TcpListener>],
    address: SocketAddr,
    what: &'static str,
    key: &str,
) -> Result<TcpListener, ControlPlaneError> {
    let there = opened.iter().find(|listener| listener.local_addr().is_ok_and(|it| it == address));
    let bound = match there {
        Some(listener) => {
            listener.set_nonblocking(true).and_then(|()| listener.try_clone()).and_then(TcpListener::from_std)
        }
        None => TcpListener::bind(address).await,
    };
    bound.map_err(|source| {
        let because = if source.kind() == ErrorKind::AddrInUse {
            "another program has this port; stop it, or"
        } else if source.kind() == ErrorKind::PermissionDenied {
            "ports below 1024 need a right that this program gave up;"
        } else if source.kind() == ErrorKind::AddrNotAvailable {
            "this machine does not have that address;"
        } else {
            "the system refused;"
        };
        let hint = format!("{because} set another `{key}`");
        ControlPlaneError::Listen { address, what, hint, source }
    })
}

fn local_address(listener: &TcpListener, configured: SocketAddr) -> SocketAddr {
    listener.local_addr().unwrap_or(configured)
}

async fn open(
    config: &ControlPlaneConfig,
    feed_authority: FeedAuthority,
    site: Site,
    Tls { certificates, acme }: Tls,
    shutdown: &Shutdown,
) -> Result<App, ControlPlaneError> {
    let ldap = Ldap::new(&config.ldap)?;
    let store = Store::open(&config.server.database, &config.data_dir).await?;
    let mut read = store.read().await?;
    let recorded_at_latest = read.latest_recorded_at().await?;
    let revision = read.revision().await?;
    if let Some(ldap) = &ldap
        && let Some(other) = read.source_by_name(&ldap.name).await?.filter(|source| source.kind != SourceKind::Ldap)
    {
        return Err(ControlPlaneError::Config(format!(
            "`[ldap] name = \"{}\"` is a source of another kind ({}) already: choose another name",
            other.name, other.kind
        )));
    }
    drop(read);
    let (clock, accounts) = (Clock::start(recorded_at_latest), Accounts::open(config, site)?);
    check_replica(config, &store, &feed_authority, &accounts, clock.now()).await?;
    // What the last run left comes before anything else is written.
    let journal = Journal::open(&config.data_dir, &store).await?;
    let kept = store.policy_keep(&accounts.policy.version, &accounts.policy.text, clock.now()).await;
    match kept {
        Ok(()) => {}
        // Nobody joins without the database either; the next start keeps it.
        Err(error @ (StoreError::HeldBack | StoreError::ReadOnly(_) | StoreError::Full(_))) => {
            tracing::warn!(%error, "the access policy could not be kept yet");
        }
        Err(error) => return Err(error.into()),
    }
    let app = Arc::new(Server {
        health: Health::default(),
        journal,
        sources: KnownSources::default(),
        hub: Hub::new(revision.0, shutdown.clone()),
        history: History::open(&config.data_dir),
        replicas: Replicas::new(config.server.replica.as_deref(), clock.now()),
        terms: LeaseTerms { network: config.network, sign_in_window: config.sign_in_window },
        directory: config.directory,
        ldap,
        disuse: config.disuse,
        source_rate: SourceRate::default(),
        zone: config.zone.clone(),
        portal: config.server.url.clone(),
        routes: config.routes,
        authority_ttl: config.authority_ttl,
        feed_authority,
        remote_feed: config.server.feed_listen.is_some(),
        accounts,
        trusted_proxies: config.server.trusted_proxies.clone(),
        certificates,
        acme,
        visits: Visits::default(),
        receipts: metrics::Receipts::new(),
        clock,
        workers: TaskTracker::new(),
        store,
    });
    settle(&app).await;
    Ok(app)
}

/// Refuses to run beside replicas that have other keys or another network: what one of them sealed, signed or handed out
/// would count for nothing at the others.
async fn check_replica(
    config: &ControlPlaneConfig,
    store: &Store,
    feed_authority: &FeedAuthority,
    accounts: &Accounts,
    now: doorward_model::Timestamp,
) -> Result<(), ControlPlaneError> {
    if !store.is_shared() {
        return Ok(());
    }
    let network = format!("{} {} {}", config.network.v4(), config.network.v6(), config.zone);
    let keys = [
        SiteKey { name: "seal key", fingerprint: accounts.seal.fingerprint() },
        SiteKey { name: "feed authority", fingerprint: sha256(feed_authority.certificate()) },
        SiteKey { name: "[network]", fingerprint: sha256(network.as_bytes()) },
    ];
    let differing = match store.site_keys_differing(&keys, now).await {
        Ok(differing) => differing,
        Err(error @ (StoreError::ReadOnly(_) | StoreError::Full(_))) => {
            tracing::warn!(%error, "the keys could not be compared with the other control planes'");
            return Ok(());
        }
        Err(error) => return Err(error.into()),
    };
    if differing.is_empty() {
        return Ok(());
    }
    Err(ControlPlaneError::OtherKeys { what: differing.join(" and "), path: config.data_dir.clone() })
}
