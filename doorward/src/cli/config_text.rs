//! From the server's answer to a device's config.

use doorward_client_config::{ClientConfig, Endpoint, InterfaceKey, PrivateKey};
use doorward_control_plane::api::{DeviceAdded, Person};
use doorward_model::{PresharedKey, ResourceName};
use ipnet::IpNet;
use zeroize::Zeroizing;

use super::grant;
use crate::error::CliError;

/// Writes the config of a device that was just added; `person` is its owner as they were right before.
///
/// # Errors
/// No gateway is known, or it has an endpoint that no device can dial.
pub(super) fn wg_quick(
    added: &DeviceAdded,
    person: &Person,
    key: Option<PrivateKey>,
    preshared_key: Option<PresharedKey>,
) -> Result<Zeroizing<String>, CliError> {
    let client = &added.client;
    let gateway = client.gateways.first().ok_or_else(no_gateway)?;
    let endpoint: Endpoint =
        gateway.endpoint.parse().map_err(|error| CliError::Failed(format!("gateway {}: {error}", gateway.name)))?;
    let mut resources: Vec<ResourceName> =
        person.grants.iter().filter(|grant| grant::is_open(grant)).map(|grant| grant.resource.clone()).collect();
    resources.sort();
    resources.dedup();
    let mut allowed_ips = client.allowed_ips.clone();
    allowed_ips.extend([IpNet::from(client.network_v4), IpNet::from(client.network_v6)]);
    let config = ClientConfig {
        email: added.device.email.clone(),
        device: added.device.name.clone(),
        resources,
        valid_until: added.device.until,
        interface_key: key.map_or(InterfaceKey::WithItsOwner, InterfaceKey::Here),
        public_key: added.device.public_key,
        addresses: client.addresses.clone(),
        mtu: client.mtu,
        gateway_public_key: gateway.public_key,
        preshared_key,
        endpoint,
        allowed_ips,
        persistent_keepalive: client.persistent_keepalive,
    };
    Ok(config.to_wg_quick())
}

/// The sentence for a config that has no gateway to dial.
pub(super) fn no_gateway() -> CliError {
    CliError::Failed(
        "no gateway has connected yet, so the config has nothing to dial: start one with `doorward up` or `doorward run gateway`"
            .to_owned(),
    )
}
