//! Groups.

use doorward_model::{Email, GroupId, GroupName, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Grant, shapes};

/// `POST /api/v1/groups`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GroupNew {
    /// Its name.
    #[schema(value_type = shapes::GroupName)]
    pub name: GroupName,
}

/// `POST /api/v1/groups/{name}/members`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GroupMember {
    /// Who.
    #[schema(value_type = shapes::Email)]
    pub email: Email,
}

/// People who are given access together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Group {
    /// Its id.
    #[schema(value_type = uuid::Uuid)]
    pub id: GroupId,
    /// Its name.
    #[schema(value_type = String)]
    pub name: GroupName,
    /// Who is in it.
    #[schema(value_type = Vec<String>)]
    pub members: Vec<Email>,
    /// What it was granted, ended grants included.
    pub grants: Vec<Grant>,
    /// When it was added.
    pub created_at: Timestamp,
}
