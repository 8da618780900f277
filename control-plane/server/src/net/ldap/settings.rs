//! Reading `[ldap]`: whatever cannot work is refused at the start, with what to write.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use sha2::{Digest as _, Sha256};
use tokio::sync::Mutex;
use url::{Host, Url};
use zeroize::Zeroizing;

use super::wire::{Place, Safety};
use super::{Asked, Ldap, LdapError, file};
use crate::ControlPlaneError;
use crate::config::LdapSection;
use crate::net::tls::provider;

/// What a directory is called that nobody named.
const NAME_DEFAULT: &str = "ldap";
/// Where LDAP is spoken, and where LDAP over TLS is.
const PORT: u16 = 389;
const PORT_TLS: u16 = 636;
/// Attributes that addresses are read from.
const EMAIL_ATTRIBUTES_MAX: usize = 8;

/// The password of the account that asks.
pub(super) enum Secret {
    /// In the configuration.
    Text(Zeroizing<String>),
    /// In a file, which is read anew for each round.
    File(PathBuf),
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl Secret {
    /// Returns the password, without the end of its line.
    pub(super) fn read(&self) -> Result<Zeroizing<String>, LdapError> {
        match self {
            Self::Text(text) => Ok(text.clone()),
            Self::File(path) => {
                let wrong = |source| LdapError::Password { path: path.clone(), source };
                let text = Zeroizing::new(std::fs::read_to_string(path).map_err(wrong)?);
                let password = text.trim_end_matches(['\r', '\n']);
                if password.is_empty() {
                    // A bind without a password is one as nobody, which a directory may well take (RFC 4513, section 5.1.2).
                    return Err(wrong(std::io::Error::other("the file is empty")));
                }
                Ok(Zeroizing::new(password.to_owned()))
            }
        }
    }
}

fn wrong(what: impl fmt::Display) -> ControlPlaneError {
    ControlPlaneError::Config(format!("[ldap]: {what}"))
}

impl Ldap {
    /// Reads `[ldap]`; nobody is asked without it.
    pub(crate) fn new(section: &LdapSection) -> Result<Option<Self>, ControlPlaneError> {
        let Some(url) = &section.url else { return Ok(None) };
        let base = section.base.clone().filter(|base| !base.trim().is_empty());
        let base =
            base.ok_or_else(|| wrong("`base` is missing: write where people are, as in `dc=shop,dc=example`"))?;
        let email = &section.email;
        let is_name = |name: &String| {
            name.starts_with(|c: char| c.is_ascii_alphabetic())
                && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
        };
        if email.is_empty() || email.len() > EMAIL_ATTRIBUTES_MAX || !email.iter().all(is_name) {
            return Err(wrong(format!(
                "`email` names the attributes with people's addresses, 1 to {EMAIL_ATTRIBUTES_MAX}, as in `[\"mail\"]`"
            )));
        }
        let filter = section.filter.clone().unwrap_or_else(|| filter_of(email));
        if ldap3::parse_filter(&filter).is_err() {
            return Err(wrong(format!("`filter = \"{filter}\"` is no filter (RFC 4515): write one as in `(mail=*)`")));
        }
        let name = section.name.clone().map_or_else(|| NAME_DEFAULT.parse().map_err(wrong), Ok)?;
        let place = place(section, url)?;
        let asked = Asked { place, bind: bind(section)?, base, filter, email: email.clone() };
        let Asked { base, filter, .. } = &asked;
        let text = format!("{:?}", (&name, url, &section.bind_dn, base, filter, email, section.starttls));
        Ok(Some(Self {
            name,
            every: section.every,
            url: url.clone(),
            settings: Sha256::digest(text.as_bytes()).to_vec(),
            round: Mutex::new(()),
            asked: Arc::new(asked),
        }))
    }
}

/// Everybody who has an address.
fn filter_of(email: &[String]) -> String {
    let each: String = email.iter().map(|name| format!("({name}=*)")).collect();
    if email.len() == 1 { each } else { format!("(|{each})") }
}

fn bind(section: &LdapSection) -> Result<Option<(String, Secret)>, ControlPlaneError> {
    let text = section.password.as_ref().filter(|text| !text.is_empty());
    let secret = match (text, &section.password_file) {
        (Some(_), Some(_)) => return Err(wrong("`password` and `password_file` are both set: keep one")),
        (Some(text), None) => Some(Secret::Text(Zeroizing::new(text.clone()))),
        (None, Some(path)) => Some(Secret::File(path.clone())),
        (None, None) => None,
    };
    match (section.bind_dn.clone().filter(|dn| !dn.is_empty()), secret) {
        (None, None) => Ok(None),
        (Some(dn), Some(secret)) => {
            secret.read().map_err(|error| wrong(error.reason()))?;
            Ok(Some((dn, secret)))
        }
        (Some(_), None) => Err(wrong("`bind_dn` needs `password_file`, or DOORWARD_LDAP_PASSWORD")),
        (None, Some(_)) => Err(wrong("the password needs `bind_dn`: write the account that asks")),
    }
}

fn place(section: &LdapSection, url: &str) -> Result<Place, ControlPlaneError> {
    let no_url = || wrong(format!("`url = \"{url}\"` is no directory: write it as in `ldaps://dc1.shop.example`"));
    let parsed = Url::parse(url).map_err(|_| no_url())?;
    let plain = !matches!(parsed.path(), "" | "/") || parsed.query().is_some() || !parsed.username().is_empty();
    if plain || !matches!(parsed.scheme(), "ldap" | "ldaps") {
        return Err(no_url());
    }
    // The host of a scheme that the library does not know is a text; an address has brackets where it needs them.
    let text = parsed.host_str().unwrap_or_default();
    let host = match Host::parse(text).map_err(|_| no_url())? {
        Host::Domain(name) => name,
        Host::Ipv4(address) => address.to_string(),
        Host::Ipv6(address) => address.to_string(),
    };
    let name = ServerName::try_from(host.clone()).map_err(|_| no_url())?;
    let over_tls = parsed.scheme() == "ldaps";
    let is_loopback =
        host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    let safety = match (over_tls, section.starttls) {
        (true, _) => Safety::Tls(tls(section)?),
        (false, true) => Safety::StartTls(tls(section)?),
        (false, false) if is_loopback => Safety::Loopback,
        (false, false) => {
            return Err(wrong(
                "`starttls = false` would show the password and everybody's address to the network: write `ldaps://`, or leave it out",
            ));
        }
    };
    let port = parsed.port().unwrap_or(if over_tls { PORT_TLS } else { PORT });
    Ok(Place { host, port, name, safety })
}

/// TLS 1.2 is taken too: directories of some years ago, such as Windows Server 2019, know nothing later.
fn tls(section: &LdapSection) -> Result<Arc<ClientConfig>, ControlPlaneError> {
    let mut roots = RootCertStore::empty();
    if let Some(path) = &section.ca_file {
        let unusable = |why: &dyn fmt::Display| wrong(file("ca_file", path, why));
        let pem = std::fs::read(path).map_err(|error| unusable(&error))?;
        for certificate in CertificateDer::pem_slice_iter(&pem) {
            let certificate = certificate.map_err(|error| unusable(&error))?;
            roots.add(certificate).map_err(|error| unusable(&error))?;
        }
        if roots.is_empty() {
            return Err(unusable(&"it holds no certificate in PEM"));
        }
    } else {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    let builder = ClientConfig::builder_with_provider(provider());
    let builder = builder.with_safe_default_protocol_versions().map_err(wrong)?.with_root_certificates(roots);
    let config = match (&section.certificate, &section.key) {
        (None, None) => builder.with_no_client_auth(),
        (Some(certificate), Some(key)) => {
            let chain = CertificateDer::pem_file_iter(certificate).and_then(Iterator::collect::<Result<Vec<_>, _>>);
            let chain = chain.map_err(|error| wrong(file("certificate", certificate, &error)))?;
            let secret = PrivateKeyDer::from_pem_file(key).map_err(|error| wrong(file("key", key, &error)))?;
            builder.with_client_auth_cert(chain, secret).map_err(|error| wrong(file("key", key, &error)))?
        }
        (Some(_), None) | (None, Some(_)) => return Err(wrong("`certificate` and `key` go together: give both")),
    };
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section() -> LdapSection {
        LdapSection {
            url: Some("ldaps://dc1.shop.example".to_owned()),
            base: Some("dc=shop,dc=example".to_owned()),
            bind_dn: Some("cn=door".to_owned()),
            password: Some("x".to_owned()),
            ..LdapSection::default()
        }
    }

    fn refusal(change: impl FnOnce(&mut LdapSection)) -> String {
        let mut section = section();
        change(&mut section);
        Ldap::new(&section).unwrap_err().to_string()
    }

    #[test]
    fn what_cannot_work_is_refused_with_what_to_write() {
        let folder = tempfile::tempdir().unwrap();
        let empty = folder.path().join("empty");
        std::fs::write(&empty, "\n").unwrap();
        let text = |text: &str| Some(text.to_owned());
        for (refusal, word) in [
            (refusal(|it| it.base = None), "`base` is missing"),
            (refusal(|it| it.url = text("https://dc1.shop.example")), "ldaps://dc1.shop.example"),
            (refusal(|it| it.url = text("ldaps://dc1.shop.example/dc=shop")), "is no directory"),
            (refusal(|it| it.url = text("dc1.shop.example")), "is no directory"),
            (refusal(|it| it.filter = text("(mail=*")), "is no filter"),
            (refusal(|it| it.email = vec!["mail)(x=*".to_owned()]), "as in `[\"mail\"]`"),
            (refusal(|it| it.email = Vec::new()), "as in `[\"mail\"]`"),
            (refusal(|it| it.bind_dn = None), "needs `bind_dn`"),
            (refusal(|it| it.password = None), "DOORWARD_LDAP_PASSWORD"),
            (refusal(|it| it.password_file = Some("/x".into())), "keep one"),
            (
                refusal(|it| {
                    it.password = None;
                    it.password_file = Some(empty.clone());
                }),
                "the file is empty",
            ),
            (refusal(|it| it.ca_file = Some(empty.clone())), "no certificate in PEM"),
            (refusal(|it| it.ca_file = Some("/nowhere".into())), "`ca_file`: /nowhere"),
            (refusal(|it| it.key = Some(empty.clone())), "go together"),
            (
                refusal(|it| {
                    it.url = text("ldap://dc1.shop.example");
                    it.starttls = false;
                }),
                "to the network",
            ),
        ] {
            assert!(refusal.starts_with("[ldap]: ") || refusal.contains("[ldap]: "), "{refusal}");
            assert!(refusal.contains(word), "{word}: {refusal}");
        }
        assert!(Ldap::new(&LdapSection::default()).unwrap().is_none());
    }

    #[test]
    fn ports_filters_and_the_way_to_be_safe_follow_from_what_was_written() {
        let read = |url: &str, starttls| {
            let url = Some(url.to_owned());
            let ldap = Ldap::new(&LdapSection { url, starttls, ..section() }).unwrap().unwrap();
            let place = &ldap.asked.place;
            let safety = match place.safety {
                Safety::Tls(_) => "tls",
                Safety::StartTls(_) => "starttls",
                Safety::Loopback => "plain",
            };
            (place.host.clone(), place.port, safety)
        };
        assert_eq!(read("ldaps://DC1.shop.example", true), ("dc1.shop.example".to_owned(), 636, "tls"));
        assert_eq!(read("ldap://dc1.shop.example:3389/", true), ("dc1.shop.example".to_owned(), 3389, "starttls"));
        assert_eq!(read("ldap://[::1]", false), ("::1".to_owned(), 389, "plain"));
        assert_eq!(read("ldap://127.0.0.1", false), ("127.0.0.1".to_owned(), 389, "plain"));
        let both = LdapSection { email: vec!["mail".to_owned(), "userPrincipalName".to_owned()], ..section() };
        let both = Ldap::new(&both).unwrap().unwrap();
        assert_eq!(both.asked.filter, "(|(mail=*)(userPrincipalName=*))");
        assert_ne!(both.settings, Ldap::new(&section()).unwrap().unwrap().settings);
        let secret = LdapSection { password: Some("hunter2".to_owned()), ..section() };
        let shown = format!("{:?} {:?}", Ldap::new(&secret).unwrap(), secret);
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
