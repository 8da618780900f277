//! `doorward scim`: directories that speak SCIM.

use clap::Subcommand;
use doorward_control_plane::api::{ScimAdopt, ScimDecided, ScimSource, ScimTokenMade, ScimTokenNew};
use doorward_model::{Email, SourceName};

use super::resource::join_or_dash;
use super::time;
use crate::client::{Client, segment};
use crate::error::CliError;
use crate::output::{Output, Rows};

pub(super) const EXAMPLES: &str = "\
Examples:
  doorward scim token add okta
  doorward scim adopt okta anna@shop.example
  doorward scim undo okta";

/// What to do with directories.
#[derive(Debug, Subcommand)]
pub(super) enum ScimCommand {
    /// The tokens of directories
    #[command(subcommand, after_help = TOKEN_EXAMPLES)]
    Token(TokenCommand),
    /// Hands a person over to a directory: it suspends them, puts them out, and changes their name and address
    #[command(after_help = "Examples:\n  doorward scim adopt okta anna@shop.example")]
    Adopt {
        /// The directory
        name: SourceName,
        /// Whom
        email: Email,
    },
    /// Keeps a directory's person by hand from here on; what they had through its groups ends
    #[command(after_help = "Examples:\n  doorward scim release anna@shop.example")]
    Release {
        /// Whom
        email: Email,
    },
    /// Takes back what a directory did to many people at once: they are as they were
    #[command(after_help = "Examples:\n  doorward scim undo okta")]
    Undo {
        /// The directory
        name: SourceName,
    },
    /// Lets what a directory did to many people at once take its course
    #[command(after_help = "Examples:\n  doorward scim confirm okta")]
    Confirm {
        /// The directory
        name: SourceName,
    },
}

const TOKEN_EXAMPLES: &str = "\
Examples:
  doorward scim token add okta
  doorward scim token list
  doorward scim token revoke okta --older";

/// What to do with directories' tokens.
#[derive(Debug, Subcommand)]
pub(super) enum TokenCommand {
    /// Makes a directory's token and prints it once; a second one is for changing over
    #[command(after_help = TOKEN_EXAMPLES)]
    Add {
        /// The directory's name: letters, digits, `-`, `_`, `.`
        name: SourceName,
    },
    /// Lists the directories with their tokens, without secrets
    #[command(after_help = "Examples:\n  doorward scim token list\n  doorward scim token list --json")]
    List,
    /// Ends a directory's tokens
    #[command(after_help = "Examples:\n  doorward scim token revoke okta\n  doorward scim token revoke okta --older")]
    Revoke {
        /// The directory
        name: SourceName,
        /// Ends all but the latest
        #[arg(long)]
        older: bool,
    },
}

const TOKENS: &str = "/api/v1/scim/tokens";

pub(super) async fn run(command: ScimCommand, client: &Client, out: Output) -> Result<(), CliError> {
    let of = |name: &SourceName, what: &str| format!("/api/v1/scim/sources/{}/{what}", segment(name));
    match command {
        ScimCommand::Token(command) => token(command, client, out).await,
        ScimCommand::Adopt { name, email } => {
            client.post::<_, ()>(&of(&name, "people"), &ScimAdopt { email: email.clone() }).await?;
            let done = serde_json::json!({ "name": name, "email": email });
            out.result(&done, |_| format!("{email} belongs to {name}: it decides whether they are active"))
        }
        ScimCommand::Release { email } => {
            client.delete::<()>(&format!("/api/v1/scim/people/{}", segment(&email))).await?;
            out.result(&serde_json::json!({ "email": email }), |_| format!("{email} is kept by hand"))
        }
        ScimCommand::Undo { name } => {
            let decided: ScimDecided = client.post(&of(&name, "undo"), &serde_json::json!({})).await?;
            out.result(&decided, |it| {
                let mut lines = vec![format!("{} is undone; active again: {}", it.name, join_or_dash(&it.people))];
                lines.extend(it.left.iter().map(|why| format!("left as it is: {why}")));
                lines.join("\n")
            })
        }
        ScimCommand::Confirm { name } => {
            let decided: ScimDecided = client.post(&of(&name, "confirm"), &serde_json::json!({})).await?;
            out.result(&decided, |it| {
                format!("{} goes on; they depart as it said: {}", it.name, join_or_dash(&it.people))
            })
        }
    }
}

async fn token(command: TokenCommand, client: &Client, out: Output) -> Result<(), CliError> {
    match command {
        TokenCommand::Add { name } => {
            let made: ScimTokenMade = client.post(TOKENS, &ScimTokenNew { name }).await?;
            out.result(&made, |it| {
                format!(
                    "{}\nThis is shown once. Give it to the identity provider as the bearer token, with the base URL\n{}",
                    it.token, it.url
                )
            })
        }
        TokenCommand::List => {
            let sources: Vec<ScimSource> = client.get(TOKENS).await?;
            out.result(&sources, |it| table(it))
        }
        TokenCommand::Revoke { name, older } => {
            client.delete::<()>(&format!("{TOKENS}/{}?older={older}", segment(&name))).await?;
            let which = if older { "older tokens" } else { "tokens" };
            let done = serde_json::json!({ "name": name, "older": older, "revoked": true });
            out.result(&done, |_| format!("the {which} of {name} are revoked"))
        }
    }
}

fn table(sources: &[ScimSource]) -> String {
    let mut rows = Rows::new(&["DIRECTORY", "PEOPLE", "ACTIVE", "BRAKE", "TOKEN MADE", "LAST USED"]);
    for it in sources {
        let brake = it.brake_since.map_or_else(|| "off".to_owned(), |since| format!("on, {}", time::short(since)));
        let (people, active) = (it.people.to_string(), it.active.to_string());
        let row = |made: String, used: String| {
            vec![it.name.to_string(), people.clone(), active.clone(), brake.clone(), made, used]
        };
        if it.tokens.is_empty() {
            rows.add(row("-".to_owned(), "-".to_owned()));
        }
        for token in &it.tokens {
            let used = token.last_used_at.map_or_else(|| "never".to_owned(), time::short);
            rows.add(row(time::short(token.created_at), used));
        }
    }
    rows.or_else("no directories: make one with `doorward scim token add NAME`")
}
