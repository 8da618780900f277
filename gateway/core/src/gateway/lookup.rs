//! What the resolver asks: which names a device may have at this moment, and which answers of others it may not.

use std::net::IpAddr;

use doorward_model::{ResourceName, ServiceAddress};

use super::Gateway;
use crate::access::decision::{self, Ground, Offers};
use crate::access::special;
use crate::flow::Flow;
use crate::wireguard::noise::Noise;
use crate::{Now, ResourceAsked};

impl<N: Noise> Gateway<N> {
    /// Finds a resource for a device, named by its tunnel address: only one that a rule of its lease gives it at this
    /// very moment.
    #[must_use]
    pub fn resource(&self, now: Now, device: IpAddr, asked: &ResourceAsked) -> Option<(ResourceName, ServiceAddress)> {
        let device = self.devices.get(self.devices.by_address(device)?)?;
        decision::may_pass(device, self.standing(now), now).ok()?;
        device.leased.rules.iter().filter(|rule| rule.window.holds(now)).find_map(|rule| {
            let service = rule.service?;
            let fits = match asked {
                ResourceAsked::Name(name) => rule.resource == *name,
                ResourceAsked::Address(address) => service.is(*address),
            };
            fits.then(|| (rule.resource.clone(), service))
        })
    }

    /// Says whether an address lies where no name of anybody else may lead a device: in the tunnel network, in a special
    /// range, or among the targets of a rule of its lease. `None` when this core has no such device.
    #[must_use]
    pub fn is_inside(&self, now: Now, device: IpAddr, address: IpAddr) -> Option<bool> {
        let address = address.to_canonical();
        let device = self.devices.get(self.devices.by_address(device)?)?;
        let is_inside = self.surroundings().is_in_tunnel(address)
            || special::is_special(address)
            || device.leased.rules.iter().flat_map(|rule| &rule.targets).any(|target| {
                let names = target.name().map(|name| self.names.addresses(name, now));
                target.net().is_some_and(|net| net.contains(&address))
                    || names.is_some_and(|addresses| addresses.contains(&address))
            });
        Some(is_inside)
    }

    /// Notes what listens on the tunnel addresses, and ends what goes to what does not any more.
    pub(super) fn offer(&mut self, now: Now, offers: Offers) {
        let before = std::mem::replace(&mut self.offers, offers);
        let resolver_gone = before.resolver && !offers.resolver;
        let portal_gone = before.portal != offers.portal || (before.landing && !offers.landing);
        if !resolver_gone && !portal_gone {
            return;
        }
        let mut flush = Vec::new();
        let is_question = |flow: &Flow| match flow.ground {
            Ground::Resolver => resolver_gone,
            Ground::Portal => portal_gone,
            Ground::Grant(_) => false,
        };
        for at in self.devices.places() {
            let ends: Vec<u32> = self.flows.of_device(at);
            let ends: Vec<u32> =
                ends.into_iter().filter(|place| self.flows.get(*place).is_some_and(is_question)).collect();
            self.cut(now, at, &ends, &mut flush);
        }
        self.flush_conntrack(flush);
    }
}
