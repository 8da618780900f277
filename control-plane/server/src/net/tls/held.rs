//! The certificate in use. It changes under open connections: each handshake takes the one of its moment.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use doorward_model::Timestamp;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::extensions::GeneralName;

use super::provider;
use crate::ControlPlaneError;
use crate::net::acme::{ACME_TLS_ALPN, Answers};
use crate::net::certificates::{Identity, sha256};

/// Where a certificate comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// Doorward made it: browsers warn of it, and people compare its fingerprint.
    Own,
    /// Files of the owner's.
    Files,
    /// A public authority, asked by ACME.
    Acme,
}

/// What a certificate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) source: Source,
    /// SHA-256 of its DER, hexadecimal.
    pub(crate) sha256: String,
    /// DNS names and addresses.
    pub(crate) names: Vec<String>,
    pub(crate) not_before: Timestamp,
    pub(crate) not_after: Timestamp,
}

/// A certificate with its key, ready for handshakes.
#[derive(Clone)]
pub(crate) struct Held {
    key: Arc<CertifiedKey>,
    pub(crate) facts: Facts,
}

/// What stands in the way of the next certificate, and when it is tried again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Outlook {
    /// One sentence.
    pub(crate) trouble: Option<String>,
    /// When the next certificate is asked for.
    pub(crate) next_at: Option<Timestamp>,
}

/// The certificate in use, and what an authority asked for.
pub(crate) struct Certificates {
    held: RwLock<Held>,
    outlook: RwLock<Outlook>,
    answers: Arc<Answers>,
}

impl Held {
    /// Puts a chain and its key together.
    pub(crate) fn new(identity: Identity, source: Source) -> Result<Self, ControlPlaneError> {
        let leaf = identity.chain.first().ok_or_else(|| tls_error("the certificate chain is empty"))?;
        let facts = facts(leaf, source)?;
        let key = CertifiedKey::from_der(identity.chain, identity.key, &provider()).map_err(|error| {
            tls_error(&format!("the certificate and its private key do not go together ({error}): give the pair"))
        })?;
        Ok(Self { key: Arc::new(key), facts })
    }

    /// Reads a chain and its key in PEM; both may stand in one text.
    pub(crate) fn from_pem(chain: &[u8], key: &[u8], source: Source) -> Result<Self, ControlPlaneError> {
        let wrong = |what: &str, error: rustls_pki_types::pem::Error| {
            tls_error(&format!("there is no {what} in PEM ({error})"))
        };
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(chain)
            .collect::<Result<_, _>>()
            .map_err(|error| wrong("certificate chain", error))?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| wrong("private key", error))?;
        Self::new(Identity { chain, key }, source)
    }
}

impl Facts {
    /// Says whether every one of these names stands in the certificate.
    pub(crate) fn cover<'a>(&self, mut names: impl Iterator<Item = &'a str>) -> bool {
        names.all(|name| self.names.iter().any(|held| held.eq_ignore_ascii_case(name)))
    }
}

impl Certificates {
    pub(crate) fn new(held: Held, answers: Arc<Answers>) -> Arc<Self> {
        Arc::new(Self { held: RwLock::new(held), outlook: RwLock::default(), answers })
    }

    /// Returns what the certificate in use says.
    pub(crate) fn facts(&self) -> Facts {
        self.held.read().unwrap_or_else(PoisonError::into_inner).facts.clone()
    }

    /// Uses another certificate from the next handshake on.
    pub(crate) fn hold(&self, held: Held) {
        *self.held.write().unwrap_or_else(PoisonError::into_inner) = held;
    }

    /// Says whether browsers can be expected to trust it.
    pub(crate) fn is_trusted(&self) -> bool {
        self.facts().source != Source::Own
    }

    /// Returns what is known of the next certificate.
    pub(crate) fn outlook(&self) -> Outlook {
        self.outlook.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes what is known of the next certificate.
    pub(crate) fn expect(&self, outlook: Outlook) {
        *self.outlook.write().unwrap_or_else(PoisonError::into_inner) = outlook;
    }

    /// What an authority asks for, while it asks.
    pub(crate) fn answers(&self) -> &Arc<Answers> {
        &self.answers
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates").field("facts", &self.facts()).finish_non_exhaustive()
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let mut offered = hello.alpn().into_iter().flatten();
        // An authority offers this protocol alone (RFC 8737, section 3). It is shown the answer that it asked for, and
        // whoever else comes like that is shown nothing.
        if offered.next() == Some(ACME_TLS_ALPN) && offered.next().is_none() {
            return self.answers.tls(hello.server_name()?);
        }
        Some(Arc::clone(&self.held.read().unwrap_or_else(PoisonError::into_inner).key))
    }
}

fn facts(leaf: &CertificateDer<'_>, source: Source) -> Result<Facts, ControlPlaneError> {
    let (_, parsed) = x509_parser::parse_x509_certificate(leaf)
        .map_err(|error| tls_error(&format!("the certificate cannot be read ({error})")))?;
    let names = parsed.subject_alternative_name().ok().flatten();
    let names = names.into_iter().flat_map(|extension| &extension.value.general_names).filter_map(name_of).collect();
    let at = |seconds: i64| Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX);
    let validity = parsed.validity();
    Ok(Facts {
        source,
        sha256: hex::encode(sha256(leaf)),
        names,
        not_before: at(validity.not_before.timestamp()),
        not_after: at(validity.not_after.timestamp()),
    })
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the other kinds of names are none that a browser looks for")]
fn name_of(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => {
            let v4 = <[u8; 4]>::try_from(*bytes).map(std::net::IpAddr::from);
            let address = v4.or_else(|_| <[u8; 16]>::try_from(*bytes).map(std::net::IpAddr::from));
            address.ok().map(|address| address.to_string())
        }
        _ => None,
    }
}

/// Reads the owner's files.
pub(crate) fn read_files(certificate: &Path, key: &Path) -> Result<Held, ControlPlaneError> {
    let read = |path: &Path| std::fs::read(path).map_err(|source| super::file_error("read", path, source));
    Held::from_pem(&read(certificate)?, &read(key)?, Source::Files)
        .map_err(|error| tls_error(&format!("{} and {}: {error}", certificate.display(), key.display())))
}

fn tls_error(message: &str) -> ControlPlaneError {
    ControlPlaneError::Tls { message: message.to_owned() }
}
