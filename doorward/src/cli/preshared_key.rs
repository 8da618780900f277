//! Pre-shared keys: made here or read from a file, and given to a device that exists.

use std::path::{Path, PathBuf};

use clap::Args;
use doorward_control_plane::api::{Device, DevicePresharedKey};
use doorward_model::{DeviceId, PresharedKey};
use rand::TryRng as _;
use zeroize::Zeroizing;

use crate::client::Client;
use crate::error::CliError;
use crate::output::{self, Output};
use crate::private_file::PrivateFile;

pub(super) const EXAMPLES: &str = "\
Examples:
  doorward device preshared-key 0192f0c1-7a3e-7cc1-b2f4-0123456789ab
  doorward device preshared-key 0192f0c1-7a3e-7cc1-b2f4-0123456789ab --file key --json
  doorward device preshared-key 0192f0c1-7a3e-7cc1-b2f4-0123456789ab --remove

The gateways ask for it from the next handshake on; until its config has it too, the device cannot connect.";

/// Where a new device's pre-shared key comes from, if it gets one.
#[derive(Debug, Args)]
pub(super) struct WithKey {
    /// Makes a pre-shared key, which the config carries: a second secret, against the day that X25519 is broken
    #[arg(long)]
    preshared_key: bool,
    /// Takes the pre-shared key from this file, as `wg genpsk` wrote it
    #[arg(long, value_name = "FILE", conflicts_with = "preshared_key")]
    preshared_key_file: Option<PathBuf>,
}

impl WithKey {
    /// Makes or reads the key.
    ///
    /// # Errors
    /// No random numbers; a file that cannot be read or has no key.
    pub(super) fn key(&self) -> Result<Option<PresharedKey>, CliError> {
        match &self.preshared_key_file {
            Some(path) => read(path).map(Some),
            None if self.preshared_key => make().map(Some),
            None => Ok(None),
        }
    }
}

/// Which key a device gets.
#[derive(Debug, Args)]
pub(super) struct SetArgs {
    /// The device's id, as `device list` shows it
    id: DeviceId,
    /// Takes the key from this file, as `wg genpsk` wrote it; without it, one is made and printed
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Takes the device's pre-shared key away
    #[arg(long, conflicts_with = "file")]
    remove: bool,
    /// Writes the key that is made to this file, mode 0600, instead of standard output
    #[arg(long, value_name = "FILE", conflicts_with_all = ["file", "remove"])]
    out: Option<PathBuf>,
}

/// Gives a device another key, or takes it away.
pub(super) async fn set(args: SetArgs, client: &Client, out: Output) -> Result<(), CliError> {
    let made_here = args.file.is_none() && !args.remove;
    let destination = args.out.as_deref().map(|path| PrivateFile::reserve(path, false)).transpose()?;
    let preshared_key = match &args.file {
        Some(path) => Some(read(path)?),
        None if args.remove => None,
        None => Some(make()?),
    };
    let text = preshared_key.as_ref().map(PresharedKey::expose_base64);
    let path = format!("{}/{}/preshared-key", super::device::PATH, args.id);
    let device: Device = client.put(&path, &DevicePresharedKey { preshared_key }).await?;
    let in_a_file = destination.is_some();
    if let (Some(file), Some(text)) = (destination, &text) {
        file.place(text)?;
    }
    let shown = text.filter(|_| made_here && !in_a_file);
    if out.is_json() {
        #[derive(serde::Serialize)]
        struct Set<'a> {
            #[serde(flatten)]
            device: &'a Device,
            preshared_key: Option<&'a str>,
        }
        return out.json(&Set { device: &device, preshared_key: shown.as_ref().map(|text| text.as_str()) });
    }
    if let Some(text) = shown {
        out.precious_text(&text)?;
    }
    let what = if device.has_preshared_key { "has another pre-shared key: put" } else { "has no pre-shared key: take" };
    let how = if device.has_preshared_key { "into its config as `PresharedKey`" } else { "out of its config" };
    output::note(&format!("device {} of {} {what} it {how}", device.name, device.email));
    Ok(())
}

fn make() -> Result<PresharedKey, CliError> {
    let mut bytes = Zeroizing::new([0_u8; 32]);
    rand::rngs::SysRng.try_fill_bytes(bytes.as_mut_slice()).map_err(|error| {
        CliError::Failed(format!("the system gave no random numbers, so no key can be made ({error})"))
    })?;
    Ok(PresharedKey::from_bytes(*bytes))
}

fn read(path: &Path) -> Result<PresharedKey, CliError> {
    let text = std::fs::read_to_string(path).map(Zeroizing::new).map_err(|source| CliError::File {
        operation: "read",
        path: path.to_owned(),
        hint: "give a file that `wg genpsk` wrote",
        source,
    })?;
    text.parse().map_err(|error: doorward_model::KeyError| CliError::Usage(format!("{}: {error}", path.display())))
}
