//! The order in which a gateway opens things, gives up privileges, runs, and undoes everything.
//!
//! Whatever is opened is owned by a value whose drop undoes it, and later ones are dropped first: a gateway that fails
//! half-way and one that is asked to stop leave the host alike. What a gateway that was killed left is cleared by the
//! next one, from the note in [`crate::host_state`].

use std::net::TcpListener as StdTcpListener;
use std::sync::Arc;
use std::time::Duration;

use doorward_gateway_core::{Command, CoreConfig, Gateway, Limits, Share};
use doorward_model::{GatewayHello, PublicKey};
use prometheus_client::metrics::histogram::Histogram;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use x25519_dalek::StaticSecret;

use crate::clock::boot_now;
use crate::config::{FeedAddress, GatewayConfig};
use crate::conntrack::ConntrackFlusher;
use crate::enrol::{EnrolError, Enrolment, enrol};
use crate::error::GatewayError;
use crate::feed_client::{self, FeedClient, FeedStatus};
use crate::host_state::{GatewayDir, HostState, forward_packets, quiet_ipv6};
use crate::http::Connector;
use crate::landing::{self, LandingSockets};
use crate::metrics::{self, Metrics};
use crate::nat::{Inward, NatTable};
use crate::netlink::Netlink;
use crate::planes::Planes;
use crate::resolver::{self, ResolverSockets};
use crate::shards::{self, Equipment, RunningShards, ShardEvent, ShardHandle, ShardStatus};
use crate::tun::{TUN_MTU, TunQueue};
use crate::uapi::{self, UapiSocket};
use crate::udp::{self, UdpSocketBound};
use crate::{key, privileges, tls};

/// How often the host's own addresses are read again: a resource's prefix never covers them.
const OWN_ADDRESSES_EVERY: Duration = Duration::from_secs(5);

/// How long tasks may take to end.
const TASKS_END_WITHIN: Duration = Duration::from_secs(2);

/// What runs, told once it does.
#[derive(Debug, Clone)]
pub struct Ready {
    /// The gateway's public key, which people's configs name.
    pub public_key: PublicKey,
    /// What people's devices dial.
    pub endpoint: String,
    /// The TUN device.
    pub interface: String,
}

/// Runs a gateway until `shutdown` is cancelled, and undoes everything it did to the host.
///
/// Blocks; it has a runtime of its own. Call it from a thread that has no tokio runtime. Capabilities but CAP_NET_ADMIN
/// are dropped for the calling thread and for those started by it, so a process that only runs a gateway calls this from
/// its main thread before it starts others. `ready` is called once, when sockets and the TUN device are up; people
/// pass after the first snapshot and heartbeat.
///
/// # Errors
/// A [`GatewayError`]: one sentence about what is missing or taken, and what to do. The host is as it was before.
pub fn run(config: GatewayConfig, shutdown: CancellationToken, ready: impl FnOnce(&Ready)) -> Result<(), GatewayError> {
    run_announcing(config, shutdown, Box::new(ready))
}

/// What `ready` is does not matter here, so that whoever runs a gateway does not compile it once more.
fn run_announcing(
    config: GatewayConfig,
    shutdown: CancellationToken,
    ready: Box<dyn FnOnce(&Ready) + '_>,
) -> Result<(), GatewayError> {
    privileges::check()?;
    let dir = GatewayDir::open(config.gateway_dir(), &config.data_dir)?;
    let key_path = dir.file("private.key");
    let secret = key::load_or_make(&key_path)?;
    let public_key = key::public_key(&secret, &key_path)?;
    let enrolment = match &config.feed {
        FeedAddress::Unix(_) => Enrolment::Done,
        FeedAddress::Https(_) => {
            Enrolment::find(&config.gateway_dir(), config.enrolment_token_file.as_deref(), &config.name)?
        }
    };
    let opened = Opened::open(&config, &dir)?;
    privileges::join_group_of(&config.data_dir);
    privileges::drop_all_but_net_admin()?;

    // Variables are dropped from last to first: forwarding ends before the rules go.
    let Opened { _nat, _state, uapi, metrics, resolver, landing, tun, sockets } = opened;
    let ports = udp::ports(&sockets);
    let runtime = runtime(2)?;
    let running = {
        let _entered = runtime.enter();
        shards::start(equip(&config, &secret, tun, sockets)?, &ConntrackFlusher::start()?)?
    };
    let is_ready = Ready { public_key, endpoint: config.endpoint.clone(), interface: config.interface.to_string() };
    tracing::info!(
        gateway.name = %config.name,
        public_key = %public_key,
        endpoint = config.endpoint,
        interface = %config.interface,
        v4 = %config.network.v4(),
        v6 = %config.network.v6(),
        nat = config.nat,
        threads = config.threads,
        "the gateway is up; nothing passes before the control plane was heard"
    );
    let listeners = Listeners { metrics, resolver, landing, ports };
    let serving = serve(&config, &enrolment, public_key, running, &uapi, listeners, shutdown, || ready(&is_ready));
    let result = runtime.block_on(serving);
    runtime.shutdown_timeout(TASKS_END_WITHIN);
    tracing::info!("the gateway is down");
    result
}

/// Puts back what a killed gateway of this data folder left on the host; does nothing where there is nothing.
///
/// The next start does the same. This is for whoever supervises gateways and starts no next one.
///
/// # Errors
/// [`GatewayError`] when another gateway runs on the data folder, or a rule cannot be removed.
pub fn clear_leftovers(config: &GatewayConfig) -> Result<(), GatewayError> {
    let dir = GatewayDir::open(config.gateway_dir(), &config.data_dir)?;
    HostState::begin(&dir, config.interface.as_str()).map(drop)
}

fn runtime(threads: usize) -> Result<tokio::runtime::Runtime, GatewayError> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .thread_name("gateway")
        .enable_all()
        .build()
        .map_err(|source| GatewayError::Runtime { source })
}

/// Everything that needs privileges to open. Fields are dropped from first to last: the reverse of opening.
struct Opened {
    uapi: UapiSocket,
    _state: HostState,
    _nat: NatTable,
    metrics: Option<StdTcpListener>,
    resolver: Option<ResolverSockets>,
    landing: Option<LandingSockets>,
    /// One a packet thread.
    tun: Vec<TunQueue>,
    /// One list a packet thread.
    sockets: Vec<Vec<UdpSocketBound>>,
}

impl Opened {
    fn open(config: &GatewayConfig, dir: &GatewayDir) -> Result<Self, GatewayError> {
        let interface = config.interface.as_str();
        let mut state = HostState::begin(dir, interface)?;
        // What can be refused for a configuration's sake comes before what changes the host.
        let sockets = udp::bind_all(&config.listen, config.threads)?;
        let metrics = config.metrics.map(metrics::bind).transpose()?;
        let setup = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|source| GatewayError::Runtime { source })?;
        let (tun, has_v6) = setup.block_on(async {
            let netlink = Netlink::open()?;
            netlink.wait_until_free(interface).await?;
            let tun = TunQueue::create(interface, config.threads)?;
            quiet_ipv6(interface);
            let has_v6 = netlink.set_up(interface, &config.network).await?;
            Ok::<_, GatewayError>((tun, has_v6))
        })?;
        let resolver = open_resolver(config, has_v6, &sockets)?;
        // Rules before forwarding: at no moment does this host forward without them.
        let landing = open_landing(config, has_v6);
        let pages = [config.portal_port, landing.as_ref().map(|_| landing::PORT)];
        let inward = Inward { resolver: resolver.is_some(), pages };
        let nat = NatTable::load(interface, &config.network, config.nat, inward)?;
        forward_packets(&mut state)?;
        let uapi = UapiSocket::bind(interface)?;
        Ok(Self { uapi, _state: state, _nat: nat, metrics, resolver, landing, tun, sockets })
    }
}

/// Binds the resolver's sockets. Where nobody relies on it, another program on port 53 is no reason to stop.
fn open_resolver(
    config: &GatewayConfig,
    has_v6: bool,
    sockets: &[Vec<UdpSocketBound>],
) -> Result<Option<ResolverSockets>, GatewayError> {
    if !config.resolver {
        return Ok(None);
    }
    let beside: Vec<&UdpSocketBound> = sockets.iter().flatten().collect();
    match ResolverSockets::bind(config.interface.as_str(), &config.network, has_v6, &beside) {
        Ok(sockets) => Ok(Some(sockets)),
        Err(error) if config.upstreams.is_empty() => {
            tracing::warn!(%error, "nobody can ask this gateway for names; service addresses work all the same");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Binds the page for quarantine. Where port 80 is somebody else's, people find the portal without it.
fn open_landing(config: &GatewayConfig, has_v6: bool) -> Option<LandingSockets> {
    match LandingSockets::bind(config.interface.as_str(), &config.network, has_v6) {
        Ok(sockets) => Some(sockets),
        Err(error) => {
            tracing::warn!(%error, "port 80 of the tunnel addresses is taken: whoever must sign in again is told so by the portal alone");
            None
        }
    }
}

/// Gives each packet thread its core, its sockets and its queue.
fn equip(
    config: &GatewayConfig,
    secret: &StaticSecret,
    tun: Vec<TunQueue>,
    sockets: Vec<Vec<UdpSocketBound>>,
) -> Result<Vec<Equipment>, GatewayError> {
    let equip = |((share, tun), sockets)| {
        let gateway = make_core(config, secret)?.with_share(share);
        Ok(Equipment { gateway, sockets: Arc::from(sockets), tun })
    };
    Share::all(config.threads).zip(tun).zip(sockets).map(equip).collect()
}

fn make_core(config: &GatewayConfig, secret: &StaticSecret) -> Result<Gateway, GatewayError> {
    let mut seed = [0; 32];
    key::fill_random(&mut seed).map_err(|source| GatewayError::Runtime { source })?;
    Ok(Gateway::new(CoreConfig {
        secret: secret.clone(),
        network: config.network,
        authority_ttl_max: config.authority_ttl,
        limits: Limits { mtu: TUN_MTU, ..Limits::default() },
        seed,
    }))
}

/// What listens besides WireGuard.
struct Listeners {
    metrics: Option<StdTcpListener>,
    resolver: Option<ResolverSockets>,
    landing: Option<LandingSockets>,
    /// The UDP ports where WireGuard really listens.
    ports: Vec<u16>,
}

#[expect(clippy::too_many_arguments, reason = "called once, by the function that opened all of these")]
async fn serve(
    config: &GatewayConfig,
    enrolment: &Enrolment,
    public_key: PublicKey,
    running: RunningShards,
    uapi: &UapiSocket,
    listeners: Listeners,
    shutdown: CancellationToken,
    ready: impl FnOnce(),
) -> Result<(), GatewayError> {
    let RunningShards { handle, events, status, names, ended, threads } = running;
    let (feed_status, feed_seen) = watch::channel(FeedStatus::default());
    let enforcement = metrics::enforcement_histogram();
    // Dropped, and with it every task ended, when this function returns.
    let mut tasks = JoinSet::new();
    let listen_port = config.listen.first().map_or(0, std::net::SocketAddr::port);
    tasks.spawn(uapi::serve(uapi.listener()?, handle.clone(), listen_port));
    let resolves = listeners.resolver.is_some();
    let named = resolver::start(config, listeners.resolver, &handle, names, &mut tasks)?;
    // When the packet threads are gone there is nobody to tell.
    let _told = handle.command(Command::ResolverListens(resolves), boot_now()).await;
    let offered = Command::PortalListens { port: config.portal_port, landing: listeners.landing.is_some() };
    let _told = handle.command(offered, boot_now()).await;
    let in_tunnel = config.portal_port.map(|port| format!("https://{}:{port}", config.network.gateway_v4()));
    let (portal, portal_seen) = watch::channel(in_tunnel);
    if let Some(sockets) = listeners.landing {
        sockets.serve(&portal_seen, &mut tasks)?;
    }
    if let (Some(listener), Some(address)) = (listeners.metrics, config.metrics) {
        let listener =
            tokio::net::TcpListener::from_std(listener).map_err(|source| GatewayError::Metrics { address, source })?;
        let metrics = Metrics::new(handle.clone(), status.clone(), feed_seen, enforcement.clone(), named);
        tasks.spawn(metrics::serve(listener, Arc::new(metrics)));
    }
    let netlink = Netlink::open()?;
    tell_own_addresses(&netlink, &handle, &mut Vec::new()).await?;
    tasks.spawn(follow_own_addresses(netlink, handle.clone()));
    ready();
    let feed = feed(
        config,
        enrolment,
        hello(config, public_key, resolves, listeners.ports),
        FeedParts { handle: handle.clone(), events, status, feed_status, portal, enforcement },
    );
    let result = tokio::select! {
        () = shutdown.cancelled() => Ok(()),
        result = feed => result,
        result = shard_end(ended) => result,
    };
    handle.stop().await;
    drop(tasks);
    let joined = tokio::task::spawn_blocking(move || threads.into_iter().map(std::thread::JoinHandle::join).collect());
    let joined: Result<std::thread::Result<Vec<()>>, _> = joined.await;
    match (result, joined) {
        (Ok(()), Ok(Err(_))) => Err(GatewayError::ShardStopped { message: "it panicked".to_owned() }),
        (result, _) => result,
    }
}

/// Waits until a packet thread ends; the gateway does not go on with the others.
async fn shard_end(ended: Vec<oneshot::Receiver<Result<(), String>>>) -> Result<(), GatewayError> {
    if ended.is_empty() {
        return std::future::pending().await;
    }
    let message = match futures_util::future::select_all(ended).await.0 {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(message)) => message,
        Err(_) => "it panicked".to_owned(),
    };
    Err(GatewayError::ShardStopped { message })
}

fn hello(config: &GatewayConfig, public_key: PublicKey, resolves: bool, ports: Vec<u16>) -> GatewayHello {
    GatewayHello {
        name: config.name.clone(),
        public_key,
        endpoint: config.endpoint.clone(),
        network: config.network,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        resolver: resolves && !config.upstreams.is_empty(),
        ports,
        revision: None,
    }
}

struct FeedParts {
    handle: ShardHandle,
    events: mpsc::Receiver<ShardEvent>,
    status: watch::Receiver<Vec<ShardStatus>>,
    feed_status: watch::Sender<FeedStatus>,
    /// Where people sign in.
    portal: watch::Sender<Option<String>>,
    enforcement: Histogram,
}

/// Enrols if need be, then runs the feed for as long as the packet thread runs.
async fn feed(
    config: &GatewayConfig,
    enrolment: &Enrolment,
    hello: GatewayHello,
    parts: FeedParts,
) -> Result<(), GatewayError> {
    let connector = match &config.feed {
        FeedAddress::Unix(path) => Connector::Unix(path.clone()),
        FeedAddress::Https(named) => {
            let (folder, planes) = (config.gateway_dir(), Arc::new(Planes::new(named.clone())));
            if let Enrolment::Token(token) = enrolment {
                enrol(&folder, &planes, &config.name, token).await?;
                tracing::info!(gateway.name = %config.name, "this gateway is enrolled; its token is used up");
            }
            let tls = tls::enrolled(&folder).map_err(|message| EnrolError::Identity { message })?;
            Connector::Tls { planes, config: Arc::new(tls) }
        }
    };
    feed_client::run(FeedClient {
        connector,
        hello,
        shard: parts.handle,
        shard_status: parts.status,
        events: parts.events,
        status: parts.feed_status,
        portal: parts.portal,
        enforcement: parts.enforcement,
    })
    .await;
    // The packet thread ended; the other branch says why.
    std::future::pending().await
}

async fn follow_own_addresses(netlink: Netlink, shard: ShardHandle) {
    let mut told = Vec::new();
    loop {
        if let Err(error) = tell_own_addresses(&netlink, &shard, &mut told).await {
            tracing::warn!(%error, "cannot read this host's addresses; the last ones known stay refused");
        }
        tokio::time::sleep(OWN_ADDRESSES_EVERY).await;
    }
}

async fn tell_own_addresses(
    netlink: &Netlink,
    shard: &ShardHandle,
    told: &mut Vec<std::net::IpAddr>,
) -> Result<(), GatewayError> {
    let own = netlink.own_addresses().await?;
    if own != *told {
        told.clone_from(&own);
        // When the packet thread is gone there is nobody to tell.
        let _told = shard.command(Command::OwnAddresses(own), boot_now()).await;
    }
    Ok(())
}
