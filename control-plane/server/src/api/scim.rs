//! Directories (SCIM), for admins; what directories themselves send is the standard's.

use doorward_model::{Email, SourceName, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::shapes;

/// `POST /api/v1/scim/tokens`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ScimTokenNew {
    /// The directory's name; it is made with its first token.
    #[schema(value_type = shapes::SourceName)]
    pub name: SourceName,
}

/// A directory's token with its secret, shown once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ScimTokenMade {
    /// The directory.
    #[schema(value_type = String)]
    pub name: SourceName,
    /// When it was made.
    pub created_at: Timestamp,
    /// The secret, `dws1_…`: the bearer token in the identity provider.
    pub token: String,
    /// The base URL in the identity provider.
    pub url: String,
}

/// A directory's token without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ScimToken {
    /// When it was made.
    pub created_at: Timestamp,
    /// By whom.
    pub created_by: String,
    /// When it was used last, to the minute.
    pub last_used_at: Option<Timestamp>,
}

/// A directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ScimSource {
    /// Its name.
    #[schema(value_type = String)]
    pub name: SourceName,
    /// When its first token was made.
    pub created_at: Timestamp,
    /// People whom it manages.
    pub people: u64,
    /// Those of them whom it says are active.
    pub active: u64,
    /// Where the brake is on: from when on changes count to the burst.
    pub brake_since: Option<Timestamp>,
    /// Its tokens that count, the oldest first.
    pub tokens: Vec<ScimToken>,
}

/// `DELETE /api/v1/scim/tokens/{name}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ScimTokenRevoke {
    /// Whether the latest token goes on counting.
    #[serde(default)]
    pub older: bool,
}

/// `POST /api/v1/scim/sources/{name}/people`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ScimAdopt {
    /// Whom to hand over.
    #[schema(value_type = shapes::Email)]
    pub email: Email,
}

/// What was decided about a mass change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ScimDecided {
    /// The directory.
    #[schema(value_type = String)]
    pub name: SourceName,
    /// Whom it concerned.
    #[schema(value_type = Vec<String>)]
    pub people: Vec<Email>,
    /// Who could not be taken back, and why.
    pub left: Vec<String>,
}
