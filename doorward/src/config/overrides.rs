//! `DOORWARD_<SECTION>_<KEY>` variables over the file.

use std::ffi::OsString;

use serde::Deserialize as _;
use toml::{Table, Value};

use super::{ConfigError, DoorwardToml, syntax};

/// Sections and the variables' beginnings.
const SECTIONS: [(&str, &str); 11] = [
    ("server", "DOORWARD_SERVER_"),
    ("acme", "DOORWARD_ACME_"),
    ("mail", "DOORWARD_MAIL_"),
    ("oidc", "DOORWARD_OIDC_"),
    ("ldap", "DOORWARD_LDAP_"),
    ("gateway", "DOORWARD_GATEWAY_"),
    ("network", "DOORWARD_NETWORK_"),
    ("authority", "DOORWARD_AUTHORITY_"),
    ("sign_in", "DOORWARD_SIGN_IN_"),
    ("people", "DOORWARD_PEOPLE_"),
    ("directory", "DOORWARD_DIRECTORY_"),
];

/// Variables that look like a key and are none: the gateway reads its one-time enrolment token from this one.
const NOT_KEYS: [&str; 1] = ["DOORWARD_GATEWAY_TOKEN"];

/// Lays the variables over the file's table.
pub(super) fn lay_over(
    mut table: Table,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<DoorwardToml, ConfigError> {
    // Sorted, so that of two wrong variables the same one is named each time.
    let mut variables: Vec<(String, OsString)> =
        variables.into_iter().filter_map(|(name, value)| Some((name.into_string().ok()?, value))).collect();
    variables.sort();
    for (name, value) in variables {
        let found = SECTIONS.iter().find_map(|(section, start)| Some((*section, name.strip_prefix(start)?)));
        let Some((section, key)) = found.filter(|_| !NOT_KEYS.contains(&name.as_str())) else { continue };
        let wrong = |message: String| ConfigError::Variable { name: name.clone(), message };
        let value = value.into_string().map_err(|_| wrong("its value is not UTF-8".to_owned()))?;
        table = with_key(table, section, &key.to_lowercase(), &value).map_err(wrong)?;
    }
    DoorwardToml::deserialize(table)
        .map_err(|error| ConfigError::Variable { name: "DOORWARD_…".to_owned(), message: syntax::explain(&error) })
}

/// Sets one key, with the type that the key wants: variables have none.
fn with_key(table: Table, section: &str, key: &str, text: &str) -> Result<Table, String> {
    let mut message = String::new();
    for value in readings(text) {
        let mut candidate = table.clone();
        let keys = candidate.entry(section).or_insert_with(|| Value::Table(Table::new()));
        if let Value::Table(keys) = keys {
            keys.insert(key.to_owned(), value);
        }
        match DoorwardToml::deserialize(candidate.clone()) {
            Ok(_) => return Ok(candidate),
            // What was wrong with the plain text says most.
            Err(error) if message.is_empty() => message = syntax::explain(&error),
            Err(_) => {}
        }
    }
    Err(message)
}

/// The ways a text can be read: as it stands, as TOML (`true`, `["a"]`), as a list with commas.
fn readings(text: &str) -> Vec<Value> {
    let mut readings = vec![Value::String(text.to_owned())];
    if let Ok(mut table) = format!("value = {text}").parse::<Table>()
        && let (Some(value), true) = (table.remove("value"), table.is_empty())
    {
        readings.push(value);
    }
    readings.push(Value::Array(text.split(',').map(|part| Value::String(part.trim().to_owned())).collect()));
    readings
}
