//! People.

use doorward_model::{Email, GroupName, PersonName, SourceName, TimeLimit, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Device, Grant, SourceSort, shapes};

/// Who somebody is to the shop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PersonKind {
    /// Works for the shop.
    Staff,
    /// Works for somebody else; a member of staff answers for them.
    Contractor,
}

/// Whether somebody may have access at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PersonState {
    /// Grants count.
    Active,
    /// Nothing counts until restored; devices and grants are kept.
    Suspended,
    /// Gone; devices are revoked, grants have ended.
    Departed,
}

/// `POST /api/v1/people`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PersonNew {
    /// The email address that names the person.
    #[schema(value_type = shapes::Email)]
    pub email: Email,
    /// What people call them.
    #[schema(value_type = shapes::PersonName)]
    pub name: PersonName,
    /// Staff or contractor.
    pub kind: PersonKind,
    /// The member of staff who answers for a contractor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<shapes::Email>)]
    pub sponsor: Option<Email>,
    /// When the person's access ends at the latest: a span such as `4d`, or RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<shapes::TimeLimit>)]
    pub until: Option<TimeLimit>,
}

/// A person with what they have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Person {
    /// The email address.
    #[schema(value_type = String)]
    pub email: Email,
    /// The name.
    #[schema(value_type = String)]
    pub name: PersonName,
    /// Staff or contractor.
    pub kind: PersonKind,
    /// Active, suspended or departed.
    pub state: PersonState,
    /// Who answers for a contractor.
    #[schema(value_type = Option<String>)]
    pub sponsor: Option<Email>,
    /// What they may do for others.
    pub role: PersonRole,
    /// The groups they are a member of.
    #[schema(value_type = Vec<String>)]
    pub groups: Vec<GroupName>,
    /// What directories, webhooks and files say of them.
    #[serde(default)]
    pub sources: Vec<PersonSource>,
    /// When access ends at the latest.
    pub until: Option<Timestamp>,
    /// When the person was added.
    pub created_at: Timestamp,
    /// Their devices, revoked ones included.
    pub devices: Vec<Device>,
    /// Their grants and those of their groups, ended ones included.
    pub grants: Vec<Grant>,
}

/// What a source says of a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PersonSource {
    /// The source's name.
    #[schema(value_type = String)]
    pub name: SourceName,
    /// What kind of source it is.
    pub kind: SourceSort,
    /// Whether name, address and return are its to say, and nobody's by hand.
    pub manages: bool,
    /// Since when it says that they are not active.
    pub suspended_at: Option<Timestamp>,
}

/// What somebody may do for others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PersonRole {
    /// Everything an admin may, and saying who has which role.
    Owner,
    /// People, devices, resources, grants, gateways, lockdown.
    Admin,
    /// Answers requests for access, and reads what that takes.
    Approver,
    /// Reads everything, and changes nothing.
    Auditor,
    /// Their own devices and requests.
    Member,
}

/// `PUT /api/v1/people/{email}/role`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PersonRoleSet {
    /// The role.
    pub role: PersonRole,
}

/// `PUT /api/v1/people/{email}/sponsor`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PersonSponsorSet {
    /// Who answers for the contractor.
    #[schema(value_type = shapes::Email)]
    pub sponsor: Email,
}

/// `POST /api/v1/people/{email}/offboard`; may be left out.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PersonOffboard {
    /// Why, for the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<shapes::Remark>)]
    pub reason: Option<String>,
    /// Who takes over the contractors and resources that they answer for. Without it the contractors are suspended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<shapes::Email>)]
    pub hand_over_to: Option<Email>,
}
