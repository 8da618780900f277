//! What the console pages through, and who is connected.

use std::collections::HashMap;
use std::time::Instant;

use doorward_domain::{Action, Actor, PrincipalState, Subject};
use doorward_model::{DeviceId, GatewayName, ResourceId, Timestamp};
use doorward_store::{DeviceRow, Found, GrantRow, PersonRow, Search};
use jiff::SignedDuration;

use super::{App, Refusal, allow, allow_read, audit};
use crate::api::AuditRow;
use crate::feed::Use;

/// A tunnel lives this long after its last handshake: then WireGuard rejects its keys (whitepaper, section 6.1).
const SESSION_SPAN: SignedDuration = SignedDuration::from_secs(180);

/// Rows of the list of who is connected: those who move most stand first.
const CONNECTED_ROWS_MAX: usize = 50;

/// How a device was used last, as its gateway told it.
#[derive(Debug, Clone)]
pub(crate) struct LastUse {
    /// Through which gateway.
    pub(crate) gateway: GatewayName,
    /// From where.
    pub(crate) endpoint: Option<String>,
    /// When its last handshake was.
    pub(crate) last_handshake: Timestamp,
    /// Whether its tunnel lives.
    pub(crate) connected: bool,
    /// Bytes that it sent.
    pub(crate) bytes_up: u64,
    /// Bytes that it was sent.
    pub(crate) bytes_down: u64,
    /// Bytes a second, both ways, lately.
    pub(crate) pace: u64,
}

/// By device.
pub(crate) type LastUses = HashMap<DeviceId, LastUse>;

fn last_use(gateway: GatewayName, told: Use, now: Timestamp) -> LastUse {
    LastUse {
        gateway,
        endpoint: told.endpoint.map(|endpoint| endpoint.to_string()),
        last_handshake: told.last_handshake,
        connected: now.duration_since(told.last_handshake) < SESSION_SPAN,
        bytes_up: told.bytes_up,
        bytes_down: told.bytes_down,
        pace: told.pace(Instant::now()),
    }
}

/// How these devices were used last, as far as this run of the server heard of it. Who may see a device may see that.
pub(crate) fn last_uses(app: &App, devices: impl Iterator<Item = DeviceId>) -> LastUses {
    let now = app.clock.now();
    let told = app.hub.usage_of(devices).into_iter();
    told.map(|(device, (gateway, told))| (device, last_use(gateway, told, now))).collect()
}

/// Who is connected.
#[derive(Debug)]
pub(crate) struct Connected {
    /// Those who move most first; not all of them where there are many.
    pub(crate) rows: Vec<(DeviceRow, LastUse)>,
    /// How many there are.
    pub(crate) total: usize,
}

/// Lists who is connected at this moment.
pub(crate) async fn connected(app: &App, actor: &Actor) -> Result<Connected, Refusal> {
    allow_read(actor)?;
    let now = app.clock.now();
    let since = now.checked_sub(SESSION_SPAN).unwrap_or(Timestamp::MIN);
    let told = app.hub.usage_since(since).into_iter();
    let mut uses: Vec<(DeviceId, LastUse)> =
        told.map(|(device, gateway, told)| (device, last_use(gateway, told, now))).collect();
    let total = uses.len();
    uses.sort_by(|(_, one), (_, other)| other.pace.cmp(&one.pace).then(other.last_handshake.cmp(&one.last_handshake)));
    uses.truncate(CONNECTED_ROWS_MAX);
    let ids: Vec<DeviceId> = uses.iter().map(|(device, _)| *device).collect();
    let found = app.store.read().await?.devices_by_ids(&ids).await?;
    let mut found: HashMap<DeviceId, DeviceRow> = found.into_iter().map(|row| (row.device.id, row)).collect();
    // What was revoked a moment ago is not connected, whatever the last report said.
    let rows = uses.into_iter().filter_map(|(device, last_use)| Some((found.remove(&device)?, last_use)));
    Ok(Connected { rows: rows.filter(|(row, _)| row.device.revoked.is_none()).collect(), total })
}

/// Looks for people.
pub(crate) async fn people(
    app: &App,
    actor: &Actor,
    state: Option<PrincipalState>,
    search: &Search,
) -> Result<Found<PersonRow>, Refusal> {
    allow_read(actor)?;
    Ok(app.store.read().await?.people_found(state, search, app.clock.now()).await?)
}

/// Looks for devices.
pub(crate) async fn devices(app: &App, actor: &Actor, search: &Search) -> Result<Found<DeviceRow>, Refusal> {
    allow_read(actor)?;
    Ok(app.store.read().await?.devices_found(search).await?)
}

/// Looks for grants that hold or begin later, by their ends.
pub(crate) async fn grants(app: &App, actor: &Actor, search: &Search) -> Result<Found<GrantRow>, Refusal> {
    allow_read(actor)?;
    Ok(app.store.read().await?.grants_found(search, app.clock.now()).await?)
}

/// Counts the live grants of each resource.
pub(crate) async fn grant_counts(app: &App, actor: &Actor) -> Result<HashMap<ResourceId, u64>, Refusal> {
    allow_read(actor)?;
    Ok(app.store.read().await?.grants_by_resource(app.clock.now()).await?.into_iter().collect())
}

/// Looks for rows of the audit, the latest first.
pub(crate) async fn audit_rows(
    app: &App,
    actor: &Actor,
    before: u64,
    action: &str,
    search: &Search,
) -> Result<Vec<AuditRow>, Refusal> {
    allow(actor, Action::AuditRead, &Subject::Everything)?;
    audit::render(app.store.read().await?.audit_found(before, action, search).await?)
}
