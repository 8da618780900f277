//! `doorward request`, `approve` and `deny`.

use clap::{Args, Subcommand};
use doorward_control_plane::api::{EndRequest, Request, RequestApproval, RequestApproved, RequestNew, RequestState};
use doorward_model::{Email, GrantId, RequestId, ResourceName, Span, TimeLimit};

use super::{resource, time};
use crate::client::{Client, segment};
use crate::error::CliError;
use crate::output::{Output, Rows, or_dash};

pub(super) const EXAMPLES: &str = "\
Examples:
  doorward request customer-db --for 8h --reason \"migrate the orders table\"       # for oneself, after doorward login
  doorward request customer-db --for 8h --reason \"migrate the orders table\" --as dba@agency.example
  doorward request list
  doorward approve 0192f0c1-7a3e-7cc1-b2f4-0123456789ab --for 4h
  doorward deny 0192f0c1-7a3e-7cc1-b2f4-0123456789ab --reason \"not during the sale\"
  doorward request withdraw 0192f0c1-7a3e-7cc1-b2f4-0123456789ab";

pub(super) const APPROVE_EXAMPLES: &str = "\
Examples:
  doorward approve 0192f0c1-7a3e-7cc1-b2f4-0123456789ab
  doorward approve 0192f0c1-7a3e-7cc1-b2f4-0123456789ab --for 4h";

pub(super) const DENY_EXAMPLES: &str =
    "Examples:\n  doorward deny 0192f0c1-7a3e-7cc1-b2f4-0123456789ab --reason \"not during the sale\"";

const PATH: &str = "/api/v1/requests";

/// A new request, or what to do with requests.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(super) struct RequestArgs {
    #[command(subcommand)]
    command: Option<RequestCommand>,
    #[command(flatten)]
    new: NewArgs,
}

/// What to do with requests.
#[derive(Debug, Subcommand)]
enum RequestCommand {
    /// Lists the requests that wait for an answer
    #[command(
        after_help = "Examples:\n  doorward request list\n  doorward request list --all --email dba@agency.example"
    )]
    List {
        /// Answered and expired ones too
        #[arg(long)]
        all: bool,
        /// Only this person's
        #[arg(long)]
        email: Option<Email>,
    },
    /// Takes a request back
    #[command(after_help = "Examples:\n  doorward request withdraw 0192f0c1-7a3e-7cc1-b2f4-0123456789ab")]
    Withdraw {
        /// The request's id, as `request list` shows it
        id: RequestId,
    },
}

/// A new request.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("request_end"))]
struct NewArgs {
    /// To what
    #[arg(required = true)]
    resource: Option<ResourceName>,
    /// How long, from the approval on: 90s, 15m, 8h or 4d
    #[arg(long = "for", value_name = "SPAN", group = "request_end")]
    valid_for: Option<Span>,
    /// Until when, RFC 3339
    #[arg(long, value_name = "WHEN", group = "request_end")]
    until: Option<TimeLimit>,
    /// From when, RFC 3339; from the approval on if left out
    #[arg(long, value_name = "WHEN")]
    from: Option<TimeLimit>,
    /// Why: whoever answers decides by that
    #[arg(long, required = true)]
    reason: Option<String>,
    /// For whom, on the admin socket and with an API token; for oneself if left out
    #[arg(long = "as", value_name = "EMAIL")]
    email: Option<Email>,
    /// The grant after which more time is asked for
    #[arg(long, value_name = "GRANT")]
    renews: Option<GrantId>,
}

/// An approval.
#[derive(Debug, Args)]
pub(super) struct ApproveArgs {
    /// The request's id, as `request list` shows it
    id: RequestId,
    /// A shorter time than was asked for
    #[arg(long = "for", value_name = "SPAN", conflicts_with = "until")]
    valid_for: Option<Span>,
    /// An earlier end than was asked for, RFC 3339
    #[arg(long, value_name = "WHEN")]
    until: Option<TimeLimit>,
    /// A word for the record, and for who asked
    #[arg(long)]
    reason: Option<String>,
}

/// A denial.
#[derive(Debug, Args)]
pub(super) struct DenyArgs {
    /// The request's id, as `request list` shows it
    id: RequestId,
    /// Why, for the record and for who asked
    #[arg(long)]
    reason: Option<String>,
}

pub(super) async fn run(args: RequestArgs, client: &Client, out: Output) -> Result<(), CliError> {
    match args.command {
        Some(RequestCommand::List { all, email }) => {
            let email = email.map_or_else(String::new, |email| format!("&email={}", segment(email)));
            let requests: Vec<Request> = client.get(&format!("{PATH}?all={all}{email}")).await?;
            out.result(&requests, |it| table(it))
        }
        Some(RequestCommand::Withdraw { id }) => {
            let request: Request = client.post(&format!("{PATH}/{id}/withdraw"), &EndRequest::default()).await?;
            out.result(&request, |it| format!("the request for {} is withdrawn", it.resource))
        }
        None => ask(args.new, client, out).await,
    }
}

async fn ask(new: NewArgs, client: &Client, out: Output) -> Result<(), CliError> {
    let NewArgs { resource, valid_for, until, from, reason, email, renews } = new;
    let (Some(resource), Some(reason)) = (resource, reason) else {
        return Err(CliError::Usage("say to what and why: doorward request RESOURCE --for 8h --reason WHY".to_owned()));
    };
    if valid_for.is_none() && until.is_none() {
        return Err(CliError::Usage("a request needs an end: give --for 8h or --until WHEN".to_owned()));
    }
    let new = RequestNew { resource, valid_for, until, from, reason, email, renews };
    let request: Request = client.post(PATH, &new).await?;
    out.result(&request, |it| {
        format!(
            "{} asks for {}; it can be answered until {} by {}\nanswer it with: doorward approve {}\n            or: doorward deny {} --reason WHY",
            it.email,
            it.resource,
            time::short(it.expires_at),
            answerers(it),
            it.id,
            it.id
        )
    })
}

pub(super) async fn approve(args: ApproveArgs, client: &Client, out: Output) -> Result<(), CliError> {
    let ApproveArgs { id, valid_for, until, reason } = args;
    let answer: RequestApproved =
        client.post(&format!("{PATH}/{id}/approve"), &RequestApproval { valid_for, until, reason }).await?;
    out.result(&answer, |it| {
        format!(
            "{} may use {} from {} until {}\ntake it away with: doorward grant revoke {}",
            it.request.email,
            it.request.resource,
            time::short(it.grant.from),
            time::short(it.grant.until),
            it.grant.id
        )
    })
}

pub(super) async fn deny(args: DenyArgs, client: &Client, out: Output) -> Result<(), CliError> {
    let DenyArgs { id, reason } = args;
    let request: Request = client.post(&format!("{PATH}/{id}/deny"), &EndRequest { reason }).await?;
    out.result(&request, |it| format!("the request of {} for {} is denied", it.email, it.resource))
}

fn answerers(request: &Request) -> String {
    if request.answerable_by.is_empty() {
        "an approver or an admin".to_owned()
    } else {
        format!("{}, an approver or an admin", resource::join(&request.answerable_by))
    }
}

fn table(requests: &[Request]) -> String {
    let mut rows = Rows::new(&["REQUEST", "EMAIL", "RESOURCE", "TIME", "STATE", "OPEN UNTIL", "DECIDED BY", "REASON"]);
    for it in requests {
        let until = it.until.map(|until| format!("until {}", time::short(until)));
        let state = match it.state {
            RequestState::Open => "open",
            RequestState::Approved => "approved",
            RequestState::Denied => "denied",
            RequestState::Withdrawn => "withdrawn",
            RequestState::Expired => "expired",
        };
        rows.add(vec![
            it.id.to_string(),
            it.email.to_string(),
            it.resource.to_string(),
            it.valid_for.map_or_else(|| or_dash(until), |span| span.to_string()),
            state.to_owned(),
            time::short(it.expires_at),
            or_dash(it.decided_by.as_ref()),
            it.reason.clone(),
        ]);
    }
    rows.or_else("no request waits for an answer: `doorward request list --all` shows earlier ones")
}
