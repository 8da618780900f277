//! `doorward device`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use doorward_client_config::{PrivateKey, qr_svg, qr_terminal, without_comments};
use doorward_control_plane::api::{
    Device, DeviceAdded, DeviceNew, DeviceState, EndOutcome, EndRequest, ErrorCode, Gateway, Reachable, Routes,
};
use doorward_model::{DeviceId, DeviceName, Email, EmailError, NameError, PublicKey, TimeLimit};
use rand::TryRng as _;
use zeroize::Zeroizing;

use super::preshared_key::{self, SetArgs, WithKey};
use super::{config_text, receipts, resource, time};
use crate::client::{Client, segment};
use crate::error::CliError;
use crate::output::{self, Output, Rows};
use crate::private_file::PrivateFile;

pub(super) const EXAMPLES: &str = "\
Examples:
  doorward device add laptop --out laptop.conf       # one's own, after doorward login
  doorward device add dba@agency.example laptop --out laptop.conf
  doorward device add dba@agency.example phone --qr --for 90d
  doorward device add dba@agency.example laptop --public-key \"$(wg pubkey < key)\" --out laptop.conf
  doorward device add dba@agency.example tablet --routes service --port 443 --out tablet.conf
  doorward device list
  doorward device revoke 0192f0c1-7a3e-7cc1-b2f4-0123456789ab";

pub(super) const PATH: &str = "/api/v1/devices";

/// What to do with devices.
#[derive(Debug, Subcommand)]
pub(super) enum DeviceCommand {
    /// Adds a device and writes its wg-quick config; without a key, makes the pair here
    #[command(after_help = EXAMPLES, override_usage = "doorward device add [OPTIONS] [EMAIL] NAME")]
    Add(AddArgs),
    /// Lists the devices; one's own, for people who may not see others'
    #[command(after_help = "Examples:\n  doorward device list\n  doorward device list --email dba@agency.example")]
    List {
        /// Only this person's
        #[arg(long)]
        email: Option<Email>,
    },
    /// Gives a device another pre-shared key, or takes it away
    #[command(after_help = preshared_key::EXAMPLES)]
    PresharedKey(SetArgs),
    /// Revokes a device for ever; the gateways confirm it
    #[command(after_help = "Examples:\n  doorward device revoke 0192f0c1-7a3e-7cc1-b2f4-0123456789ab")]
    Revoke {
        /// The device's id, as `device list` shows it
        id: DeviceId,
        /// Why, for the record
        #[arg(long)]
        reason: Option<String>,
    },
}

/// A new device.
#[derive(Debug, Args)]
pub(super) struct AddArgs {
    /// Whose device it is, and its name: letters, digits, `-`, `_`, `.`; the name alone for one's own, after `doorward login`
    #[arg(value_names = ["EMAIL", "NAME"], num_args = 1..=2, required = true)]
    device: Vec<String>,
    /// Its public key, as `wg pubkey` prints it; the private key stays with its owner
    #[arg(long, value_name = "KEY")]
    public_key: Option<PublicKey>,
    /// A file with its private key, which completes the config here and is never sent
    #[arg(long, value_name = "FILE")]
    private_key_file: Option<PathBuf>,
    #[command(flatten)]
    preshared_key: WithKey,
    /// How long the device is good: 8h, 90d; until revoked if left out
    #[arg(long = "for", value_name = "SPAN")]
    valid_for: Option<TimeLimit>,
    /// What the config routes: `service`, Doorward's own network alone, so that it stays right when grants change; or
    /// `targets`, the granted prefixes too [default: `[network] routes` of the server]
    #[arg(long, value_name = "WHAT")]
    routes: Option<Routes>,
    /// The UDP port that the config dials, for networks that block the usual one; the gateway must listen on it
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// Writes the config to this file, mode 0600, instead of standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Replaces files that exist
    #[arg(long)]
    force: bool,
    /// Draws the config as a QR code on the terminal, for the phone apps
    #[arg(long, conflicts_with = "json")]
    qr: bool,
    /// Writes the QR code to this file as SVG, mode 0600
    #[arg(long, value_name = "FILE")]
    qr_svg: Option<PathBuf>,
}

pub(super) async fn run(command: DeviceCommand, client: &Client, out: Output) -> Result<(), CliError> {
    match command {
        DeviceCommand::Add(args) => add(args, client, out).await,
        DeviceCommand::List { email } => {
            let query = email.map_or_else(String::new, |email| format!("?email={}", segment(email)));
            let devices: Vec<Device> = client.get(&format!("{PATH}{query}")).await?;
            out.result(&devices, |it| table(it, "no devices yet: add one with `doorward device add EMAIL NAME`"))
        }
        DeviceCommand::PresharedKey(args) => preshared_key::set(args, client, out).await,
        DeviceCommand::Revoke { id, reason } => {
            let outcome: EndOutcome = client.post(&format!("{PATH}/{id}/revoke"), &EndRequest { reason }).await?;
            receipts::show(out, &outcome, &outcome, "the device is revoked")
        }
    }
}

impl AddArgs {
    /// Whose it is, where that is said, and its name.
    fn named(&self) -> Result<(Option<Email>, DeviceName), CliError> {
        let wrong = |error: &dyn std::fmt::Display| {
            CliError::Usage(format!("{error}: `doorward device add --help` has examples"))
        };
        let (email, name) = match self.device.as_slice() {
            [name] => (None, name),
            [email, name] => (Some(email), name),
            _ => return Err(wrong(&"say whose device it is, and its name")),
        };
        let email = email.map(|email| email.parse()).transpose().map_err(|error: EmailError| wrong(&error))?;
        if email.is_none() && name.contains('@') {
            return Err(wrong(&format_args!("{name} needs a name for the device after it")));
        }
        Ok((email, name.parse().map_err(|error: NameError| wrong(&error))?))
    }
}

/// Whose key it is, and which half of it this side has.
struct Key {
    public: PublicKey,
    private: Option<PrivateKey>,
    made_here: bool,
}

/// Where the config goes, with room taken before anything is enrolled.
struct Destinations {
    config: Option<PrivateFile>,
    qr_svg: Option<PrivateFile>,
}

async fn add(args: AddArgs, client: &Client, out: Output) -> Result<(), CliError> {
    let (email, name) = args.named()?;
    let key = key(&args)?;
    if (args.qr || args.qr_svg.is_some()) && key.private.is_none() {
        return Err(CliError::Usage(
            "a QR code without the private key cannot be imported: give --private-key-file FILE too, or leave out --public-key".to_owned(),
        ));
    }
    let made_here = key.made_here;
    let preshared_key = args.preshared_key.key()?;
    // Everything that can fail on this side fails before the server hears of the device.
    let destinations = Destinations {
        config: args.out.as_deref().map(|path| PrivateFile::reserve(path, args.force)).transpose()?,
        qr_svg: args.qr_svg.as_deref().map(|path| PrivateFile::reserve(path, args.force)).transpose()?,
    };
    if !has_gateway(client).await? {
        return Err(config_text::no_gateway());
    }
    let new = DeviceNew {
        email,
        name,
        public_key: key.public,
        preshared_key: preshared_key.clone(),
        valid_for: args.valid_for,
        routes: args.routes,
        port: args.port,
    };
    let added: DeviceAdded = client.post(PATH, &new).await?;
    let delivered = config_text::wg_quick(&added, key.private, preshared_key)
        .and_then(|config| deliver(&args, &added, &config, made_here, destinations, out));
    match delivered {
        Ok(()) => {}
        // The config is in its file, so the device is of use; only the words about it were lost.
        Err(error @ CliError::Stdout { .. }) if args.out.is_some() => return Err(error),
        Err(error) => return Err(take_back(client, &added, error).await),
    }
    if !out.is_json() && !added.resources.is_empty() {
        output::aside(&places(&added.resources));
    }
    for warning in &added.warnings {
        output::warn(warning);
    }
    Ok(())
}

/// Says whether there is a gateway to dial. Who may not see gateways finds out from the config.
async fn has_gateway(client: &Client) -> Result<bool, CliError> {
    let listed: Result<Vec<Gateway>, CliError> = client.get("/api/v1/gateways").await;
    match listed {
        Ok(gateways) => Ok(gateways.iter().any(|gateway| gateway.endpoint.is_some() && gateway.public_key.is_some())),
        Err(CliError::Api { code: ErrorCode::Refused, .. }) => Ok(true),
        Err(error) => Err(error),
    }
}

/// Draws where the person finds what they may use.
fn places(resources: &[Reachable]) -> String {
    let mut rows = Rows::new(&["RESOURCE", "SERVICE ADDRESS", "DNS NAME", "ALLOWED"]);
    for it in resources {
        rows.add(vec![
            it.name.to_string(),
            resource::join_or_dash(&it.addresses()),
            output::or_dash(it.dns_name.as_ref()),
            resource::join(&it.allow),
        ]);
    }
    rows.or_else("")
}

/// Takes the key that was given, or makes a pair.
fn key(args: &AddArgs) -> Result<Key, CliError> {
    let Some(path) = &args.private_key_file else {
        if let Some(public) = args.public_key {
            return Ok(Key { public, private: None, made_here: false });
        }
        let mut bytes = Zeroizing::new([0_u8; 32]);
        rand::rngs::SysRng.try_fill_bytes(bytes.as_mut_slice()).map_err(|error| {
            CliError::Failed(format!("the system gave no random numbers, so no key can be made ({error})"))
        })?;
        let private = PrivateKey::from_bytes(*bytes);
        let public = private.public_key().map_err(|error| CliError::Failed(error.to_string()))?;
        return Ok(Key { public, private: Some(private), made_here: true });
    };
    let text = std::fs::read_to_string(path).map(Zeroizing::new).map_err(|source| CliError::File {
        operation: "read",
        path: path.clone(),
        hint: "give a file that `wg genkey` wrote",
        source,
    })?;
    let wrong = |error: doorward_model::KeyError| CliError::Usage(format!("{}: {error}", path.display()));
    let private: PrivateKey = text.parse().map_err(wrong)?;
    let public = private.public_key().map_err(wrong)?;
    match args.public_key {
        Some(other) if other != public => Err(CliError::Usage(format!(
            "--public-key is {other}, and the key in {} belongs to {public}: give one of the two, or a pair that fits",
            path.display()
        ))),
        Some(_) | None => Ok(Key { public, private: Some(private), made_here: false }),
    }
}

/// Writes files first and prints last, so that a printed success is one.
fn deliver(
    args: &AddArgs,
    added: &DeviceAdded,
    config: &Zeroizing<String>,
    made_here: bool,
    destinations: Destinations,
    out: Output,
) -> Result<(), CliError> {
    if let Some(file) = destinations.qr_svg {
        file.place(&qr_svg(&without_comments(config)).map_err(|error| CliError::Failed(error.to_string()))?)?;
    }
    let in_a_file = destinations.config.is_some();
    if let Some(file) = destinations.config {
        file.place(config)?;
    }
    if out.is_json() {
        return json(args, added, config, (made_here && !in_a_file, !in_a_file), out);
    }
    if args.qr {
        match qr_terminal(&without_comments(config)) {
            Ok(drawn) => out.precious_text(&drawn)?,
            Err(error) => {
                output::warn(&error.to_string());
                if !in_a_file {
                    out.precious_text(config)?;
                }
            }
        }
    } else if !in_a_file {
        out.precious_text(config)?;
    }
    match &args.out {
        Some(path) => {
            let Device { name, email, .. } = &added.device;
            out.text(&format!("device {name} of {email} is added, its config is in {}", path.display()))
        }
        None => {
            output::note(&format!("device {} of {} is added", added.device.name, added.device.email));
            Ok(())
        }
    }
}

/// Prints the device and its config for programs. A private or pre-shared key is in it only when there is no other copy
/// of it.
fn json(
    args: &AddArgs,
    added: &DeviceAdded,
    config: &str,
    (with_private_key, with_preshared_key): (bool, bool),
    out: Output,
) -> Result<(), CliError> {
    #[derive(serde::Serialize)]
    struct Added<'a> {
        #[serde(flatten)]
        added: &'a DeviceAdded,
        config: &'a str,
        file: Option<&'a PathBuf>,
    }
    let hidden: String;
    let config = if with_private_key && with_preshared_key {
        config
    } else {
        let public = added.device.public_key;
        hidden = config
            .split_inclusive('\n')
            .map(|line| {
                if line.starts_with("PresharedKey = ") && !with_preshared_key {
                    "# PresharedKey = (left out here; it is in the file)\n".to_owned()
                } else if line.starts_with("PrivateKey = ") && !with_private_key {
                    format!("# PrivateKey = (left out here; it belongs to {public})\n")
                } else {
                    line.to_owned()
                }
            })
            .collect();
        &hidden
    };
    out.json(&Added { added, config, file: args.out.as_ref() })
}

/// Revokes a device whose config could not be delivered, so that no key without an owner is left enrolled.
async fn take_back(client: &Client, added: &DeviceAdded, error: CliError) -> CliError {
    let request = EndRequest { reason: Some("its config could not be written".to_owned()) };
    let id = added.device.id;
    let revoked: Result<EndOutcome, CliError> = client.post(&format!("{PATH}/{id}/revoke"), &request).await;
    let what_became = match revoked {
        Ok(_) => "the device was revoked again".to_owned(),
        Err(second) => {
            format!("the device is still enrolled, run `doorward device revoke {id}` ({})", second.sentence())
        }
    };
    CliError::Failed(format!("{}; {what_became}", error.sentence()))
}

/// Says whether a device may connect.
pub(super) fn is_active(device: &Device) -> bool {
    device.state == DeviceState::Active
}

/// Draws devices.
pub(super) fn table(devices: &[Device], when_empty: &str) -> String {
    let mut rows = Rows::new(&["DEVICE", "EMAIL", "NAME", "STATE", "ADDRESS", "UNTIL", "PUBLIC KEY"]);
    for it in devices {
        let state = match it.state {
            DeviceState::Active => "active",
            DeviceState::Expired => "expired",
            DeviceState::Revoked => "revoked",
        };
        rows.add(vec![
            it.id.to_string(),
            it.email.to_string(),
            it.name.to_string(),
            state.to_owned(),
            it.address_v4.to_string(),
            time::short_or(it.until, "-"),
            it.public_key.to_string(),
        ]);
    }
    rows.or_else(when_empty)
}
