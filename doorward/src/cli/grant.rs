//! `doorward grant`.

use clap::{Args, Subcommand};
use doorward_control_plane::api::{EndOutcome, EndRequest, Grant, GrantNew, GrantState};
use doorward_model::{Email, EmailError, GrantId, GroupName, ResourceName, TimeLimit};

use super::{receipts, time};
use crate::client::{Client, segment};
use crate::error::CliError;
use crate::output::{Output, Rows, or_dash};

pub(super) const EXAMPLES: &str = "\
Examples:
  doorward grant add dba@agency.example customer-db --for 8h --reason \"migrate the orders table\"
  doorward grant add dba@agency.example customer-db --from 2026-12-24T08:00:00Z --until 2026-12-24T18:00:00Z
  doorward grant add --group support admin-panel --for 30d --hours \"mon-fri 08:00-18:00 Europe/Berlin\"
  doorward grant list
  doorward grant revoke 0192f0c1-7a3e-7cc1-b2f4-0123456789ab";

/// What to do with grants.
#[derive(Debug, Subcommand)]
pub(super) enum GrantCommand {
    /// Lets a person, or the members of a group, use a resource for a time
    #[command(after_help = EXAMPLES)]
    Add(AddArgs),
    /// Lists the grants
    #[command(after_help = "Examples:\n  doorward grant list\n  doorward grant list --email dba@agency.example")]
    List {
        /// Only this person's
        #[arg(long)]
        email: Option<Email>,
    },
    /// Takes a grant away; the gateways confirm it
    #[command(after_help = "Examples:\n  doorward grant revoke 0192f0c1-7a3e-7cc1-b2f4-0123456789ab")]
    Revoke {
        /// The grant's id, as `grant list` shows it
        id: GrantId,
        /// Why, for the record
        #[arg(long)]
        reason: Option<String>,
    },
}

/// A new grant.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("end").required(true))]
pub(super) struct AddArgs {
    /// Who; left out with --group
    #[arg(value_name = "EMAIL")]
    first: String,
    /// What
    #[arg(value_name = "RESOURCE")]
    second: Option<ResourceName>,
    /// Which group, in place of a person
    #[arg(long, value_name = "NAME")]
    group: Option<GroupName>,
    /// How long: 90s, 15m, 8h or 4d
    #[arg(long = "for", value_name = "SPAN", group = "end")]
    valid_for: Option<TimeLimit>,
    /// Until when, RFC 3339
    #[arg(long, value_name = "WHEN", group = "end")]
    until: Option<TimeLimit>,
    /// From when, RFC 3339; at once if left out
    #[arg(long, value_name = "WHEN")]
    from: Option<TimeLimit>,
    /// On which hours of the week alone: days, times and a time zone, such as "mon-fri 08:00-18:00 Europe/Berlin"
    #[arg(long, value_name = "HOURS")]
    hours: Option<String>,
    /// Why, for the record
    #[arg(long)]
    reason: Option<String>,
}

/// Tells `EMAIL RESOURCE` from `--group NAME RESOURCE`.
fn receiver(
    first: &str,
    second: Option<ResourceName>,
    group: Option<GroupName>,
) -> Result<(Option<Email>, Option<GroupName>, ResourceName), CliError> {
    let wrong = |error: &dyn std::error::Error| CliError::Usage(error.to_string());
    match (second, group) {
        (Some(resource), None) => Ok((Some(first.parse().map_err(|error: EmailError| wrong(&error))?), None, resource)),
        (None, Some(group)) => {
            Ok((None, Some(group), first.parse().map_err(|error: doorward_model::NameError| wrong(&error))?))
        }
        (None, None) => Err(CliError::Usage(
            "say who and what: doorward grant add EMAIL RESOURCE, or doorward grant add --group NAME RESOURCE"
                .to_owned(),
        )),
        (Some(_), Some(_)) => {
            Err(CliError::Usage("a grant is for a person or for a group: leave out EMAIL, or --group".to_owned()))
        }
    }
}

pub(super) async fn run(command: GrantCommand, client: &Client, out: Output) -> Result<(), CliError> {
    match command {
        GrantCommand::Add(AddArgs { first, second, group, valid_for, until, from, hours, reason }) => {
            let (email, group, resource) = receiver(&first, second, group)?;
            let new = GrantNew { email, group, resource, valid_for, until, from, hours, reason };
            let grant: Grant = client.post("/api/v1/grants", &new).await?;
            out.result(&grant, |it| {
                let from = if it.state == GrantState::Scheduled {
                    format!("from {} ", time::short(it.from))
                } else {
                    String::new()
                };
                format!(
                    "{} may use {} {from}until {}{}\ntake it away with: doorward grant revoke {}",
                    it.who(),
                    it.resource,
                    time::short(it.until),
                    it.hours.as_ref().map_or_else(String::new, |hours| format!(", {hours}")),
                    it.id
                )
            })
        }
        GrantCommand::List { email } => {
            let query = email.map_or_else(String::new, |email| format!("?email={}", segment(email)));
            let grants: Vec<Grant> = client.get(&format!("/api/v1/grants{query}")).await?;
            out.result(&grants, |it| {
                table(it, "no grants yet: add one with `doorward grant add EMAIL RESOURCE --for 8h`")
            })
        }
        GrantCommand::Revoke { id, reason } => {
            let outcome: EndOutcome =
                client.post(&format!("/api/v1/grants/{id}/revoke"), &EndRequest { reason }).await?;
            receipts::show(out, &outcome, &outcome, "the grant is revoked")
        }
    }
}

/// Says whether a grant holds or will hold.
pub(super) fn is_open(grant: &Grant) -> bool {
    matches!(grant.state, GrantState::Active | GrantState::Scheduled)
}

/// Draws grants.
pub(super) fn table(grants: &[Grant], when_empty: &str) -> String {
    let mut rows = Rows::new(&["GRANT", "WHO", "RESOURCE", "ADDRESS", "STATE", "FROM", "UNTIL", "HOURS", "REASON"]);
    for it in grants {
        let state = match it.state {
            GrantState::Active => "active",
            GrantState::Scheduled => "scheduled",
            GrantState::Ended => "ended",
            GrantState::Revoked => "revoked",
        };
        rows.add(vec![
            it.id.to_string(),
            it.who(),
            it.resource.to_string(),
            or_dash(it.service_v4),
            state.to_owned(),
            time::short(it.from),
            time::short(it.until),
            or_dash(it.hours.as_ref()),
            or_dash(it.reason.as_ref()),
        ]);
    }
    rows.or_else(when_empty)
}
