//! `doorward person`.

use clap::{Args, Subcommand, ValueEnum};
use doorward_control_plane::api::{
    EndRequest, InvitationMade, Person, PersonEnding, PersonKind, PersonNew, PersonRole, PersonRoleSet, PersonSource,
    PersonSponsorSet, PersonState,
};
use doorward_model::{Email, PersonName, TimeLimit};

use super::resource::join;
use super::source::kind as source_kind;
use super::{device, grant, person_end, person_sync, receipts, time};
use crate::client::{Client, segment};
use crate::error::CliError;
use crate::output::{self, Output, Rows};

pub(super) const EXAMPLES: &str = "\
Examples:
  doorward person add support@shop.example --name \"Support desk\" --kind staff
  doorward person add dba@agency.example --name \"Agency DBA\" --kind contractor --sponsor support@shop.example --until 4d
  doorward person show dba@agency.example --json
  doorward person offboard dba@agency.example --reason \"contract ended\"";

/// What to do with people.
#[derive(Debug, Subcommand)]
pub(super) enum PersonCommand {
    /// Adds a person
    #[command(after_help = EXAMPLES)]
    Add(AddArgs),
    /// Lists everybody
    #[command(after_help = "Examples:\n  doorward person list\n  doorward person list --json")]
    List,
    /// Shows one person with their devices and grants
    #[command(after_help = "Examples:\n  doorward person show dba@agency.example")]
    Show {
        /// The email address
        email: Email,
    },
    /// Marks a person as gone: devices, grants and open connections end, and the gateways confirm it
    #[command(
        after_help = "Examples:\n  doorward person offboard dba@agency.example --reason \"contract ended\"\n  doorward person offboard anna@shop.example --hand-over-to ben@shop.example\n  doorward person offboard anna@shop.example ben@shop.example --reason \"desk closed\""
    )]
    Offboard(person_end::OffboardArgs),
    /// Takes a person's access away until it is restored
    #[command(after_help = "Examples:\n  doorward person suspend dba@agency.example --reason \"lost laptop\"")]
    Suspend(person_end::EndArgs),
    /// Makes a link with which a person joins the portal, or gets in again; it works once, for three days
    #[command(after_help = "Examples:\n  doorward person invite dba@agency.example")]
    Invite {
        /// The email address
        email: Email,
    },
    /// Gives a suspended person their access back; after an offboarding, the account alone
    #[command(after_help = "Examples:\n  doorward person restore dba@agency.example")]
    Restore {
        /// The email address
        email: Email,
    },
    /// Makes the people here those of a spreadsheet (CSV): shows what differs, then does it
    #[command(after_help = person_sync::EXAMPLES)]
    Sync(person_sync::SyncArgs),
    /// Shows what ended when somebody was suspended or offboarded, and when gateways enforced it
    #[command(after_help = "Examples:\n  doorward person endings dba@agency.example")]
    Endings {
        /// The email address
        email: Email,
    },
    /// Says what a person may do for others
    #[command(after_help = "Examples:\n  doorward person role anna@shop.example admin")]
    Role {
        /// The email address
        email: Email,
        /// The role
        role: Role,
    },
    /// Says who answers for a contractor
    #[command(after_help = "Examples:\n  doorward person sponsor dba@agency.example anna@shop.example")]
    Sponsor {
        /// The contractor
        email: Email,
        /// Who answers for them
        sponsor: Email,
    },
}

/// A new person.
#[derive(Debug, Args)]
pub(super) struct AddArgs {
    /// The email address that names the person
    email: Email,
    /// What people call them
    #[arg(long)]
    name: PersonName,
    /// Who they are to the shop
    #[arg(long)]
    kind: Kind,
    /// The member of staff who answers for a contractor
    #[arg(long, value_name = "EMAIL")]
    sponsor: Option<Email>,
    /// When access ends at the latest: 90s, 15m, 8h, 4d or RFC 3339
    #[arg(long, value_name = "WHEN")]
    until: Option<TimeLimit>,
}

/// What somebody may do for others.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Role {
    /// Everything an admin may, and saying who has which role
    Owner,
    /// People, devices, resources, grants, gateways, lockdown
    Admin,
    /// Answers requests for access, and reads what that takes
    Approver,
    /// Reads everything, and changes nothing
    Auditor,
    /// Their own devices and requests
    Member,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Kind {
    Staff,
    Contractor,
}

pub(super) async fn run(command: PersonCommand, client: &Client, out: Output) -> Result<(), CliError> {
    match command {
        PersonCommand::Add(args) => add(args, client, out).await,
        PersonCommand::List => list(client, out).await,
        PersonCommand::Show { email } => {
            let person: Person = client.get(&path(&email)).await?;
            out.result(&person, details)
        }
        PersonCommand::Offboard(args) => person_end::offboard(args, client, out).await,
        PersonCommand::Suspend(args) => person_end::suspend(args, client, out).await,
        PersonCommand::Invite { email } => invite(&email, client, out).await,
        PersonCommand::Restore { email } => {
            let person: Person = client.post(&format!("{}/restore", path(&email)), &EndRequest::default()).await?;
            out.result(&person, |it| format!("{} is {} again\n{}", it.email, state(it.state), details(it)))
        }
        PersonCommand::Sync(args) => person_sync::run(&args, client, out).await,
        PersonCommand::Endings { email } => {
            let endings: Vec<PersonEnding> = client.get(&format!("{}/endings", path(&email))).await?;
            out.result(&endings, |endings| told(&email, endings))
        }
        PersonCommand::Role { email, role } => {
            let set = PersonRoleSet { role: role.into() };
            let person: Person = client.put(&format!("{}/role", path(&email)), &set).await?;
            out.result(&person, |it| format!("{} is {}", it.email, role_word(it.role)))
        }
        PersonCommand::Sponsor { email, sponsor } => {
            let set = PersonSponsorSet { sponsor };
            let person: Person = client.put(&format!("{}/sponsor", path(&email)), &set).await?;
            out.result(&person, |it| format!("{} answers for {}", set.sponsor, it.email))
        }
    }
}

impl From<Role> for PersonRole {
    fn from(role: Role) -> Self {
        match role {
            Role::Owner => Self::Owner,
            Role::Admin => Self::Admin,
            Role::Approver => Self::Approver,
            Role::Auditor => Self::Auditor,
            Role::Member => Self::Member,
        }
    }
}

const fn role_word(role: PersonRole) -> &'static str {
    match role {
        PersonRole::Owner => "an owner",
        PersonRole::Admin => "an admin",
        PersonRole::Approver => "an approver",
        PersonRole::Auditor => "an auditor",
        PersonRole::Member => "a member",
    }
}

/// Returns the person's path.
pub(super) fn path(email: &Email) -> String {
    format!("/api/v1/people/{}", segment(email))
}

async fn add(args: AddArgs, client: &Client, out: Output) -> Result<(), CliError> {
    let kind = match args.kind {
        Kind::Staff => PersonKind::Staff,
        Kind::Contractor => PersonKind::Contractor,
    };
    let AddArgs { email, name, sponsor, until, kind: _ } = args;
    let new = PersonNew { email, name, kind, sponsor, until };
    let person: Person = client.post("/api/v1/people", &new).await?;
    out.result(&person, |it| {
        format!("{} is added\nnext: doorward grant add {} RESOURCE --for 8h\n      doorward device add {} laptop --out laptop.conf", it.email, it.email, it.email)
    })
}

async fn invite(email: &Email, client: &Client, out: Output) -> Result<(), CliError> {
    let made: InvitationMade = client.post(&format!("{}/invitation", path(email)), &serde_json::json!({})).await?;
    for warning in &made.warnings {
        output::warn(warning);
    }
    out.result(&made, |it| {
        let how = if it.mailed { "It was mailed to them" } else { "Hand it to them yourself" };
        format!("{}\n{how}: it works once, until {}", it.url, time::short(it.expires_at))
    })
}

async fn list(client: &Client, out: Output) -> Result<(), CliError> {
    let people: Vec<Person> = client.get("/api/v1/people").await?;
    out.result(&people, |people| {
        let mut rows = Rows::new(&["EMAIL", "NAME", "KIND", "STATE", "UNTIL", "DEVICES", "GRANTS"]);
        for it in people {
            rows.add(vec![
                it.email.to_string(),
                it.name.to_string(),
                kind(it.kind).to_owned(),
                state(it.state).to_owned(),
                time::short_or(it.until, "-"),
                it.devices.iter().filter(|device| device::is_active(device)).count().to_string(),
                it.grants.iter().filter(|grant| grant::is_open(grant)).count().to_string(),
            ]);
        }
        rows.or_else("nobody yet: add somebody with `doorward person add EMAIL --name NAME --kind staff`")
    })
}

fn told(email: &Email, endings: &[PersonEnding]) -> String {
    let mut text = String::new();
    for it in endings {
        text.push_str(&format!("{} {} by {}", time::short(it.decided_at), it.action, it.by));
        text.push_str(&it.reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}")));
        text.push('\n');
        for device in &it.devices {
            text.push_str(&format!("  device {device} ended\n"));
        }
        for resource in &it.grants {
            text.push_str(&format!("  grant to {resource} ended\n"));
        }
        text.push_str(&receipts::also(it.sessions, it.links, it.requests, &it.tokens));
        for contractor in &it.suspended {
            text.push_str(&format!("  {contractor} was suspended with them\n"));
        }
        let heir = it.to.as_ref().map_or_else(|| "nobody".to_owned(), ToString::to_string);
        for what in it.handed_over.iter().map(ToString::to_string).chain(it.resources.iter().cloned()) {
            text.push_str(&format!("  {heir} answers for {what} from then on\n"));
        }
        for receipt in &it.receipts {
            let after = receipt.enforced_after_ms.map_or_else(String::new, |after| format!(" after {after} ms"));
            let last = receipt
                .last_packet_before_ms
                .map_or_else(String::new, |before| format!(", the last packet passed {before} ms before that"));
            text.push_str(&format!("  gateway {} enforced it{after}{last}\n", receipt.gateway));
        }
    }
    if text.is_empty() {
        return format!("{email} was neither suspended nor offboarded");
    }
    text.trim_end().to_owned()
}

fn details(it: &Person) -> String {
    let mut rows = Rows::new(&["PERSON", ""]);
    let mut line = |key: &str, value: String| rows.add(vec![key.to_owned(), value]);
    line("email", it.email.to_string());
    line("name", it.name.to_string());
    line("kind", kind(it.kind).to_owned());
    line("state", state(it.state).to_owned());
    if let Some(sponsor) = &it.sponsor {
        line("sponsor", sponsor.to_string());
    }
    line("role", role_word(it.role).to_owned());
    if !it.groups.is_empty() {
        line("groups", join(&it.groups));
    }
    for source in &it.sources {
        line(if source.manages { "managed by" } else { "source" }, source_words(source));
    }
    line("until", time::short_or(it.until, "no end"));
    format!(
        "{}\n\n{}\n\n{}",
        rows.or_else(""),
        device::table(&it.devices, "no devices"),
        grant::table(&it.grants, "no grants")
    )
}

fn source_words(source: &PersonSource) -> String {
    let says =
        source.suspended_at.map_or_else(|| "active".to_owned(), |since| format!("suspended, {}", time::short(since)));
    format!("{} ({}): {says}", source.name, source_kind(source.kind))
}

const fn kind(kind: PersonKind) -> &'static str {
    match kind {
        PersonKind::Staff => "staff",
        PersonKind::Contractor => "contractor",
    }
}

const fn state(state: PersonState) -> &'static str {
    match state {
        PersonState::Active => "active",
        PersonState::Suspended => "suspended",
        PersonState::Departed => "departed",
    }
}
