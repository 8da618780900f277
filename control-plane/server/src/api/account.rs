//! Links: the owner's, and invitations; and `doorward login`.

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

/// `POST /api/v1/logout`; may be left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LogoutRequest {}

/// `POST /login/redeem`: a command line trades the code that its loopback port took.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoginRedeem {
    /// The code.
    pub code: String,
    /// What the challenge is the SHA-256 of.
    pub verifier: String,
}

/// `POST /login/wait`: a command line begins to wait for a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoginDeviceNew {
    /// What the machine calls itself.
    pub name: String,
}

/// What a command line that waits shows, and what it asks with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginDevice {
    /// Its own secret.
    pub device_code: String,
    /// What the person types.
    pub user_code: String,
    /// Where they type it.
    pub url: String,
    /// Seconds between two questions.
    pub interval_seconds: u64,
    /// When it is too late.
    pub expires_at: Timestamp,
}

/// `POST /login/poll`: asks whether the person has typed the code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoginPoll {
    /// The command line's own secret.
    pub device_code: String,
}

/// The answer: nothing while they have not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginPolled {
    /// The token, once.
    pub login: Option<LoginMade>,
}

/// A token of `doorward login`, shown once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginMade {
    /// Whose it is.
    pub email: Email,
    /// The secret, `dwl1_…`: goes into `Authorization: Bearer`.
    pub token: String,
    /// When it ends.
    pub expires_at: Timestamp,
}
