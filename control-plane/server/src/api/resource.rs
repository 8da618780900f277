//! Resources.

use std::net::{Ipv4Addr, Ipv6Addr};

use doorward_model::{Allow, DnsName, Email, ResourceId, ResourceName, Span, Target, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::shapes;

/// `POST /api/v1/resources`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ResourceNew {
    /// Its name.
    #[schema(value_type = shapes::ResourceName)]
    pub name: ResourceName,
    /// Where it is: addresses, prefixes or DNS names, at least one.
    #[schema(value_type = Vec<shapes::Target>, min_items = 1, max_items = 64)]
    pub targets: Vec<Target>,
    /// What is allowed there, at least one.
    #[schema(value_type = Vec<shapes::AllowRule>, min_items = 1, max_items = 64)]
    pub allow: Vec<Allow>,
}

/// What stands behind the gateways.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Resource {
    /// Its id.
    #[schema(value_type = uuid::Uuid)]
    pub id: ResourceId,
    /// Its name.
    #[schema(value_type = String)]
    pub name: ResourceName,
    /// Where it is.
    #[schema(value_type = Vec<String>)]
    pub targets: Vec<Target>,
    /// What is allowed there.
    #[schema(value_type = Vec<String>)]
    pub allow: Vec<Allow>,
    /// Its own address inside Doorward's network, IPv4, for as long as it exists; `null` where the network is too small to
    /// have any, and where the targets are prefixes alone.
    #[schema(value_type = Option<String>)]
    pub service_v4: Option<Ipv4Addr>,
    /// Its own address inside Doorward's network, IPv6.
    #[schema(value_type = Option<String>)]
    pub service_v6: Option<Ipv6Addr>,
    /// Its name in `[network] zone`; `null` where its own name is no DNS label.
    #[schema(value_type = Option<String>)]
    pub dns_name: Option<DnsName>,
    /// Who answers for it, and decides on requests for it.
    #[schema(value_type = Option<String>)]
    pub owner: Option<Email>,
    /// How long after a sign-in it can be reached; `null`: as long as the sign-in lasts.
    #[schema(value_type = Option<String>)]
    pub sign_in_window: Option<Span>,
    /// The longest time that one request may ask for; `null`: 30 days.
    #[schema(value_type = Option<String>)]
    pub request_span_max: Option<Span>,
    /// When it was added.
    pub created_at: Timestamp,
}

/// `PUT /api/v1/resources/{name}/owner`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ResourceOwnerSet {
    /// Who answers for it; `null`: nobody.
    #[schema(value_type = Option<shapes::Email>)]
    pub email: Option<Email>,
}

/// `PUT /api/v1/resources/{name}/window` and `…/span`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ResourceSpanSet {
    /// A span such as `2h`; `null`: none of its own.
    #[schema(value_type = Option<shapes::Span>)]
    pub span: Option<Span>,
}
