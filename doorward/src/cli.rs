//! The command line: one file a noun.

mod audit;
mod completions;
mod config_text;
mod database;
mod device;
mod gateway;
mod grant;
mod group;
mod hook;
mod lockdown;
mod login;
mod owner;
mod people_file;
mod person;
mod person_end;
mod person_sync;
mod preshared_key;
mod receipts;
mod records;
mod replica;
mod request;
mod resource;
mod scim;
mod source;
mod status;
mod time;
mod token;

use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand};

use crate::client::{Client, ServerChoice};
use crate::config::Config;
use crate::error::CliError;
use crate::output::Output;
use crate::{run, saved_login, up};

pub(crate) use status::certificate as certificate_words;

/// Where a Doorward keeps its data unless told otherwise.
pub(crate) const DATA_DEFAULT: &str = "/var/lib/doorward";

/// A WireGuard gateway: staff and contractors reach what somebody granted them, for as long, and not a second longer.
#[derive(Debug, Parser)]
#[command(
    name = "doorward",
    version,
    max_term_width = 120,
    arg_required_else_help = true,
    after_help = "\
Examples:
  doorward up
  doorward resource add customer-db --target 10.0.5.20 --allow tcp/5432
  doorward person add dba@agency.example --name \"Agency DBA\" --kind contractor --sponsor support@shop.example --until 4d
  doorward grant add dba@agency.example customer-db --for 8h --reason \"migrate the orders table\"
  doorward device add dba@agency.example laptop --out laptop.conf
  doorward person offboard dba@agency.example --reason \"contract ended\"

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not found, 4 refused by policy, 5 server not reachable"
)]
pub(crate) struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

/// What every command takes, anywhere on the line.
#[derive(Debug, Args)]
struct Common {
    /// The data folder of the Doorward on this machine
    #[arg(long, global = true, value_name = "DIR", env = "DOORWARD_DATA", default_value = DATA_DEFAULT, hide_env_values = true)]
    data: PathBuf,
    /// The configuration file [default: /etc/doorward/doorward.toml, or else doorward.toml in the data folder]
    #[arg(long, global = true, value_name = "FILE", env = "DOORWARD_CONFIG", hide_env_values = true)]
    config: Option<PathBuf>,
    /// A Doorward elsewhere, https://HOST:PORT; needs `doorward login`, or a token in DOORWARD_TOKEN
    #[arg(long, global = true, value_name = "URL", hide_env_values = true)]
    server: Option<String>,
    /// A certificate in PEM to trust for --server, instead of the system's
    #[arg(long, global = true, value_name = "FILE", env = "DOORWARD_CA", hide_env_values = true)]
    ca: Option<PathBuf>,
    /// Prints JSON, for programs
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs control plane and gateway on this machine
    #[command(
        after_help = "Examples:\n  doorward up\n  doorward up --config /etc/doorward/doorward.toml --data /srv/doorward"
    )]
    Up,
    /// Runs one part alone
    #[command(subcommand, after_help = run::EXAMPLES)]
    Run(run::RunCommand),
    /// People: who may have access at all
    #[command(subcommand, after_help = person::EXAMPLES)]
    Person(person::PersonCommand),
    /// Owners: the way in, the first time or again
    #[command(subcommand, after_help = owner::EXAMPLES)]
    Owner(owner::OwnerCommand),
    /// Resources: what stands behind the gateway
    #[command(subcommand, after_help = resource::EXAMPLES)]
    Resource(resource::ResourceCommand),
    /// Grants: who may use what, from when to when
    #[command(subcommand, after_help = grant::EXAMPLES)]
    Grant(grant::GrantCommand),
    /// Groups: people who are given access together
    #[command(subcommand, after_help = group::EXAMPLES)]
    Group(group::GroupCommand),
    /// Asks for access to a resource, and lists what was asked
    #[command(after_help = request::EXAMPLES)]
    Request(request::RequestArgs),
    /// Approves a request for access; never one's own
    #[command(after_help = request::APPROVE_EXAMPLES)]
    Approve(request::ApproveArgs),
    /// Denies a request for access
    #[command(after_help = request::DENY_EXAMPLES)]
    Deny(request::DenyArgs),
    /// Devices: WireGuard keys of people, and their configs
    #[command(subcommand, after_help = device::EXAMPLES)]
    Device(device::DeviceCommand),
    /// Lockdown: nobody passes, until lifted
    #[command(subcommand, after_help = lockdown::EXAMPLES)]
    Lockdown(lockdown::LockdownCommand),
    /// The audit log: who did what, when
    #[command(subcommand, after_help = audit::EXAMPLES)]
    Audit(audit::AuditCommand),
    /// Gateways on other machines
    #[command(subcommand, after_help = gateway::EXAMPLES)]
    Gateway(gateway::GatewayCommand),
    /// The database: from SQLite to PostgreSQL
    #[command(subcommand, after_help = database::EXAMPLES)]
    Database(database::DatabaseCommand),
    /// Several control planes on one database: their keys
    #[command(subcommand, after_help = replica::EXAMPLES)]
    Replica(replica::ReplicaCommand),
    /// API tokens, for DOORWARD_TOKEN
    #[command(subcommand, after_help = token::EXAMPLES)]
    Token(token::TokenCommand),
    /// Directories: identity providers that say who is there (SCIM)
    #[command(subcommand, after_help = scim::EXAMPLES)]
    Scim(scim::ScimCommand),
    /// Webhooks: programs that say, signed, who pauses and who left
    #[command(subcommand, after_help = hook::EXAMPLES)]
    Hook(hook::HookCommand),
    /// Sources of people of every kind, and what they did to many at once
    #[command(subcommand, after_help = source::EXAMPLES)]
    Source(source::SourceCommand),
    /// Logs in to a server elsewhere as yourself, in a browser; needs --server
    #[command(after_help = login::EXAMPLES)]
    Login(login::LoginArgs),
    /// Ends the login on a server elsewhere, there and here; needs --server
    #[command(after_help = "Examples:\n  doorward logout --server https://door.shop.example:8443")]
    Logout,
    /// Shows gateways, revisions, active devices and the last receipts
    #[command(after_help = "Examples:\n  doorward status\n  doorward status --json")]
    Status,
    /// Prints a completion script for a shell
    #[command(after_help = completions::EXAMPLES)]
    Completions(completions::CompletionsArgs),
    /// Prints the version
    #[command(after_help = "Examples:\n  doorward version\n  doorward version --json")]
    Version,
}

/// Runs the command.
pub(crate) fn run(cli: Cli) -> Result<(), CliError> {
    let Cli { common, command } = cli;
    let out = Output::new(common.json);
    let data = std::path::absolute(&common.data).map_err(|source| CliError::File {
        operation: "find",
        path: common.data.clone(),
        hint: "give the data folder with --data DIR",
        source,
    })?;
    match command {
        Command::Up => up::run(&load(&common, &data)?, &data, out),
        Command::Run(part) => run::run(part, &load(&common, &data)?),
        Command::Completions(args) => completions::run(&args, out),
        Command::Version => version(out),
        Command::Database(command) => database::run(command, &load(&common, &data)?, out),
        Command::Replica(command) => replica::run(command, &load(&common, &data)?, out),
        Command::Person(command) => with_client(common, &data, async |client| person::run(command, client, out).await),
        Command::Owner(command) => with_client(common, &data, async |client| owner::run(command, client, out).await),
        Command::Resource(command) => {
            with_client(common, &data, async |client| resource::run(command, client, out).await)
        }
        Command::Grant(command) => with_client(common, &data, async |client| grant::run(command, client, out).await),
        Command::Group(command) => with_client(common, &data, async |client| group::run(command, client, out).await),
        Command::Request(args) => with_client(common, &data, async |client| request::run(args, client, out).await),
        Command::Approve(args) => with_client(common, &data, async |client| request::approve(args, client, out).await),
        Command::Deny(args) => with_client(common, &data, async |client| request::deny(args, client, out).await),
        Command::Device(command) => with_client(common, &data, async |client| device::run(command, client, out).await),
        Command::Lockdown(command) => {
            with_client(common, &data, async |client| lockdown::run(command, client, out).await)
        }
        Command::Audit(command) => with_client(common, &data, async |client| audit::run(command, client, out).await),
        Command::Gateway(command) => {
            with_client(common, &data, async |client| gateway::run(command, client, out).await)
        }
        Command::Token(command) => with_client(common, &data, async |client| token::run(command, client, out).await),
        Command::Scim(command) => with_client(common, &data, async |client| scim::run(command, client, out).await),
        Command::Hook(command) => with_client(common, &data, async |client| hook::run(command, client, out).await),
        Command::Source(command) => with_client(common, &data, async |client| source::run(command, client, out).await),
        Command::Login(args) => log_in(common, &data, &args, out),
        Command::Logout => log_out(common, &data, out),
        Command::Status => with_client(common, &data, async |client| status::run(client, out).await),
    }
}

/// Returns the server that was named, which logging in needs.
fn elsewhere(common: &Common) -> Result<String, CliError> {
    let missing = || {
        CliError::Usage(
            "say where with --server https://HOST:PORT: on this machine the admin socket needs no login".to_owned(),
        )
    };
    common.server.clone().ok_or_else(missing)
}

fn log_in(common: Common, data: &Path, args: &login::LoginArgs, out: Output) -> Result<(), CliError> {
    let server = elsewhere(&common)?;
    // Nobody is anybody yet; what is asked for here needs no token.
    let choice = ServerChoice { url: common.server, token: Some("none".to_owned()), ca: common.ca };
    let client = Client::new(data, choice)?;
    runtime()?.block_on(login::run(args, &server, &client, out))
}

fn log_out(common: Common, data: &Path, out: Output) -> Result<(), CliError> {
    let server = elsewhere(&common)?;
    let Some(login) = saved_login::login_at(&server) else { return login::nothing_to_end(&server, out) };
    let choice = ServerChoice { url: common.server, token: Some(login.token.clone()), ca: common.ca };
    let client = Client::new(data, choice)?;
    runtime()?.block_on(login::end(&server, &login, &client, out))
}

fn load(common: &Common, data: &Path) -> Result<Config, CliError> {
    Ok(Config::load(common.config.as_deref(), data, std::env::vars_os())?)
}

fn with_client(
    common: Common,
    data: &Path,
    command: impl AsyncFnOnce(&Client) -> Result<(), CliError>,
) -> Result<(), CliError> {
    let given = std::env::var("DOORWARD_TOKEN").ok().filter(|token| !token.trim().is_empty());
    let token = given.or_else(|| common.server.as_deref().and_then(saved_login::token_for));
    let choice = ServerChoice { url: common.server, token, ca: common.ca };
    let client = Client::new(data, choice)?;
    runtime()?.block_on(command(&client))
}

pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, CliError> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| CliError::Failed(format!("cannot start: the system refused an event queue ({source})")))
}

/// Writes an error and its causes on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(&format!(": {inner}"));
        cause = inner.source();
    }
    text
}

fn version(out: Output) -> Result<(), CliError> {
    #[derive(serde::Serialize)]
    struct Version {
        version: &'static str,
    }
    out.result(&Version { version: env!("CARGO_PKG_VERSION") }, |it| format!("doorward {}", it.version))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn common_flags_are_taken_anywhere() {
        for line in [
            "doorward --json --data /x status",
            "doorward status --json --data /x",
            "doorward person --json list --data /x",
        ] {
            let cli = Cli::try_parse_from(line.split(' ')).unwrap();
            assert!(cli.common.json && cli.common.data == Path::new("/x"), "{line}");
        }
    }
}
