//! `doorward person offboard` and `suspend`: one person, or many.

use clap::Args;
use doorward_control_plane::api::{EndOutcome, EndRequest, PersonOffboard};
use doorward_model::Email;
use serde::Serialize;

use super::person::path;
use super::receipts;
use crate::client::Client;
use crate::error::CliError;
use crate::output::{self, Output};

/// An end of access.
#[derive(Debug, Args)]
pub(super) struct EndArgs {
    /// The email address; several end one after the other
    #[arg(required = true, num_args = 1.., value_name = "EMAIL")]
    emails: Vec<Email>,
    /// Why, for the record
    #[arg(long)]
    reason: Option<String>,
}

/// The end for good.
#[derive(Debug, Args)]
pub(super) struct OffboardArgs {
    #[command(flatten)]
    end: EndArgs,
    /// Who takes over the contractors and resources they answered for; without it their contractors are suspended
    #[arg(long, value_name = "EMAIL")]
    hand_over_to: Option<Email>,
}

/// What came of one of several.
#[derive(Debug, Serialize)]
struct One {
    email: Email,
    #[serde(flatten)]
    outcome: EndOutcome,
}

pub(super) async fn offboard(args: OffboardArgs, client: &Client, out: Output) -> Result<(), CliError> {
    let OffboardArgs { end: EndArgs { emails, reason }, hand_over_to } = args;
    let request = PersonOffboard { reason, hand_over_to };
    each(emails, "is offboarded", out, async |email: &Email| {
        client.post(&format!("{}/offboard", path(email)), &request).await
    })
    .await
}

pub(super) async fn suspend(args: EndArgs, client: &Client, out: Output) -> Result<(), CliError> {
    let EndArgs { emails, reason } = args;
    let request = EndRequest { reason };
    each(emails, "is suspended", out, async |email: &Email| {
        client.post(&format!("{}/suspend", path(email)), &request).await
    })
    .await
}

/// Ends one after the other. One that fails holds up nobody who comes after; the first failure is the command's.
async fn each(
    emails: Vec<Email>,
    done: &str,
    out: Output,
    end: impl AsyncFn(&Email) -> Result<EndOutcome, CliError>,
) -> Result<(), CliError> {
    if let [email] = emails.as_slice() {
        let outcome = end(email).await?;
        return receipts::show(out, &outcome, &outcome, &format!("{email} {done}"));
    }
    let (mut ended, mut failure) = (Vec::new(), None);
    for email in emails {
        match end(&email).await {
            Ok(outcome) => ended.push(One { email, outcome }),
            Err(error) => {
                if let Some(earlier) = failure.replace(error) {
                    output::error(&earlier);
                }
            }
        }
    }
    out.result(&ended, |ended| {
        let words = ended.iter().map(|one| receipts::words(&format!("{} {done}", one.email), &one.outcome));
        words.collect::<Vec<_>>().join("\n")
    })?;
    for one in &ended {
        receipts::warn(&one.outcome);
    }
    failure.map_or(Ok(()), Err)
}
