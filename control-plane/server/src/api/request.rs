//! Requests for access.

use doorward_model::{Email, GrantId, RequestId, ResourceName, Span, TimeLimit, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Grant, shapes};

/// `POST /api/v1/requests`. Exactly one of `for` and `until` is given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RequestNew {
    /// To what.
    #[schema(value_type = shapes::ResourceName)]
    pub resource: ResourceName,
    /// How long, from the approval on or from `from` on: a span such as `8h`.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<shapes::Span>)]
    pub valid_for: Option<Span>,
    /// Until when, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<shapes::TimeLimit>)]
    pub until: Option<TimeLimit>,
    /// From when, RFC 3339 or a span from this moment; absent: from the approval on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<shapes::TimeLimit>)]
    pub from: Option<TimeLimit>,
    /// Why.
    #[schema(value_type = shapes::Reason)]
    pub reason: String,
    /// For whom; absent: for whoever calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<shapes::Email>)]
    pub email: Option<Email>,
    /// The grant after which more time is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub renews: Option<GrantId>,
}

/// `POST /api/v1/requests/{id}/approve`; may be left out.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RequestApproval {
    /// A shorter time than was asked for.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<shapes::Span>)]
    pub valid_for: Option<Span>,
    /// An earlier end than was asked for, RFC 3339; at most one of `for` and `until` is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<shapes::TimeLimit>)]
    pub until: Option<TimeLimit>,
    /// A word for the record, and for who asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<shapes::Remark>)]
    pub reason: Option<String>,
}

/// Where a request stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RequestState {
    /// It waits for an answer.
    Open,
    /// There is a grant.
    Approved,
    /// Somebody said no.
    Denied,
    /// Who asked took it back.
    Withdrawn,
    /// Nobody answered in time.
    Expired,
}

/// Somebody asks for access.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Request {
    /// Its id.
    #[schema(value_type = uuid::Uuid)]
    pub id: RequestId,
    /// Who asks.
    #[schema(value_type = String)]
    pub email: Email,
    /// For what.
    #[schema(value_type = String)]
    pub resource: ResourceName,
    /// For how long; `null` where an end is asked for.
    #[serde(rename = "for")]
    #[schema(value_type = Option<String>)]
    pub valid_for: Option<Span>,
    /// From when; `null`: from the approval on.
    pub from: Option<Timestamp>,
    /// Until when; `null` where a span is asked for.
    pub until: Option<Timestamp>,
    /// Why.
    pub reason: String,
    /// The grant after which more time is asked for.
    #[schema(value_type = Option<uuid::Uuid>)]
    pub renews: Option<GrantId>,
    /// Where it stands.
    pub state: RequestState,
    /// When it was asked.
    pub created_at: Timestamp,
    /// Until when it can be answered.
    pub expires_at: Timestamp,
    /// Who may answer beside those whose role does: who answers for the resource, and the requester's sponsor.
    #[schema(value_type = Vec<String>)]
    pub answerable_by: Vec<Email>,
    /// Whether whoever calls may answer it.
    pub may_answer: bool,
    /// Who decided, as the audit names them.
    pub decided_by: Option<String>,
    /// When.
    pub decided_at: Option<Timestamp>,
    /// What they said to it.
    pub decision_reason: Option<String>,
    /// The grant that came of it.
    #[schema(value_type = Option<uuid::Uuid>)]
    pub grant: Option<GrantId>,
}

/// The answer to an approval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RequestApproved {
    /// The request.
    pub request: Request,
    /// The grant that came of it.
    pub grant: Grant,
}
