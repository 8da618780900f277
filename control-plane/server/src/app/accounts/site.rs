//! Where people reach the server: the address of links, the names it answers to, and what passkeys are bound to.

use std::net::{IpAddr, SocketAddr, UdpSocket};

use url::{Host, Url};
use webauthn_rs::prelude::{Webauthn, WebauthnBuilder};

use crate::ControlPlaneError;
use crate::config::ServerSection;

/// The server as browsers see it.
pub(crate) struct Site {
    url: Url,
    names: Vec<String>,
    relying: Vec<RelyingParty>,
}

/// What passkeys are bound to (WebAuthn Level 3, section 4: relying party identifier).
pub(crate) struct RelyingParty {
    /// A host name; browsers refuse addresses.
    pub(crate) id: String,
    /// Checks ceremonies.
    pub(crate) webauthn: Webauthn,
}

impl Site {
    /// Reads `[server] url` and what follows from it.
    pub(crate) fn new(server: &ServerSection) -> Result<Self, ControlPlaneError> {
        let url = match &server.url {
            Some(text) => configured(text)?,
            None => guessed(server.listen)?,
        };
        let hostname = rustix::system::uname().nodename().to_string_lossy().to_lowercase();
        let mut names = vec!["localhost".to_owned(), hostname];
        let mut relying = Vec::new();
        if let Some(Host::Domain(name)) = url.host() {
            names.push(name.to_owned());
            // Without a configured name there is none that browsers and certificates agree on.
            if server.url.is_some() {
                relying.push(relying_party(name, &url)?);
            }
        }
        if let Some(address) = server.local_http
            && !relying.iter().any(|party| party.id == "localhost")
        {
            let origin = parsed(&format!("http://localhost:{}", address.port()))?;
            relying.push(relying_party("localhost", &origin)?);
        }
        Ok(Self { url, names, relying })
    }

    /// Returns where people reach the server.
    pub(crate) const fn url(&self) -> &Url {
        &self.url
    }

    /// Returns the address of a page, for links that are shown or mailed.
    pub(crate) fn link(&self, path: &str) -> String {
        let base = self.url.as_str().trim_end_matches('/');
        format!("{base}{path}")
    }

    /// Says whether a browser that asks for this host means this server. A name that somebody pointed here is none of
    /// ours (DNS rebinding); an address cannot be pointed anywhere.
    pub(crate) fn answers_to(&self, host: &str) -> bool {
        let host = host.trim_matches(['[', ']']);
        host.parse::<IpAddr>().is_ok() || self.names.iter().any(|name| name.eq_ignore_ascii_case(host))
    }

    /// Returns what passkeys are bound to at this host, where they work at all.
    pub(crate) fn relying(&self, host: &str) -> Option<&RelyingParty> {
        self.relying.iter().find(|party| party.id.eq_ignore_ascii_case(host))
    }
}

fn relying_party(id: &str, origin: &Url) -> Result<RelyingParty, ControlPlaneError> {
    let webauthn =
        WebauthnBuilder::new(id, origin).map(|builder| builder.rp_name("Doorward")).and_then(|it| it.build());
    let webauthn = webauthn.map_err(|error| {
        ControlPlaneError::Config(format!("passkeys cannot be bound to {origin} ({error}): check `[server] url`"))
    })?;
    Ok(RelyingParty { id: id.to_owned(), webauthn })
}

fn parsed(text: &str) -> Result<Url, ControlPlaneError> {
    Url::parse(text).map_err(|error| {
        ControlPlaneError::Config(format!("`[server] url = \"{}\"` is no address ({error})", text.escape_default()))
    })
}

fn configured(text: &str) -> Result<Url, ControlPlaneError> {
    let url = parsed(text)?;
    let plain = url.path() == "/" && url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    if url.scheme() == "https" && url.has_host() && plain {
        Ok(url)
    } else {
        Err(ControlPlaneError::Config(format!(
            "`[server] url = \"{}\"` cannot be used: write https://HOST:PORT, without a path",
            text.escape_default()
        )))
    }
}

/// Without a configured address: the one that this machine would reach others from.
fn guessed(listen: SocketAddr) -> Result<Url, ControlPlaneError> {
    let address = if listen.ip().is_unspecified() { outward().unwrap_or(listen.ip()) } else { listen.ip() };
    let host = match address {
        it if it.is_unspecified() || it.is_loopback() => "localhost".to_owned(),
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    };
    parsed(&format!("https://{host}:{}", listen.port()))
}

/// Asks the routing table; a UDP socket that is connected sends nothing (the address is of RFC 5737).
fn outward() -> Option<IpAddr> {
    let socket = UdpSocket::bind(("0.0.0.0", 0)).ok()?;
    socket.connect(("192.0.2.1", 9)).ok()?;
    socket.local_addr().ok().map(|address| address.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(url: Option<&str>, local_http: Option<&str>) -> Result<Site, ControlPlaneError> {
        let url = url.map(ToOwned::to_owned);
        let local_http = local_http.map(|address| address.parse().unwrap());
        Site::new(&ServerSection { url, local_http, ..ServerSection::default() })
    }

    #[test]
    fn links_begin_with_the_configured_address() {
        let site = site(Some("https://door.shop.example:8443"), None).unwrap();
        assert_eq!(site.link("/join/abc"), "https://door.shop.example:8443/join/abc");
        for wrong in ["http://door.shop.example", "https://door.shop.example/x", "https://a@door.example", "door"] {
            assert!(configured(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_name_that_somebody_pointed_here_is_none_of_ours() {
        let site = site(Some("https://door.shop.example:8443"), None).unwrap();
        for own in ["door.shop.example", "DOOR.shop.example", "localhost", "192.0.2.1", "[2001:db8::1]"] {
            assert!(site.answers_to(own), "{own}");
        }
        for foreign in ["evil.example", "door.shop.example.evil.example", "", "192.0.2.1.nip.example"] {
            assert!(!site.answers_to(foreign), "{foreign}");
        }
    }

    #[test]
    fn passkeys_are_bound_to_a_name_and_never_to_an_address() {
        let named = site(Some("https://door.shop.example:8443"), None).unwrap();
        assert!(named.relying("door.shop.example").is_some());
        assert!(named.relying("localhost").is_none() && named.relying("192.0.2.1").is_none());
        let address = site(Some("https://192.0.2.1:8443"), Some("127.0.0.1:8480")).unwrap();
        assert!(address.relying("192.0.2.1").is_none());
        assert!(address.relying("localhost").is_some(), "through an SSH tunnel, where that listener is on");
        assert!(site(None, None).unwrap().relying("localhost").is_none());
    }
}
