//! Devices: list, add, revoke.

use doorward_domain::{self as domain, Action, Actor, NewDevice, Subject, micros};
use doorward_model::{DeviceId, DnsName, Email, EndReason, Timestamp};
use doorward_store::{Outbox, WriteTx};
use ipnet::IpNet;
use serde_json::json;
use uuid::Uuid;

use super::decide::{Effects, Origin, decide};
use super::journal::{Decision, Order};
use super::revocation::Concerned;
use super::views::{emails, promised};
use super::{App, Record, Refusal, allow, allow_read, concerned, find, reach, reason, views};
use crate::api::{
    ClientGateway, ClientSettings, Device, DeviceAdded, DeviceNew, DevicePresharedKey, EndOutcome, Ended, Routes,
};

/// The tunnel's MTU: what every path carries (RFC 8200 section 5), so that no café's network needs luck.
const TUNNEL_MTU: u16 = 1280;
/// Seconds between keepalives: shorter than the timeouts of ordinary NAT (the WireGuard documentation's advice).
const KEEPALIVE_SECONDS: u16 = 25;

/// Lists devices, of one person or of all; for people whose role reads nothing, their own.
pub(crate) async fn list(app: &App, actor: &Actor, of: Option<&Email>) -> Result<Vec<Device>, Refusal> {
    let own = match actor {
        Actor::Person(person) if !person.role.reads() => Some(&person.email),
        Actor::Person(_)
        | Actor::LocalAdmin { .. }
        | Actor::ApiToken { .. }
        | Actor::Source { .. }
        | Actor::Gateway { .. }
        | Actor::System => None,
    };
    let of = of.or(own);
    match of {
        Some(email) => allow(actor, Action::Read, &Subject::Person(email.clone()))?,
        None => allow_read(actor)?,
    }
    let now = app.clock.now();
    let mut read = app.store.read().await?;
    let devices = match of {
        Some(email) => {
            let person = find::person(&mut read, email).await?;
            read.devices_of(person.id).await?
        }
        None => read.devices().await?,
    };
    let emails = emails(&mut read).await?;
    devices
        .iter()
        .map(|device| views::device(device, &promised(&emails, &device.principal)?, &app.terms.network, now))
        .collect()
}

/// Adds a device.
pub(crate) async fn add(app: &App, actor: &Actor, new: DeviceNew) -> Result<DeviceAdded, Refusal> {
    let DeviceNew { email, name, public_key, preshared_key, valid_for, routes, port } = new;
    let routes = routes.unwrap_or(app.routes);
    let email = concerned(email, actor, "say whose device it is: `doorward device add EMAIL NAME`")?;
    allow(actor, Action::DeviceAdd, &Subject::Person(email.clone()))?;
    let now = app.clock.now();
    let until =
        valid_for.map(|limit| limit.resolve(now)).transpose().map_err(|error| Refusal::Invalid(error.to_string()))?;
    let mut tx = app.store.write().await?;
    let person = find::person(&mut tx, &email).await?;
    let new = NewDevice {
        id: DeviceId::new(Uuid::now_v7()),
        principal: person.id,
        name,
        public_key,
        preshared_key,
        not_after: until.map(micros),
        created_at: now,
    };
    new.check(&person)?;
    let device = tx.device_add(&new, &app.terms.network).await?;
    let granted = tx.grants_for(person.id).await?;
    let gateways = reach::gateways(&tx.gateways().await?, port)?;
    let rendered = views::device(&device, &person.email, &app.terms.network, now)?;
    let record = Record {
        at: now,
        actor,
        action: Action::DeviceAdd,
        subject: Subject::Device(device.id),
        detail: json!({
            "email": person.email, "name": device.name, "public_key": device.public_key, "until": device.not_after,
            "routes": routes, "address_v4": rendered.address_v4, "address_v6": rendered.address_v6,
            "preshared_key": rendered.has_preshared_key,
        }),
    };
    app.commit(tx, record, Outbox::Devices(vec![device.id])).await?;
    Ok(settled(app, rendered, &reach::granted(&granted, now), gateways, routes))
}

/// Gives a device another pre-shared key, or none; it counts from the next handshake on. The audit tells that, not the key.
pub(crate) async fn preshared_key(
    app: &App,
    actor: &Actor,
    id: DeviceId,
    DevicePresharedKey { preshared_key }: DevicePresharedKey,
) -> Result<Device, Refusal> {
    let subject = Subject::Device(id);
    allow(actor, Action::DevicePresharedKey, &subject)?;
    let now = app.clock.now();
    let mut tx = app.store.write().await?;
    let missing = || Refusal::NotFound(format!("no device has the id {id}: `doorward device list` shows all"));
    tx.device(id).await?.ok_or_else(missing)?;
    let device = tx.device_preshared_key(id, preshared_key.as_ref()).await?;
    let person = tx.person(device.principal).await?.ok_or_else(missing)?;
    let rendered = views::device(&device, &person.email, &app.terms.network, now)?;
    let detail = json!({ "email": person.email, "name": device.name, "preshared_key": rendered.has_preshared_key });
    let record = Record { at: now, actor, action: Action::DevicePresharedKey, subject, detail };
    app.commit(tx, record, Outbox::Devices(vec![id])).await?;
    Ok(rendered)
}

/// Writes down when devices were used last, without making their gateway wait. What cannot be written is used again, or was
/// used an hour before.
pub(crate) fn note_use(app: &App, used: Vec<(DeviceId, Timestamp)>) {
    if used.is_empty() {
        return;
    }
    // A gateway's clock may be ahead of this one.
    let now = app.clock.now();
    let used: Vec<_> = used.into_iter().map(|(device, at)| (device, at.min(now))).collect();
    let app = app.clone();
    app.clone().workers.spawn(async move {
        if let Err(error) = app.store.devices_used(&used).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "the use of devices could not be noted");
        }
    });
}

/// Revokes a device for good. Their own people may always end.
pub(crate) async fn revoke(app: &App, actor: &Actor, id: DeviceId, why: Option<String>) -> Result<EndOutcome, Refusal> {
    decide(app, actor, Order::RevokeDevice { device: id, lost: false }, reason(why)?).await
}

/// Ends a device that its owner lost, at once; whoever has its key has nothing.
pub(crate) async fn report_lost(app: &App, actor: &Actor, id: DeviceId) -> Result<EndOutcome, Refusal> {
    decide(app, actor, Order::RevokeDevice { device: id, lost: true }, None).await
}

/// Writes the end of a device.
pub(super) async fn write_revoke(
    app: &App,
    tx: &mut WriteTx,
    decision: &Decision,
    (id, lost): (DeviceId, bool),
    origin: Origin<'_>,
) -> Result<Effects, Refusal> {
    let missing = || {
        Refusal::NotFound(if lost {
            format!("no device of yours has the id {id}: your start page shows all")
        } else {
            format!("no device has the id {id}: `doorward device list` shows all")
        })
    };
    let before = tx.device(id).await?;
    let person = match &before {
        Some(device) => tx.person(device.principal).await?,
        None => None,
    };
    if matches!(origin, Origin::Asked(_)) {
        may_revoke(&decision.actor, id, person.as_ref(), lost)
            .map_err(|refusal| if lost { missing() } else { refusal })?;
    }
    let (before, person) = before.zip(person).ok_or_else(missing)?;
    let device = tx.device_revoke(id, EndReason::DeviceRevoked, decision.at).await?;
    let rendered = views::device(&device, &person.email, &app.terms.network, decision.at)?;
    // Revoking twice is no error and no change, so gateways have nothing to hear.
    let concerned = if before.revoked.is_none() { vec![id] } else { Vec::new() };
    let mut detail = json!({ "email": person.email, "name": device.name, "public_key": device.public_key });
    if let Some(detail) = detail.as_object_mut().filter(|_| !lost) {
        detail.insert("reason".to_owned(), json!(decision.reason));
    }
    Ok(Effects {
        detail,
        outbox: Outbox::Devices(concerned),
        concerned: Concerned::Devices([id].into()),
        ended: Ended { devices: vec![rendered], ..Ended::default() },
        warnings: Vec::new(),
    })
}

fn may_revoke(actor: &Actor, id: DeviceId, owner: Option<&domain::Principal>, lost: bool) -> Result<(), Refusal> {
    if lost {
        // Whose device an id belongs to is nobody else's business.
        let owner = owner.map(|owner| Subject::Person(owner.email.clone()));
        return owner.map_or(Ok(()), |subject| allow(actor, Action::DeviceReportLost, &subject));
    }
    match (actor, owner) {
        (Actor::Person(person), Some(owner)) if person.id == owner.id => {
            allow(actor, Action::DeviceReportLost, &Subject::Person(person.email.clone()))
        }
        _ => allow(actor, Action::DeviceRevoke, &Subject::Device(id)),
    }
}

/// Puts together what the device's config needs.
fn settled(
    app: &App,
    device: Device,
    resources: &[&domain::Resource],
    gateways: Vec<ClientGateway>,
    routes: Routes,
) -> DeviceAdded {
    let mut warnings = reach::warnings(app, resources, routes);
    if gateways.is_empty() {
        warnings.push(
            "no gateway has said hello yet, so the config has no endpoint: start the gateway and add the device again"
                .to_owned(),
        );
    }
    if resources.is_empty() {
        warnings.push(format!(
            "{} has no grant yet, so this device reaches nothing: run `doorward grant add`",
            device.email
        ));
    }
    // A zone that the owner chose is one that they serve; nobody but a resolver of ours answers for the default one.
    let names_answer = app.zone != DnsName::zone_default() || gateways.first().is_some_and(|gateway| gateway.resolver);
    let client = ClientSettings {
        addresses: vec![
            IpNet::from(std::net::IpAddr::V4(device.address_v4)),
            IpNet::from(std::net::IpAddr::V6(device.address_v6)),
        ],
        gateways,
        network_v4: app.terms.network.v4(),
        network_v6: app.terms.network.v6(),
        routes,
        allowed_ips: reach::allowed_ips(resources, routes),
        names_answer,
        mtu: TUNNEL_MTU,
        persistent_keepalive: KEEPALIVE_SECONDS,
    };
    DeviceAdded { device, client, resources: reach::reachable(app, resources), warnings }
}
