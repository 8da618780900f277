//! The decision. Pure: everything it looks at is an argument, and a missing piece is a denial.

use std::net::IpAddr;

use doorward_model::{DnsName, GrantId, Lockdown, Protocol, Target, TunnelNetwork};

use super::device::Device;
use super::names::Names;
use super::rules::{Rule, Rules};
use super::special;
use crate::Now;
use crate::clock::Window;
use crate::counters::DenyReason;
use crate::hash::Set;

/// The port of the resolver (RFC 1035 section 4.2).
const RESOLVER_PORT: u16 = 53;
/// The port of plain HTTP, where who is in quarantine lands on a page that says so.
const HTTP_PORT: u16 = 80;

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
/// Why not. [`DenyReason::Quarantine`] leaves it what the gateway itself offers.
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

/// What a packet asks for: protocol, destination and port as the device wrote them; the port is not looked at for ICMP.
pub(crate) type Asked = (Protocol, IpAddr, u16);

/// What allows a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ground {
    /// A rule of that grant.
    Grant(GrantId),
    /// The resolver is there for every device with a lease.
    Resolver,
    /// So are the portal, and the page that stands in for resources during quarantine.
    Portal,
}

impl Ground {
    /// Says whether quarantine leaves it: what the gateway itself offers, for as long as the device has a lease.
    pub(crate) fn outlasts_sign_in(self) -> bool {
        matches!(self, Self::Resolver | Self::Portal)
    }

    /// Returns the grant, where it is one.
    pub(crate) fn grant(self) -> Option<GrantId> {
        match self {
            Self::Grant(grant) => Some(grant),
            Self::Resolver | Self::Portal => None,
        }
    }
}

/// What listens on the gateway's own tunnel addresses for devices.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Offers {
    /// The resolver, on port 53.
    pub(crate) resolver: bool,
    /// The portal, where the control plane is on this machine.
    pub(crate) portal: Option<u16>,
    /// The page for who is in quarantine, on port 80.
    pub(crate) landing: bool,
}

/// How a packet gets from where the device sends it to where the resource is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Road {
    /// As the device addressed it.
    Direct,
    /// By the service address, to a target that is an address.
    Host(IpAddr),
    /// By the service address, to an address of a target that is a name. It stays for the flow's life.
    Name(IpAddr, Box<DnsName>),
}

impl Road {
    /// Returns the address that takes the service address's place.
    pub(crate) fn target(&self) -> Option<IpAddr> {
        match self {
            Self::Direct => None,
            Self::Host(target) | Self::Name(target, _) => Some(*target),
        }
    }
}

/// What a new flow begins with.
#[derive(Debug)]
pub(crate) struct Opening {
    pub(crate) ground: Ground,
    pub(crate) window: Window,
    pub(crate) road: Road,
}

/// Where the machine itself is, and what it knows.
#[derive(Clone, Copy)]
pub(crate) struct Surroundings<'a> {
    pub(crate) network: &'a TunnelNetwork,
    pub(crate) own: &'a Set<IpAddr>,
    pub(crate) names: &'a Names,
    pub(crate) offers: Offers,
}

impl Surroundings<'_> {
    pub(crate) fn is_in_tunnel(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(v4) => self.network.v4().contains(&v4),
            IpAddr::V6(v6) => self.network.v6().contains(&v6),
        }
    }

    /// The gateway's own tunnel address of a family.
    fn gateway(&self, is_ipv4: bool) -> IpAddr {
        if is_ipv4 { self.network.gateway_v4().into() } else { self.network.gateway_v6().into() }
    }

    /// Says whether the resolver or the portal is asked for: all of the gateway itself that devices reach.
    fn own_offer(&self, (protocol, destination, port): Asked) -> Option<Ground> {
        if destination != self.gateway(destination.is_ipv4()) {
            return None;
        }
        match protocol {
            Protocol::Tcp | Protocol::Udp if port == RESOLVER_PORT && self.offers.resolver => Some(Ground::Resolver),
            Protocol::Tcp if self.offers.portal == Some(port) => Some(Ground::Portal),
            Protocol::Tcp | Protocol::Udp | Protocol::Icmp => None,
        }
    }

    /// Says where plain HTTP goes while the device is in quarantine: to the gateway's page, whether it asks for the gateway
    /// itself or for what its rules lead to.
    fn landing<T>(&self, device: &Device<T>, (protocol, destination, port): Asked, now: Now) -> Option<Road> {
        if !self.offers.landing || protocol != Protocol::Tcp || port != HTTP_PORT {
            return None;
        }
        let gateway = self.gateway(destination.is_ipv4());
        if destination == gateway {
            return Some(Road::Direct);
        }
        let is_resource = device.leased.rules.toward(destination).any(|rule| rule.window.holds(now));
        is_resource.then_some(Road::Host(gateway))
    }

    /// Finds the target of the service address's family that a rule leads to: the first that is one address, or that is
    /// a name with an address that may be used.
    fn road(&self, rule: &Rule, is_ipv4: bool, now: Now) -> Result<Road, DenyReason> {
        let mut reason = DenyReason::NoTarget;
        for target in &rule.targets {
            match target {
                Target::Net(_) => {
                    let Some(host) = target.host().filter(|host| host.is_ipv4() == is_ipv4) else { continue };
                    if !self.is_in_tunnel(host) {
                        return Ok(Road::Host(host));
                    }
                    reason = DenyReason::SpecialDestination;
                }
                Target::Name(name) => {
                    for address in self.names.addresses(name, now).iter().filter(|held| held.is_ipv4() == is_ipv4) {
                        // Whoever owns a name must not lead people to the gateway, or to each other (rebinding).
                        if !self.is_in_tunnel(*address) && !self.own.contains(address) && !special::is_special(*address)
                        {
                            return Ok(Road::Name(*address, Box::new(name.clone())));
                        }
                        reason = DenyReason::SpecialDestination;
                    }
                }
            }
        }
        Err(reason)
    }
}

/// Decides on a packet that begins something while the device is in quarantine.
///
/// # Errors
/// [`DenyReason::Quarantine`], where it is not for what the gateway itself offers.
pub(crate) fn open_in_quarantine<T>(
    device: &Device<T>,
    surroundings: Surroundings<'_>,
    asked: Asked,
    now: Now,
) -> Result<Opening, DenyReason> {
    let window = device.leased.window;
    if let Some(ground) = surroundings.own_offer(asked) {
        return Ok(Opening { ground, window, road: Road::Direct });
    }
    let road = surroundings.landing(device, asked, now).ok_or(DenyReason::Quarantine)?;
    Ok(Opening { ground: Ground::Portal, window, road })
}

/// Decides on a packet that begins something.
///
/// # Errors
/// Why it may not.
pub(crate) fn open<T>(
    device: &Device<T>,
    surroundings: Surroundings<'_>,
    asked: Asked,
    now: Now,
) -> Result<Opening, DenyReason> {
    let (_, destination, _) = asked;
    if let Some(ground) = surroundings.own_offer(asked) {
        return Ok(Opening { ground, window: device.leased.window, road: Road::Direct });
    }
    if surroundings.is_in_tunnel(destination) {
        return open_service(device, surroundings, asked, now);
    }
    let is_own = surroundings.own.contains(&destination);
    let found =
        device.leased.rules.toward(destination).find(|rule| rule.window.holds(now) && leads_to(rule, is_own, asked));
    found.map(|rule| opening(rule, Road::Direct)).ok_or_else(|| {
        if is_own || special::is_special(destination) { DenyReason::SpecialDestination } else { DenyReason::NoRule }
    })
}

fn open_service<T>(
    device: &Device<T>,
    surroundings: Surroundings<'_>,
    asked: Asked,
    now: Now,
) -> Result<Opening, DenyReason> {
    let (_, destination, _) = asked;
    let is_service = surroundings.network.is_service(destination);
    let mut reason = if is_service { DenyReason::NoRule } else { DenyReason::TunnelNetwork };
    for rule in device.leased.rules.toward(destination).filter(|rule| rule.window.holds(now) && serves(rule, asked)) {
        match surroundings.road(rule, destination.is_ipv4(), now) {
            Ok(road) => return Ok(opening(rule, road)),
            Err(why) => reason = why,
        }
    }
    Err(reason)
}

fn opening(rule: &Rule, road: Road) -> Opening {
    Opening { ground: Ground::Grant(rule.grant), window: rule.window, road }
}

fn allows(rule: &Rule, (protocol, _, port): Asked) -> bool {
    rule.allow
        .iter()
        .any(|allow| allow.protocol == protocol && (protocol == Protocol::Icmp || allow.ports.contains(port)))
}

/// Says whether a rule's resource has that service address and allows what is asked, its time aside.
fn serves(rule: &Rule, asked: Asked) -> bool {
    let (_, destination, _) = asked;
    rule.service.is_some_and(|service| service.is(destination)) && allows(rule, asked)
}

/// Says whether a rule, its time aside, leads to a destination that the device addresses itself.
fn leads_to(rule: &Rule, is_own: bool, asked: Asked) -> bool {
    let (_, destination, _) = asked;
    allows(rule, asked) && rule.targets.iter().any(|target| special::covers(target, destination, is_own))
}

/// Says whether a rule, its time aside, leads where a flow goes, by the same road.
pub(crate) fn leads_on(rule: &Rule, own: &Set<IpAddr>, asked: Asked, road: &Road) -> bool {
    match road {
        Road::Direct => leads_to(rule, own.contains(&asked.1), asked),
        Road::Host(host) => serves(rule, asked) && rule.targets.iter().any(|target| target.host() == Some(*host)),
        Road::Name(address, name) => {
            serves(rule, asked)
                && !own.contains(address)
                && rule.targets.iter().any(|target| target.name() == Some(&**name))
        }
    }
}

/// Finds the rule that a flow goes on under: its own grant's, or else another that leads to the same place at this
/// moment. A person whose access was renewed keeps the connection that the earlier grant opened.
pub(crate) fn rule_to_keep<'a>(
    rules: &'a Rules,
    ground: Ground,
    own: &Set<IpAddr>,
    (asked, road): (Asked, &Road),
    now: Now,
) -> Option<&'a Rule> {
    let fits = |rule: &&Rule| rule.window.holds(now) && leads_on(rule, own, asked, road);
    rules.toward(asked.1).filter(fits).max_by_key(|rule| Ground::Grant(rule.grant) == ground)
}
