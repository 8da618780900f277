//! The `[gateway]` section of `doorward.toml`, parsed once into what cannot be wrong afterwards.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::Duration;

use doorward_gateway_core::SHARES_MAX;
use doorward_model::{DnsName, GatewayName, TunnelNetwork};
use serde::{Deserialize, Deserializer};

/// Listening sockets at most: one thread reads them all in turn.
pub const LISTEN_MAX: usize = 16;

/// Packet threads by default, at most: eight cores seal more than a 40 Gbit/s link carries.
const THREADS_BY_DEFAULT_MAX: u16 = 8;

/// Upstreams of the resolver at most: each has 3 s, and a device waits no longer than a few of them.
pub const UPSTREAMS_MAX: usize = 4;

/// Control planes at most: a round through them must stay short.
const CONTROL_PLANES_MAX: usize = 8;

/// Why the `[gateway]` section is no usable configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A name that Linux or `wg-quick` would not take.
    #[error(
        "`[gateway] interface = \"{text}\"` is no interface name: use 1 to 15 letters, digits or `_=+.-`, such as doorward0"
    )]
    Interface {
        /// The text, without control characters.
        text: String,
    },
    /// An egress that does not exist.
    #[error("`[gateway] egress = \"{text}\"` does not exist: the egress there is is \"tun\"")]
    Egress {
        /// The text, without control characters.
        text: String,
    },
    /// No listening address at all, or too many.
    #[error("`[gateway] listen` must name 1 to {LISTEN_MAX} addresses, such as [\"0.0.0.0:51820\", \"[::]:51820\"]")]
    Listen,
    /// A port of 0 among the listening addresses.
    #[error("`[gateway] listen` names {address}, which has no port: give a port from 1 to 65535")]
    ListenPort {
        /// The address.
        address: SocketAddr,
    },
    /// The same address twice.
    #[error("`[gateway] listen` names {address} twice: leave one of them out")]
    ListenTwice {
        /// The address.
        address: SocketAddr,
    },
    /// Not `host:port`.
    #[error(
        "`[gateway] endpoint = \"{text}\"` is nothing a device can dial: write HOST:PORT, such as 203.0.113.2:51820, [2001:db8::2]:51820 or door.shop.example:51820"
    )]
    Endpoint {
        /// The text, without control characters.
        text: String,
    },
    /// No endpoint was given and none could be found.
    #[error(
        "this machine has no route to the outside, so the address that people's devices dial is unknown: set `[gateway] endpoint = \"HOST:PORT\"`"
    )]
    EndpointUnknown,
    /// Not an `https` URL.
    #[error(
        "`[gateway] control_plane = \"{text}\"` is no feed address: write https://HOST:PORT, such as https://door.shop.example:8444"
    )]
    ControlPlane {
        /// The text, without control characters.
        text: String,
    },
    /// Both ways to name control planes.
    #[error("`[gateway] control_plane` and `control_planes` say the same: write all of them into `control_planes`")]
    ControlPlaneTwice,
    /// Too many of them.
    #[error("`[gateway] control_planes` may name {CONTROL_PLANES_MAX} control planes at most")]
    ControlPlanes,
    /// An upstream that cannot be asked, or too many.
    #[error(
        "`[gateway] upstreams` must name up to {UPSTREAMS_MAX} resolvers outside Doorward's own network, such as [\"9.9.9.9\", \"149.112.112.112\"]"
    )]
    Upstreams,
    /// Upstreams without the resolver that would ask them.
    #[error("`[gateway] upstreams` are asked by the resolver: leave them out, or set `resolver = true`")]
    UpstreamsUnused,
    /// No packet thread, or too many.
    #[error("`[gateway] threads` must be 1 to {SHARES_MAX}; leave it out for one packet thread a processor")]
    Threads,
    /// An authority of nothing, or of more than an hour.
    #[error("`[authority] ttl` must be between 1s and 1h for a gateway")]
    AuthorityTtl,
}

/// The `[gateway]` section as it stands in the file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GatewaySection {
    /// This gateway's name, unique on its control plane.
    pub name: GatewayName,
    /// What people's devices dial, `HOST:PORT`; by default this machine's outward address and the first listening port.
    pub endpoint: Option<String>,
    /// Where WireGuard listens: `ADDRESS:PORT`, or `:PORT` for all addresses of both families. Several ports help where
    /// a network lets UDP through at 443 or 53 alone; each is answered from where it was asked.
    #[serde(deserialize_with = "listen_addresses")]
    pub listen: Vec<SocketAddr>,
    /// Packet threads: each has a core of its own and owns a part of the devices. Absent means one for each processor,
    /// 8 at most.
    pub threads: Option<u16>,
    /// The name of the TUN device.
    pub interface: String,
    /// How packets leave towards resources; `tun` is the one there is.
    pub egress: String,
    /// Whether packets towards resources carry this machine's address (true) or the device's own (false, routed mode).
    pub nat: bool,
    /// Whether connected devices may ask for resources' names on the gateway's tunnel addresses, port 53.
    pub resolver: bool,
    /// Resolvers that are asked for every other name, in this order: `ADDRESS` or `ADDRESS:PORT`. Only where there are any
    /// may a device's config send all its names here. Nothing about them is logged.
    #[serde(deserialize_with = "upstream_addresses")]
    pub upstreams: Vec<SocketAddr>,
    /// Where Prometheus metrics are served; the text `off` turns them off.
    #[serde(deserialize_with = "metrics_address")]
    pub metrics: Option<SocketAddr>,
    /// The feed of a control plane on another machine; absent means the Unix socket in the data folder.
    pub control_plane: Option<String>,
    /// The feeds of several control planes on one database: whichever answers is used, and the next one when it does not.
    pub control_planes: Vec<String>,
    /// A file with the one-time enrolment token; the variable `DOORWARD_GATEWAY_TOKEN` goes before it.
    pub enrolment_token_file: Option<PathBuf>,
}

impl Default for GatewaySection {
    fn default() -> Self {
        #[expect(clippy::unwrap_used, reason = "a literal that a test parses")]
        let name = "main".parse().unwrap();
        Self {
            name,
            endpoint: None,
            listen: vec![
                SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 51820),
                SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 51820),
            ],
            threads: None,
            interface: "doorward0".to_owned(),
            egress: "tun".to_owned(),
            nat: true,
            resolver: true,
            upstreams: Vec::new(),
            metrics: Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9586)),
            control_plane: None,
            control_planes: Vec::new(),
            enrolment_token_file: None,
        }
    }
}

fn listen_addresses<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<SocketAddr>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    let mut addresses = Vec::with_capacity(texts.len());
    for text in &texts {
        let wrong = || {
            serde::de::Error::custom(format!(
                "`{}` is no listening address: write ADDRESS:PORT, such as 0.0.0.0:51820 or [::]:51820, or :51820 for both",
                shorten(text)
            ))
        };
        match text.strip_prefix(':') {
            Some(port) => {
                // `parse` alone would take a sign.
                let digits = port.bytes().all(|byte| byte.is_ascii_digit());
                let port = port.parse().ok().filter(|_| digits).ok_or_else(wrong)?;
                addresses.push(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port));
                addresses.push(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port));
            }
            None => addresses.push(text.parse().map_err(|_| wrong())?),
        }
    }
    Ok(addresses)
}

fn upstream_addresses<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<SocketAddr>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    let parse = |text: &String| {
        let bare = text.parse().map(|address: IpAddr| SocketAddr::new(address, 53));
        bare.or_else(|_| text.parse()).map_err(|_| {
            serde::de::Error::custom(format!(
                "`{}` is no resolver's address: write ADDRESS or ADDRESS:PORT, such as 9.9.9.9",
                shorten(text)
            ))
        })
    };
    texts.iter().map(parse).collect()
}

fn metrics_address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SocketAddr>, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text == "off" {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| {
        serde::de::Error::custom(format!(
            "`{}` is no address for metrics: write ADDRESS:PORT, such as 127.0.0.1:9586, or off",
            shorten(&text)
        ))
    })
}

/// The name of a network interface: 1 to 15 of `[a-zA-Z0-9_=+.-]`, and neither `.` nor `..`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InterfaceName(String);

impl InterfaceName {
    /// Reads a name.
    ///
    /// # Errors
    /// [`ConfigError::Interface`] for anything that `wg-quick` would not take either.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let fits = (1..=15).contains(&text.len())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || "_=+.-".contains(c))
            // A name that starts with `-` would be read as an option by other tools; `.` and `..` are folders in sysfs.
            && !text.starts_with('-')
            && !matches!(text, "." | "..");
        if fits { Ok(Self(text.to_owned())) } else { Err(ConfigError::Interface { text: shorten(text) }) }
    }

    /// Returns the name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for InterfaceName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where the feed is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FeedAddress {
    /// A control plane on this machine.
    Unix(PathBuf),
    /// Control planes elsewhere, over mutual TLS: DNS names or addresses, without brackets, and ports. One at least.
    Https(Vec<(String, u16)>),
}

/// Everything a gateway needs to start, checked.
#[derive(Debug, Clone)]
pub struct GatewayConfig {
    /// This gateway's name.
    pub name: GatewayName,
    /// What people's devices dial, `HOST:PORT`.
    pub endpoint: String,
    /// Where WireGuard listens; 1 to [`LISTEN_MAX`], no two alike.
    pub listen: Vec<SocketAddr>,
    /// Packet threads, 1 to [`SHARES_MAX`].
    pub threads: u16,
    /// The name of the TUN device.
    pub interface: InterfaceName,
    /// Whether packets towards resources carry this machine's address.
    pub nat: bool,
    /// The zone that resources have their names in.
    pub zone: DnsName,
    /// Whether devices may ask for names.
    pub resolver: bool,
    /// Whom it asks for names of others, [`UPSTREAMS_MAX`] at most.
    pub upstreams: Vec<SocketAddr>,
    /// Where metrics are served, if at all.
    pub metrics: Option<SocketAddr>,
    /// The TCP port of the portal, where the control plane is on this machine and listens on all of its addresses.
    pub portal_port: Option<u16>,
    /// Where the feed is.
    pub feed: FeedAddress,
    /// A file with the one-time enrolment token.
    pub enrolment_token_file: Option<PathBuf>,
    /// The tunnel network.
    pub network: TunnelNetwork,
    /// The longest authority this gateway accepts, whatever a heartbeat says; 1 s to 1 h.
    pub authority_ttl: Duration,
    /// The folder that holds `gateway/` and, on a control plane's own machine, `feed.sock`.
    pub data_dir: PathBuf,
}

impl GatewayConfig {
    /// Checks a section and completes it: the outward address is asked of the routing table, and nothing is sent.
    ///
    /// # Errors
    /// A [`ConfigError`] that names the key and says what to write instead.
    pub fn new(
        section: GatewaySection,
        network: TunnelNetwork,
        authority_ttl: Duration,
        data_dir: PathBuf,
    ) -> Result<Self, ConfigError> {
        let interface = InterfaceName::parse(&section.interface)?;
        if section.egress != "tun" {
            return Err(ConfigError::Egress { text: shorten(&section.egress) });
        }
        check_listen(&section.listen)?;
        check_upstreams(&section, &network)?;
        if authority_ttl < Duration::from_secs(1) || authority_ttl > Duration::from_secs(3600) {
            return Err(ConfigError::AuthorityTtl);
        }
        let endpoint = match &section.endpoint {
            Some(text) => parse_endpoint(text)?,
            None => default_endpoint(&section.listen).ok_or(ConfigError::EndpointUnknown)?,
        };
        let feed = feed_address(&section, &data_dir)?;
        Ok(Self {
            name: section.name,
            endpoint,
            listen: section.listen,
            threads: threads(section.threads)?,
            interface,
            nat: section.nat,
            zone: DnsName::zone_default(),
            resolver: section.resolver,
            upstreams: section.upstreams,
            metrics: section.metrics,
            portal_port: None,
            feed,
            enrolment_token_file: section.enrolment_token_file,
            network,
            authority_ttl,
            data_dir,
        })
    }

    /// Lets devices reach the portal of a control plane on this machine, on that TCP port of the tunnel addresses.
    #[must_use]
    pub fn with_portal(self, port: Option<u16>) -> Self {
        Self { portal_port: port, ..self }
    }

    /// Takes another zone than `doorward.internal` for resources' names.
    #[must_use]
    pub fn with_zone(self, zone: DnsName) -> Self {
        Self { zone, ..self }
    }

    /// Returns the folder that is the gateway's alone.
    #[must_use]
    pub fn gateway_dir(&self) -> PathBuf {
        self.data_dir.join("gateway")
    }
}

fn threads(asked: Option<u16>) -> Result<u16, ConfigError> {
    match asked {
        Some(threads) if (1..=SHARES_MAX).contains(&threads) => Ok(threads),
        Some(_) => Err(ConfigError::Threads),
        None => {
            let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
            Ok(u16::try_from(processors).unwrap_or(1).clamp(1, THREADS_BY_DEFAULT_MAX))
        }
    }
}

fn check_listen(listen: &[SocketAddr]) -> Result<(), ConfigError> {
    if listen.is_empty() || listen.len() > LISTEN_MAX {
        return Err(ConfigError::Listen);
    }
    let mut seen = Vec::with_capacity(listen.len());
    for &address in listen {
        if address.port() == 0 {
            return Err(ConfigError::ListenPort { address });
        }
        if seen.contains(&address) {
            return Err(ConfigError::ListenTwice { address });
        }
        seen.push(address);
    }
    Ok(())
}

fn check_upstreams(section: &GatewaySection, network: &TunnelNetwork) -> Result<(), ConfigError> {
    let usable = |upstream: &SocketAddr| {
        let in_tunnel = match upstream.ip() {
            IpAddr::V4(v4) => network.v4().contains(&v4),
            IpAddr::V6(v6) => network.v6().contains(&v6),
        };
        upstream.port() != 0 && !upstream.ip().is_unspecified() && !upstream.ip().is_multicast() && !in_tunnel
    };
    if section.upstreams.len() > UPSTREAMS_MAX || !section.upstreams.iter().all(usable) {
        return Err(ConfigError::Upstreams);
    }
    if !section.resolver && !section.upstreams.is_empty() {
        return Err(ConfigError::UpstreamsUnused);
    }
    Ok(())
}

fn parse_endpoint(text: &str) -> Result<String, ConfigError> {
    split_host_port(text).map(|_| text.to_owned()).ok_or_else(|| ConfigError::Endpoint { text: shorten(text) })
}

fn feed_address(section: &GatewaySection, data_dir: &Path) -> Result<FeedAddress, ConfigError> {
    if section.control_plane.is_some() && !section.control_planes.is_empty() {
        return Err(ConfigError::ControlPlaneTwice);
    }
    if section.control_planes.len() > CONTROL_PLANES_MAX {
        return Err(ConfigError::ControlPlanes);
    }
    let named: Vec<&String> = section.control_plane.iter().chain(&section.control_planes).collect();
    if named.is_empty() {
        return Ok(FeedAddress::Unix(data_dir.join("feed.sock")));
    }
    named.into_iter().map(|text| parse_feed_url(text)).collect::<Result<_, _>>().map(FeedAddress::Https)
}

fn parse_feed_url(text: &str) -> Result<(String, u16), ConfigError> {
    let wrong = || ConfigError::ControlPlane { text: shorten(text) };
    let authority = text.strip_prefix("https://").ok_or_else(wrong)?.trim_end_matches('/');
    split_host_port(authority).ok_or_else(wrong)
}

/// Splits `HOST:PORT`; an IPv6 address stands in brackets, a wildcard address is no host.
fn split_host_port(text: &str) -> Option<(String, u16)> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        let usable = address.port() != 0 && !address.ip().is_unspecified();
        return usable.then(|| (address.ip().to_string(), address.port()));
    }
    let (host, port) = text.rsplit_once(':')?;
    let port: u16 = port.bytes().all(|b| b.is_ascii_digit()).then(|| port.parse().ok())??;
    let label_fits = |label: &str| {
        (1..=63).contains(&label.len())
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    // All digits and dots would be an IPv4 address with a slip of the keyboard.
    let is_name = host.len() <= 253 && host.split('.').all(label_fits) && host.chars().any(|c| c.is_ascii_alphabetic());
    (is_name && port != 0).then(|| (host.to_owned(), port))
}

fn default_endpoint(listen: &[SocketAddr]) -> Option<String> {
    let port = listen.first()?.port();
    if let Some(fixed) = listen.iter().find(|address| !address.ip().is_unspecified() && !address.ip().is_loopback()) {
        return Some(fixed.to_string());
    }
    // Documentation addresses (RFC 5737, RFC 3849): routed like any other, and connecting a UDP socket sends nothing.
    let probes = [
        (
            SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0),
            SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 9),
        ),
        (
            SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 0),
            SocketAddr::new(IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)), 9),
        ),
    ];
    let outward = |(bind, to): (SocketAddr, SocketAddr)| {
        let socket = UdpSocket::bind(bind).ok()?;
        socket.connect(to).ok()?;
        let ip = socket.local_addr().ok()?.ip();
        (!ip.is_unspecified() && !ip.is_loopback()).then_some(ip)
    };
    let ip = probes
        .into_iter()
        .find_map(outward)
        .or_else(any_address)
        .or_else(|| listen.first().map(SocketAddr::ip).filter(IpAddr::is_loopback))?;
    Some(SocketAddr::new(ip, port).to_string())
}

/// Returns an address of this machine that others may know, IPv4 first: what is left where nothing is routed outwards.
fn any_address() -> Option<IpAddr> {
    let addresses = nix::ifaddrs::getifaddrs().ok()?.filter_map(|interface| {
        let address = interface.address?;
        let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
        v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
    });
    let known = addresses.filter(|address| {
        let link_local = match address {
            IpAddr::V4(v4) => v4.is_link_local(),
            IpAddr::V6(v6) => v6.is_unicast_link_local(),
        };
        !address.is_loopback() && !link_local
    });
    known.min_by_key(IpAddr::is_ipv6)
}

/// Leaves out control characters and what is too long for one line.
fn shorten(text: &str) -> String {
    doorward_model::repeatable(text, 64)
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
