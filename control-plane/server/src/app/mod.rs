//! Use cases: each authorises, decides through the domain and writes one transaction.
//!
//! Architecture invariant: no SQL here, and no HTTP beyond the shapes of the API that are returned.

pub(crate) mod accounts;
pub(crate) mod alerts;
mod applied;
pub(crate) mod audit;
pub(crate) mod browse;
pub(crate) mod copied_key;
mod decide;
pub(crate) mod devices;
pub(crate) mod directory;
pub(crate) mod endings;
pub(crate) mod enrolment;
pub(crate) mod find;
pub(crate) mod gateways;
pub(crate) mod grants;
pub(crate) mod groups;
pub(crate) mod health;
pub(crate) mod home;
pub(crate) mod journal;
pub(crate) mod lockdown;
pub(crate) mod notices;
pub(crate) mod offers;
pub(crate) mod people;
mod reach;
mod refusal;
pub(crate) mod requests;
pub(crate) mod resources;
mod revocation;
mod secret;
pub(crate) mod sponsors;
mod standing;
pub(crate) mod status;
pub(crate) mod tokens;
mod views;
mod was;

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use doorward_domain::{Action, Actor, AuditEntry, DirectoryTerms, DisuseTerms, LeaseTerms, Reason, Subject, authorise};
use doorward_model::{DnsName, Email, Timestamp};
use doorward_store::{Committed, Outbox, Store, StoreError, WriteTx};
use serde_json::Value;
use tokio_util::task::TaskTracker;

use self::accounts::Accounts;
pub(crate) use self::applied::apply;
pub(crate) use self::directory::known::KnownSources;
use self::health::Health;
use self::journal::Journal;
pub(crate) use self::refusal::Refusal;
pub(crate) use self::revocation::{RECEIPT_TIMEOUT, follow_up};
pub(crate) use self::was::Was;
use crate::api::Routes;
use crate::clock::Clock;
use crate::feed::{History, Hub, Replicas};
use crate::http::{SourceRate, Visits};
use crate::net::{Acme, Certificates, FeedAuthority, Ldap};

/// The answer of a JSON route: the body, with a status where it is not 200.
pub(crate) type Answer<T, S = ()> = Result<<S as Answered<T>>::Body, Refusal>;

/// Puts a status beside a body, or nothing.
pub(crate) trait Answered<T> {
    /// What axum renders.
    type Body;
}

impl<T> Answered<T> for () {
    type Body = Json<T>;
}

impl<T> Answered<T> for axum::http::StatusCode {
    type Body = (Self, Json<T>);
}

/// The server's parts, shared by all requests.
pub(crate) type App = Arc<Server>;

/// See [`App`].
pub(crate) struct Server {
    /// The database.
    pub(crate) store: Store,
    /// The one clock.
    pub(crate) clock: Clock,
    /// Gateway sessions.
    pub(crate) hub: Hub,
    /// The newest state that was ever seen.
    pub(crate) history: History,
    /// Whether the database answers.
    pub(crate) health: Health,
    /// Revocations that the database did not take yet.
    pub(crate) journal: Journal,
    /// What sources' messages need while the database cannot be read.
    pub(crate) sources: KnownSources,
    /// Other control planes on the same database.
    pub(crate) replicas: Replicas,
    /// What holds for every lease.
    pub(crate) terms: LeaseTerms,
    /// What holds for every directory.
    pub(crate) directory: DirectoryTerms,
    /// The directory that is asked for its people, where one is.
    pub(crate) ldap: Option<Ldap>,
    /// After how long what nobody uses ends.
    pub(crate) disuse: DisuseTerms,
    /// How much each directory may ask for.
    pub(crate) source_rate: SourceRate,
    /// The zone in which each resource has its name.
    pub(crate) zone: DnsName,
    /// Where people sign in, as the owner named it.
    pub(crate) portal: Option<String>,
    /// What people's configs route, unless somebody asks for another choice.
    pub(crate) routes: Routes,
    /// How long a gateway goes on enforcing what it last heard.
    pub(crate) authority_ttl: Duration,
    /// Signs gateways' certificates.
    pub(crate) feed_authority: FeedAuthority,
    /// Whether gateways on other machines can connect at all.
    pub(crate) remote_feed: bool,
    /// What accounts need: the seal, the site, the policy.
    pub(crate) accounts: Accounts,
    /// Whose word counts about who asks.
    pub(crate) trusted_proxies: Vec<ipnet::IpNet>,
    /// The portal's certificate.
    pub(crate) certificates: Arc<Certificates>,
    /// The authority that is asked for certificates, where one is.
    pub(crate) acme: Option<Acme>,
    /// How much strangers may ask for.
    pub(crate) visits: Visits,
    /// What gateways confirmed, for metrics.
    pub(crate) receipts: crate::metrics::Receipts,
    /// Work that outlives its request.
    pub(crate) workers: TaskTracker,
}

/// Who calls, once authenticated.
#[derive(Debug, Clone)]
pub(crate) struct Caller(pub(crate) Actor);

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Refusal> {
        // A route outside of the authenticating layer is a defect, and fails closed.
        parts
            .extensions
            .get::<Self>()
            .cloned()
            .ok_or_else(|| Refusal::Unauthenticated("no credential came with the request".to_owned()))
    }
}

/// Refuses what the actor may not do.
pub(crate) fn allow(actor: &Actor, action: Action, subject: &Subject) -> Result<(), Refusal> {
    authorise(actor, action, subject).require().map_err(Refusal::from)
}

/// Refuses who may not read.
pub(crate) fn allow_read(actor: &Actor) -> Result<(), Refusal> {
    allow(actor, Action::Read, &Subject::Everything)
}

/// Whom it concerns: who was named, or the person who calls.
pub(crate) fn concerned(named: Option<Email>, actor: &Actor, otherwise: &str) -> Result<Email, Refusal> {
    match (named, actor) {
        (Some(email), _) => Ok(email),
        (None, Actor::Person(person)) => Ok(person.email.clone()),
        (
            None,
            Actor::LocalAdmin { .. }
            | Actor::ApiToken { .. }
            | Actor::Source { .. }
            | Actor::Gateway { .. }
            | Actor::System,
        ) => Err(Refusal::Invalid(otherwise.to_owned())),
    }
}

/// Parses a reason.
pub(crate) fn reason(text: Option<String>) -> Result<Option<Reason>, Refusal> {
    text.filter(|text| !text.trim().is_empty())
        .map(|text| text.parse().map_err(|error: doorward_domain::ReasonError| Refusal::Invalid(error.to_string())))
        .transpose()
}

/// How long a commit may take on a database of others.
const COMMIT_PATIENCE: Duration = Duration::from_secs(10);

/// What a use case records.
pub(crate) struct Record<'a> {
    pub(crate) at: Timestamp,
    pub(crate) actor: &'a Actor,
    pub(crate) action: Action,
    pub(crate) subject: Subject,
    pub(crate) detail: Value,
}

/// Says whether API tokens may count no more afterwards: those whose maker goes, pauses or may not make any go with them.
const fn ends_tokens(action: Action) -> bool {
    matches!(
        action,
        Action::TokenRevoke
            | Action::PersonOffboard
            | Action::PersonSuspend
            | Action::PersonEnd
            | Action::PersonInactive
            | Action::PersonRole
    )
}

/// Says whether what is known of sources for bad times is another one afterwards.
const fn changes_sources(action: Action) -> bool {
    matches!(action, Action::SourceTokenAdd | Action::SourceTokenRevoke | Action::PersonRole)
}

impl Server {
    /// Commits a transaction with its record, and wakes the feed.
    ///
    /// It is carried to its end even where the caller goes.
    pub(crate) async fn commit(
        self: &Arc<Self>,
        tx: WriteTx,
        record: Record<'_>,
        outbox: Outbox,
    ) -> Result<Committed, Refusal> {
        let Record { at, actor, action, subject, detail } = record;
        tracing::info!(actor = %actor, action = action.as_str(), subject = %subject, "committing");
        let entry = AuditEntry { at, actor: actor.clone(), action, subject, detail };
        // Where other programs write the database a commit that hangs is nobody's business but its own; where this one
        // alone does, it has to know of each, so that nothing but its end ends the wait.
        let patience = if self.store.is_sole_writer() { Duration::MAX } else { COMMIT_PATIENCE };
        let server = Arc::clone(self);
        let committing = tokio::spawn(async move {
            let committed = tokio::time::timeout(patience, tx.commit(entry, outbox)).await;
            let committed = committed.unwrap_or_else(|_| Err(StoreError::Silent))?;
            server.health.committed();
            server.history.committed(&committed);
            server.hub.committed(committed.revision.0);
            if ends_tokens(action) {
                server.journal.remembered.forget();
            }
            if changes_sources(action) {
                server.sources.reread();
            }
            Ok::<_, Refusal>(committed)
        });
        let committed =
            committing.await.unwrap_or_else(|_| Err(Refusal::Internal("a commit ended in a panic".to_owned())))?;
        Ok(committed)
    }
}
