//! Tokens of `doorward login`: one file of the user's, mode 0600, an entry a server.

use std::collections::BTreeMap;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;

use doorward_control_plane::api::LoginMade;
use doorward_model::Timestamp;

use crate::error::CliError;
use crate::private_file::PrivateFile;

type Logins = BTreeMap<String, LoginMade>;

/// Where they are kept.
fn file() -> Option<PathBuf> {
    let folder = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let folder = folder.or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".config")))?;
    Some(folder.join("doorward").join("logins.json"))
}

fn read() -> Logins {
    // A file that is not there or not readable is as if nobody had logged in.
    let text = file().and_then(|path| std::fs::read(path).ok());
    text.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
}

fn key(server: &str) -> String {
    server.trim_end_matches('/').to_ascii_lowercase()
}

/// Returns the token for a server, while it counts.
pub(crate) fn token_for(server: &str) -> Option<String> {
    let login = read().remove(&key(server))?;
    (Timestamp::now() < login.expires_at).then_some(login.token)
}

/// Returns the login at a server, whether it counts or not.
pub(crate) fn login_at(server: &str) -> Option<LoginMade> {
    read().remove(&key(server))
}

/// Keeps a token.
///
/// # Errors
/// There is no home folder, or the file cannot be written.
pub(crate) fn keep(server: &str, login: LoginMade) -> Result<(), CliError> {
    let mut logins = read();
    logins.insert(key(server), login);
    write(&logins)
}

/// Forgets a token; returns whether there was one.
///
/// # Errors
/// The file cannot be written.
pub(crate) fn forget(server: &str) -> Result<bool, CliError> {
    let mut logins = read();
    let found = logins.remove(&key(server)).is_some();
    if found {
        write(&logins)?;
    }
    Ok(found)
}

fn write(logins: &Logins) -> Result<(), CliError> {
    let path = file().ok_or_else(|| {
        CliError::Failed("there is no home folder to keep the login in: set HOME or XDG_CONFIG_HOME".to_owned())
    })?;
    if let Some(folder) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|source| CliError::File {
            operation: "create",
            path: folder.to_owned(),
            hint: "check that your home folder is yours and has room",
            source,
        })?;
    }
    let text = serde_json::to_string_pretty(logins)
        .map_err(|error| CliError::Failed(format!("the login could not be written: {error}")))?;
    PrivateFile::reserve(&path, true)?.place(&text)
}
