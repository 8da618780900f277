//! What an authority asked for, while it asks: the proof that a name is this server's.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls::sign::CertifiedKey;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use super::super::tls::provider;

/// The answers that are ready.
#[derive(Default)]
pub(crate) struct Answers {
    /// By token: the text at `/.well-known/acme-challenge/TOKEN` (RFC 8555, section 8.3).
    http: RwLock<HashMap<String, String>>,
    /// By name: the certificate in a handshake (RFC 8737, section 3).
    tls: RwLock<HashMap<String, Arc<CertifiedKey>>>,
}

/// An answer could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AnswerError {
    /// A certificate for the handshake was not made.
    #[error("the certificate of the answer was not made")]
    Certificate(#[from] rcgen::Error),
    /// The TLS library does not take its key.
    #[error("the TLS library does not take the key of the answer")]
    Key(#[from] rustls::Error),
}

impl Answers {
    /// Returns the text for a token.
    pub(crate) fn http(&self, token: &str) -> Option<String> {
        self.http.read().unwrap_or_else(PoisonError::into_inner).get(token).cloned()
    }

    /// Returns the certificate for a name.
    pub(crate) fn tls(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        self.tls.read().unwrap_or_else(PoisonError::into_inner).get(&name.to_ascii_lowercase()).cloned()
    }

    pub(super) fn put_http(&self, token: &str, text: &str) {
        self.http.write().unwrap_or_else(PoisonError::into_inner).insert(token.to_owned(), text.to_owned());
    }

    /// Puts a certificate whose one purpose is to carry `digest` (RFC 8737, section 3).
    pub(super) fn put_tls(&self, name: &str, digest: &[u8]) -> Result<(), AnswerError> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(vec![name.to_owned()])?;
        params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
        let certificate = params.self_signed(&key)?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        // Not `from_der`, which reads the certificate and knows no such critical extension.
        let answer = CertifiedKey::new(vec![certificate.der().clone()], provider().key_provider.load_private_key(key)?);
        self.tls.write().unwrap_or_else(PoisonError::into_inner).insert(name.to_ascii_lowercase(), Arc::new(answer));
        Ok(())
    }

    /// Takes all answers back once the value that is returned goes.
    pub(super) fn until_dropped(&self) -> impl Drop + '_ {
        TakenBack(self)
    }
}

struct TakenBack<'a>(&'a Answers);

impl Drop for TakenBack<'_> {
    fn drop(&mut self) {
        self.0.http.write().unwrap_or_else(PoisonError::into_inner).clear();
        self.0.tls.write().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
