//! Notices before an end.

use doorward_model::{Email, GroupName, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EndingKind {
    /// A grant.
    Grant,
    /// A person's own time.
    Person,
    /// A device.
    Device,
}

/// Something ends soon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EndNotice {
    /// What kind of thing.
    pub kind: EndingKind,
    /// Its id.
    pub id: uuid::Uuid,
    /// Its name: a resource's, a person's, a device's.
    pub what: String,
    /// Whose it is; `null` for a group's grant.
    #[schema(value_type = Option<String>)]
    pub email: Option<Email>,
    /// The group whose grant ends.
    #[schema(value_type = Option<String>)]
    pub group: Option<GroupName>,
    /// When it ends.
    pub ends_at: Timestamp,
    /// When the notice was due and given: three days, one day or one hour before.
    pub noticed_at: Timestamp,
}
