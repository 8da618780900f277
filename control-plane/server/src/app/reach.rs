//! What a device's config routes, dials and names.

use doorward_domain::{self as domain, GrantedResource, Resource};
use doorward_model::{Target, Timestamp};
use ipnet::IpNet;

use super::{App, Refusal, views};
use crate::api::{ClientGateway, Reachable, Routes};

/// The resources of the grants that hold or will hold, by name, each once.
pub(crate) fn granted(granted: &[GrantedResource], now: Timestamp) -> Vec<&Resource> {
    let counts = |granted: &&GrantedResource| views::is_open(&granted.grant, now);
    let mut resources: Vec<&Resource> = granted.iter().filter(counts).map(|granted| &*granted.resource).collect();
    resources.sort_by(|one, other| one.name.cmp(&other.name));
    resources.dedup_by_key(|resource| resource.id);
    resources
}

/// How a person reaches them.
pub(crate) fn reachable(app: &App, resources: &[&Resource]) -> Vec<Reachable> {
    let reach = |resource: &&Resource| {
        let (service, dns_name) = views::service(app, resource);
        Reachable {
            name: resource.name.clone(),
            service_v4: service.map(|address| address.v4),
            service_v6: service.map(|address| address.v6),
            dns_name,
            allow: resource.allow.clone(),
        }
    };
    resources.iter().map(reach).collect()
}

/// The prefixes that a config routes beside Doorward's own network, sorted, each once.
pub(crate) fn allowed_ips(resources: &[&Resource], routes: Routes) -> Vec<IpNet> {
    let mut prefixes: Vec<IpNet> = match routes {
        Routes::Service => Vec::new(),
        Routes::Targets => resources.iter().flat_map(|it| &it.targets).filter_map(Target::net).collect(),
    };
    prefixes.sort_unstable();
    prefixes.dedup();
    prefixes
}

/// Says which of them no packet of this device can be addressed to.
pub(crate) fn warnings(app: &App, resources: &[&Resource], routes: Routes) -> Vec<String> {
    let unreachable = |resource: &&Resource| {
        let name = &resource.name;
        let routed = routes == Routes::Targets && resource.targets.iter().any(|target| target.net().is_some());
        if routed {
            None
        } else if !resource.has_single_target() {
            Some(format!(
                "{name} has prefixes for targets, which are reached directly alone, and this config does not route them: \
                 add the device with `--routes targets`, or give the resource single hosts"
            ))
        } else if resource.service(&app.terms.network).is_none() {
            Some(format!(
                "{name} has no service address in `[network]`, so this device does not reach it: choose a larger network"
            ))
        } else {
            None
        }
    };
    resources.iter().filter_map(unreachable).collect()
}

/// The gateways that said hello, to be dialled on `port` where one is asked for.
///
/// # Errors
/// A refusal where the gateway that a plain config names does not listen on that port.
pub(crate) fn gateways(gateways: &[domain::Gateway], port: Option<u16>) -> Result<Vec<ClientGateway>, Refusal> {
    let dialled = |gateway: &domain::Gateway| {
        Some(ClientGateway {
            name: gateway.name.clone(),
            public_key: gateway.public_key?,
            endpoint: gateway.endpoint.clone()?,
            resolver: gateway.resolver,
            ports: gateway.ports.clone(),
        })
    };
    let mut dialled: Vec<ClientGateway> = gateways.iter().filter_map(dialled).collect();
    let Some(port) = port else { return Ok(dialled) };
    let Some(first) = dialled.first() else {
        return Err(Refusal::Invalid(format!(
            "no gateway has said hello yet, so nobody knows whether one listens on UDP port {port}: start the gateway first"
        )));
    };
    if !listens(first, port) {
        let ports: Vec<String> = first.ports.iter().map(ToString::to_string).collect();
        let known = if ports.is_empty() { "does not say which it has".to_owned() } else { ports.join(", ") };
        return Err(Refusal::Invalid(format!(
            "gateway {} does not listen on UDP port {port} (its ports: {known}): add the port to `[gateway] listen`, or choose another",
            first.name
        )));
    }
    for gateway in &mut dialled {
        if listens(gateway, port)
            && let Some((host, _)) = gateway.endpoint.rsplit_once(':')
        {
            gateway.endpoint = format!("{host}:{port}");
        }
    }
    Ok(dialled)
}

fn listens(gateway: &ClientGateway, port: u16) -> bool {
    let dialled = gateway.endpoint.rsplit_once(':').and_then(|(_, text)| text.parse::<u16>().ok());
    dialled == Some(port) || gateway.ports.contains(&port)
}
