//! Lists, pages, and which attributes are sent (RFC 7644, sections 3.4.2 and 3.9).

use axum::http::{HeaderMap, HeaderName, header};
use scim_v2::filter::Filter;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::error::ScimError;
use super::filter;
use super::schema::{PAGE_DEFAULT, PAGE_MAX, Resource};

/// What a list or a single resource is asked for with.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Query {
    filter: Option<String>,
    start_index: Option<Number>,
    count: Option<Number>,
    attributes: Option<Names>,
    excluded_attributes: Option<Names>,
}

/// A number in a query string, or in a search's body.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum Number {
    Number(i64),
    Text(String),
}

impl Number {
    fn read(&self) -> Result<i64, ScimError> {
        match self {
            Self::Number(number) => Ok(*number),
            Self::Text(text) => {
                text.trim().parse().map_err(|_| ScimError::value("startIndex and count are whole numbers"))
            }
        }
    }
}

/// Attribute names, with commas between them, or as a list.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum Names {
    Text(String),
    List(Vec<String>),
}

impl Names {
    fn each(&self) -> Vec<&str> {
        match self {
            Self::Text(text) => text.split(',').map(str::trim).filter(|name| !name.is_empty()).collect(),
            Self::List(names) => names.iter().map(|name| name.trim()).collect(),
        }
    }
}

impl Query {
    pub(super) fn filter(&self, resource: Resource) -> Result<Option<Filter>, ScimError> {
        self.filter.as_deref().map(|text| filter::parse(resource, text)).transpose()
    }

    /// Says whether the attributes were named that are to be sent.
    pub(super) const fn names_attributes(&self) -> bool {
        self.attributes.is_some()
    }

    /// Cuts a page out of the rendered resources of one kind.
    pub(super) fn page(&self, resource: Resource, found: Vec<Value>) -> Result<Value, ScimError> {
        self.page_of(found.into_iter().map(|it| (resource, it)).collect())
    }

    /// Cuts a page out of the rendered resources.
    pub(super) fn page_of(&self, found: Vec<(Resource, Value)>) -> Result<Value, ScimError> {
        let start = self.start_index.as_ref().map(Number::read).transpose()?.unwrap_or(1).max(1);
        let count = self.count.as_ref().map(Number::read).transpose()?.map(|count| count.max(0));
        let skip = usize::try_from(start.saturating_sub(1)).unwrap_or(usize::MAX);
        let take = count.map_or(PAGE_DEFAULT, |count| usize::try_from(count).unwrap_or(PAGE_MAX)).min(PAGE_MAX);
        let total = found.len();
        let page = found.into_iter().skip(skip).take(take);
        let page: Vec<Value> = page.map(|(resource, it)| self.projected(resource, it)).collect();
        Ok(json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:ListResponse"],
            "totalResults": total, "startIndex": start, "itemsPerPage": page.len(), "Resources": page,
        }))
    }

    /// Leaves those attributes that were asked for, or takes out those that were not wanted; never `id` and `schemas`.
    pub(super) fn projected(&self, resource: Resource, document: Value) -> Value {
        let Value::Object(document) = document else { return document };
        Value::Object(match (&self.attributes, &self.excluded_attributes) {
            (Some(names), _) => asked_for(resource, &names.each(), document),
            (None, Some(names)) => without(resource, &names.each(), document),
            (None, None) => document,
        })
    }
}

fn is_always(name: &str) -> bool {
    matches!(name, "id" | "schemas")
}

/// Takes a name apart, without the schema in front of it.
fn parts(resource: Resource, name: &str) -> (String, Option<String>) {
    let urn = resource.urn();
    let own = name.get(..urn.len()).is_some_and(|start| start.eq_ignore_ascii_case(urn));
    let name = if own { name.get(urn.len()..).unwrap_or_default().trim_start_matches(':') } else { name };
    match name.split_once('.') {
        Some((name, part)) => (name.to_lowercase(), Some(part.to_lowercase())),
        None => (name.to_lowercase(), None),
    }
}

/// Does something to each value of an attribute, be it one or many.
fn each_part(value: &mut Value, mut change: impl FnMut(&mut Map<String, Value>)) {
    if let Some(items) = value.as_array_mut() {
        items.iter_mut().filter_map(Value::as_object_mut).for_each(change);
    } else if let Some(object) = value.as_object_mut() {
        change(object);
    }
}

fn asked_for(resource: Resource, names: &[&str], document: Map<String, Value>) -> Map<String, Value> {
    let names: Vec<_> = names.iter().map(|name| parts(resource, name)).collect();
    let keep = |(name, mut value): (String, Value)| {
        let lower = name.to_lowercase();
        let of: Vec<_> = names.iter().filter(|(asked, _)| *asked == lower).collect();
        if is_always(&name) {
            return Some((name, value));
        }
        if of.is_empty() {
            return None;
        }
        if of.iter().all(|(_, part)| part.is_some()) {
            let wanted = |part: &str| of.iter().any(|(_, asked)| asked.as_deref() == Some(&part.to_lowercase()));
            each_part(&mut value, |object| object.retain(|part, _| wanted(part)));
        }
        Some((name, value))
    };
    document.into_iter().filter_map(keep).collect()
}

fn without(resource: Resource, names: &[&str], mut document: Map<String, Value>) -> Map<String, Value> {
    for (name, part) in names.iter().map(|name| parts(resource, name)) {
        let is_named = |key: &str| key.to_lowercase() == name && !is_always(key);
        match part {
            None => document.retain(|key, _| !is_named(key)),
            Some(part) => {
                for (_, value) in document.iter_mut().filter(|(key, _)| is_named(key)) {
                    each_part(value, |object| object.retain(|key, _| key.to_lowercase() != part));
                }
            }
        }
    }
    document
}

/// Says whether one of the entity tags in a header is this one; weak tags are compared as what they are.
fn names_version(headers: &HeaderMap, name: HeaderName, version: &str) -> Option<bool> {
    let strong = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    let mut sent = headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).peekable();
    sent.peek()?;
    Some(sent.flat_map(|text| text.split(',')).any(|tag| tag.trim() == "*" || strong(tag) == strong(version)))
}

/// Refuses a change of what is not as the client read it.
pub(super) fn require_version(headers: &HeaderMap, version: &str) -> Result<(), ScimError> {
    match names_version(headers, header::IF_MATCH, version) {
        Some(false) => Err(ScimError::changed()),
        Some(true) | None => Ok(()),
    }
}

/// Says whether the client has this version already.
pub(super) fn has_version(headers: &HeaderMap, version: &str) -> bool {
    names_version(headers, header::IF_NONE_MATCH, version) == Some(true)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn query(value: Value) -> Query {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_page_is_bounded_and_begins_at_one() {
        let all: Vec<Value> = (0..250).map(|n| json!({ "id": n.to_string(), "userName": "x" })).collect();
        let page = |sent: Value| {
            let page = query(sent).page(Resource::User, all.clone()).unwrap();
            let ids = page["Resources"].as_array().unwrap();
            (
                page["totalResults"].clone(),
                page["startIndex"].clone(),
                ids.len(),
                ids.first().map(|it| it["id"].clone()),
            )
        };
        assert_eq!(page(json!({})), (json!(250), json!(1), 100, Some(json!("0"))));
        assert_eq!(page(json!({ "startIndex": "0", "count": "2" })), (json!(250), json!(1), 2, Some(json!("0"))));
        assert_eq!(
            page(json!({ "startIndex": 249, "count": 99_999 })),
            (json!(250), json!(249), 2, Some(json!("248")))
        );
        assert_eq!(page(json!({ "count": -3 })), (json!(250), json!(1), 0, None));
        assert_eq!(page(json!({ "startIndex": 9_999 })), (json!(250), json!(9_999), 0, None));
        assert!(query(json!({ "count": "many" })).page(Resource::User, Vec::new()).is_err());
    }

    #[test]
    fn attributes_are_chosen_and_left_out_whatever_their_case() {
        let document = json!({
            "schemas": ["x"], "id": "1", "userName": "anna", "name": { "givenName": "A", "familyName": "B" },
            "emails": [{ "value": "a", "type": "work" }],
        });
        let chosen = |sent: Value| query(sent).projected(Resource::User, document.clone());
        assert_eq!(
            chosen(
                json!({ "attributes": "USERNAME, name.givenname,urn:ietf:params:scim:schemas:core:2.0:User:emails.value" })
            ),
            json!({ "schemas": ["x"], "id": "1", "userName": "anna", "name": { "givenName": "A" }, "emails": [{ "value": "a" }] })
        );
        assert_eq!(
            chosen(json!({ "excludedAttributes": "emails,name.familyName,id" })),
            json!({ "schemas": ["x"], "id": "1", "userName": "anna", "name": { "givenName": "A" } })
        );
    }

    #[test]
    fn versions_are_compared_weakly() {
        let headers = |name: HeaderName, value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_static(value));
            headers
        };
        let version = "W/\"a\"";
        for good in ["*", "W/\"a\"", "\"a\"", "\"b\", W/\"a\""] {
            assert_eq!(require_version(&headers(header::IF_MATCH, good), version), Ok(()), "{good}");
            assert!(has_version(&headers(header::IF_NONE_MATCH, good), version));
        }
        assert!(require_version(&headers(header::IF_MATCH, "\"b\""), version).is_err());
        assert!(require_version(&HeaderMap::new(), version).is_ok() && !has_version(&HeaderMap::new(), version));
    }
}
