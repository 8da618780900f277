//! Logout tokens: the provider says that somebody is signed in there no more (OpenID Connect Back-Channel Logout 1.0).

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use doorward_model::Timestamp;
use jiff::SignedDuration;
use openidconnect::core::{CoreJsonWebKey, CoreJwsSigningAlgorithm};
use openidconnect::{JsonWebKey as _, SignatureVerificationError};
use serde::Deserialize;
use serde_json::Value;

use super::{ALGORITHMS, Provider, ProviderError, text_in};

/// What makes a token a logout token (section 2.4).
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
/// How old one may be, and how far the two clocks may differ (section 2.6 asks for a reasonable bound).
const AGE_MAX: SignedDuration = SignedDuration::from_mins(10);
/// How soon the provider is asked for its keys again.
const KEYS_AGAIN: Duration = Duration::from_secs(5);
/// Longest token that is read.
const TOKEN_BYTES_MAX: usize = 16 * 1024;

/// Who is signed in there no more: a person, one session, or both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LoggedOut {
    pub(crate) issuer: String,
    pub(crate) subject: Option<String>,
    pub(crate) sid: Option<String>,
}

#[derive(Deserialize)]
struct Header {
    alg: CoreJwsSigningAlgorithm,
    #[serde(default)]
    kid: Option<String>,
    #[serde(default)]
    typ: Option<String>,
}

impl Provider {
    /// Checks a logout token (section 2.6).
    pub(crate) async fn logged_out(&self, token: &str, now: Timestamp) -> Result<LoggedOut, ProviderError> {
        let parts = Parts::read(token).ok_or_else(|| untrusted("it is no signed token"))?;
        // A token of another kind, such as an access token, is signed with the same keys.
        let typ = parts.header.typ.as_deref().map(|typ| typ.to_ascii_lowercase());
        if typ.is_some_and(|typ| !matches!(typ.trim_start_matches("application/"), "jwt" | "logout+jwt")) {
            return Err(untrusted("it is a token of another kind"));
        }
        if !ALGORITHMS.contains(&parts.header.alg) {
            return Err(untrusted("it is signed in a way that does not count here"));
        }
        let unknown = || untrusted("it is signed with no key of the provider's");
        if !self.signed(&parts, false).await? {
            // Providers change their keys: ask once more before saying no, though not as often as a stranger sends tokens.
            if self.metadata_age().await < KEYS_AGAIN || !self.signed(&parts, true).await? {
                return Err(unknown());
            }
        }
        self.claimed(&parts.claims, now).map_err(untrusted)
    }

    async fn signed(&self, parts: &Parts<'_>, fresh: bool) -> Result<bool, ProviderError> {
        let metadata = self.metadata(fresh).await?;
        let is_meant = |key: &&CoreJsonWebKey| match (&parts.header.kid, key.key_id()) {
            (Some(wanted), Some(held)) => **held == *wanted,
            (None, _) | (_, None) => true,
        };
        let mut keys = metadata.jwks().keys().iter().filter(is_meant);
        let verified = |key: &CoreJsonWebKey| -> Result<(), SignatureVerificationError> {
            key.verify_signature(&parts.header.alg, parts.signed.as_bytes(), &parts.signature)
        };
        Ok(keys.any(|key| verified(key).is_ok()))
    }

    fn claimed(&self, claims: &Value, now: Timestamp) -> Result<LoggedOut, &'static str> {
        let issuer = self.issuer.as_str();
        if claims.get("iss").and_then(Value::as_str) != Some(issuer) {
            return Err("another provider made it");
        }
        let client = self.section.client_id.as_deref().unwrap_or_default();
        let ours = |it: &Value| it.as_str() == Some(client);
        let audience = claims.get("aud").ok_or("it is for nobody")?;
        if !ours(audience) && !audience.as_array().is_some_and(|all| all.len() == 1 && all.iter().all(ours)) {
            return Err("it is for another party");
        }
        let moment = |name: &str| claims.get(name).and_then(Value::as_f64).map(whole_seconds);
        let issued = moment("iat").flatten().ok_or("it does not say when it was made")?;
        if now.duration_since(issued).abs() > AGE_MAX {
            return Err("it is too old, or one of the two clocks is wrong");
        }
        match (claims.get("exp"), moment("exp").flatten()) {
            (None, _) => {}
            (Some(_), Some(ends)) if now < ends => {}
            (Some(_), _) => return Err("its time is over"),
        }
        if !claims.get("events").and_then(|events| events.get(EVENT)).is_some_and(Value::is_object) {
            return Err("it says nothing of a logout");
        }
        // A token with a nonce answered a sign-in, and is none for this (section 2.4).
        if claims.get("nonce").is_some() {
            return Err("it was made for a sign-in");
        }
        let (subject, sid) = (text_in(claims, "sub"), text_in(claims, "sid"));
        if subject.is_none() && sid.is_none() {
            return Err("it names nobody");
        }
        Ok(LoggedOut { issuer: issuer.to_owned(), subject, sid })
    }
}

fn untrusted(why: &'static str) -> ProviderError {
    ProviderError::Untrusted(why.into())
}

fn whole_seconds(seconds: f64) -> Option<Timestamp> {
    let span = SignedDuration::try_from_secs_f64(seconds).ok()?;
    Timestamp::from_duration(SignedDuration::from_secs(span.as_secs())).ok()
}

/// A token taken apart, before anything in it is believed.
struct Parts<'a> {
    header: Header,
    claims: Value,
    signed: &'a str,
    signature: Vec<u8>,
}

impl<'a> Parts<'a> {
    fn read(token: &'a str) -> Option<Self> {
        if token.len() > TOKEN_BYTES_MAX {
            return None;
        }
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let decoded = |text: &str| URL_SAFE_NO_PAD.decode(text).ok();
        Some(Self {
            header: serde_json::from_slice(&decoded(header)?).ok()?,
            claims: serde_json::from_slice(&decoded(claims)?).ok()?,
            signed,
            signature: decoded(signature)?,
        })
    }
}
