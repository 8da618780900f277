//! The decision. Pure: everything it looks at is an argument, and a missing piece is a denial.

use std::net::IpAddr;

use doorward_model::{GrantId, Lockdown, Protocol, TunnelNetwork};

use super::device::{Device, Rule};
use super::special;
use crate::Now;
use crate::counters::DenyReason;
use crate::hash::Set;

/// What holds for every device.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Standing {
    /// Authority lives at this moment.
    pub(crate) authority: bool,
    pub(crate) lockdown: Lockdown,
}

/// Says whether a device may send or get anything at this moment.
///
/// # Errors
/// Why not.
pub(crate) fn may_pass<T>(device: &Device<T>, standing: Standing, now: Now) -> Result<(), DenyReason> {
    if !standing.authority {
        return Err(DenyReason::AuthorityLost);
    }
    if !device.leased.window.holds(now) {
        return Err(DenyReason::LeaseOver);
    }
    match standing.lockdown {
        Lockdown::On if !device.exempt => return Err(DenyReason::Lockdown),
        Lockdown::On | Lockdown::Off => {}
    }
    if device.leased.sign_in_until.is_some_and(|until| until.reached(now)) {
        return Err(DenyReason::Quarantine);
    }
    Ok(())
}

/// Where the machine itself is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Surroundings<'a> {
    pub(crate) network: &'a TunnelNetwork,
    pub(crate) own: &'a Set<IpAddr>,
}

/// Finds the rule that leads a device to a destination at this moment. `port` is not looked at for ICMP.
///
/// # Errors
/// Why there is none.
pub(crate) fn rule_for<'a, T>(
    device: &'a Device<T>,
    surroundings: Surroundings<'_>,
    (protocol, destination, port): (Protocol, IpAddr, u16),
    now: Now,
) -> Result<&'a Rule, DenyReason> {
    let in_tunnel = match destination {
        IpAddr::V4(v4) => surroundings.network.v4().contains(&v4),
        IpAddr::V6(v6) => surroundings.network.v6().contains(&v6),
    };
    if in_tunnel {
        return Err(DenyReason::TunnelNetwork);
    }
    let is_own = surroundings.own.contains(&destination);
    let found = device
        .leased
        .rules
        .iter()
        .find(|rule| rule.window.holds(now) && leads_to(rule, is_own, (protocol, destination, port)));
    found.ok_or_else(|| {
        if is_own || special::is_special(destination) { DenyReason::SpecialDestination } else { DenyReason::NoRule }
    })
}

/// Says whether a rule, its time aside, leads to a destination.
pub(crate) fn leads_to(rule: &Rule, is_own: bool, (protocol, destination, port): (Protocol, IpAddr, u16)) -> bool {
    let allowed = rule
        .allow
        .iter()
        .any(|allow| allow.protocol == protocol && (protocol == Protocol::Icmp || allow.ports.contains(port)));
    allowed && rule.targets.iter().any(|target| special::covers(target, destination, is_own))
}

/// Finds the rule that a flow goes on under: its own grant's, or else another that leads to the same place at this
/// moment. A person whose access was renewed keeps the connection that the earlier grant opened.
pub(crate) fn rule_to_keep(
    rules: &[Rule],
    grant: GrantId,
    is_own: bool,
    asked: (Protocol, IpAddr, u16),
    now: Now,
) -> Option<&Rule> {
    let fits = |rule: &&Rule| rule.window.holds(now) && leads_to(rule, is_own, asked);
    rules.iter().filter(fits).max_by_key(|rule| rule.grant == grant)
}
