//! Certificates of a public authority (ACME, RFC 8555): what is asked for, what is kept, and when it is due again.
//!
//! It asks when it is told to; `jobs` tells it. Architecture invariant: nothing here delays a start or a handshake.

mod answers;
mod http;
mod order;

use std::path::PathBuf;
use std::time::Duration;

use doorward_model::{DnsName, Timestamp};
use instant_acme::ChallengeType;
use jiff::SignedDuration;
use sha2::{Digest as _, Sha256};
use url::{Host, Url};

pub(crate) use self::answers::Answers;
use self::http::Http;
pub(crate) use self::order::AcmeError;
use super::files::{create_private_dir, read_optional, write_private};
use super::tls::{Facts, Held, Source};
use crate::config::{ACME_DIRECTORY, AcmeSection};
use crate::{ControlPlaneConfig, ControlPlaneError};

/// The protocol that an authority offers when it looks for an answer in a handshake (RFC 8737, section 6.2).
pub(crate) const ACME_TLS_ALPN: &[u8] = b"acme-tls/1";

/// The port where HTTPS is reached by name alone, and where an authority looks for an answer in a handshake.
const HTTPS_PORT: u16 = 443;
/// Names that no public authority can check.
const PRIVATE_ENDS: [&str; 5] = [".localhost", ".local", ".internal", ".home.arpa", ".lan"];

/// How long an authority is asked for one certificate at most.
const ISSUE_TIMEOUT: Duration = Duration::from_secs(300);

/// What is asked of an authority.
pub(crate) struct Acme {
    section: AcmeSection,
    challenge: ChallengeType,
    /// The name by which people come.
    host: String,
    folder: PathBuf,
    /// Tells files of one directory from those of another: a certificate of a test authority is none for people.
    mark: String,
    http: Http,
}

impl Acme {
    /// Reads `[acme]`; nothing is asked for without names. `portal` is where people reach the server.
    pub(crate) fn new(config: &ControlPlaneConfig, portal: &Url) -> Result<Option<Self>, ControlPlaneError> {
        let section = &config.acme;
        if section.names.is_empty() {
            return Ok(None);
        }
        check(config, portal).map_err(|sentence| ControlPlaneError::Config(format!("[acme]: {sentence}")))?;
        let folder = config.data_dir.join("keys");
        create_private_dir(&folder)?;
        let mut mark = hex::encode(Sha256::digest(section.directory.as_bytes()));
        mark.truncate(8);
        let at_443 = config.server.listen.port() == HTTPS_PORT || portal.port_or_known_default() == Some(HTTPS_PORT);
        Ok(Some(Self {
            section: section.clone(),
            challenge: if at_443 { ChallengeType::TlsAlpn01 } else { ChallengeType::Http01 },
            host: portal.host_str().unwrap_or_default().to_owned(),
            folder,
            mark,
            http: Http::new(section.directory_ca.as_deref())?,
        }))
    }

    /// Says whether the authority's question is answered over plain HTTP, on a listener of its own.
    pub(crate) fn needs_http(&self) -> bool {
        self.challenge == ChallengeType::Http01
    }

    /// Says whether a certificate has all the names that are wanted.
    pub(crate) fn is_complete(&self, facts: &Facts) -> bool {
        facts.source == Source::Acme && facts.cover(self.names())
    }

    /// Returns the last certificate, if it has the name by which people come: it serves until there is one with all names.
    pub(crate) fn kept(&self) -> Result<Option<Held>, ControlPlaneError> {
        let Some(pem) = read_optional(&self.certificate_path())? else { return Ok(None) };
        match Held::from_pem(pem.as_bytes(), pem.as_bytes(), Source::Acme) {
            Ok(held) => Ok(Some(held).filter(|held| held.facts.cover(std::iter::once(self.host.as_str())))),
            Err(error) => {
                tracing::warn!(%error, "the authority's last certificate cannot be used: another one is asked for");
                Ok(None)
            }
        }
    }

    /// Asks the authority for a certificate, and keeps it.
    pub(crate) async fn issue(&self, answers: &Answers) -> Result<Held, AcmeError> {
        let asking = tokio::time::timeout(ISSUE_TIMEOUT, self.ask(answers));
        let pem = asking.await.unwrap_or(Err(AcmeError::Slow))?;
        let held = Held::from_pem(pem.as_bytes(), pem.as_bytes(), Source::Acme).map_err(AcmeError::Kept)?;
        if !self.is_complete(&held.facts) {
            return Err(AcmeError::Names);
        }
        write_private(&self.certificate_path(), &pem).map_err(AcmeError::Kept)?;
        Ok(held)
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.section.names.iter().map(DnsName::as_str)
    }

    fn certificate_path(&self) -> PathBuf {
        self.folder.join(format!("acme-{}.pem", self.mark))
    }

    fn account_path(&self) -> PathBuf {
        self.folder.join(format!("acme-{}.account", self.mark))
    }
}

/// When a certificate is to be followed by the next one: at two thirds of its life, and up to a twentieth of it earlier, which
/// falls to each certificate by its digest, so that not all who started at once come back at once.
pub(crate) fn renewal_of(facts: &Facts) -> Timestamp {
    let life = facts.not_after.duration_since(facts.not_before).as_millis();
    let share = u16::from_str_radix(facts.sha256.get(..4).unwrap_or_default(), 16).unwrap_or_default();
    let earlier = (life / 20).saturating_mul(i128::from(share)) / i128::from(u16::MAX);
    later(facts.not_before, (life / 3).saturating_mul(2).saturating_sub(earlier))
}

/// From when on people are warned of a certificate's end: 14 days before it, or the last sixth of a life that is short.
pub(crate) fn warning_of(facts: &Facts) -> Timestamp {
    const DAYS_14_MS: i128 = 14 * 24 * 3600 * 1000;
    let life = facts.not_after.duration_since(facts.not_before).as_millis();
    later(facts.not_after, -(life / 6).min(DAYS_14_MS))
}

fn later(at: Timestamp, by_ms: i128) -> Timestamp {
    let by = SignedDuration::from_millis(i64::try_from(by_ms).unwrap_or_default());
    at.checked_add(by).unwrap_or(at)
}

fn check(config: &ControlPlaneConfig, portal: &Url) -> Result<(), String> {
    let (section, server) = (&config.acme, &config.server);
    if server.tls_certificate.is_some() {
        return Err("`[server] tls_certificate` gives a certificate already: leave one of the two out".to_owned());
    }
    let directory = Url::parse(&section.directory).ok().filter(|url| url.scheme() == "https" && url.has_host());
    let Some(directory) = directory else {
        return Err(format!(
            "`directory = \"{}\"` cannot be used: write the address that the authority gives, which begins with https://",
            section.directory.escape_default()
        ));
    };
    if !section.terms_agreed {
        let whose = directory.host_str().unwrap_or_default();
        let terms = if section.directory == ACME_DIRECTORY { " (https://letsencrypt.org/repository/)" } else { "" };
        return Err(format!(
            "read the terms of service of {whose}{terms}, and write `terms_agreed = true` if you agree: nothing is asked for without"
        ));
    }
    match portal.host() {
        Some(Host::Domain(host)) if section.names.iter().any(|name| name.as_str() == host) => {}
        Some(Host::Domain(host)) if server.url.is_some() => {
            return Err(format!("people reach this server as {host} (`[server] url`): put that into `names`"));
        }
        Some(Host::Domain(_) | Host::Ipv4(_) | Host::Ipv6(_)) | None => {
            return Err(
                "people have to reach this server by a name: write it into `[server] url`, as in https://door.shop.example"
                    .to_owned(),
            );
        }
    }
    let private = section.names.iter().find(|name| PRIVATE_ENDS.iter().any(|end| name.as_str().ends_with(end)));
    if let Some(name) = private.filter(|_| section.directory == ACME_DIRECTORY) {
        return Err(format!("no public authority can check {name}: take a name of a domain that is yours"));
    }
    Ok(())
}

#[cfg(test)]
#[path = "acme/tests.rs"]
mod tests;
