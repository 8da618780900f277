//! Enrolment: a one-time token is traded for a certificate of the feed's authority.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use doorward_model::GatewayName;
use hyper::StatusCode;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::error::GatewayError;
use crate::http::{Connector, HttpError, Poster};
use crate::key::write_private;
use crate::planes::Planes;
use crate::tls::{self, AUTHORITY_FILE, CERTIFICATE_FILE, KEY_FILE};

/// The variable that a token is read from before the file.
pub const TOKEN_VARIABLE: &str = "DOORWARD_GATEWAY_TOKEN";

/// A token is about 120 characters; a file much longer is something else.
const TOKEN_BYTES_MAX: u64 = 1_024;

/// How long to wait before the control plane is asked again when it cannot be reached.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// Why a gateway cannot be enrolled.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    /// No certificate and no token.
    #[error(
        "this gateway is not enrolled: run `doorward gateway token add {name}` on the control plane's machine, and start the gateway with that token in {TOKEN_VARIABLE} or in `[gateway] enrolment_token_file`"
    )]
    TokenMissing {
        /// The gateway's name.
        name: GatewayName,
    },
    /// The token is not one.
    #[error("the enrolment token is not one: expected dwg1.….… as `doorward gateway token add` prints it, on one line")]
    TokenFormat,
    /// The token's file.
    #[error("cannot read the enrolment token from {path}: check `[gateway] enrolment_token_file`")]
    TokenFile {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The control plane did not take the token.
    #[error(
        "the control plane refused the enrolment token ({message}): tokens work once, for one name, within 24 hours; run `doorward gateway token add {name}` for another"
    )]
    Refused {
        /// The gateway's name.
        name: GatewayName,
        /// The control plane's sentence.
        message: String,
    },
    /// The server is not the one that issued the token.
    #[error(
        "{host} is not the control plane that issued the enrolment token: check `[gateway] control_plane`, and if it is right, ask who answers there before trying again"
    )]
    WrongServer {
        /// The host in the configuration.
        host: String,
    },
    /// The server's answer makes no sense.
    #[error(
        "the control plane's answer to the enrolment is unusable ({message}): run the same version on both machines"
    )]
    Answer {
        /// What is wrong with it.
        message: String,
    },
    /// The files of an earlier enrolment are damaged.
    #[error(
        "the files of this gateway's enrolment are unusable ({message}): remove {KEY_FILE}, {CERTIFICATE_FILE} and {AUTHORITY_FILE} there and enrol it again"
    )]
    Identity {
        /// Which file, and what is wrong with it.
        message: String,
    },
}

/// A token: `dwg1.SECRET.DIGEST`, the digest being that of the feed authority's certificate.
pub(crate) struct EnrolmentToken {
    text: Zeroizing<String>,
    authority_digest: [u8; 32],
}

impl EnrolmentToken {
    /// Reads a token.
    ///
    /// # Errors
    /// [`EnrolError::TokenFormat`].
    pub(crate) fn parse(text: &str) -> Result<Self, EnrolError> {
        let text = text.trim();
        let mut parts = text.split('.');
        let (Some("dwg1"), Some(secret), Some(digest), None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(EnrolError::TokenFormat);
        };
        let secret = Zeroizing::new(URL_SAFE_NO_PAD.decode(secret).map_err(|_| EnrolError::TokenFormat)?);
        let mut authority_digest = [0; 32];
        hex::decode_to_slice(digest, &mut authority_digest).map_err(|_| EnrolError::TokenFormat)?;
        if secret.len() != 32 {
            return Err(EnrolError::TokenFormat);
        }
        Ok(Self { text: Zeroizing::new(text.to_owned()), authority_digest })
    }

    /// Finds the token in the environment or in the configured file; `None` where neither is set.
    ///
    /// # Errors
    /// [`EnrolError::TokenFormat`], [`EnrolError::TokenFile`].
    pub(crate) fn find(file: Option<&Path>) -> Result<Option<Self>, EnrolError> {
        use std::io::Read as _;
        if let Ok(text) = std::env::var(TOKEN_VARIABLE) {
            return Self::parse(&Zeroizing::new(text)).map(Some);
        }
        let Some(path) = file else { return Ok(None) };
        let mut text = Zeroizing::new(String::new());
        std::fs::File::open(path)
            .and_then(|file| file.take(TOKEN_BYTES_MAX).read_to_string(&mut text))
            .map_err(|source| EnrolError::TokenFile { path: path.to_owned(), source })?;
        Self::parse(&text).map(Some)
    }
}

/// What a gateway knows about its enrolment when it starts.
pub(crate) enum Enrolment {
    /// It has its certificate.
    Done,
    /// It has a token to trade.
    Token(EnrolmentToken),
}

impl Enrolment {
    /// Looks for a certificate, then for a token.
    ///
    /// # Errors
    /// [`EnrolError::TokenMissing`] when there is neither; those of [`EnrolmentToken::find`].
    pub(crate) fn find(folder: &Path, token_file: Option<&Path>, name: &GatewayName) -> Result<Self, EnrolError> {
        if folder.join(CERTIFICATE_FILE).exists() {
            return Ok(Self::Done);
        }
        let token = EnrolmentToken::find(token_file)?;
        token.map(Self::Token).ok_or_else(|| EnrolError::TokenMissing { name: name.clone() })
    }
}

#[derive(Serialize)]
struct EnrolRequest<'a> {
    token: &'a str,
    name: &'a GatewayName,
    csr_pem: &'a str,
}

#[derive(Deserialize)]
struct EnrolAnswer {
    certificate_pem: String,
    ca_pem: String,
}

/// Trades the token for a certificate and writes the files; waits for a control plane that cannot be reached.
///
/// # Errors
/// [`EnrolError`], and [`GatewayError::DataDir`] when a file cannot be written.
pub(crate) async fn enrol(
    folder: &Path,
    planes: &Arc<Planes>,
    name: &GatewayName,
    token: &EnrolmentToken,
) -> Result<(), GatewayError> {
    let unusable = |message: String| EnrolError::Answer { message };
    let key = KeyPair::generate().map_err(|error| unusable(error.to_string()))?;
    let csr_pem = signing_request(&key, name).map_err(|error| unusable(error.to_string()))?;
    let body = EnrolRequest { token: &token.text, name, csr_pem: &csr_pem };
    let body = serde_json::to_vec(&body).map_err(|error| unusable(error.to_string()))?;
    let config = tls::first_contact(token.authority_digest).map_err(|error| unusable(error.to_string()))?;
    let mut poster = Poster::new(Connector::Tls { planes: Arc::clone(planes), config: Arc::new(config) });
    let (mut told, named) = (false, planes.named());
    let answer = loop {
        match poster.post("/feed/v1/enrol", body.clone()).await {
            Ok(answer) if answer.status.is_success() => break answer,
            Ok(answer) if answer.status.is_client_error() && answer.status != StatusCode::TOO_MANY_REQUESTS => {
                return Err(EnrolError::Refused { name: name.clone(), message: answer.complaint() }.into());
            }
            Err(HttpError::Untrusted(_)) => return Err(EnrolError::WrongServer { host: named }.into()),
            Ok(_) | Err(_) if told => (),
            Ok(answer) => {
                tracing::warn!(control_plane = named, complaint = answer.complaint(), "cannot enrol yet: trying again")
            }
            Err(error) => {
                tracing::warn!(control_plane = named, error = chain(&error), "cannot enrol yet: trying again")
            }
        }
        told = true;
        if planes.move_on() {
            tokio::time::sleep(RETRY_AFTER).await;
        }
    };
    let answer: EnrolAnswer = serde_json::from_slice(&answer.body).map_err(|error| unusable(error.to_string()))?;
    keep(folder, &key, &answer, token)
}

fn signing_request(key: &KeyPair, name: &GatewayName) -> Result<String, rcgen::Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, name.as_str());
    params.distinguished_name = subject;
    params.serialize_request(key)?.pem()
}

fn keep(folder: &Path, key: &KeyPair, answer: &EnrolAnswer, token: &EnrolmentToken) -> Result<(), GatewayError> {
    let authority = CertificateDer::from_pem_slice(answer.ca_pem.as_bytes())
        .map_err(|error| EnrolError::Answer { message: format!("no authority certificate: {error}") })?;
    if tls::digest(&authority) != token.authority_digest {
        return Err(EnrolError::Answer { message: "another authority than the token's".to_owned() }.into());
    }
    CertificateDer::from_pem_slice(answer.certificate_pem.as_bytes())
        .map_err(|error| EnrolError::Answer { message: format!("no certificate: {error}") })?;
    let key_pem = Zeroizing::new(key.serialize_pem());
    // The certificate comes last: where it is, the other two are.
    for (file, contents) in [
        (KEY_FILE, key_pem.as_bytes()),
        (AUTHORITY_FILE, answer.ca_pem.as_bytes()),
        (CERTIFICATE_FILE, answer.certificate_pem.as_bytes()),
    ] {
        let path = folder.join(file);
        write_private(&path, contents).map_err(|source| GatewayError::DataDir { path, source })?;
    }
    Ok(())
}

/// Writes an error and its causes on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}

#[cfg(test)]
#[path = "enrol_tests.rs"]
mod tests;
