//! Turns the domain's records into the API's shapes.

use std::collections::HashMap;

use doorward_domain::{
    Device, DeviceState, GrantState, GrantedResource, Principal, PrincipalKind, PrincipalState, Resource,
};
use doorward_model::{DnsName, Email, PrincipalId, ServiceAddress, Timestamp, TunnelNetwork};
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
pub(crate) fn grant(app: &Server, granted: &GrantedResource, email: &Email, now: Timestamp) -> api::Grant {
    let GrantedResource { grant, resource } = granted;
    let (service, dns_name) = service(app, resource);
    api::Grant {
        service_v4: service.map(|address| address.v4),
        service_v6: service.map(|address| address.v6),
        dns_name,
        id: grant.id,
        email: email.clone(),
        resource: resource.name.clone(),
        from: grant.validity.not_before,
        until: grant.validity.not_after,
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

/// Renders a resource.
pub(crate) fn resource(app: &Server, resource: Resource) -> api::Resource {
    let (service, dns_name) = service(app, &resource);
    api::Resource {
        service_v4: service.map(|address| address.v4),
        service_v6: service.map(|address| address.v6),
        dns_name,
        id: resource.id,
        name: resource.name,
        targets: resource.targets,
        allow: resource.allow,
        created_at: resource.created_at,
    }
}

/// Renders a person with what they have.
pub(crate) fn person(
    person: &Principal,
    sponsor: Option<Email>,
    devices: Vec<api::Device>,
    grants: Vec<api::Grant>,
) -> api::Person {
    api::Person {
        email: person.email.clone(),
        name: person.name.clone(),
        kind: person.kind.into(),
        state: person_state(person.state),
        sponsor,
        until: person.not_after,
        created_at: person.created_at,
        devices,
        grants,
    }
}

/// Email addresses by person, for lists.
pub(crate) type Emails = HashMap<PrincipalId, Email>;

/// Reads everybody's address.
pub(crate) async fn emails(read: &mut ReadTx) -> Result<Emails, Refusal> {
    Ok(read.people().await?.into_iter().map(|person| (person.id, person.email)).collect())
}

/// Finds the address that a foreign key promises.
pub(crate) fn promised(emails: &Emails, id: &PrincipalId) -> Result<Email, Refusal> {
    let missing =
        || Refusal::Internal("the database names a person that it does not hold: restore it from a copy".to_owned());
    emails.get(id).cloned().ok_or_else(missing)
}
