//! `doorward resource`.

use std::net::IpAddr;

use clap::{Args, Subcommand};
use doorward_control_plane::api::{EndOutcome, Resource, ResourceNew, ResourceOwnerSet, ResourceSpanSet};
use doorward_model::{Allow, ResourceName, Span, Target};

use super::{receipts, records};
use crate::client::{Client, segment};
use crate::error::CliError;
use crate::output::{Output, Rows, or_dash};

pub(super) const EXAMPLES: &str = "\
Examples:
  doorward resource add admin-panel --target 10.0.5.10 --allow tcp/443
  doorward resource add resolver --target 10.0.5.53 --target fd00::53 --allow udp/53 --allow tcp/53 --allow icmp
  doorward resource add customer-db --target db.shop.example --allow tcp/5432
  doorward resource list
  doorward resource records --format hosts
  doorward resource remove admin-panel";

/// What to do with resources.
#[derive(Debug, Subcommand)]
pub(super) enum ResourceCommand {
    /// Adds a resource
    #[command(after_help = EXAMPLES)]
    Add(AddArgs),
    /// Lists the resources
    #[command(after_help = "Examples:\n  doorward resource list")]
    List,
    /// Prints every resource's DNS name and service address, for a zone of your own or for /etc/hosts
    #[command(
        after_help = "Examples:\n  doorward resource records\n  doorward resource records --format hosts | sudo tee -a /etc/hosts"
    )]
    Records(records::RecordsArgs),
    /// Says who answers for a resource, and decides on requests for it
    #[command(
        after_help = "Examples:\n  doorward resource owner customer-db anna@shop.example\n  doorward resource owner customer-db nobody"
    )]
    Owner {
        /// The resource
        name: ResourceName,
        /// Who, or `nobody`
        email: String,
    },
    /// Says how long after a sign-in a resource can be reached
    #[command(
        after_help = "Examples:\n  doorward resource window customer-db 2h\n  doorward resource window customer-db off"
    )]
    Window {
        /// The resource
        name: ResourceName,
        /// How long: 15m, 2h; or `off` for as long as the sign-in lasts
        span: String,
    },
    /// Says how much time one request for a resource may ask for
    #[command(
        after_help = "Examples:\n  doorward resource span customer-db 8h\n  doorward resource span customer-db off"
    )]
    Span {
        /// The resource
        name: ResourceName,
        /// How long: 8h, 4d; or `off` for 30 days
        span: String,
    },
    /// Removes a resource; its grants end, and the gateways confirm it
    #[command(after_help = "Examples:\n  doorward resource remove admin-panel")]
    Remove {
        /// The resource
        name: ResourceName,
    },
}

/// A new resource.
#[derive(Debug, Args)]
pub(super) struct AddArgs {
    /// Its name: letters, digits, `-`, `_`, `.`
    name: ResourceName,
    /// Where it is: an address, a prefix or a DNS name that the gateway resolves; may be given several times
    #[arg(long = "target", value_name = "ADDR", required = true)]
    targets: Vec<Target>,
    /// What is allowed there: tcp/443, udp/53, tcp/8000-8010 or icmp; may be given several times
    #[arg(long = "allow", value_name = "WHAT", required = true)]
    allow: Vec<Allow>,
}

pub(super) async fn run(command: ResourceCommand, client: &Client, out: Output) -> Result<(), CliError> {
    match command {
        ResourceCommand::Add(AddArgs { name, targets, allow }) => {
            let resource: Resource = client.post("/api/v1/resources", &ResourceNew { name, targets, allow }).await?;
            out.result(&resource, |it| {
                let addresses = addresses(it);
                let at =
                    if addresses.is_empty() { String::new() } else { format!(", its address is {}", join(&addresses)) };
                format!("{} is added{at}\nnext: doorward grant add EMAIL {} --for 8h", it.name, it.name)
            })
        }
        ResourceCommand::List => {
            let resources: Vec<Resource> = client.get("/api/v1/resources").await?;
            out.result(&resources, |it| table(it))
        }
        ResourceCommand::Records(args) => records::run(&args, client, out).await,
        ResourceCommand::Owner { name, email } => {
            let email = if email == "nobody" { None } else { Some(parsed(&email)?) };
            let resource: Resource = client.put(&path(&name, "owner"), &ResourceOwnerSet { email }).await?;
            out.result(&resource, |it| match &it.owner {
                Some(owner) => format!("{owner} answers for {} and decides on requests for it", it.name),
                None => format!("nobody answers for {}: approvers and admins decide on requests for it", it.name),
            })
        }
        ResourceCommand::Window { name, span } => {
            let set = ResourceSpanSet { span: span_or_off(&span)? };
            let resource: Resource = client.put(&path(&name, "window"), &set).await?;
            out.result(&resource, |it| match it.sign_in_window {
                Some(window) => format!("{} can be reached for {window} after a sign-in", it.name),
                None => format!("{} can be reached for as long as a sign-in lasts", it.name),
            })
        }
        ResourceCommand::Span { name, span } => {
            let set = ResourceSpanSet { span: span_or_off(&span)? };
            let resource: Resource = client.put(&path(&name, "span"), &set).await?;
            out.result(&resource, |it| {
                let most = it.request_span_max.map_or_else(|| "30d".to_owned(), |span| span.to_string());
                format!("one request for {} asks for {most} at most", it.name)
            })
        }
        ResourceCommand::Remove { name } => {
            let outcome: EndOutcome = client.delete(&format!("/api/v1/resources/{}", segment(&name))).await?;
            receipts::show(out, &outcome, &outcome, &format!("{name} is removed"))
        }
    }
}

fn path(name: &ResourceName, what: &str) -> String {
    format!("/api/v1/resources/{}/{what}", segment(name))
}

fn span_or_off(text: &str) -> Result<Option<Span>, CliError> {
    if text == "off" { Ok(None) } else { parsed(text).map(Some) }
}

fn parsed<T: std::str::FromStr>(text: &str) -> Result<T, CliError>
where
    T::Err: std::fmt::Display,
{
    text.parse().map_err(|error: T::Err| CliError::Usage(error.to_string()))
}

fn table(resources: &[Resource]) -> String {
    let mut rows = Rows::new(&["NAME", "SERVICE ADDRESS", "DNS NAME", "TARGETS", "ALLOWED", "OWNER"]);
    for it in resources {
        rows.add(vec![
            it.name.to_string(),
            join_or_dash(&addresses(it)),
            or_dash(it.dns_name.as_ref()),
            join(&it.targets),
            join(&it.allow),
            or_dash(it.owner.as_ref()),
        ]);
    }
    rows.or_else("no resources yet: add one with `doorward resource add NAME --target ADDR --allow tcp/443`")
}

/// Lists a resource's own addresses, IPv4 first.
pub(super) fn addresses(resource: &Resource) -> Vec<IpAddr> {
    resource.service_v4.map(IpAddr::from).into_iter().chain(resource.service_v6.map(IpAddr::from)).collect()
}

/// Joins what a cell has to hold.
pub(super) fn join<T: ToString>(items: &[T]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Joins what a cell has to hold, or writes a dash for nothing.
pub(super) fn join_or_dash<T: ToString>(items: &[T]) -> String {
    if items.is_empty() { "-".to_owned() } else { join(items) }
}
