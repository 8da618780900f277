//! Links: the owner's, and invitations.

use doorward_model::{Email, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `POST /api/v1/owner/link`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OwnerLinkNew {
    /// Only while no owner can sign in.
    #[serde(default)]
    pub first_run: bool,
}

/// The link with which an owner gets in; it counts once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OwnerLinkMade {
    /// To be opened in a browser.
    pub url: String,
    /// When it stops counting.
    pub expires_at: Timestamp,
}

/// A person's link to join, or to get in again; it counts once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct InvitationMade {
    /// For whom.
    #[schema(value_type = String)]
    pub email: Email,
    /// To be opened in a browser.
    pub url: String,
    /// When it stops counting.
    pub expires_at: Timestamp,
    /// Whether it was mailed.
    pub mailed: bool,
    /// What did not go as wished.
    pub warnings: Vec<String>,
}
