//! What follows from a change of somebody's state: for them, for whatever depended on them, and for the record.

use doorward_domain::{Actor, Effect, Principal, PrincipalState};
use doorward_model::{DeviceId, Email, GrantId, Timestamp};
use doorward_store::{EndedWith, WriteTx};
use serde_json::{Map, Value, json};

use super::{Refusal, sponsors};

/// What a change of somebody's state concerned.
pub(crate) struct Applied {
    /// Devices that gateways have to hear about.
    pub(crate) devices: Vec<DeviceId>,
    /// What depended on that person.
    pub(crate) lost: sponsors::Lost,
    /// What ended beside devices and grants.
    pub(crate) with: EndedWith,
    /// Requests of theirs that nobody answers any more.
    pub(crate) requests: u64,
    state: PrincipalState,
    grants: Vec<GrantId>,
}

impl Applied {
    /// What ended, for the record: whatever put somebody out, their endings read it from there.
    pub(crate) fn recorded(&self) -> Map<String, Value> {
        let suspended: Vec<&Email> = self.lost.suspended.iter().map(|contractor| &contractor.email).collect();
        let all = [
            ("state", json!(self.state)),
            ("devices", json!(self.devices)),
            ("grants", json!(self.grants)),
            ("suspended", json!(suspended)),
            ("handed_over", json!(self.lost.handed_over)),
            ("resources", json!(self.lost.resources)),
            ("sessions", json!(self.with.sessions)),
            ("links", json!(self.with.links)),
            ("requests", json!(self.requests)),
            ("tokens", json!(self.with.tokens)),
        ];
        all.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// The same beside what is said only here.
    pub(crate) fn recorded_with<const N: usize>(&self, more: [(&str, Value); N]) -> Value {
        let mut recorded = self.recorded();
        recorded.extend(more.map(|(name, value)| (name.to_owned(), value)));
        Value::Object(recorded)
    }
}

/// Writes what follows from a change of somebody's state, for them and for whatever depended on them.
pub(crate) async fn apply(
    tx: &mut WriteTx,
    actor: &Actor,
    effect: &Effect,
    successor: Option<&Principal>,
    now: Timestamp,
) -> Result<Applied, Refusal> {
    let with = tx.effect_apply(effect, now).await?;
    let (lost, requests) = depart(tx, actor, &effect.principal, successor, now).await?;
    let mut devices = effect.devices_concerned.clone();
    devices.extend(&lost.devices);
    let (state, grants) = (effect.principal.state, effect.grants_revoked.clone());
    Ok(Applied { devices, lost, with, requests, state, grants })
}

/// Ends or hands over what depended on somebody who is not active any more: those they answered for, and for who left
/// what they asked for.
async fn depart(
    tx: &mut WriteTx,
    actor: &Actor,
    person: &Principal,
    successor: Option<&Principal>,
    now: Timestamp,
) -> Result<(sponsors::Lost, u64), Refusal> {
    let requests = match person.state {
        PrincipalState::Active => return Ok((sponsors::Lost::default(), 0)),
        PrincipalState::Suspended => 0,
        PrincipalState::Departed => tx.requests_withdraw(person.id, &actor.to_string(), now).await?,
    };
    Ok((sponsors::lose(tx, person, successor, now).await?, requests))
}
