//! From accounts and groups to SCIM's documents and back.

use doorward_domain::{Mail, Profile};
use doorward_model::{AccountId, Timestamp, is_steering, repeatable};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::error::ScimError;
use super::patch::Document;
use super::schema::Resource;
use crate::app::directory::{groups, users};

/// Longest text of an attribute, in characters.
const TEXT_CHARS_MAX: usize = 256;
/// Email addresses of one user at most.
const EMAILS_MAX: usize = 20;

fn put(document: &mut Map<String, Value>, name: &str, value: Option<&String>) {
    if let Some(value) = value {
        document.insert(name.to_owned(), json!(value));
    }
}

/// Puts the metadata to a document; its version follows from all the rest.
fn finished(
    mut document: Map<String, Value>,
    resource: Resource,
    id: &str,
    base: &str,
    (created, modified): (Timestamp, Timestamp),
) -> Value {
    let digest = Sha256::digest(Value::Object(document.clone()).to_string().as_bytes());
    let short: Vec<u8> = digest.iter().copied().take(12).collect();
    document.insert(
        "meta".to_owned(),
        json!({
            "resourceType": resource.word(), "created": created, "lastModified": modified,
            "location": format!("{base}{}/{id}", resource.endpoint()),
            "version": format!("W/\"{}\"", hex::encode(short)),
        }),
    );
    Value::Object(document)
}

/// The version in a rendered document.
pub(super) fn version(document: &Value) -> &str {
    document.pointer("/meta/version").and_then(Value::as_str).unwrap_or_default()
}

/// The place in a rendered document.
pub(super) fn location(document: &Value) -> &str {
    document.pointer("/meta/location").and_then(Value::as_str).unwrap_or_default()
}

/// Renders a user.
pub(super) fn of_user(view: &users::View, base: &str) -> Value {
    let users::View { account, groups, .. } = view;
    let Profile { display_name, formatted, family_name, given_name, emails } = &account.profile;
    let id = account.id.to_string();
    let mut document = Map::new();
    document.insert("schemas".to_owned(), json!([Resource::User.urn()]));
    document.insert("id".to_owned(), json!(id));
    put(&mut document, "externalId", account.external_id.as_ref());
    document.insert("userName".to_owned(), json!(account.user_name));
    put(&mut document, "displayName", display_name.as_ref());
    let mut name = Map::new();
    put(&mut name, "formatted", formatted.as_ref());
    put(&mut name, "familyName", family_name.as_ref());
    put(&mut name, "givenName", given_name.as_ref());
    if !name.is_empty() {
        document.insert("name".to_owned(), Value::Object(name));
    }
    document.insert("active".to_owned(), json!(view.is_active()));
    if !emails.is_empty() {
        document.insert("emails".to_owned(), emails.iter().map(of_mail).collect());
    }
    if !groups.is_empty() {
        let group = |group: &doorward_store::SourceMember| {
            let place = format!("{base}/Groups/{}", group.group);
            json!({ "value": group.group, "$ref": place, "display": group.display_name })
        };
        document.insert("groups".to_owned(), groups.iter().map(group).collect());
    }
    finished(document, Resource::User, &id, base, (account.created_at, account.changed_at))
}

fn of_mail(mail: &Mail) -> Value {
    let mut document = Map::new();
    document.insert("value".to_owned(), json!(mail.value));
    put(&mut document, "type", mail.kind.as_ref());
    if let Some(primary) = mail.primary {
        document.insert("primary".to_owned(), json!(primary));
    }
    Value::Object(document)
}

/// Renders a group.
pub(super) fn of_group(view: &groups::View, base: &str) -> Value {
    let groups::View { group, members } = view;
    let id = group.group.to_string();
    let mut document = Map::new();
    document.insert("schemas".to_owned(), json!([Resource::Group.urn()]));
    document.insert("id".to_owned(), json!(id));
    put(&mut document, "externalId", group.external_id.as_ref());
    document.insert("displayName".to_owned(), json!(group.display_name));
    if !members.is_empty() {
        let member = |member: &doorward_store::SourceMember| {
            let place = format!("{base}/Users/{}", member.account);
            json!({ "value": member.account, "$ref": place })
        };
        document.insert("members".to_owned(), members.iter().map(member).collect());
    }
    finished(document, Resource::Group, &id, base, (group.created_at, group.changed_at))
}

fn text(document: &Document, name: &str) -> Result<Option<String>, ScimError> {
    let Some(text) = document.get(name).and_then(Value::as_str) else { return Ok(None) };
    if text.chars().count() > TEXT_CHARS_MAX || text.chars().any(is_steering) {
        return Err(ScimError::value(format!(
            "{name} has {TEXT_CHARS_MAX} characters at most, and none that steers a terminal"
        )));
    }
    Ok(Some(text.to_owned()))
}

fn needed(document: &Document, name: &str) -> Result<String, ScimError> {
    let found = text(document, name)?.filter(|text| !text.trim().is_empty());
    found.ok_or_else(|| ScimError::value(format!("{name} is needed")))
}

/// Reads true or false, as a boolean or as the word that some directories send.
fn flag(value: &Value) -> Option<bool> {
    match (value.as_bool(), value.as_str().map(|text| text.trim().to_ascii_lowercase()).as_deref()) {
        (Some(flag), _) => Some(flag),
        (None, Some("true")) => Some(true),
        (None, Some("false")) => Some(false),
        (None, _) => None,
    }
}

/// Reads how a user should be.
pub(super) fn to_user(document: &Document) -> Result<users::Wanted, ScimError> {
    let active = match document.get("active") {
        None => None,
        Some(value) => Some(flag(value).ok_or_else(|| {
            let shown = repeatable(&value.to_string(), 60);
            ScimError::active(format!("active is true or false, and not {shown}: nothing was changed"))
        })?),
    };
    let user_name = needed(document, "userName")?;
    let nothing = Document::new();
    let name = document.get("name").and_then(Value::as_object).unwrap_or(&nothing);
    let emails = document.get("emails").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    if emails.len() > EMAILS_MAX {
        return Err(ScimError::value(format!("a user has {EMAILS_MAX} emails at most")));
    }
    let emails = emails.iter().filter_map(Value::as_object).map(to_mail).collect::<Result<Vec<_>, _>>()?;
    let profile = Profile {
        display_name: text(document, "displayName")?,
        formatted: text(name, "formatted")?,
        family_name: text(name, "familyName")?,
        given_name: text(name, "givenName")?,
        emails,
    };
    let named = profile.name(&user_name).map_err(crate::app::Refusal::from)?;
    let address = profile.address(&user_name);
    let external_id = text(document, "externalId")?;
    Ok(users::Wanted { user_name, external_id, profile, active, address, name: named })
}

fn to_mail(document: &Document) -> Result<Mail, ScimError> {
    let wrong = || ScimError::value("primary is true or false");
    let primary = document.get("primary").map(|value| flag(value).ok_or_else(wrong)).transpose()?;
    Ok(Mail { value: text(document, "value")?.unwrap_or_default(), kind: text(document, "type")?, primary })
}

/// Reads how a group should be.
pub(super) fn to_group(document: &Document) -> Result<groups::Wanted, ScimError> {
    let members = document.get("members").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    // What is no id of this server is nobody here; whoever is not here is no member.
    let id = |member: &Value| member.get("value").and_then(Value::as_str)?.parse::<AccountId>().ok();
    Ok(groups::Wanted {
        display_name: needed(document, "displayName")?,
        external_id: text(document, "externalId")?,
        members: members.iter().filter_map(id).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::scim::patch::canonical;

    fn user(sent: Value) -> Result<users::Wanted, ScimError> {
        to_user(&canonical(Resource::User, sent.as_object().unwrap())?)
    }

    #[test]
    fn active_is_read_or_refused_loudly() {
        let active = |value: Value| user(json!({ "userName": "a", "active": value })).map(|wanted| wanted.active);
        for (value, expected) in
            [(json!(true), true), (json!("True"), true), (json!("False"), false), (json!(" false "), false)]
        {
            assert_eq!(active(value), Ok(Some(expected)));
        }
        for wrong in [json!("no"), json!(0), json!(null), json!([false]), json!({ "value": false }), json!("")] {
            let error = active(wrong.clone()).unwrap_err();
            assert!(error.is_alarming && error.kind == Some("invalidValue"), "{wrong}: {error:?}");
        }
        assert_eq!(user(json!({ "userName": "a" })).unwrap().active, None);
    }

    #[test]
    fn wrong_values_are_refused() {
        for wrong in [
            json!({}),
            json!({ "userName": " " }),
            json!({ "userName": 7 }),
            json!({ "userName": "a\nb" }),
            json!({ "userName": "x".repeat(300) }),
            json!({ "userName": "a", "name": "Anna" }),
            json!({ "userName": "a", "emails": [{ "value": "a", "primary": "maybe" }] }),
        ] {
            assert_eq!(user(wrong.clone()).unwrap_err().kind, Some("invalidValue"), "{wrong}");
        }
        let group = canonical(
            Resource::Group,
            json!({ "displayName": "x", "members": [{ "value": "y" }] }).as_object().unwrap(),
        );
        assert_eq!(to_group(&group.unwrap()).unwrap().members.len(), 0);
    }
}
