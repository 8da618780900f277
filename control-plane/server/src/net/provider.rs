//! An identity provider: discovery, the way there, and what it vouches for when somebody comes back (OpenID Connect Core
//! 1.0, section 3.1, with PKCE, RFC 7636).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use doorward_model::GroupName;
use openidconnect::core::{
    CoreAuthenticationFlow, CoreClient, CoreIdToken, CoreIdTokenClaims, CoreJwsSigningAlgorithm, CoreProviderMetadata,
};
use openidconnect::{
    AccessTokenHash, AuthorizationCode, ClaimsVerificationError, ClientId, ClientSecret, CsrfToken, HttpRequest,
    HttpResponse, IssuerUrl, Nonce, OAuth2TokenResponse as _, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl,
    RequestTokenError, Scope, TokenResponse as _,
};
use serde_json::Value;
use tokio::sync::Mutex;
use url::{Host, Url};

mod logout;

pub(crate) use self::logout::LoggedOut;

use crate::ControlPlaneError;
use crate::config::OidcSection;

/// How long one request to the provider may take: somebody waits in front of a page.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(8);
/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(4);
/// How long what the provider said of itself is believed; keys that are not in it are looked for at once.
const METADATA_MAX: Duration = Duration::from_secs(600);
/// Largest answer read.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;
/// Groups read from one token; a directory with more in it is asked for those of this application alone.
const GROUPS_MAX: usize = 1_000;
/// Longest name of a subject or a session that is kept (OpenID Connect Core, section 2, gives a subject 255).
const NAME_BYTES_MAX: usize = 255;
/// Signatures taken: those that need the provider's private key. A shared secret or none is no signature to us.
const ALGORITHMS: [CoreJwsSigningAlgorithm; 7] = [
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha384,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha512,
    CoreJwsSigningAlgorithm::RsaSsaPssSha256,
    CoreJwsSigningAlgorithm::EcdsaP256Sha256,
    CoreJwsSigningAlgorithm::EcdsaP384Sha384,
    CoreJwsSigningAlgorithm::EdDsa,
];

/// Why a provider's answer does not count.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProviderError {
    /// It does not answer, or not as a provider does.
    #[error("the identity provider does not answer at the moment: try again, or sign in another way")]
    Down(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It refused the code.
    #[error("the identity provider did not confirm the sign-in: begin again")]
    Refused(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// What it signed is not for us, not now, not from it, or not signed.
    #[error("what the identity provider sent cannot be trusted: begin again, and tell your admin if this goes on")]
    Untrusted(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// A request to the provider failed.
#[derive(Debug, thiserror::Error)]
enum HttpError {
    #[error("the request failed")]
    Request(#[from] reqwest::Error),
    #[error("the answer is larger than {ANSWER_BYTES_MAX} bytes")]
    TooLarge,
    #[error("the answer cannot be read")]
    Answer(#[from] axum::http::Error),
}

/// The way to the provider, and what the way back needs.
#[derive(Debug, Clone)]
pub(crate) struct Outward {
    pub(crate) url: String,
    pub(crate) nonce: String,
    pub(crate) verifier: String,
}

/// Whom the provider vouches for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Vouched {
    pub(crate) issuer: String,
    pub(crate) subject: String,
    /// It says that a second factor was proved, in the words that the owner takes for it.
    pub(crate) second_factor: bool,
    /// The groups that it names; `None` where the owner reads none from it.
    pub(crate) groups: Option<Vec<String>>,
    /// What it calls the session there.
    pub(crate) sid: Option<String>,
}

/// The configured provider.
pub(crate) struct Provider {
    section: OidcSection,
    issuer: IssuerUrl,
    redirect: RedirectUrl,
    http: reqwest::Client,
    metadata: Mutex<Option<(Instant, CoreProviderMetadata)>>,
}

macro_rules! client {
    ($self:ident, $metadata:expr) => {
        CoreClient::from_provider_metadata(
            $metadata,
            ClientId::new($self.section.client_id.clone().unwrap_or_default()),
            $self.section.client_secret.clone().map(ClientSecret::new),
        )
        .set_redirect_uri($self.redirect.clone())
    };
}

impl Provider {
    /// Reads `[oidc]`; there is no provider without it. `callback` is where people come back.
    pub(crate) fn new(section: &OidcSection, callback: String) -> Result<Option<Self>, ControlPlaneError> {
        let Some(issuer) = &section.issuer else { return Ok(None) };
        let wrong = |what: String| ControlPlaneError::Config(format!("[oidc]: {what}"));
        let parsed = Url::parse(issuer).map_err(|error| wrong(format!("`issuer` is no address ({error})")))?;
        let local = match parsed.host() {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        };
        if parsed.scheme() != "https" && !local {
            return Err(wrong(
                "`issuer` has to begin with https://: whoever is in between could be anybody".to_owned(),
            ));
        }
        if section.client_id.as_deref().unwrap_or_default().is_empty() {
            return Err(wrong(
                "`client_id` is missing: register Doorward with the provider and write its id".to_owned(),
            ));
        }
        // A redirect could lead inside the network that this server stands in.
        let http = reqwest::Client::builder()
            .timeout(REQUEST_TIMEOUT)
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            // A connection that was left open may be closed by the provider at the moment when it is used again, and a code
            // cannot be sent twice.
            .pool_max_idle_per_host(0)
            .https_only(!local)
            .build()
            .map_err(|error| wrong(format!("no client can be made ({error})")))?;
        Ok(Some(Self {
            issuer: IssuerUrl::new(issuer.clone())
                .map_err(|error| wrong(format!("`issuer` is no address ({error})")))?,
            redirect: RedirectUrl::new(callback)
                .map_err(|error| wrong(format!("`[server] url` is no address ({error})")))?,
            section: section.clone(),
            http,
            metadata: Mutex::new(None),
        }))
    }

    /// What people call it.
    pub(crate) fn name(&self) -> &str {
        self.section.name.as_deref().unwrap_or("your identity provider")
    }

    /// Whether everybody but owners signs in through it alone.
    pub(crate) const fn is_alone(&self) -> bool {
        self.section.only
    }

    /// What it calls groups, and what they are called here; empty: the same.
    pub(crate) const fn groups(&self) -> &BTreeMap<String, GroupName> {
        &self.section.groups
    }

    /// Begins: returns the way there.
    pub(crate) async fn begin(&self, state: String) -> Result<Outward, ProviderError> {
        let client = client!(self, self.metadata(false).await?);
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let flow = CoreAuthenticationFlow::AuthorizationCode;
        let mut request =
            client.authorize_url(flow, || CsrfToken::new(state), Nonce::new_random).set_pkce_challenge(challenge);
        for scope in &self.section.scopes {
            request = request.add_scope(Scope::new(scope.clone()));
        }
        let (url, _, nonce) = request.url();
        Ok(Outward { url: url.into(), nonce: nonce.secret().clone(), verifier: verifier.into_secret() })
    }

    /// Ends: trades the code, and checks what comes back.
    pub(crate) async fn end(&self, code: String, nonce: String, verifier: String) -> Result<Vouched, ProviderError> {
        let client = client!(self, self.metadata(false).await?);
        let http = |request| send(self.http.clone(), request);
        let answer = client
            .exchange_code(AuthorizationCode::new(code))
            .map_err(|error| ProviderError::Down(Box::new(error)))?
            .set_pkce_verifier(PkceCodeVerifier::new(verifier))
            .request_async(&http)
            .await
            .map_err(|error| match error {
                RequestTokenError::Request(_) => ProviderError::Down(Box::new(error)),
                RequestTokenError::Parse(..) => ProviderError::Untrusted(Box::new(error)),
                RequestTokenError::ServerResponse(_) | RequestTokenError::Other(_) => {
                    ProviderError::Refused(Box::new(error))
                }
            })?;
        let missing = || std::io::Error::other("no id token came with the answer");
        let token = answer.id_token().ok_or_else(|| ProviderError::Untrusted(Box::new(missing())))?;
        let nonce = Nonce::new(nonce);
        match self.vouched(token, &nonce, answer.access_token(), false).await {
            // Providers change their keys: ask once more before saying no.
            Err(Checked::UnknownKey) => {
                let again = self.vouched(token, &nonce, answer.access_token(), true).await;
                again.map_err(|checked| match checked {
                    Checked::UnknownKey => ProviderError::Untrusted(Box::new(std::io::Error::other(
                        "signed with no key of the provider's",
                    ))),
                    Checked::Error(error) => error,
                })
            }
            Err(Checked::Error(error)) => Err(error),
            Ok(vouched) => Ok(vouched),
        }
    }

    async fn vouched(
        &self,
        token: &CoreIdToken,
        nonce: &Nonce,
        access: &openidconnect::AccessToken,
        fresh: bool,
    ) -> Result<Vouched, Checked> {
        let client = client!(self, self.metadata(fresh).await.map_err(Checked::Error)?);
        // The audience is ours alone: another one beside it could have been given the token first.
        let verifier =
            client.id_token_verifier().set_allowed_algs(ALGORITHMS).set_other_audience_verifier_fn(|_| false);
        let claims: &CoreIdTokenClaims = token.claims(&verifier, nonce).map_err(|error| {
            let unknown = openidconnect::SignatureVerificationError::NoMatchingKey;
            if error == ClaimsVerificationError::SignatureVerification(unknown) {
                Checked::UnknownKey
            } else {
                Checked::Error(ProviderError::Untrusted(Box::new(error)))
            }
        })?;
        let untrusted =
            |error: Box<dyn std::error::Error + Send + Sync>| Checked::Error(ProviderError::Untrusted(error));
        // The library leaves this to its callers (section 3.1.3.7, rule 5).
        let client_id = self.section.client_id.as_deref().unwrap_or_default();
        if claims.authorized_party().is_some_and(|party| party.as_str() != client_id) {
            return Err(untrusted("it was issued to another party".into()));
        }
        if let Some(expected) = claims.access_token_hash() {
            let algorithm = token.signing_alg().map_err(|error| untrusted(Box::new(error)))?;
            let key = token.signing_key(&verifier).map_err(|error| untrusted(Box::new(error)))?;
            let actual =
                AccessTokenHash::from_token(access, algorithm, key).map_err(|error| untrusted(Box::new(error)))?;
            if actual != *expected {
                return Err(untrusted("the access token is another one than the signed one".into()));
            }
        }
        let amr = claims.auth_method_refs().into_iter().flatten();
        let by_method = amr.into_iter().any(|method| self.section.second_factor_amr.iter().any(|it| *it == **method));
        let class = claims.auth_context_ref().map(|class| class.as_str());
        let by_class = class.is_some_and(|class| self.section.second_factor_acr.iter().any(|it| it == class));
        Ok(Vouched {
            issuer: claims.issuer().as_str().to_owned(),
            subject: claims.subject().as_str().to_owned(),
            second_factor: by_method || by_class,
            groups: self.section.groups_claim.as_deref().map(|claim| groups_in(&token.to_string(), claim)),
            sid: text_in(&claims_of(&token.to_string()), "sid"),
        })
    }

    /// How long ago it said so last.
    async fn metadata_age(&self) -> Duration {
        self.metadata.lock().await.as_ref().map_or(Duration::MAX, |(at, _)| at.elapsed())
    }

    /// What the provider says of itself, its keys with it.
    async fn metadata(&self, fresh: bool) -> Result<CoreProviderMetadata, ProviderError> {
        let mut kept = self.metadata.lock().await;
        if let Some((at, metadata)) = kept.as_ref()
            && at.elapsed() < METADATA_MAX
            && !fresh
        {
            return Ok(metadata.clone());
        }
        let http = |request| send(self.http.clone(), request);
        // Discovery compares the issuer with the one that was asked for.
        let found = CoreProviderMetadata::discover_async(self.issuer.clone(), &http).await;
        let metadata = found.map_err(|error| ProviderError::Down(Box::new(error)))?;
        *kept = Some((Instant::now(), metadata.clone()));
        Ok(metadata)
    }
}

/// Reads what a token claims, whoever signed it; nothing where it is none.
fn claims_of(token: &str) -> Value {
    let claims = token.split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part.trim_end_matches('=')).ok());
    claims.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
}

/// Reads a claim that names something; one too long to be kept is none.
fn text_in(claims: &Value, name: &str) -> Option<String> {
    let text = claims.get(name).and_then(Value::as_str)?;
    Some(text).filter(|text| !text.is_empty() && text.len() <= NAME_BYTES_MAX).map(ToOwned::to_owned)
}

/// Reads the groups out of a token whose signature was checked. A claim that is missing names none, so that access never
/// rests on what the provider ceased to say.
fn groups_in(token: &str, claim: &str) -> Vec<String> {
    let claims = claims_of(token);
    let found = if claim.starts_with('/') { claims.pointer(claim) } else { claims.get(claim) };
    let named = match found {
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).map(ToOwned::to_owned).collect(),
        Some(Value::String(name)) => vec![name.clone()],
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) | None => Vec::new(),
    };
    if named.len() > GROUPS_MAX {
        tracing::warn!(
            groups = named.len(),
            "the identity provider names too many groups; the first {GROUPS_MAX} count"
        );
    }
    named.into_iter().take(GROUPS_MAX).collect()
}

/// How checking a token went.
enum Checked {
    UnknownKey,
    Error(ProviderError),
}

async fn send(client: reqwest::Client, request: HttpRequest) -> Result<HttpResponse, HttpError> {
    let mut answer = client.execute(reqwest::Request::try_from(request)?).await?;
    let mut response = axum::http::Response::builder().status(answer.status());
    for (name, value) in answer.headers() {
        response = response.header(name, value);
    }
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        if body.len().saturating_add(chunk.len()) > ANSWER_BYTES_MAX {
            return Err(HttpError::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(response.body(body)?)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn groups_are_a_list_or_one_name_wherever_the_claim_is() {
        let token = |claims: Value| format!("header.{}.signature", URL_SAFE_NO_PAD.encode(claims.to_string()));
        let flat = token(json!({ "groups": ["support", 7, "stores"], "https://shop.example/g": "one" }));
        assert_eq!(groups_in(&flat, "groups"), ["support", "stores"]);
        assert_eq!(groups_in(&flat, "https://shop.example/g"), ["one"]);
        let nested = token(json!({ "realm_access": { "roles": ["support"] } }));
        assert_eq!(groups_in(&nested, "/realm_access/roles"), ["support"]);
        for (token, claim) in [(&*nested, "groups"), (&*nested, "realm_access"), ("nonsense", "groups"), ("a.b.c", "x")]
        {
            assert!(groups_in(token, claim).is_empty(), "{token} {claim}");
        }
        let many = token(json!({ "groups": vec!["x"; 5_000] }));
        assert_eq!(groups_in(&many, "groups").len(), GROUPS_MAX);
    }
}
