//! `doorward group`.

use clap::Subcommand;
use doorward_control_plane::api::{EndOutcome, Group, GroupMember, GroupNew};
use doorward_model::{Email, GroupName};

use super::resource::join_or_dash;
use super::{grant, receipts};
use crate::client::{Client, segment};
use crate::error::CliError;
use crate::output::{Output, Rows};

pub(super) const EXAMPLES: &str = "\
Examples:
  doorward group add support
  doorward group join support anna@shop.example
  doorward grant add --group support admin-panel --for 30d
  doorward group leave support anna@shop.example";

/// What to do with groups.
#[derive(Debug, Subcommand)]
pub(super) enum GroupCommand {
    /// Adds a group
    #[command(after_help = "Examples:\n  doorward group add support")]
    Add {
        /// Its name: letters, digits, `-`, `_`, `.`
        name: GroupName,
    },
    /// Lists the groups with their members
    #[command(after_help = "Examples:\n  doorward group list\n  doorward group list --json")]
    List,
    /// Shows one group with its members and grants
    #[command(after_help = "Examples:\n  doorward group show support")]
    Show {
        /// The group
        name: GroupName,
    },
    /// Removes a group; what it was granted ends, and the gateways confirm it
    #[command(after_help = "Examples:\n  doorward group remove support")]
    Remove {
        /// The group
        name: GroupName,
    },
    /// Makes a person a member: they may use what the group was granted
    #[command(after_help = "Examples:\n  doorward group join support anna@shop.example")]
    Join {
        /// The group
        name: GroupName,
        /// Who
        email: Email,
    },
    /// Ends a membership and what the person had through it; the gateways confirm it
    #[command(after_help = "Examples:\n  doorward group leave support anna@shop.example")]
    Leave {
        /// The group
        name: GroupName,
        /// Who
        email: Email,
    },
}

const PATH: &str = "/api/v1/groups";

pub(super) async fn run(command: GroupCommand, client: &Client, out: Output) -> Result<(), CliError> {
    match command {
        GroupCommand::Add { name } => {
            let group: Group = client.post(PATH, &GroupNew { name }).await?;
            out.result(&group, |it| {
                format!(
                    "group {} is added\nnext: doorward group join {} EMAIL\n      doorward grant add --group {} RESOURCE --for 30d",
                    it.name, it.name, it.name
                )
            })
        }
        GroupCommand::List => {
            let groups: Vec<Group> = client.get(PATH).await?;
            out.result(&groups, |it| table(it))
        }
        GroupCommand::Show { name } => {
            let group: Group = client.get(&path(&name)).await?;
            out.result(&group, |it| {
                format!(
                    "group {}\nmembers: {}\n\n{}",
                    it.name,
                    join_or_dash(&it.members),
                    grant::table(&it.grants, "no grants")
                )
            })
        }
        GroupCommand::Remove { name } => {
            let outcome: EndOutcome = client.delete(&path(&name)).await?;
            receipts::show(out, &outcome, &outcome, &format!("group {name} is removed"))
        }
        GroupCommand::Join { name, email } => {
            let member = GroupMember { email };
            let group: Group = client.post(&format!("{}/members", path(&name)), &member).await?;
            out.result(&group, |it| {
                let open = it.grants.iter().filter(|grant| grant::is_open(grant)).count();
                format!("{} is a member of {}, which has {open} grants", member.email, it.name)
            })
        }
        GroupCommand::Leave { name, email } => {
            let outcome: EndOutcome = client.delete(&format!("{}/members/{}", path(&name), segment(&email))).await?;
            receipts::show(out, &outcome, &outcome, &format!("{email} is no member of {name} any more"))
        }
    }
}

fn path(name: &GroupName) -> String {
    format!("{PATH}/{}", segment(name))
}

fn table(groups: &[Group]) -> String {
    let mut rows = Rows::new(&["GROUP", "MEMBERS", "GRANTS"]);
    for it in groups {
        rows.add(vec![
            it.name.to_string(),
            join_or_dash(&it.members),
            it.grants.iter().filter(|grant| grant::is_open(grant)).count().to_string(),
        ]);
    }
    rows.or_else("no groups yet: add one with `doorward group add NAME`")
}
