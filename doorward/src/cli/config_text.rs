//! From the server's answer to a device's config.

use doorward_client_config::PrivateKey;
use doorward_control_plane::api::DeviceAdded;
use doorward_control_plane::{ClientTextError, wg_quick as text};
use doorward_model::PresharedKey;
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
    text(added, key, preshared_key).map_err(|error| CliError::Failed(error.to_string()))
}

/// The sentence for a config that has no gateway to dial.
pub(super) fn no_gateway() -> CliError {
    CliError::Failed(ClientTextError::NoGateway.to_string())
}
