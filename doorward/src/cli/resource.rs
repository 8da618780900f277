//! `doorward resource`.

use clap::{Args, Subcommand};
use doorward_control_plane::api::{EndOutcome, Resource, ResourceNew};
use doorward_model::{Allow, ResourceName, Target};

use super::receipts;
use crate::client::{Client, segment};
use crate::error::CliError;
use crate::output::{Output, Rows};

pub(super) const EXAMPLES: &str = "\
Examples:
  doorward resource add admin-panel --target 10.0.5.10 --allow tcp/443
  doorward resource add resolver --target 10.0.5.53 --target fd00::53 --allow udp/53 --allow tcp/53 --allow icmp
  doorward resource list
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
    /// Where it is: an address or a prefix; may be given several times
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
                format!("{} is added\nnext: doorward grant add EMAIL {} --for 8h", it.name, it.name)
            })
        }
        ResourceCommand::List => {
            let resources: Vec<Resource> = client.get("/api/v1/resources").await?;
            out.result(&resources, |it| table(it))
        }
        ResourceCommand::Remove { name } => {
            let outcome: EndOutcome = client.delete(&format!("/api/v1/resources/{}", segment(&name))).await?;
            receipts::show(out, &outcome, &outcome, &format!("{name} is removed"))
        }
    }
}

fn table(resources: &[Resource]) -> String {
    let mut rows = Rows::new(&["NAME", "TARGETS", "ALLOWED"]);
    for it in resources {
        rows.add(vec![it.name.to_string(), join(&it.targets), join(&it.allow)]);
    }
    rows.or_else("no resources yet: add one with `doorward resource add NAME --target ADDR --allow tcp/443`")
}

fn join<T: ToString>(items: &[T]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
