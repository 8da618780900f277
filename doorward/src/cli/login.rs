//! `doorward login`: act as oneself on a server elsewhere, for a while.

use std::process::Stdio;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::Args;
use doorward_control_plane::api::{
    ErrorCode, LoginDevice, LoginDeviceNew, LoginMade, LoginPoll, LoginPolled, LoginRedeem,
};
use rand::TryRng as _;
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::time;
use crate::client::{Client, segment};
use crate::error::CliError;
use crate::output::{self, Output};
use crate::saved_login;

pub(super) const EXAMPLES: &str = "\
Examples:
  doorward login --server https://door.shop.example:8443
  doorward login --server https://door.shop.example:8443 --device   # where there is no browser
  doorward status --server https://door.shop.example:8443";

/// How long a person may take in the browser.
const PATIENCE: Duration = Duration::from_secs(600);
/// How much of a request on the loopback port is read.
const REQUEST_BYTES_MAX: usize = 4096;
/// How long one connection on it may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// What the browser shows in the end.
const DONE: &str = "<!doctype html><meta charset=utf-8><title>Doorward</title><p>Done. You can close this page and go back to the command line.";

/// How to log in.
#[derive(Debug, Args)]
pub(super) struct LoginArgs {
    /// Shows a code to type in a browser on any machine, instead of opening one here
    #[arg(long)]
    device: bool,
}

pub(super) async fn run(args: &LoginArgs, server: &str, client: &Client, out: Output) -> Result<(), CliError> {
    let made = if args.device { with_code(client).await? } else { with_browser(server, client).await? };
    let (email, until) = (made.email.clone(), made.expires_at);
    saved_login::keep(server, made)?;
    let said = serde_json::json!({ "server": server, "email": email, "expires_at": until });
    out.result(&said, |_| format!("you are {email} on {server} until {}", time::short(until)))
}

/// Ends the login at the server, and forgets it here in any case.
pub(super) async fn end(server: &str, login: &LoginMade, client: &Client, out: Output) -> Result<(), CliError> {
    let ended: Result<(), CliError> = client.post("/api/v1/logout", &serde_json::json!({})).await;
    saved_login::forget(server)?;
    match ended {
        // A token that the server does not take any more has ended already.
        Ok(()) | Err(CliError::Api { code: ErrorCode::Unauthenticated, .. }) => {}
        Err(error) => {
            return Err(CliError::Failed(format!(
                "the login is forgotten here, but {server} could not be told ({}): it ends by itself at {}; end it before then on the portal's security page",
                error.sentence(),
                time::short(login.expires_at)
            )));
        }
    }
    let said = serde_json::json!({ "server": server, "email": login.email, "logged_out": true });
    out.result(&said, |_| format!("logged out: {} is nobody on {server} from this machine", login.email))
}

/// Says that there is nothing to end.
pub(super) fn nothing_to_end(server: &str, out: Output) -> Result<(), CliError> {
    let said = serde_json::json!({ "server": server, "logged_out": false });
    out.result(&said, |_| format!("there was no login for {server}"))
}

async fn with_browser(server: &str, client: &Client) -> Result<LoginMade, CliError> {
    let refused = |source: std::io::Error| {
        CliError::Failed(format!("cannot wait for the browser ({source}): try `doorward login --device`"))
    };
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(refused)?;
    let port = listener.local_addr().map_err(refused)?.port();
    let (state, verifier) = (secret()?, secret()?);
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes()));
    let url = format!(
        "{}/login?port={port}&state={state}&challenge={challenge}&name={}",
        server.trim_end_matches('/'),
        segment(machine())
    );
    output::note(&format!("open this in a browser on this machine, if it does not open by itself: {url}"));
    open_browser(&url);
    let waiting = tokio::time::timeout(PATIENCE, code(&listener, &state));
    let code = waiting.await.map_err(|_| {
        CliError::Failed("nobody confirmed it in the browser within ten minutes: run `doorward login` again".to_owned())
    })?;
    client.post("/login/redeem", &LoginRedeem { code, verifier }).await
}

async fn with_code(client: &Client) -> Result<LoginMade, CliError> {
    let begun: LoginDevice = client.post("/login/wait", &LoginDeviceNew { name: machine() }).await?;
    output::note(&format!("open {} and type {}", begun.url, begun.user_code));
    let every = Duration::from_secs(begun.interval_seconds.clamp(1, 60));
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while tokio::time::Instant::now() < deadline {
        tokio::time::sleep(every).await;
        let asked: LoginPolled =
            client.post("/login/poll", &LoginPoll { device_code: begun.device_code.clone() }).await?;
        if let Some(made) = asked.login {
            return Ok(made);
        }
    }
    Err(CliError::Failed("nobody typed the code within ten minutes: run `doorward login --device` again".to_owned()))
}

/// Takes connections until one brings the code with our state.
async fn code(listener: &TcpListener, state: &str) -> String {
    loop {
        let Ok((mut stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let head = tokio::time::timeout(REQUEST_TIMEOUT, head(&mut stream)).await.ok().flatten();
        let found = head.as_deref().and_then(|head| code_in(head, state));
        let (status, body) = if found.is_some() { ("200 OK", DONE) } else { ("404 Not Found", "") };
        let answer = format!(
            "HTTP/1.1 {status}\r\ncontent-type: text/html; charset=utf-8\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        // A browser that has gone needs no answer.
        let _ = tokio::time::timeout(REQUEST_TIMEOUT, stream.write_all(answer.as_bytes())).await;
        if let Some(code) = found {
            return code;
        }
    }
}

async fn head(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    let mut part = [0_u8; 1024];
    while bytes.len() < REQUEST_BYTES_MAX && !bytes.windows(4).any(|it| it == b"\r\n\r\n") {
        match stream.read(&mut part).await {
            Ok(read @ 1..) => bytes.extend_from_slice(part.get(..read)?),
            Ok(0) | Err(_) => break,
        }
    }
    String::from_utf8(bytes).ok()
}

/// Reads the code out of a request, if it is the one that this login began.
fn code_in(head: &str, state: &str) -> Option<String> {
    let target = head.lines().next()?.strip_prefix("GET /?")?.split(' ').next()?;
    let value = |name: &str| target.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    let code = value("code")?;
    let plain = code.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c));
    (value("state")? == state && plain).then(|| code.to_owned())
}

fn secret() -> Result<String, CliError> {
    let mut bytes = [0_u8; 32];
    rand::rngs::SysRng
        .try_fill_bytes(&mut bytes)
        .map_err(|error| CliError::Failed(format!("the system gave no randomness: {error}")))?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

fn machine() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Opens a browser where the system has a way to; the address is printed in any case.
fn open_browser(url: &str) {
    let opened = std::process::Command::new("xdg-open")
        .arg(url)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    // A machine without a desktop has none.
    drop(opened);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_answer_to_this_login_counts() {
        let head = |query: &str| format!("GET /?{query} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
        assert_eq!(code_in(&head("code=abc-_1&state=right"), "right").as_deref(), Some("abc-_1"));
        for wrong in ["code=abc&state=wrong", "state=right", "code=abc", "code=a%20b&state=right", ""] {
            assert_eq!(code_in(&head(wrong), "right"), None, "{wrong}");
        }
        assert_eq!(code_in("POST /?code=abc&state=right HTTP/1.1\r\n", "right"), None);
    }
}
