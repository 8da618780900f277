//! TLS to the control plane: 1.3 alone, and only the certificates of the feed's own small authority.
//!
//! The server is known by the fixed name `doorward-feed`, which its feed certificate carries and no public authority
//! issues, so that addresses and renames in the configuration need no new certificate.

use std::path::Path;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls13_signature};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, DnsName, PrivateKeyDer, ServerName, UnixTime};
use sha2::{Digest as _, Sha256};

/// Returns the name in the server's feed certificate.
pub(crate) fn feed_server_name() -> ServerName<'static> {
    const NAME: &str = "doorward-feed";
    #[expect(clippy::unwrap_used, reason = "a literal that a test parses")]
    let name = DnsName::try_from(NAME).unwrap();
    ServerName::DnsName(name)
}

/// The files of an enrolled gateway, relative to its folder.
pub(crate) const KEY_FILE: &str = "feed.key";
/// The gateway's certificate.
pub(crate) const CERTIFICATE_FILE: &str = "feed.crt";
/// The feed authority's certificate.
pub(crate) const AUTHORITY_FILE: &str = "ca.crt";

/// Reads an enrolled gateway's files into a configuration that shows its certificate.
///
/// # Errors
/// A sentence about the file that is missing or unreadable.
pub(crate) fn enrolled(folder: &Path) -> Result<ClientConfig, String> {
    let at = |name: &str, error: &dyn std::fmt::Display| format!("{}: {error}", folder.join(name).display());
    let authority = CertificateDer::from_pem_file(folder.join(AUTHORITY_FILE)).map_err(|e| at(AUTHORITY_FILE, &e))?;
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(folder.join(CERTIFICATE_FILE))
        .and_then(Iterator::collect)
        .map_err(|error| at(CERTIFICATE_FILE, &error))?;
    let key = PrivateKeyDer::from_pem_file(folder.join(KEY_FILE)).map_err(|error| at(KEY_FILE, &error))?;
    let mut roots = RootCertStore::empty();
    roots.add(authority).map_err(|error| at(AUTHORITY_FILE, &error))?;
    ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)
        .map_err(|error| at(CERTIFICATE_FILE, &error))
}

/// Makes a configuration for the first contact: only a server whose chain holds the certificate with this SHA-256
/// digest, and verifies against it, is talked to.
///
/// # Errors
/// What rustls says about its own set-up.
pub(crate) fn first_contact(authority_digest: [u8; 32]) -> Result<ClientConfig, Error> {
    let verifier = Arc::new(PinnedAuthority { digest: authority_digest, provider: provider() });
    let builder = ClientConfig::builder_with_provider(provider()).with_protocol_versions(&[&rustls::version::TLS13])?;
    Ok(builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth())
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// Returns the SHA-256 digest of a certificate, as an enrolment token carries it.
pub(crate) fn digest(certificate: &CertificateDer<'_>) -> [u8; 32] {
    Sha256::digest(certificate.as_ref()).into()
}

#[derive(Debug)]
struct PinnedAuthority {
    digest: [u8; 32],
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for PinnedAuthority {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let pinned = intermediates.iter().find(|certificate| digest(certificate) == self.digest);
        let pinned = pinned.ok_or(Error::InvalidCertificate(CertificateError::UnknownIssuer))?;
        let mut roots = RootCertStore::empty();
        roots.add(pinned.clone().into_owned())?;
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&self.provider))
            .build()
            .map_err(|error| Error::General(error.to_string()))?
            .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.2 is not spoken".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
