//! What the control plane is told: its own section of the file, and what the whole file decides for it.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use doorward_domain::{DirectoryTerms, DisuseTerms};
use doorward_model::{DnsName, Email, GroupName, SourceName, TunnelNetwork};
use ipnet::IpNet;
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
    /// A text file that everybody accepts who joins; absent: a short text that comes with Doorward.
    pub policy: Option<PathBuf>,
    /// A loopback address where the portal also answers over plain HTTP, for a browser at the end of an SSH tunnel:
    /// `http://localhost` is the one place without a certificate where browsers take passkeys. Absent: nowhere.
    pub local_http: Option<SocketAddr>,
    /// Reverse proxies in front of this server, as prefixes such as `10.0.5.4/32`: their `X-Forwarded-For` says who asks, for
    /// limits, lockouts and the audit. None by default: anybody could write that header.
    pub trusted_proxies: Vec<IpNet>,
    /// Where Prometheus reads metrics (plain HTTP), such as `127.0.0.1:9587`. Absent: nowhere.
    pub metrics: Option<SocketAddr>,
    /// What people call this control plane among several on one database. Absent: the machine's name.
    pub replica: Option<String>,
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
            replica: None,
            policy: None,
            local_http: None,
            trusted_proxies: Vec::new(),
        }
    }
}

/// `[mail]` of `doorward.toml`: how invitations, and notices before an end, are mailed. Without it invitations are shown to
/// be copied.
#[derive(Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MailSection {
    /// `smtps://USER:PASSWORD@HOST` or `smtp://…?tls=required`; `DOORWARD_MAIL_URL` keeps the password out of the file.
    pub url: Option<String>,
    /// Who it is from, such as `Doorward <door@shop.example>`.
    pub from: Option<String>,
}

impl fmt::Debug for MailSection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URL holds a password.
        f.debug_struct("MailSection").field("from", &self.from).finish_non_exhaustive()
    }
}

/// `[oidc]` of `doorward.toml`: sign-in through an identity provider (OpenID Connect).
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OidcSection {
    /// The provider, as it names itself, such as `https://id.shop.example`. Absent: there is none.
    pub issuer: Option<String>,
    /// What the provider calls this server.
    pub client_id: Option<String>,
    /// The secret that goes with it; `DOORWARD_OIDC_CLIENT_SECRET` keeps it out of the file. Absent: PKCE alone.
    pub client_secret: Option<String>,
    /// What people call the provider.
    pub name: Option<String>,
    /// What is asked for beside `openid`.
    pub scopes: Vec<String>,
    /// Values of `amr` that count as a second factor. With none of these and none of `second_factor_acr`, a passkey is
    /// asked on top.
    pub second_factor_amr: Vec<String>,
    /// Values of `acr` that count as a second factor.
    pub second_factor_acr: Vec<String>,
    /// The claim of the ID token that names somebody's groups, such as `groups`; one that begins with `/` is a JSON pointer
    /// (RFC 6901), such as `/realm_access/roles`. At each sign-in their memberships become what it says. Absent: memberships
    /// are set here alone.
    pub groups_claim: Option<String>,
    /// Everybody but owners signs in through the provider alone; owners keep a way of their own.
    pub only: bool,
    /// What the provider calls a group → the group here. Empty: a group has the same name there and here.
    pub groups: BTreeMap<String, GroupName>,
}

impl Default for OidcSection {
    fn default() -> Self {
        Self {
            issuer: None,
            client_id: None,
            client_secret: None,
            name: None,
            scopes: vec!["profile".to_owned(), "email".to_owned()],
            second_factor_amr: Vec::new(),
            second_factor_acr: Vec::new(),
            groups_claim: None,
            only: false,
            groups: BTreeMap::new(),
        }
    }
}

impl fmt::Debug for OidcSection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut section = f.debug_struct("OidcSection");
        section.field("issuer", &self.issuer).field("client_id", &self.client_id).finish_non_exhaustive()
    }
}

/// `[ldap]` of `doorward.toml`: a directory that is asked for its people every few minutes.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LdapSection {
    /// Where it is, such as `ldaps://dc1.shop.example`. Absent: nobody is asked.
    pub url: Option<String>,
    /// What people call it: the source's name. Absent: `ldap`.
    pub name: Option<SourceName>,
    /// Where people are in it, such as `dc=shop,dc=example`.
    pub base: Option<String>,
    /// Which entries are people's (RFC 4515). Absent: all with an address.
    pub filter: Option<String>,
    /// The attributes with people's addresses.
    pub email: Vec<String>,
    /// The account that asks. Absent: nobody in particular, or whoever the client's certificate says.
    pub bind_dn: Option<String>,
    /// Its password; `DOORWARD_LDAP_PASSWORD` keeps it out of the file.
    pub password: Option<String>,
    /// A file with the password instead, which is read anew each time.
    pub password_file: Option<PathBuf>,
    /// How often it is asked, from the end of one round to the next.
    #[serde(deserialize_with = "doorward_model::deserialize_duration")]
    pub every: Duration,
    /// Whether `ldap://` goes over to TLS before anything is said; without it only at a loopback address.
    pub starttls: bool,
    /// Certificates in PEM that are trusted there instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// A certificate that this client shows, in PEM, where the directory asks for one.
    pub certificate: Option<PathBuf>,
    /// Its private key in PEM.
    pub key: Option<PathBuf>,
}

impl Default for LdapSection {
    fn default() -> Self {
        Self {
            url: None,
            name: None,
            base: None,
            filter: None,
            email: vec!["mail".to_owned()],
            bind_dn: None,
            password: None,
            password_file: None,
            every: Duration::from_secs(300),
            starttls: true,
            ca_file: None,
            certificate: None,
            key: None,
        }
    }
}

impl fmt::Debug for LdapSection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut section = f.debug_struct("LdapSection");
        section
            .field("url", &self.url)
            .field("base", &self.base)
            .field("bind_dn", &self.bind_dn)
            .finish_non_exhaustive()
    }
}

/// Where certificates are asked for unless the owner says otherwise: Let's Encrypt.
pub(crate) const ACME_DIRECTORY: &str = "https://acme-v02.api.letsencrypt.org/directory";

/// `[acme]` of `doorward.toml`: a certificate of a public authority, which is renewed by itself (ACME, RFC 8555).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AcmeSection {
    /// The names in the certificate, the host of `[server] url` among them. Empty, the default: none is asked for.
    pub names: Vec<DnsName>,
    /// Whether the owner agrees to the authority's terms of service.
    pub terms_agreed: bool,
    /// Where the authority may write to. Absent: it knows no address.
    pub contact: Option<Email>,
    /// The authority's directory. Default: Let's Encrypt.
    pub directory: String,
    /// Certificates in PEM that are trusted at the directory instead of the system's; for an authority of one's own.
    pub directory_ca: Option<PathBuf>,
    /// Where the authority's question is answered over plain HTTP, if the portal is not at port 443. The authority asks at
    /// port 80 of the name. Default `0.0.0.0:80`.
    pub http_listen: SocketAddr,
}

impl Default for AcmeSection {
    fn default() -> Self {
        Self {
            names: Vec::new(),
            terms_agreed: false,
            contact: None,
            directory: ACME_DIRECTORY.to_owned(),
            directory_ca: None,
            http_listen: SocketAddr::from(([0, 0, 0, 0], 80)),
        }
    }
}

/// All that [`crate::run`] needs to know.
#[derive(Debug, Clone)]
pub struct ControlPlaneConfig {
    /// Its own section.
    pub server: ServerSection,
    /// How invitations are mailed.
    pub mail: MailSection,
    /// The identity provider.
    pub oidc: OidcSection,
    /// The directory that is asked for its people.
    pub ldap: LdapSection,
    /// The certificate of a public authority.
    pub acme: AcmeSection,
    /// TCP ports that were opened already, because this process may not open them: each serves the setting that names its
    /// address.
    pub opened: Vec<Arc<TcpListener>>,
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
    /// What holds for directories.
    pub directory: DirectoryTerms,
    /// After how long what nobody uses ends.
    pub disuse: DisuseTerms,
    /// The data folder; it exists and is writable.
    pub data_dir: PathBuf,
}
