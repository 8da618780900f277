//! Certificates that Doorward makes itself: the API's own, and the feed's small authority that names gateways.

use std::path::Path;

use doorward_model::GatewayName;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SerialNumber, date_time_ymd,
};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use sha2::{Digest as _, Sha256};

use super::files::{create_private_dir, read_optional, write_private};
use crate::ControlPlaneError;

/// The name in the feed server's certificate, the same everywhere: gateways pin the authority, not the host.
pub(crate) const FEED_SERVER_NAME: &str = "doorward-feed";
/// Years of validity. Own certificates end by removal of the gateway, and a clock that is off must not end them.
const YEARS: (i32, i32) = (2020, 2120);

/// Returns a SHA-256 digest.
pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// A certificate chain and its key.
pub(crate) struct Identity {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: PrivateKeyDer<'static>,
}

/// The feed's certificate authority.
pub(crate) struct FeedAuthority {
    certificate: CertificateDer<'static>,
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl FeedAuthority {
    /// Opens the authority in `folder`, or makes it there.
    pub(crate) fn open(folder: &Path) -> Result<Self, ControlPlaneError> {
        create_private_dir(folder)?;
        let (certificate_path, key_path) = (folder.join("ca.pem"), folder.join("ca.key"));
        let pem = read_optional(&certificate_path)?;
        let (pem, key) = match (pem, read_optional(&key_path)?) {
            (Some(pem), Some(key)) => (pem, KeyPair::from_pem(&key).map_err(made)?),
            // A key without its certificate is a first start that was cut off: nobody holds anything of it yet.
            (None, _) => {
                let key = KeyPair::generate().map_err(made)?;
                let certificate = authority_params().self_signed(&key).map_err(made)?;
                write_private(&key_path, &key.serialize_pem())?;
                write_private(&certificate_path, &certificate.pem())?;
                (certificate.pem(), key)
            }
            (Some(_), None) => {
                return Err(tls_error(format!(
                    "{} is missing: restore it from a backup, or remove the whole folder and enrol every gateway again",
                    key_path.display()
                )));
            }
        };
        let certificate = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|error| {
            tls_error(format!(
                "{} is no certificate in PEM ({error}): restore it from a backup",
                certificate_path.display()
            ))
        })?;
        let issuer = Issuer::from_ca_cert_pem(&pem, key).map_err(made)?;
        Ok(Self { certificate, pem, issuer })
    }

    /// Returns the authority's certificate.
    pub(crate) const fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// Returns the authority's certificate in PEM.
    pub(crate) fn pem(&self) -> &str {
        &self.pem
    }

    /// Returns the digest of the certificate, as enrolment tokens carry it.
    pub(crate) fn digest(&self) -> String {
        hex::encode(sha256(&self.certificate))
    }

    /// Makes the feed server's own certificate, a fresh one at each start; the chain carries the authority.
    pub(crate) fn server_identity(&self) -> Result<Identity, ControlPlaneError> {
        let key = KeyPair::generate().map_err(made)?;
        let mut params = CertificateParams::new(vec![FEED_SERVER_NAME.to_owned()]).map_err(made)?;
        params.distinguished_name = common_name(FEED_SERVER_NAME);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let certificate = leaf(params).signed_by(&key, &self.issuer).map_err(made)?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        Ok(Identity { chain: vec![certificate.der().clone(), self.certificate.clone()], key })
    }

    /// Signs a gateway's key: of the request only the key counts, the name is what the token was made for.
    ///
    /// Returns the certificate in PEM and its SHA-256.
    pub(crate) fn sign_gateway(&self, name: &GatewayName, csr_pem: &str) -> Result<(String, [u8; 32]), rcgen::Error> {
        let request = CertificateSigningRequestParams::from_pem(csr_pem)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = common_name(name.as_str());
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = leaf(params).signed_by(&request.public_key, &self.issuer)?;
        Ok((certificate.pem(), sha256(certificate.der())))
    }
}

/// Makes a self-signed certificate for the given names and addresses. Returns chain and key in PEM.
pub(crate) fn self_signed(names: Vec<String>) -> Result<(String, String), ControlPlaneError> {
    let key = KeyPair::generate().map_err(made)?;
    let mut params = CertificateParams::new(names).map_err(made)?;
    params.distinguished_name = common_name("Doorward");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let certificate = leaf(params).self_signed(&key).map_err(made)?;
    Ok((certificate.pem(), key.serialize_pem()))
}

/// Reads the gateway's name out of a certificate that the authority signed.
pub(crate) fn gateway_of(certificate: &[u8]) -> Option<GatewayName> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
    parsed.subject().iter_common_name().next()?.as_str().ok()?.parse().ok()
}

fn authority_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = common_name("Doorward feed authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    dated(params)
}

fn leaf(mut params: CertificateParams) -> CertificateParams {
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    dated(params)
}

fn dated(mut params: CertificateParams) -> CertificateParams {
    params.not_before = date_time_ymd(YEARS.0, 1, 1);
    params.not_after = date_time_ymd(YEARS.1, 1, 1);
    let mut serial = *uuid::Uuid::new_v4().as_bytes();
    // A serial number is positive (RFC 5280 section 4.1.2.2).
    if let Some(first) = serial.first_mut() {
        *first = (*first & 0x3f) | 0x40;
    }
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    params
}

fn common_name(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

fn tls_error(message: String) -> ControlPlaneError {
    ControlPlaneError::Tls { message }
}

fn made(error: rcgen::Error) -> ControlPlaneError {
    tls_error(format!(
        "a certificate could not be made ({error}): check the files in the data folder's `tls` and `feed-ca`"
    ))
}
