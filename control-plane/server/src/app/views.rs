//! Turns the domain's records into the API's shapes.

use std::collections::HashMap;

use doorward_domain::{
    Device, DeviceState, Grant, GrantState, GrantedResource, Grantee, Principal, PrincipalKind, PrincipalState,
    Resource, Role,
};
use doorward_model::{DnsName, Email, GroupId, GroupName, PrincipalId, ServiceAddress, Timestamp, TunnelNetwork};
use doorward_store::ReadTx;

use super::{Refusal, Server};
use crate::api;

impl From<PrincipalKind> for api::PersonKind {
    fn from(kind: PrincipalKind) -> Self {
        match kind {
            PrincipalKind::Staff => Self::Staff,
            PrincipalKind::Contractor => Self::Contractor,
        }
    }
}

impl From<api::PersonKind> for PrincipalKind {
    fn from(kind: api::PersonKind) -> Self {
        match kind {
            api::PersonKind::Staff => Self::Staff,
            api::PersonKind::Contractor => Self::Contractor,
        }
    }
}

const fn person_state(state: PrincipalState) -> api::PersonState {
    match state {
        PrincipalState::Active => api::PersonState::Active,
        PrincipalState::Suspended => api::PersonState::Suspended,
        PrincipalState::Departed => api::PersonState::Departed,
    }
}

const fn device_state(state: DeviceState) -> api::DeviceState {
    match state {
        DeviceState::Active => api::DeviceState::Active,
        DeviceState::Expired => api::DeviceState::Expired,
        DeviceState::Revoked => api::DeviceState::Revoked,
    }
}

impl From<Role> for api::PersonRole {
    fn from(role: Role) -> Self {
        match role {
            Role::Owner => Self::Owner,
            Role::Admin => Self::Admin,
            Role::Approver => Self::Approver,
            Role::Auditor => Self::Auditor,
            Role::Member => Self::Member,
        }
    }
}

impl From<api::PersonRole> for Role {
    fn from(role: api::PersonRole) -> Self {
        match role {
            api::PersonRole::Owner => Self::Owner,
            api::PersonRole::Admin => Self::Admin,
            api::PersonRole::Approver => Self::Approver,
            api::PersonRole::Auditor => Self::Auditor,
            api::PersonRole::Member => Self::Member,
        }
    }
}

const fn grant_state(state: GrantState) -> api::GrantState {
    match state {
        GrantState::Active => api::GrantState::Active,
        GrantState::Scheduled => api::GrantState::Scheduled,
        GrantState::Ended => api::GrantState::Ended,
        GrantState::Revoked => api::GrantState::Revoked,
    }
}

/// Renders a device.
pub(crate) fn device(
    device: &Device,
    email: &Email,
    network: &TunnelNetwork,
    now: Timestamp,
) -> Result<api::Device, Refusal> {
    let (address_v4, address_v6) = network.device_addresses(device.slot).ok_or_else(|| {
        Refusal::Internal(format!(
            "device {} has address number {}, which `[network]` does not have: make the network as large as it was",
            device.id, device.slot
        ))
    })?;
    Ok(api::Device {
        id: device.id,
        email: email.clone(),
        name: device.name.clone(),
        public_key: device.public_key,
        has_preshared_key: device.preshared_key.is_some(),
        address_v4,
        address_v6,
        state: device_state(device.state(now)),
        until: device.not_after,
        created_at: device.created_at,
    })
}

/// Renders a grant.
pub(crate) fn grant(app: &Server, granted: &GrantedResource, holder: &Holder, now: Timestamp) -> api::Grant {
    let GrantedResource { grant, resource } = granted;
    let (service, dns_name) = service(app, resource);
    api::Grant {
        service_v4: service.map(|address| address.v4),
        service_v6: service.map(|address| address.v6),
        dns_name,
        id: grant.id,
        email: holder.email.clone(),
        group: holder.group.clone(),
        resource: resource.name.clone(),
        from: grant.validity.not_before,
        until: grant.validity.not_after,
        hours: grant.hours.as_ref().map(ToString::to_string),
        requested_by: grant.requested_by.clone(),
        approved_by: grant.approved_by.clone(),
        reason: grant.reason.as_ref().map(|reason| reason.as_str().to_owned()),
        state: grant_state(grant.state(now)),
        created_at: grant.created_at,
    }
}

/// Finds a resource's own address and its name in the zone, as far as they lead somewhere: one that was removed or has
/// prefixes alone is shown with neither.
pub(crate) fn service(app: &Server, resource: &Resource) -> (Option<ServiceAddress>, Option<DnsName>) {
    if resource.removed_at.is_some() || !resource.has_single_target() {
        return (None, None);
    }
    (resource.service(&app.terms.network), app.zone.host(&resource.name))
}

/// Says whether a grant holds or will hold.
pub(crate) fn is_open(grant: &Grant, now: Timestamp) -> bool {
    match grant.state(now) {
        GrantState::Active | GrantState::Scheduled => true,
        GrantState::Ended | GrantState::Revoked => false,
    }
}

/// Renders a resource.
pub(crate) fn resource(app: &Server, resource: Resource, owner: Option<Email>) -> api::Resource {
    let (service, dns_name) = service(app, &resource);
    api::Resource {
        service_v4: service.map(|address| address.v4),
        service_v6: service.map(|address| address.v6),
        dns_name,
        id: resource.id,
        name: resource.name,
        targets: resource.targets,
        allow: resource.allow,
        owner,
        sign_in_window: resource.sign_in_window,
        request_span_max: resource.request_span_max,
        created_at: resource.created_at,
    }
}

/// Where a person belongs.
#[derive(Debug, Default)]
pub(crate) struct Belongs {
    /// Their groups.
    pub(crate) groups: Vec<GroupName>,
    /// The sources that spoke of them.
    pub(crate) sources: Vec<api::PersonSource>,
}

/// Renders a person with what they have.
pub(crate) fn person(
    person: &Principal,
    sponsor: Option<Email>,
    belongs: Belongs,
    devices: Vec<api::Device>,
    grants: Vec<api::Grant>,
) -> api::Person {
    let Belongs { groups, sources } = belongs;
    api::Person {
        email: person.email.clone(),
        name: person.name.clone(),
        kind: person.kind.into(),
        state: person_state(person.state),
        sponsor,
        role: person.role.into(),
        groups,
        sources,
        until: person.not_after,
        created_at: person.created_at,
        devices,
        grants,
    }
}

/// Whose a grant is, in names.
#[derive(Debug, Clone)]
pub(crate) struct Holder {
    email: Option<Email>,
    group: Option<GroupName>,
}

impl Holder {
    /// A person's own.
    pub(crate) const fn person(email: Email) -> Self {
        Self { email: Some(email), group: None }
    }

    /// A group's.
    pub(crate) const fn group(name: GroupName) -> Self {
        Self { email: None, group: Some(name) }
    }

    /// A group's, as one of its members has it.
    pub(crate) const fn member(email: Email, group: GroupName) -> Self {
        Self { email: Some(email), group: Some(group) }
    }
}

/// The names of people and groups, for lists.
pub(crate) struct Names {
    pub(crate) emails: Emails,
    pub(crate) groups: HashMap<GroupId, GroupName>,
}

/// Reads everybody's and every group's name.
pub(crate) async fn names(read: &mut ReadTx) -> Result<Names, Refusal> {
    Ok(Names { emails: emails(read).await?, groups: read.group_names().await? })
}

impl Names {
    /// Reads every group's name and nobody's: for what [`Self::held_by`] says of one person.
    pub(crate) async fn of_groups(read: &mut ReadTx) -> Result<Self, Refusal> {
        Ok(Self { emails: Emails::new(), groups: read.group_names().await? })
    }

    /// Says whose a grant is.
    pub(crate) fn holder(&self, to: Grantee) -> Result<Holder, Refusal> {
        match to {
            Grantee::Person(id) => Ok(Holder::person(promised(&self.emails, &id)?)),
            Grantee::Group(id) => Ok(Holder::group(self.group(&id)?)),
        }
    }

    /// Says whose a grant is that a person has alone or through a group.
    pub(crate) fn held_by(&self, to: Grantee, email: &Email) -> Result<Holder, Refusal> {
        match to {
            Grantee::Person(_) => Ok(Holder::person(email.clone())),
            Grantee::Group(id) => Ok(Holder::member(email.clone(), self.group(&id)?)),
        }
    }

    fn group(&self, id: &GroupId) -> Result<GroupName, Refusal> {
        let missing =
            || Refusal::Internal("the database names a group that it does not hold: restore it from a copy".to_owned());
        self.groups.get(id).cloned().ok_or_else(missing)
    }
}

/// Email addresses by person, for lists.
pub(crate) type Emails = HashMap<PrincipalId, Email>;

/// Reads everybody's address.
pub(crate) async fn emails(read: &mut ReadTx) -> Result<Emails, Refusal> {
    Ok(read.people().await?.into_iter().map(|person| (person.id, person.email)).collect())
}

/// Reads the addresses of those who answer for these resources: a few, where everybody would be thousands.
pub(crate) async fn owners(read: &mut ReadTx, resources: &[Resource]) -> Result<Emails, Refusal> {
    let mut owners = Emails::new();
    for id in resources.iter().filter_map(|resource| resource.owner) {
        if !owners.contains_key(&id)
            && let Some(person) = read.person(id).await?
        {
            owners.insert(id, person.email);
        }
    }
    Ok(owners)
}

/// Finds the address that a foreign key promises.
pub(crate) fn promised(emails: &Emails, id: &PrincipalId) -> Result<Email, Refusal> {
    let missing =
        || Refusal::Internal("the database names a person that it does not hold: restore it from a copy".to_owned());
    emails.get(id).cloned().ok_or_else(missing)
}

/// Everybody's groups by name, for lists.
pub(crate) async fn groups_of_all(
    read: &mut ReadTx,
    names: &Names,
) -> Result<HashMap<PrincipalId, Vec<GroupName>>, Refusal> {
    let memberships = read.memberships().await?;
    let named = |(person, groups): (_, std::collections::BTreeSet<GroupId>)| {
        let mut groups: Vec<GroupName> = groups.iter().filter_map(|id| names.groups.get(id).cloned()).collect();
        groups.sort();
        (person, groups)
    };
    Ok(memberships.into_iter().map(named).collect())
}
