//! Accounts: how people come in, prove who they are, and stay signed in.
//!
//! Architecture invariant: no secret that somebody holds is kept, only its hash, or sealed where the server needs it
//! again; every attempt is counted before it is known how it goes.

pub(crate) mod invite;
pub(crate) mod join;
pub(crate) mod login;
pub(crate) mod passkeys;
mod password;
pub(crate) mod policy;
pub(crate) mod provider;
mod provider_groups;
pub(crate) mod provider_logout;
mod recovery;
pub(crate) mod security;
pub(crate) mod session;
pub(crate) mod sign_in;
mod site;
pub(crate) mod step_up;
mod totp;

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use doorward_domain::{Role, SignedIn};
use doorward_model::PrincipalId;
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;

pub(crate) use self::recovery::RecoveryCodes;
pub(crate) use self::site::Site;
pub(crate) use self::totp::NewTotp;
use crate::ControlPlaneError;
use crate::config::ControlPlaneConfig;
use crate::net::{Mail, Provider, Seal};

/// Passwords hashed at the same time at most: each takes 19 MiB and a processor for a while.
const HASHING_MAX: usize = 2;

/// What accounts need that is the same for all of them.
pub(crate) struct Accounts {
    /// Seals seeds.
    pub(crate) seal: Seal,
    /// Where people reach the server, and what passkeys are bound to.
    pub(crate) site: Site,
    /// What everybody accepts who joins.
    pub(crate) policy: Policy,
    /// Mails invitations, where that is configured.
    pub(crate) mail: Option<Mail>,
    /// The identity provider, where one is set up.
    pub(crate) provider: Option<Provider>,
    hashing: Arc<Semaphore>,
}

impl Accounts {
    /// Opens the key of the seal and reads the policy.
    pub(crate) fn open(config: &ControlPlaneConfig, site: Site) -> Result<Self, ControlPlaneError> {
        let server = &config.server;
        Ok(Self {
            provider: Provider::new(&config.oidc, site.link("/sign-in/provider/callback"))?,
            seal: Seal::open(&config.data_dir.join("keys"))?,
            site,
            policy: Policy::read(server.policy.as_deref())?,
            mail: Mail::new(&config.mail)?,
            hashing: Arc::new(Semaphore::new(HASHING_MAX)),
        })
    }
}

/// The access policy: a text, and a version that follows from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Policy {
    /// The first 16 hexadecimal digits of the text's SHA-256, so that another text is another version.
    pub(crate) version: String,
    /// Paragraphs, with empty lines between them.
    pub(crate) text: String,
}

/// What is accepted where the owner wrote nothing of their own.
const POLICY_DEFAULT: &str = include_str!("../../../assets/policy.txt");
/// Largest policy read, in bytes: people are to read it.
const POLICY_BYTES_MAX: usize = 64 * 1024;

impl Policy {
    fn read(file: Option<&Path>) -> Result<Self, ControlPlaneError> {
        let text = match file {
            None => POLICY_DEFAULT.to_owned(),
            Some(path) => std::fs::read_to_string(path).map_err(|source| ControlPlaneError::File {
                operation: "read",
                path: path.to_owned(),
                hint: "give `[server] policy` a text file that this user may read",
                source,
            })?,
        };
        if text.trim().is_empty() || text.len() > POLICY_BYTES_MAX {
            return Err(ControlPlaneError::Config(format!(
                "the access policy has {} bytes: write 1 to {POLICY_BYTES_MAX}, or leave `[server] policy` out",
                text.len()
            )));
        }
        let mut version = hex::encode(Sha256::digest(text.as_bytes()));
        version.truncate(16);
        Ok(Self { version, text })
    }

    /// The paragraphs.
    pub(crate) fn paragraphs(&self) -> impl Iterator<Item = &str> {
        self.text.split("\n\n").map(str::trim).filter(|paragraph| !paragraph.is_empty())
    }
}

/// The browser at the other end, as far as a request tells.
#[derive(Debug, Clone)]
pub(crate) struct Visitor {
    /// From where, on the outside.
    pub(crate) source: IpAddr,
    /// What it calls itself.
    pub(crate) agent: String,
    /// The host that it asked for, without the port.
    pub(crate) host: String,
}

impl Visitor {
    /// Whom failures from this source count for: one IPv4 address, or a /64, which is what one customer has at least.
    fn subject(&self) -> String {
        match self.source.to_canonical() {
            IpAddr::V4(address) => format!("source:{address}"),
            IpAddr::V6(address) => {
                let prefix = u128::from(address) & !u128::from(u64::MAX);
                format!("source:{}/64", std::net::Ipv6Addr::from(prefix))
            }
        }
    }
}

/// A person who just proved two factors.
fn proved(id: PrincipalId, email: &doorward_model::Email, role: Role) -> doorward_domain::Actor {
    doorward_domain::Actor::Person(SignedIn { id, email: email.clone(), role, fresh: true })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_text_is_another_version() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("policy.txt");
        std::fs::write(&file, "Be kind.\n\nLock your screen.\n").unwrap();
        let policy = Policy::read(Some(&file)).unwrap();
        assert_eq!(policy.paragraphs().collect::<Vec<_>>(), ["Be kind.", "Lock your screen."]);
        assert_ne!(policy.version, Policy::read(None).unwrap().version);
        std::fs::write(&file, " \n").unwrap();
        assert!(Policy::read(Some(&file)).is_err());
        assert!(Policy::read(Some(&folder.path().join("none"))).is_err());
    }

    #[test]
    fn a_source_of_ipv6_is_its_network() {
        let subject = |source: &str| {
            let source = source.parse().unwrap();
            Visitor { source, agent: String::new(), host: String::new() }.subject()
        };
        assert_eq!(subject("192.0.2.7"), "source:192.0.2.7");
        assert_eq!(subject("::ffff:192.0.2.7"), "source:192.0.2.7");
        assert_eq!(subject("2001:db8:1:2:3:4:5:6"), subject("2001:db8:1:2::9"));
        assert_ne!(subject("2001:db8:1:2::1"), subject("2001:db8:1:3::1"));
    }
}
