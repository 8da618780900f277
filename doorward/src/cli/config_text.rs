//! From the server's answer to a device's config.

use std::net::IpAddr;

use doorward_client_config::{ClientConfig, Endpoint, InterfaceKey, PrivateKey, Reached};
use doorward_control_plane::api::{ClientSettings, DeviceAdded, Reachable};
use doorward_model::{PresharedKey, TunnelNetwork};
use ipnet::IpNet;
use zeroize::Zeroizing;

use crate::error::CliError;

/// Writes the config of a device that was just added.
///
/// # Errors
/// No gateway is known, or it has an endpoint that no device can dial.
pub(super) fn wg_quick(
    added: &DeviceAdded,
    key: Option<PrivateKey>,
    preshared_key: Option<PresharedKey>,
) -> Result<Zeroizing<String>, CliError> {
    let client = &added.client;
    let gateway = client.gateways.first().ok_or_else(no_gateway)?;
    let endpoint: Endpoint =
        gateway.endpoint.parse().map_err(|error| CliError::Failed(format!("gateway {}: {error}", gateway.name)))?;
    let mut allowed_ips = client.allowed_ips.clone();
    allowed_ips.extend([IpNet::from(client.network_v4), IpNet::from(client.network_v6)]);
    let config = ClientConfig {
        email: added.device.email.clone(),
        device: added.device.name.clone(),
        resources: added.resources.iter().map(|it| reached(it, client.names_answer)).collect(),
        valid_until: added.device.until,
        interface_key: key.map_or(InterfaceKey::WithItsOwner, InterfaceKey::Here),
        public_key: added.device.public_key,
        addresses: client.addresses.clone(),
        dns: if gateway.resolver { resolver(client)? } else { Vec::new() },
        mtu: client.mtu,
        gateway_public_key: gateway.public_key,
        preshared_key,
        endpoint,
        other_ports: gateway.ports.clone(),
        allowed_ips,
        persistent_keepalive: client.persistent_keepalive,
    };
    Ok(config.to_wg_quick())
}

fn reached(resource: &Reachable, names_answer: bool) -> Reached {
    Reached {
        name: resource.name.clone(),
        addresses: addresses(resource),
        dns_name: resource.dns_name.clone().filter(|_| names_answer),
        allow: resource.allow.clone(),
    }
}

/// Lists a resource's own addresses, IPv4 first.
pub(super) fn addresses(resource: &Reachable) -> Vec<IpAddr> {
    resource.service_v4.map(IpAddr::from).into_iter().chain(resource.service_v6.map(IpAddr::from)).collect()
}

/// The resolver answers on the gateway's own addresses inside the tunnel.
fn resolver(client: &ClientSettings) -> Result<Vec<IpAddr>, CliError> {
    let network = TunnelNetwork::new(client.network_v4, client.network_v6)
        .map_err(|error| CliError::Failed(format!("the server's {error}")))?;
    Ok(vec![network.gateway_v4().into(), network.gateway_v6().into()])
}

/// The sentence for a config that has no gateway to dial.
pub(super) fn no_gateway() -> CliError {
    CliError::Failed(
        "no gateway has connected yet, so the config has nothing to dial: start one with `doorward up` or `doorward run gateway`"
            .to_owned(),
    )
}
