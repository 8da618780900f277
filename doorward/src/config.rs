//! `doorward.toml` as a whole: one file, every key known, `DOORWARD_<SECTION>_<KEY>` variables over it.

mod overrides;
mod syntax;

use std::ffi::OsString;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use doorward_control_plane::api::Routes;
use doorward_control_plane::{
    AcmeSection, ControlPlaneConfig, DirectoryTerms, DisuseTerms, LdapSection, MailSection, OidcSection, ServerSection,
};
use doorward_gateway::{GatewayConfig, GatewaySection};
use doorward_model::{DnsName, TunnelNetwork, TunnelNetworkError, deserialize_duration};
use ipnet::{Ipv4Net, Ipv6Net};
use serde::Deserialize;

/// Largest file read, in bytes. It must fit into a pipe, which is how `up` hands it to its children.
pub(crate) const CONFIG_BYTES_MAX: u64 = 32 * 1024;

/// Where the file is looked for first.
const SYSTEM_CONFIG: &str = "/etc/doorward/doorward.toml";

/// Says "read the file from standard input"; `up` uses it, because its children may not read the file themselves.
pub(crate) const CONFIG_FROM_STDIN: &str = "-";

/// Bounds of `[authority] ttl`. Below 2 s a hiccup of the network pauses people; above 10 min a revocation that nobody
/// can deliver would take too long.
const AUTHORITY_TTL: std::ops::RangeInclusive<Duration> = Duration::from_secs(2)..=Duration::from_secs(600);

/// Bounds of `[ldap] every`. Below 30 s a directory is asked more than it has to tell; above an hour its word is no backstop.
const LDAP_EVERY: std::ops::RangeInclusive<Duration> = Duration::from_secs(30)..=Duration::from_secs(3600);

/// Why the configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {}: check the path given with --config and its permissions", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is too large.
    #[error("{} has more than {CONFIG_BYTES_MAX} bytes: is it a doorward.toml?", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// The file has a line that cannot be taken.
    #[error("{} line {line}: {message}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong and what to write.
        message: String,
    },
    /// A variable cannot be taken.
    #[error("the variable {name}: {message}")]
    Variable {
        /// Its name.
        name: String,
        /// What is wrong and what to write.
        message: String,
    },
    /// `[network]` is no tunnel network.
    #[error("[network]: {0}")]
    Network(TunnelNetworkError),
    /// `[network] routes` asks for addresses that the network does not have.
    #[error(
        "[network] routes = \"service\" needs service addresses, and {v4} with {v6} has none: make v4 a /27 or larger and v6 as large, or write routes = \"targets\""
    )]
    NoServiceAddresses {
        /// The IPv4 prefix.
        v4: Ipv4Net,
        /// The IPv6 prefix.
        v6: Ipv6Net,
    },
    /// `[authority] ttl` is out of bounds.
    #[error("[authority] ttl = \"{}s\" is out of bounds: give 2s to 10m", ttl.as_secs())]
    AuthorityTtl {
        /// What was asked for.
        ttl: Duration,
    },
    /// `[directory] brake_share` is no share.
    #[error("[directory] brake_share = {share} is no share: give 1 to 100, in percent of a directory's people")]
    BrakeShare {
        /// What was asked for.
        share: u8,
    },
    /// `[ldap] every` is out of bounds.
    #[error("[ldap] every = \"{}s\" is out of bounds: give 30s to 1h", every.as_secs())]
    LdapEvery {
        /// What was asked for.
        every: Duration,
    },
}

/// The file's shape.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct DoorwardToml {
    server: ServerSection,
    acme: AcmeSection,
    mail: MailSection,
    oidc: OidcSection,
    ldap: LdapSection,
    gateway: GatewaySection,
    network: NetworkSection,
    authority: AuthoritySection,
    sign_in: SignInSection,
    people: PeopleSection,
    directory: DirectorySection,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct NetworkSection {
    v4: Ipv4Net,
    v6: Ipv6Net,
    /// Where resources have their names.
    zone: DnsName,
    /// What people's configs route. New installations get `service` in their file; a file without the key keeps what it
    /// always meant.
    routes: Routes,
}

impl Default for NetworkSection {
    fn default() -> Self {
        let network = TunnelNetwork::default();
        Self { v4: network.v4(), v6: network.v6(), zone: DnsName::zone_default(), routes: Routes::default() }
    }
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct AuthoritySection {
    #[serde(deserialize_with = "deserialize_duration")]
    ttl: Duration,
}

impl Default for AuthoritySection {
    fn default() -> Self {
        Self { ttl: Duration::from_secs(30) }
    }
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct SignInSection {
    /// Zero, the default: leases follow grants alone.
    #[serde(deserialize_with = "deserialize_duration")]
    window: Duration,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct DirectorySection {
    #[serde(deserialize_with = "deserialize_duration")]
    cooling: Duration,
    /// In percent.
    brake_share: u8,
    #[serde(deserialize_with = "deserialize_duration")]
    brake_within: Duration,
}

impl Default for DirectorySection {
    fn default() -> Self {
        let DirectoryTerms { cooling, brake_share, brake_within } = DirectoryTerms::default();
        Self { cooling, brake_share, brake_within }
    }
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct PeopleSection {
    #[serde(deserialize_with = "deserialize_duration")]
    unused_keys: Duration,
    #[serde(deserialize_with = "deserialize_duration")]
    inactive: Duration,
}

impl Default for PeopleSection {
    fn default() -> Self {
        let DisuseTerms { unused_keys, inactive } = DisuseTerms::default();
        Self { unused_keys, inactive }
    }
}

/// The configuration, checked.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    server: ServerSection,
    acme: AcmeSection,
    mail: MailSection,
    oidc: OidcSection,
    ldap: LdapSection,
    gateway: GatewaySection,
    network: TunnelNetwork,
    zone: DnsName,
    routes: Routes,
    authority_ttl: Duration,
    sign_in_window: Duration,
    directory: DirectoryTerms,
    disuse: DisuseTerms,
    data_dir: PathBuf,
    text: String,
}

impl Config {
    /// Finds and reads the file, and takes the variables over it.
    ///
    /// Without `--config` the file is `/etc/doorward/doorward.toml`, or else `doorward.toml` in the data folder, or
    /// else there is none and every setting has its default.
    ///
    /// # Errors
    /// [`ConfigError`] names the file and the line, or the variable.
    pub(crate) fn load(
        path: Option<&Path>,
        data_dir: &Path,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, ConfigError> {
        let (path, text) = match path {
            Some(path) if path == Path::new(CONFIG_FROM_STDIN) => {
                let path = PathBuf::from("standard input");
                let text = read(&path, io::stdin().lock())?;
                (path, text)
            }
            Some(path) => (path.to_owned(), read_file(path)?),
            None => {
                let candidates = [PathBuf::from(SYSTEM_CONFIG), data_dir.join("doorward.toml")];
                match candidates.into_iter().find(|path| path.exists()) {
                    Some(path) => {
                        let text = read_file(&path)?;
                        (path, text)
                    }
                    None => (PathBuf::from("doorward.toml"), String::new()),
                }
            }
        };
        Self::parse(&path, text, data_dir, variables)
    }

    fn parse(
        path: &Path,
        text: String,
        data_dir: &Path,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, ConfigError> {
        let at_line = |error: &toml::de::Error| ConfigError::Line {
            path: path.to_owned(),
            line: syntax::line_of(&text, error),
            message: syntax::explain(error),
        };
        // Read once for the lines in the errors, and once more as a table for the variables to be laid over.
        toml::from_str::<DoorwardToml>(&text).map_err(|error| at_line(&error))?;
        let table: toml::Table = toml::from_str(&text).map_err(|error| at_line(&error))?;
        let file: DoorwardToml = overrides::lay_over(table, variables)?;
        let network = TunnelNetwork::new(file.network.v4, file.network.v6).map_err(ConfigError::Network)?;
        if file.network.routes == Routes::Service && network.service_address(0).is_none() {
            return Err(ConfigError::NoServiceAddresses { v4: network.v4(), v6: network.v6() });
        }
        if !AUTHORITY_TTL.contains(&file.authority.ttl) {
            return Err(ConfigError::AuthorityTtl { ttl: file.authority.ttl });
        }
        if !LDAP_EVERY.contains(&file.ldap.every) {
            return Err(ConfigError::LdapEvery { every: file.ldap.every });
        }
        let DirectorySection { cooling, brake_share, brake_within } = file.directory;
        if !(1..=100).contains(&brake_share) {
            return Err(ConfigError::BrakeShare { share: brake_share });
        }
        Ok(Self {
            disuse: DisuseTerms { unused_keys: file.people.unused_keys, inactive: file.people.inactive },
            directory: DirectoryTerms { cooling, brake_share, brake_within },
            server: file.server,
            acme: file.acme,
            mail: file.mail,
            oidc: file.oidc,
            ldap: file.ldap,
            gateway: file.gateway,
            network,
            zone: file.network.zone,
            routes: file.network.routes,
            authority_ttl: file.authority.ttl,
            sign_in_window: file.sign_in.window,
            data_dir: data_dir.to_owned(),
            text,
        })
    }

    /// Returns the data folder.
    pub(crate) fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// Returns the `[server] database` setting.
    pub(crate) fn database(&self) -> &str {
        &self.server.database
    }

    /// Returns what the control plane is told.
    pub(crate) fn control_plane(&self) -> ControlPlaneConfig {
        ControlPlaneConfig {
            server: self.server.clone(),
            acme: self.acme.clone(),
            opened: Vec::new(),
            mail: self.mail.clone(),
            oidc: self.oidc.clone(),
            ldap: self.ldap.clone(),
            network: self.network,
            zone: self.zone.clone(),
            routes: self.routes,
            authority_ttl: self.authority_ttl,
            sign_in_window: self.sign_in_window,
            directory: self.directory,
            disuse: self.disuse,
            data_dir: self.data_dir.clone(),
        }
    }

    /// Returns what the gateway is told.
    ///
    /// # Errors
    /// The gateway's own checks of its section.
    pub(crate) fn gateway(&self) -> Result<GatewayConfig, doorward_gateway::GatewayError> {
        let section = self.gateway.clone();
        let config = GatewayConfig::new(section, self.network, self.authority_ttl, self.data_dir.clone())?;
        // A control plane on this machine that listens on all addresses listens on the tunnel's too. Where nobody has to sign
        // in, nobody needs it there.
        let far = self.gateway.control_plane.is_some() || !self.gateway.control_planes.is_empty();
        let is_here = !far && self.server.listen.ip().is_unspecified();
        let is_here = is_here && !self.sign_in_window.is_zero();
        let portal = is_here.then(|| self.server.listen.port());
        Ok(config.with_zone(self.zone.clone()).with_portal(portal))
    }

    /// Returns the file's text, without the variables, which children inherit.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }
}

fn read_file(path: &Path) -> Result<String, ConfigError> {
    let file = std::fs::File::open(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
    read(path, file)
}

fn read(path: &Path, from: impl io::Read) -> Result<String, ConfigError> {
    let mut text = String::new();
    from.take(CONFIG_BYTES_MAX.saturating_add(1))
        .read_to_string(&mut text)
        .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
    if text.len() as u64 > CONFIG_BYTES_MAX { Err(ConfigError::TooLarge { path: path.to_owned() }) } else { Ok(text) }
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
