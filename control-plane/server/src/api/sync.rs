//! A file of people, compared with who is here.

use doorward_model::{Email, PersonName, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{PersonKind, shapes};

/// `POST /api/v1/people/sync`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PeopleSync {
    /// Everybody who is in the file.
    pub lines: Vec<SyncLine>,
    /// What is compared beside names; the rest is left as it is.
    #[serde(default)]
    pub compared: SyncCompared,
    /// The digest of a comparison that somebody looked at: it is done, if it is still the same. Without it nothing is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub apply: Option<String>,
}

/// One person of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SyncLine {
    /// The line's number, for what there is to say about it.
    pub line: u64,
    /// Who.
    #[schema(value_type = shapes::Email)]
    pub email: Email,
    /// What people call them.
    #[schema(value_type = shapes::PersonName)]
    pub name: PersonName,
    /// Staff or contractor.
    pub kind: PersonKind,
    /// Who answers for a contractor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<shapes::Email>)]
    pub sponsor: Option<Email>,
    /// When access ends at the latest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// Which columns the file has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SyncCompared {
    /// Staff or contractor.
    pub kind: bool,
    /// Who answers for a contractor.
    pub sponsor: bool,
    /// The end of access.
    pub until: bool,
}

/// What a file does, or would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PeopleSynced {
    /// Whether it was done.
    pub applied: bool,
    /// Names this comparison; `apply` asks for it.
    pub digest: String,
    /// Lines that make no sense; with one of them nothing is done.
    pub problems: Vec<SyncProblem>,
    /// Who is in the file alone.
    #[schema(value_type = Vec<String>)]
    pub added: Vec<Email>,
    /// Who differs.
    pub changed: Vec<SyncChanged>,
    /// Who was missing in an earlier file, was suspended for it, and is in this one.
    #[schema(value_type = Vec<String>)]
    pub back: Vec<Email>,
    /// Who is missing in the file.
    pub gone: Vec<SyncGone>,
    /// Who is left as they are, though the file says otherwise.
    pub left: Vec<SyncLeft>,
    /// How many are the same here and there.
    pub unchanged: u64,
    /// Whether so many are missing that they are suspended, and depart once somebody confirms it.
    pub braked: bool,
    /// What has to be looked after.
    pub warnings: Vec<String>,
}

/// A line that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SyncProblem {
    /// Its number.
    pub line: u64,
    /// What is wrong with it.
    pub message: String,
}

/// Somebody who differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SyncChanged {
    /// Who.
    #[schema(value_type = String)]
    pub email: Email,
    /// What differs.
    pub what: Vec<String>,
}

/// Somebody who is missing, with what they have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SyncGone {
    /// Who.
    #[schema(value_type = String)]
    pub email: Email,
    /// Devices that end.
    pub devices: u64,
    /// Grants that end.
    pub grants: u64,
}

/// Somebody who is left alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SyncLeft {
    /// Who.
    #[schema(value_type = String)]
    pub email: Email,
    /// Why.
    pub why: String,
}
