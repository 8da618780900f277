//! Resources: what stands behind the gateway.

use std::time::Duration;

use doorward_model::{
    Allow, DnsName, PrincipalId, ResourceId, ResourceName, ServiceAddress, Span, Target, Timestamp, TunnelNetwork,
};
use ipnet::IpNet;

use crate::{Denial, Principal, PrincipalKind};

/// Targets of one resource at most: a lease carries them all, and a lease must stay small.
const TARGETS_MAX: usize = 64;
/// Protocol and port entries of one resource at most, for the same reason.
const ALLOWS_MAX: usize = 64;

/// What stands behind the gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// The id.
    pub id: ResourceId,
    /// The name, unique among resources that were not removed.
    pub name: ResourceName,
    /// Where it is.
    pub targets: Vec<Target>,
    /// What is allowed there.
    pub allow: Vec<Allow>,
    /// Its number among the service addresses (`TunnelNetwork::service_address`), for its life; the store gives it.
    /// `None` until then, and where an older release added it.
    pub service_slot: Option<u32>,
    /// Who answers for it, and decides on requests for it.
    pub owner: Option<PrincipalId>,
    /// How long after a sign-in it can be reached, where that is to be shorter than the window of all.
    pub sign_in_window: Option<Span>,
    /// The longest time that one request may ask for; `None` for [`Resource::REQUEST_SPAN_MAX`].
    pub request_span_max: Option<Span>,
    /// When it was added.
    pub created_at: Timestamp,
    /// When it was removed, where it was.
    pub removed_at: Option<Timestamp>,
}

/// What is needed to add a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewResource {
    /// A fresh id.
    pub id: ResourceId,
    /// The name.
    pub name: ResourceName,
    /// Where it is.
    pub targets: Vec<Target>,
    /// What is allowed there.
    pub allow: Vec<Allow>,
}

impl Resource {
    /// The longest time that one request may ask for where the resource says nothing else: 30 days.
    pub const REQUEST_SPAN_MAX: Duration = Duration::from_secs(30 * 24 * 3600);

    /// Returns the longest time that one request may ask for.
    #[must_use]
    pub fn span_max(&self) -> Duration {
        self.request_span_max.map_or(Self::REQUEST_SPAN_MAX, Span::duration)
    }

    /// Decides whether somebody may answer for the resource.
    ///
    /// # Errors
    /// A denial for somebody who is not active, or not on the staff.
    pub fn owned_by(&self, owner: &Principal, now: Timestamp) -> Result<Self, Denial> {
        owner.require_active("a resource to answer for", now)?;
        if owner.kind != PrincipalKind::Staff {
            return Err(Denial::refused(format!(
                "{} is a contractor and cannot answer for a resource: name somebody on the staff",
                owner.email
            )));
        }
        Ok(Self { owner: Some(owner.id), ..self.clone() })
    }

    /// Decides whether a resource may be added, and makes the record; lists are sorted and freed of doubles.
    ///
    /// # Errors
    /// A denial where a list is empty or too long, or a target lies inside Doorward's own network (devices must not
    /// reach one another through a resource) or inside its own zone (a resource would lead to itself).
    pub fn add(new: NewResource, network: &TunnelNetwork, zone: &DnsName, now: Timestamp) -> Result<Self, Denial> {
        let NewResource { id, name, mut targets, mut allow } = new;
        targets.sort_unstable();
        targets.dedup();
        allow.sort_unstable();
        allow.dedup();
        if targets.is_empty() {
            return Err(Denial::invalid(format!(
                "resource {name} leads nowhere: give at least one `--target ADDRESS`"
            )));
        }
        if allow.is_empty() {
            return Err(Denial::invalid(format!(
                "resource {name} allows nothing: give at least one `--allow`, such as `--allow tcp/443`"
            )));
        }
        if targets.len() > TARGETS_MAX || allow.len() > ALLOWS_MAX {
            return Err(Denial::invalid(format!(
                "resource {name} is too large: at most {TARGETS_MAX} targets and {ALLOWS_MAX} `--allow` entries; make it two resources"
            )));
        }
        for own in [IpNet::V4(network.v4()), IpNet::V6(network.v6())] {
            let overlaps = |target: &&Target| target.net().is_some_and(|net| own.contains(&net) || net.contains(&own));
            let inside = targets.iter().find(overlaps);
            if let Some(target) = inside {
                return Err(Denial::refused(format!(
                    "target {target} overlaps Doorward's own network {own}: name hosts behind the gateway"
                )));
            }
        }
        if let Some(own) = targets.iter().filter_map(Target::name).find(|target| target.is_within(zone)) {
            return Err(Denial::refused(format!(
                "target {own} lies inside Doorward's own zone {zone}: give the name that your own network has for it"
            )));
        }
        Ok(Self {
            id,
            name,
            targets,
            allow,
            service_slot: None,
            owner: None,
            sign_in_window: None,
            request_span_max: None,
            created_at: now,
            removed_at: None,
        })
    }

    /// Says whether its own address leads anywhere: a single host or a name does, and of a prefix nobody could say which of
    /// its hosts is meant.
    #[must_use]
    pub fn has_single_target(&self) -> bool {
        self.targets.iter().any(|target| target.host().is_some() || target.name().is_some())
    }

    /// Returns its own address inside this network; `None` where the network has none, or none for its number.
    #[must_use]
    pub fn service(&self, network: &TunnelNetwork) -> Option<ServiceAddress> {
        network.service_address(self.service_slot?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DenialCode;
    use crate::lease::fixtures::t;

    fn add(targets: &[&str], allow: &[&str]) -> Result<Resource, Denial> {
        let new = NewResource {
            id: ResourceId::new(uuid::Uuid::from_u128(1)),
            name: "panel".parse().unwrap(),
            targets: targets.iter().map(|text| text.parse().unwrap()).collect(),
            allow: allow.iter().map(|text| text.parse().unwrap()).collect(),
        };
        let zone = "doorward.internal".parse().unwrap();
        Resource::add(new, &TunnelNetwork::default(), &zone, t(1))
    }

    #[test]
    fn a_resource_leads_somewhere_and_allows_something() {
        assert!(add(&["10.0.5.10"], &["tcp/443"]).is_ok());
        assert!(add(&[], &["tcp/443"]).unwrap_err().sentence.contains("--target"));
        assert!(add(&["10.0.5.10"], &[]).unwrap_err().sentence.contains("--allow"));
        assert_eq!(add(&["10.0.5.10", "10.0.5.10"], &["tcp/443"]).unwrap().targets.len(), 1);
    }

    #[test]
    fn devices_cannot_be_made_a_resource() {
        for inside in ["100.80.0.7", "100.80.0.0/16", "100.0.0.0/8", "fd64:6f6f:7277::9"] {
            assert_eq!(add(&[inside], &["icmp"]).unwrap_err().code, DenialCode::Refused, "{inside}");
        }
    }

    #[test]
    fn a_name_is_a_target_unless_it_is_one_of_ours() {
        assert!(add(&["db.shop.example", "10.0.5.10"], &["tcp/5432"]).is_ok());
        for own in ["doorward.internal", "panel.doorward.internal"] {
            let denial = add(&["10.0.5.10", own], &["icmp"]).unwrap_err();
            assert!(denial.code == DenialCode::Refused && denial.sentence.contains(own), "{denial:?}");
        }
    }

    #[test]
    fn an_address_follows_from_the_number_and_the_network() {
        let mut panel = add(&["10.0.5.10"], &["tcp/443"]).unwrap();
        let network = TunnelNetwork::default();
        assert_eq!(panel.service(&network), None);
        panel.service_slot = Some(2);
        assert_eq!(panel.service(&network), network.service_address(2));
        let small = TunnelNetwork::new("10.9.0.0/30".parse().unwrap(), "fd00::/126".parse().unwrap()).unwrap();
        assert_eq!(panel.service(&small), None);
        assert!(panel.has_single_target() && add(&["db.shop.example"], &["icmp"]).unwrap().has_single_target());
        assert!(!add(&["10.0.5.0/24", "fd00:5::/64"], &["icmp"]).unwrap().has_single_target());
    }
}
