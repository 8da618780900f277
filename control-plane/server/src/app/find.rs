//! What a name in a request stands for, in whatever state it is.

use doorward_domain::{Group, Principal, Resource};
use doorward_model::{DeviceId, Email, GroupName, PrincipalId, ResourceName};
use doorward_store::ReadTx;

use super::Refusal;

/// Finds a person by address, in whatever state.
pub(crate) async fn person(read: &mut ReadTx, email: &Email) -> Result<Principal, Refusal> {
    let missing = || Refusal::NotFound(format!("no person has the email {email}: `doorward person list` shows all"));
    read.person_by_email(email).await?.ok_or_else(missing)
}

/// Finds a group by name.
pub(crate) async fn group(read: &mut ReadTx, name: &GroupName) -> Result<Group, Refusal> {
    let missing = || Refusal::NotFound(format!("no group has the name {name}: `doorward group list` shows all"));
    read.group_by_name(name).await?.ok_or_else(missing)
}

/// Finds a resource by name.
pub(crate) async fn resource(read: &mut ReadTx, name: &ResourceName) -> Result<Resource, Refusal> {
    let missing = || Refusal::NotFound(format!("no resource has the name {name}: `doorward resource list` shows all"));
    read.resource_by_name(name).await?.ok_or_else(missing)
}

/// A person's devices that were not revoked.
pub(crate) async fn live_devices(read: &mut ReadTx, person: PrincipalId) -> Result<Vec<DeviceId>, Refusal> {
    let devices = read.devices_of(person).await?;
    Ok(devices.into_iter().filter(|device| device.revoked.is_none()).map(|device| device.id).collect())
}

/// The names of the groups that somebody is a member of.
pub(crate) async fn groups_of(read: &mut ReadTx, person: &Principal) -> Result<Vec<GroupName>, Refusal> {
    Ok(read.groups_of(person.id).await?.into_iter().map(|group| group.name).collect())
}
