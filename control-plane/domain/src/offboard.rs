//! Putting a person out, for a while or for good, and taking them back.
//!
//! A revocation is never refused for the state that somebody is in already: whoever offboards a departed person gets
//! what is left ended, and no error.

use doorward_model::{DeviceId, EndReason, GrantId, Timestamp};

use crate::{Denial, Device, Grant, Principal, PrincipalState, Role};

/// What follows from a change of a person's state; the store writes all of it in one transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effect {
    /// The person afterwards.
    pub principal: Principal,
    /// Devices that end for good, and why.
    pub devices_revoked: Vec<DeviceId>,
    /// Why they end.
    pub reason: EndReason,
    /// Grants that end for good.
    pub grants_revoked: Vec<GrantId>,
    /// Devices that gateways have to hear about.
    pub devices_concerned: Vec<DeviceId>,
}

/// Marks a person as gone: every device and every grant ends.
#[must_use]
pub fn offboard(principal: &Principal, devices: &[Device], grants: &[Grant], now: Timestamp) -> Effect {
    let live: Vec<DeviceId> = live_devices(devices);
    let changed_at = if principal.state == PrincipalState::Departed { principal.changed_at } else { now };
    Effect {
        principal: Principal {
            state: PrincipalState::Departed,
            // Whoever comes back comes back without what they could do for others.
            role: Role::Member,
            changed_at,
            signed_in_until: None,
            signed_in_at: None,
            ..principal.clone()
        },
        devices_revoked: live.clone(),
        reason: EndReason::Offboarded,
        grants_revoked: grants
            .iter()
            .filter(|grant| grant.revoked_at.is_none() && now < grant.validity.not_after)
            .map(|grant| grant.id)
            .collect(),
        devices_concerned: live,
    }
}

/// Puts out whose own end date came: it is a departure, which nobody has to think of.
#[must_use]
pub fn end(principal: &Principal, devices: &[Device], grants: &[Grant], now: Timestamp) -> Effect {
    Effect { reason: EndReason::ContractEnded, ..offboard(principal, devices, grants, now) }
}

/// Suspends a person: nothing counts, everything is kept.
///
/// # Errors
/// A denial for somebody who has left: there is nothing to suspend, and it would look like a way back.
pub fn suspend(principal: &Principal, devices: &[Device], now: Timestamp) -> Result<Effect, Denial> {
    let changed_at = match principal.state {
        PrincipalState::Departed => {
            return Err(Denial::conflict(format!(
                "{} has departed already: nothing is left to suspend",
                principal.email
            )));
        }
        PrincipalState::Suspended => principal.changed_at,
        PrincipalState::Active => now,
    };
    Ok(Effect {
        principal: Principal {
            state: PrincipalState::Suspended,
            changed_at,
            signed_in_until: None,
            signed_in_at: None,
            ..principal.clone()
        },
        devices_revoked: Vec::new(),
        reason: EndReason::Suspended,
        grants_revoked: Vec::new(),
        devices_concerned: live_devices(devices),
    })
}

/// Takes a person back.
///
/// A suspended person gets back what was kept; a departed one the account alone, without devices and grants, because
/// those ended for good. A sign-in is asked for again in either case.
///
/// # Errors
/// A denial for somebody whose own end date came.
pub fn restore(principal: &Principal, devices: &[Device], now: Timestamp) -> Result<Effect, Denial> {
    if principal.is_over(now) && principal.state != PrincipalState::Departed {
        let end = principal.not_after.unwrap_or(now);
        return Err(Denial::refused(format!("{} ended at {end}: restoring brings nothing back", principal.email)));
    }
    let (changed_at, not_after) = match principal.state {
        PrincipalState::Active => (principal.changed_at, principal.not_after),
        PrincipalState::Suspended => (now, principal.not_after),
        // The end date belonged to the earlier stay where it is over; one that is still to come goes on counting.
        PrincipalState::Departed => (now, principal.not_after.filter(|end| now < *end)),
    };
    Ok(Effect {
        principal: Principal { state: PrincipalState::Active, changed_at, not_after, ..principal.clone() },
        devices_revoked: Vec::new(),
        reason: EndReason::NotListed,
        grants_revoked: Vec::new(),
        devices_concerned: live_devices(devices),
    })
}

fn live_devices(devices: &[Device]) -> Vec<DeviceId> {
    devices.iter().filter(|device| device.revoked.is_none()).map(|device| device.id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lease::fixtures::{device, grant, person, t};

    #[test]
    fn offboarding_ends_every_device_and_every_grant() {
        let effect =
            offboard(&person(1), &[device(1, 1), device(2, 1)], &[grant(1, 1, 1, 0, 10), grant(2, 1, 1, 20, 30)], t(5));
        assert_eq!(effect.principal.state, PrincipalState::Departed);
        assert_eq!(
            (effect.devices_revoked.len(), effect.grants_revoked.len(), effect.devices_concerned.len()),
            (2, 2, 2)
        );
    }

    #[test]
    fn offboarding_twice_is_no_error_and_keeps_the_first_time() {
        let first = offboard(&person(1), &[device(1, 1)], &[], t(5)).principal;
        let second = offboard(&first, &[], &[], t(9));
        assert_eq!(second.principal.changed_at, t(5));
        assert!(second.devices_revoked.is_empty());
    }

    #[test]
    fn a_suspended_person_keeps_devices_and_a_departed_one_is_not_suspended() {
        let effect = suspend(&person(1), &[device(1, 1)], t(5)).unwrap();
        assert_eq!(
            (effect.principal.state, effect.devices_revoked.len(), effect.devices_concerned.len()),
            (PrincipalState::Suspended, 0, 1)
        );
        assert!(suspend(&offboard(&person(1), &[], &[], t(5)).principal, &[], t(6)).is_err());
    }

    #[test]
    fn a_departed_person_comes_back_without_sign_in_and_without_a_stale_end_date() {
        let contractor = Principal { not_after: Some(t(8)), signed_in_until: Some(t(7)), ..person(1) };
        let departed = offboard(&contractor, &[], &[], t(5)).principal;
        let back = restore(&departed, &[], t(9)).unwrap().principal;
        assert_eq!((back.state, back.not_after, back.signed_in_until), (PrincipalState::Active, None, None));
        let suspended = suspend(&contractor, &[], t(5)).unwrap().principal;
        assert!(restore(&suspended, &[], t(9)).is_err());
    }
}
