//! Grants.

use std::net::{Ipv4Addr, Ipv6Addr};

use doorward_model::{DnsName, Email, GrantId, GroupName, ResourceName, TimeLimit, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::shapes;

/// `POST /api/v1/grants`. Exactly one of `email` and `group`, and one of `for` and `until` is given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GrantNew {
    /// Which person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<shapes::Email>)]
    pub email: Option<Email>,
    /// Which group: each of its members, for as long as they are one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<shapes::GroupName>)]
    pub group: Option<GroupName>,
    /// What.
    #[schema(value_type = shapes::ResourceName)]
    pub resource: ResourceName,
    /// How long, from its start: a span such as `8h`.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<shapes::Span>)]
    pub valid_for: Option<TimeLimit>,
    /// Until when, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<shapes::TimeLimit>)]
    pub until: Option<TimeLimit>,
    /// From when, RFC 3339 or a span from this moment; absent: at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<shapes::TimeLimit>)]
    pub from: Option<TimeLimit>,
    /// On which hours of the week alone: days, times and a time zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<shapes::Hours>)]
    pub hours: Option<String>,
    /// Why, for the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<shapes::Remark>)]
    pub reason: Option<String>,
}

/// Where a grant stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum GrantState {
    /// It holds.
    Active,
    /// It begins later.
    Scheduled,
    /// Its time is over.
    Ended,
    /// It was taken away.
    Revoked,
}

/// A person, or each member of a group, may use a resource, from when to when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Grant {
    /// Its id.
    #[schema(value_type = uuid::Uuid)]
    pub id: GrantId,
    /// Who; `null` for a group's grant, but in what is shown of a member.
    #[schema(value_type = Option<String>)]
    pub email: Option<Email>,
    /// The group that was granted it; `null` for a person's own grant.
    #[schema(value_type = Option<String>)]
    pub group: Option<GroupName>,
    /// What.
    #[schema(value_type = String)]
    pub resource: ResourceName,
    /// The resource's own address inside Doorward's network, IPv4; `null` where the network is too small to have any.
    #[schema(value_type = Option<String>)]
    pub service_v4: Option<Ipv4Addr>,
    /// The resource's own address inside Doorward's network, IPv6.
    #[schema(value_type = Option<String>)]
    pub service_v6: Option<Ipv6Addr>,
    /// The resource's name in `[network] zone`.
    #[schema(value_type = Option<String>)]
    pub dns_name: Option<DnsName>,
    /// From when.
    pub from: Timestamp,
    /// Until when.
    pub until: Timestamp,
    /// On which hours of the week alone; `null`: on all of them.
    pub hours: Option<String>,
    /// Who asked for it, as the audit names them.
    pub requested_by: String,
    /// Who approved it, as the audit names them.
    pub approved_by: String,
    /// Why.
    pub reason: Option<String>,
    /// Where it stands.
    pub state: GrantState,
    /// When it was given.
    pub created_at: Timestamp,
}

/// The answer to a new grant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GrantAdded {
    /// The grant.
    #[serde(flatten)]
    pub grant: Grant,
    /// What the admin should know: the person's own end date comes first.
    #[serde(default)]
    pub warnings: Vec<String>,
}

impl Grant {
    /// Says whose it is, for people.
    #[must_use]
    pub fn who(&self) -> String {
        match (&self.email, &self.group) {
            (Some(email), Some(group)) => format!("{email} (group {group})"),
            (Some(email), None) => email.to_string(),
            (None, Some(group)) => format!("group {group}"),
            (None, None) => "nobody".to_owned(),
        }
    }
}
