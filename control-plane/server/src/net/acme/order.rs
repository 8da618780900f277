//! One order at an authority: account, proof of each name, certificate.

use std::time::Duration;

use instant_acme::{
    Account, AccountCredentials, AuthorizationStatus, ChallengeType, Error, Identifier, NewAccount, NewOrder, Order,
    OrderStatus, Problem, RetryPolicy,
};
use zeroize::Zeroizing;

use super::answers::AnswerError;
use super::{Acme, Answers};
use crate::ControlPlaneError;
use crate::net::files::{read_optional, write_private};

/// How long the authority may take over the proofs, and over the certificate.
const RETRIES: RetryPolicy =
    RetryPolicy::new().initial_delay(Duration::from_millis(250)).backoff(1.5).timeout(Duration::from_secs(120));
/// Longest words of an authority that are repeated, in characters.
const WORDS_CHARS_MAX: usize = 300;

/// Why there is no certificate. Each sentence says what to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AcmeError {
    /// It cannot be reached, or is no such authority.
    #[error("the certificate authority does not answer: check `[acme] directory`, and that this machine may reach it")]
    Down(#[source] Error),
    /// It could not check a name.
    #[error(
        "the certificate authority could not check {name} (\"{words}\"): point the name's A and AAAA records at this machine, and let TCP port {port} in from everywhere"
    )]
    Name {
        /// Which name.
        name: String,
        /// What the authority said.
        words: String,
        /// Where it looked.
        port: u16,
    },
    /// It does not check names in the way that this server answers.
    #[error(
        "the certificate authority does not offer {way} for {name}: give the portal port 443, or take it away, or take another authority"
    )]
    Way {
        /// Which name.
        name: String,
        /// What this server would have answered.
        way: &'static str,
    },
    /// It refused.
    #[error("the certificate authority refused (\"{words}\"): check `[acme] names` and `contact`")]
    Refused {
        /// What the authority said.
        words: String,
    },
    /// It found each nonce stale; the library tries three.
    #[error("the certificate authority took three requests for stale ones: nothing has to be done unless this stays")]
    Stale,
    /// It gave a certificate without the names that were asked for.
    #[error("the certificate authority gave a certificate for other names than were asked for: take another authority")]
    Names,
    /// It took too long.
    #[error("the certificate authority took too long: nothing has to be done unless this stays")]
    Slow,
    /// An answer could not be made.
    #[error("the proof for the certificate authority could not be made")]
    Answer(#[from] AnswerError),
    /// What it gave could not be read or kept.
    #[error(transparent)]
    Kept(ControlPlaneError),
}

impl AcmeError {
    /// Says whether the authority did not count this attempt, so that the next one may follow soon.
    pub(crate) const fn is_uncounted(&self) -> bool {
        matches!(self, Self::Down(_) | Self::Stale)
    }
}

impl From<Error> for AcmeError {
    fn from(error: Error) -> Self {
        match problem(&error) {
            Some(problem) if problem.r#type.as_deref() == Some("urn:ietf:params:acme:error:badNonce") => Self::Stale,
            Some(problem) => Self::Refused { words: words(problem) },
            None if matches!(error, Error::Timeout(_)) => Self::Slow,
            None => Self::Down(error),
        }
    }
}

fn problem(error: &Error) -> Option<&Problem> {
    if let Error::Api(problem) = error { Some(problem) } else { None }
}

/// What the authority said, as one short line: it goes to logs, terminals and pages.
fn words(problem: &Problem) -> String {
    let text = problem.detail.as_deref().or(problem.r#type.as_deref()).unwrap_or("no reason given");
    doorward_model::repeatable(&text.replace('"', "'"), WORDS_CHARS_MAX)
}

fn is(error: &AcmeErrorOrRaw, kind: &str) -> bool {
    let AcmeErrorOrRaw::Raw(error) = error else { return false };
    problem(error).and_then(|problem| problem.r#type.as_deref()).is_some_and(|it| it.ends_with(kind))
}

/// An error of an order, before it is known whether another account mends it.
enum AcmeErrorOrRaw {
    Ours(AcmeError),
    Raw(Error),
}

impl From<Error> for AcmeErrorOrRaw {
    fn from(error: Error) -> Self {
        Self::Raw(error)
    }
}

impl From<AcmeError> for AcmeErrorOrRaw {
    fn from(error: AcmeError) -> Self {
        Self::Ours(error)
    }
}

impl From<AcmeErrorOrRaw> for AcmeError {
    fn from(error: AcmeErrorOrRaw) -> Self {
        match error {
            AcmeErrorOrRaw::Ours(error) => error,
            AcmeErrorOrRaw::Raw(error) => error.into(),
        }
    }
}

impl Acme {
    /// Returns a private key and a chain in PEM.
    pub(super) async fn ask(&self, answers: &Answers) -> Result<Zeroizing<String>, AcmeError> {
        let kept = self.kept_account().await?;
        let account = match &kept {
            Some(account) => account.clone(),
            None => self.new_account().await?,
        };
        match self.order(&account, answers).await {
            // It was closed there, or the authority began anew.
            Err(error) if kept.is_some() && is(&error, "accountDoesNotExist") => {
                tracing::info!("the certificate authority does not know this server's account: another one is opened");
                Ok(self.order(&self.new_account().await?, answers).await?)
            }
            done => Ok(done?),
        }
    }

    async fn kept_account(&self) -> Result<Option<Account>, AcmeError> {
        let path = self.account_path();
        let Some(text) = read_optional(&path).map_err(AcmeError::Kept)?.map(Zeroizing::new) else { return Ok(None) };
        let Ok(credentials) = serde_json::from_str::<AccountCredentials>(&text) else {
            tracing::warn!(path = %path.display(), "the account at the certificate authority cannot be read: another one is opened");
            return Ok(None);
        };
        let builder = Account::builder_with_http(Box::new(self.http.clone()));
        Ok(Some(builder.from_credentials(credentials).await?))
    }

    async fn new_account(&self) -> Result<Account, AcmeError> {
        let contact = self.section.contact.as_ref().map(|email| format!("mailto:{email}"));
        let contact: Vec<&str> = contact.as_deref().into_iter().collect();
        let new = NewAccount {
            contact: &contact,
            terms_of_service_agreed: self.section.terms_agreed,
            only_return_existing: false,
        };
        let builder = Account::builder_with_http(Box::new(self.http.clone()));
        let (account, credentials) = builder.create(&new, self.section.directory.clone(), None).await?;
        let text = serde_json::to_string(&credentials).map(Zeroizing::new).map_err(Error::from)?;
        write_private(&self.account_path(), &text).map_err(AcmeError::Kept)?;
        tracing::info!(account = account.id(), "an account at the certificate authority was opened");
        Ok(account)
    }

    async fn order(&self, account: &Account, answers: &Answers) -> Result<Zeroizing<String>, AcmeErrorOrRaw> {
        let identifiers: Vec<Identifier> = self.names().map(|name| Identifier::Dns(name.to_owned())).collect();
        let mut order = account.new_order(&NewOrder::new(&identifiers)).await?;
        let _taken_back = answers.until_dropped();
        self.prove(&mut order, answers).await?;
        match order.poll_ready(&RETRIES).await {
            Ok(OrderStatus::Ready) => {}
            Ok(OrderStatus::Invalid | OrderStatus::Pending | OrderStatus::Processing | OrderStatus::Valid) => {
                return Err(self.unproved(&mut order).await.unwrap_or(AcmeError::Slow).into());
            }
            Err(error) if problem(&error).is_some() => {
                return Err(self.unproved(&mut order).await.unwrap_or_else(|| error.into()).into());
            }
            Err(error) => return Err(error.into()),
        }
        let key = Zeroizing::new(order.finalize().await?);
        let chain = order.poll_certificate(&RETRIES).await?;
        Ok(Zeroizing::new(format!("{}{chain}", key.as_str())))
    }

    /// Prepares the answer for each name, and tells the authority to look.
    async fn prove(&self, order: &mut Order, answers: &Answers) -> Result<(), AcmeErrorOrRaw> {
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization?;
            // Proved for an earlier order, and still believed.
            if authorization.status == AuthorizationStatus::Valid {
                continue;
            }
            let name = authorization.identifier().to_string();
            let way = self.way();
            let Some(mut challenge) = authorization.challenge(self.challenge.clone()) else {
                return Err(AcmeError::Way { name, way }.into());
            };
            let proof = challenge.key_authorization();
            if self.needs_http() {
                answers.put_http(&challenge.token, proof.as_str());
            } else {
                answers.put_tls(&name, proof.digest().as_ref()).map_err(AcmeError::from)?;
            }
            challenge.set_ready().await?;
        }
        Ok(())
    }

    fn way(&self) -> &'static str {
        if self.challenge == ChallengeType::TlsAlpn01 { "TLS-ALPN-01" } else { "HTTP-01" }
    }

    /// Finds the name that was not proved, and what the authority said of it.
    async fn unproved(&self, order: &mut Order) -> Option<AcmeError> {
        let port = if self.needs_http() { 80 } else { super::HTTPS_PORT };
        let mut authorizations = order.authorizations();
        while let Some(Ok(mut authorization)) = authorizations.next().await {
            let Ok(state) = authorization.refresh().await else { continue };
            let said = state.challenges.iter().find_map(|challenge| challenge.error.as_ref());
            if let Some(problem) = said {
                return Some(AcmeError::Name { name: state.identifier().to_string(), words: words(problem), port });
            }
        }
        None
    }
}
