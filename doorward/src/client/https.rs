//! HTTPS to a server elsewhere, with a token.

use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::HeaderValue;
use hyper::http::uri::{Authority, Scheme, Uri};
use hyper::{Request, Response};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{CONNECT_TIMEOUT, unix};
use crate::error::CliError;

/// The port of a URL that names none.
const PORT_DEFAULT: u16 = 443;

/// A server elsewhere.
pub(crate) struct Https {
    url: String,
    authority: Authority,
    name: ServerName<'static>,
    authorization: HeaderValue,
    connector: TlsConnector,
}

impl Https {
    /// Reads the URL, the token and the certificates to trust.
    pub(super) fn new(url: &str, token: Option<String>, ca: Option<&Path>) -> Result<Self, CliError> {
        let authority = authority(url)?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(host).map_err(|_| not_a_url(url))?;
        let token = token.filter(|token| !token.trim().is_empty()).ok_or_else(|| {
            CliError::Usage(
                "--server needs a token: run `doorward login --server URL`, or set DOORWARD_TOKEN to one that `doorward token add NAME` printed".to_owned(),
            )
        })?;
        let mut authorization = HeaderValue::try_from(format!("Bearer {}", token.trim())).map_err(|_| {
            CliError::Usage("DOORWARD_TOKEN is no token: it begins with dwt1_ or dwl1_ and has no spaces".to_owned())
        })?;
        authorization.set_sensitive(true);
        let connector = TlsConnector::from(Arc::new(tls(ca)?));
        Ok(Self { url: url.to_owned(), authority, name, authorization, connector })
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    pub(super) fn authority(&self) -> &str {
        self.authority.as_str()
    }

    pub(super) fn authorization(&self) -> HeaderValue {
        self.authorization.clone()
    }

    /// Sends one request.
    pub(super) async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, CliError> {
        let unreachable =
            |source: io::Error| CliError::Unreachable { server: self.url.clone(), source: Box::new(source) };
        let address = (self.name.to_str().into_owned(), self.authority.port_u16().unwrap_or(PORT_DEFAULT));
        let stream = async {
            let stream = TcpStream::connect(address).await.map_err(unreachable)?;
            self.connector.connect(self.name.clone(), stream).await.map_err(|source| {
                if source.kind() == io::ErrorKind::InvalidData {
                    CliError::Certificate { server: self.url.clone(), source }
                } else {
                    unreachable(source)
                }
            })
        };
        let stream = tokio::time::timeout(CONNECT_TIMEOUT, stream)
            .await
            .map_err(|_| unreachable(io::Error::from(io::ErrorKind::TimedOut)))??;
        unix::over(stream, request, &self.url).await
    }
}

fn not_a_url(url: &str) -> CliError {
    let url: String = url.chars().filter(|c| !c.is_control()).take(100).collect();
    CliError::Usage(format!(
        "--server {url} is no address: write https://HOST:PORT, such as https://door.shop.example:8443"
    ))
}

fn authority(url: &str) -> Result<Authority, CliError> {
    let uri = url.parse::<Uri>().map_err(|_| not_a_url(url))?;
    let https = uri.scheme() == Some(&Scheme::HTTPS);
    match uri.authority() {
        // User information in a URL would travel in the Host header.
        Some(authority) if https && uri.path() == "/" && uri.query().is_none() && !authority.as_str().contains('@') => {
            Ok(authority.clone())
        }
        Some(_) | None => Err(not_a_url(url)),
    }
}

/// Trusts the given certificates alone, or the system's.
fn tls(ca: Option<&Path>) -> Result<ClientConfig, CliError> {
    let mut roots = RootCertStore::empty();
    match ca {
        Some(path) => {
            let refused = |source: io::Error| CliError::File {
                operation: "read",
                path: path.to_owned(),
                hint: "--ca needs a file with a certificate in PEM",
                source,
            };
            let pem = std::fs::read(path).map_err(refused)?;
            for certificate in CertificateDer::pem_slice_iter(&pem) {
                let certificate = certificate.map_err(|error| refused(io::Error::other(error.to_string())))?;
                roots.add(certificate).map_err(|error| refused(io::Error::other(error)))?;
            }
            if roots.is_empty() {
                return Err(refused(io::Error::other("there is no certificate in it")));
            }
        }
        None => {
            // Single certificates that cannot be read are the system's affair; the rest serves.
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| {
            CliError::Failed(format!("TLS 1.3 is missing from this program: build it with aws-lc-rs ({error})"))
        })?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_https_addresses_without_a_path_are_taken() {
        for right in ["https://door.shop.example:8443", "https://door.shop.example/", "https://[2001:db8::1]:8443"] {
            assert!(authority(right).is_ok(), "{right}");
        }
        for wrong in [
            "",
            "door.shop.example",
            "http://door.shop.example",
            "https://a:b@door.example",
            "https://door.example/x",
            "https://",
        ] {
            assert!(authority(wrong).is_err(), "{wrong}");
        }
    }
}
