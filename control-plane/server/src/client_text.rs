//! From the answer to a new device to the config that its WireGuard app imports: for the command line, which has the
//! private key, and for the page, which leaves its place open and has the browser fill it in.

use std::net::IpAddr;

use doorward_client_config::{ClientConfig, Endpoint, EndpointError, InterfaceKey, PrivateKey, Reached};
use doorward_model::{GatewayName, PresharedKey, TunnelNetwork, TunnelNetworkError};
use ipnet::IpNet;
use zeroize::Zeroizing;

use crate::api::{ClientSettings, DeviceAdded, Reachable};

/// Why there is no config.
#[derive(Debug, thiserror::Error)]
pub enum ClientTextError {
    /// Nothing to dial.
    #[error(
        "no gateway has connected yet, so the config has nothing to dial: start one with `doorward up` or `doorward run gateway`"
    )]
    NoGateway,
    /// A gateway that no device can dial.
    #[error("gateway {gateway}: {source}")]
    Endpoint {
        /// Which one.
        gateway: GatewayName,
        /// What is wrong with what it says of itself.
        source: EndpointError,
    },
    /// The server has a network that is none.
    #[error("the server's {0}")]
    Network(TunnelNetworkError),
}

/// Writes the config of a device that was just added; without a key it says where the key goes.
///
/// # Errors
/// No gateway is known, or it has an endpoint that no device can dial.
pub fn wg_quick(
    added: &DeviceAdded,
    key: Option<PrivateKey>,
    preshared_key: Option<PresharedKey>,
) -> Result<Zeroizing<String>, ClientTextError> {
    let client = &added.client;
    let gateway = client.gateways.first().ok_or(ClientTextError::NoGateway)?;
    let endpoint: Result<Endpoint, EndpointError> = gateway.endpoint.parse();
    let endpoint = endpoint.map_err(|source| ClientTextError::Endpoint { gateway: gateway.name.clone(), source })?;
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
        addresses: resource.addresses(),
        dns_name: resource.dns_name.clone().filter(|_| names_answer),
        allow: resource.allow.clone(),
    }
}

/// The resolver answers on the gateway's own addresses inside the tunnel.
fn resolver(client: &ClientSettings) -> Result<Vec<IpAddr>, ClientTextError> {
    let network = TunnelNetwork::new(client.network_v4, client.network_v6).map_err(ClientTextError::Network)?;
    Ok(vec![network.gateway_v4().into(), network.gateway_v6().into()])
}
