//! Resources.

use doorward_model::{Allow, ResourceId, ResourceName, Target, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `POST /api/v1/resources`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ResourceNew {
    /// Its name.
    #[schema(value_type = String, example = "customer-db")]
    pub name: ResourceName,
    /// Where it is: addresses or prefixes, at least one.
    #[schema(value_type = Vec<String>, example = json!(["10.0.5.20"]))]
    pub targets: Vec<Target>,
    /// What is allowed there, at least one.
    #[schema(value_type = Vec<String>, example = json!(["tcp/5432"]))]
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
    /// When it was added.
    pub created_at: Timestamp,
}
