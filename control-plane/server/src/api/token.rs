//! API tokens, for `DOORWARD_TOKEN`.

use doorward_model::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::shapes;

/// `POST /api/v1/tokens`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ApiTokenNew {
    /// Its name: 1 to 63 letters, digits, `-`, `_` or `.`.
    #[schema(value_type = shapes::TokenName)]
    pub name: String,
}

/// A token without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ApiToken {
    /// Its name.
    pub name: String,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A token with its secret, shown once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ApiTokenMade {
    /// Its name.
    pub name: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// The secret, `dwt1_…`: goes into `Authorization: Bearer`.
    pub token: String,
}
