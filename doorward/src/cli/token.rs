//! `doorward token`: API tokens for `DOORWARD_TOKEN`.

use clap::Subcommand;
use doorward_control_plane::api::{ApiToken, ApiTokenMade, ApiTokenNew};

use super::time;
use crate::client::{Client, segment};
use crate::error::CliError;
use crate::output::{Output, Rows};

pub(super) const EXAMPLES: &str = "\
Examples:
  doorward token add ci
  DOORWARD_TOKEN=dwt1_... doorward status --server https://door.shop.example:8443 --ca certificate.pem
  doorward token revoke ci";

/// What to do with API tokens.
#[derive(Debug, Subcommand)]
pub(super) enum TokenCommand {
    /// Makes a token and prints it once
    #[command(after_help = EXAMPLES)]
    Add {
        /// Its name: letters, digits, `-`, `_`, `.`
        name: String,
    },
    /// Lists the tokens, without their secrets
    #[command(after_help = "Examples:\n  doorward token list")]
    List,
    /// Ends a token
    #[command(after_help = "Examples:\n  doorward token revoke ci")]
    Revoke {
        /// Its name
        name: String,
    },
}

pub(super) async fn run(command: TokenCommand, client: &Client, out: Output) -> Result<(), CliError> {
    match command {
        TokenCommand::Add { name } => {
            let made: ApiTokenMade = client.post("/api/v1/tokens", &ApiTokenNew { name }).await?;
            out.result(&made, |it| {
                format!("{}\nThis is shown once. Give it to programs as DOORWARD_TOKEN, and end it with `doorward token revoke {}`.", it.token, it.name)
            })
        }
        TokenCommand::List => {
            let tokens: Vec<ApiToken> = client.get("/api/v1/tokens").await?;
            out.result(&tokens, |tokens| {
                let mut rows = Rows::new(&["NAME", "MADE"]);
                for it in tokens {
                    rows.add(vec![it.name.clone(), time::short(it.created_at)]);
                }
                rows.or_else("no API tokens: make one with `doorward token add NAME`")
            })
        }
        TokenCommand::Revoke { name } => {
            client.delete::<()>(&format!("/api/v1/tokens/{}", segment(&name))).await?;
            out.result(&serde_json::json!({ "name": name, "revoked": true }), |_| format!("token {name} is revoked"))
        }
    }
}
