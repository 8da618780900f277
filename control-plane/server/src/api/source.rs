//! Sources of people, and webhooks, for admins; what webhooks themselves send is in `docs/webhook.md`.

use doorward_model::{Email, SourceName, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::shapes;

/// How a source speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SourceSort {
    /// A directory over SCIM.
    Scim,
    /// A signed webhook.
    Hook,
    /// A file of people.
    File,
    /// A directory that is asked over LDAP.
    Ldap,
}

/// A source of people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Source {
    /// Its name.
    #[schema(value_type = String)]
    pub name: SourceName,
    /// How it speaks.
    pub kind: SourceSort,
    /// When it was made.
    pub created_at: Timestamp,
    /// People of whom it said something.
    pub people: u64,
    /// Those of them whom it says are not active.
    pub suspended: u64,
    /// Where the brake is on: from when on changes count to the burst.
    pub brake_since: Option<Timestamp>,
    /// Where it is asked: when the last round began that was read to its end.
    pub asked_at: Option<Timestamp>,
    /// Where it is asked: how long a departure there may take to count here, in seconds, while rounds are read to their end.
    pub delay_seconds: Option<u64>,
}

/// `POST /api/v1/sources/{name}/poll`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PollWanted {
    /// Whether it is only shown what a round would do.
    pub dry_run: bool,
}

/// A round of asking a directory: what it did, or would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Polled {
    /// Whether it was done.
    pub done: bool,
    /// Addresses that the directory has.
    pub addresses: u64,
    /// People here whom it has or had.
    pub known: u64,
    /// Addresses of the directory that are nobody's here.
    pub strangers: u64,
    /// Who is in the directory for the first time.
    #[schema(value_type = Vec<String>)]
    pub first_seen: Vec<Email>,
    /// Who is suspended.
    pub suspended: Vec<PollMissing>,
    /// Who is there again.
    #[schema(value_type = Vec<String>)]
    pub back: Vec<Email>,
    /// Owners who are missing: they are put out by hand.
    pub owners: Vec<PollMissing>,
    /// Who is disabled there, and stays because somebody took them back by hand.
    #[schema(value_type = Vec<String>)]
    pub kept: Vec<Email>,
}

/// Somebody whom a directory does not have, or has as disabled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PollMissing {
    /// Who.
    #[schema(value_type = String)]
    pub email: Email,
    /// Which of the two, in words.
    pub why: String,
}

/// `POST /api/v1/hooks`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HookNew {
    /// The webhook's name; it is made with its first secret.
    #[schema(value_type = shapes::SourceName)]
    pub name: SourceName,
}

/// A webhook's secret, shown once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HookMade {
    /// The webhook.
    #[schema(value_type = String)]
    pub name: SourceName,
    /// When it was made.
    pub created_at: Timestamp,
    /// The secret, `dwh1_…`: what messages are signed with.
    pub secret: String,
    /// Where messages go.
    pub url: String,
}

/// A webhook's secret without the secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HookSecretShown {
    /// When it was made.
    pub created_at: Timestamp,
    /// By whom.
    pub created_by: String,
    /// When it was used last, to the minute.
    pub last_used_at: Option<Timestamp>,
}

/// A webhook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Hook {
    /// Its name.
    #[schema(value_type = String)]
    pub name: SourceName,
    /// When its first secret was made.
    pub created_at: Timestamp,
    /// Its secrets that count, the oldest first.
    pub secrets: Vec<HookSecretShown>,
}

/// `DELETE /api/v1/hooks/{name}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct HookRevoke {
    /// Whether the latest secret goes on counting.
    #[serde(default)]
    pub older: bool,
}
