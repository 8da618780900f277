//! `doorward hook`: signed webhooks.

use clap::Subcommand;
use doorward_control_plane::api::{Hook, HookMade, HookNew};
use doorward_model::SourceName;

use super::time;
use crate::client::{Client, segment};
use crate::error::CliError;
use crate::output::{Output, Rows};

pub(super) const EXAMPLES: &str = "\
Examples:
  doorward hook add hr
  doorward hook list
  doorward hook revoke hr --older";

/// What to do with webhooks.
#[derive(Debug, Subcommand)]
pub(super) enum HookCommand {
    /// Makes a webhook's secret and prints it once; a second one is for changing over
    #[command(after_help = EXAMPLES)]
    Add {
        /// The webhook's name: letters, digits, `-`, `_`, `.`
        name: SourceName,
    },
    /// Lists the webhooks with their secrets' dates
    #[command(after_help = "Examples:\n  doorward hook list\n  doorward hook list --json")]
    List,
    /// Ends a webhook's secrets; whom it suspended stays so
    #[command(after_help = "Examples:\n  doorward hook revoke hr\n  doorward hook revoke hr --older")]
    Revoke {
        /// The webhook
        name: SourceName,
        /// Ends all but the latest
        #[arg(long)]
        older: bool,
    },
}

const HOOKS: &str = "/api/v1/hooks";

pub(super) async fn run(command: HookCommand, client: &Client, out: Output) -> Result<(), CliError> {
    match command {
        HookCommand::Add { name } => {
            let made: HookMade = client.post(HOOKS, &HookNew { name }).await?;
            out.result(&made, |it| {
                format!(
                    "{}\nThis is shown once. Sign messages with it and post them to\n{}\ndocs/webhook.md shows how, with curl.",
                    it.secret, it.url
                )
            })
        }
        HookCommand::List => {
            let hooks: Vec<Hook> = client.get(HOOKS).await?;
            out.result(&hooks, |it| table(it))
        }
        HookCommand::Revoke { name, older } => {
            client.delete::<()>(&format!("{HOOKS}/{}?older={older}", segment(&name))).await?;
            let which = if older { "older secrets" } else { "secrets" };
            let done = serde_json::json!({ "name": name, "older": older, "revoked": true });
            out.result(&done, |_| format!("the {which} of {name} are revoked"))
        }
    }
}

fn table(hooks: &[Hook]) -> String {
    let mut rows = Rows::new(&["WEBHOOK", "SECRET MADE", "BY", "LAST USED"]);
    for it in hooks {
        let row = |made: String, by: String, used: String| vec![it.name.to_string(), made, by, used];
        if it.secrets.is_empty() {
            rows.add(row("-".to_owned(), "-".to_owned(), "-".to_owned()));
        }
        for secret in &it.secrets {
            let used = secret.last_used_at.map_or_else(|| "never".to_owned(), time::short);
            rows.add(row(time::short(secret.created_at), secret.created_by.clone(), used));
        }
    }
    rows.or_else("no webhooks: make one with `doorward hook add NAME`")
}
