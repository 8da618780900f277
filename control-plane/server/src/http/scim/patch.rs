//! Documents: what a client sent, in this server's own spelling, and the changes of a PATCH (RFC 7644, section 3.5.2) as
//! Okta and Entra really send them: without a path, with dotted names as keys, with any case.

use scim_v2::filter::{AttrExp, CompValue, CompareOp, PatchPath, ValFilter};
use serde_json::{Map, Value, json};

use super::error::ScimError;
use super::filter::element_matches;
use super::schema::{Attribute, Kind, Resource, is_forgotten, part};

/// A resource as a client may change it: canonical names, nothing that is read-only.
pub(super) type Document = Map<String, Value>;

/// Operations of one request at most.
const OPERATIONS_MAX: usize = 1_000;
/// Values of one attribute at most.
const VALUES_MAX: usize = 20_000;

/// Takes over what is known of what a client sent.
pub(super) fn canonical(resource: Resource, sent: &Map<String, Value>) -> Result<Document, ScimError> {
    let mut document = Document::new();
    for (name, value) in sent {
        if name.eq_ignore_ascii_case(resource.urn()) {
            if let Some(inner) = value.as_object() {
                document.extend(canonical(resource, inner)?);
            }
            continue;
        }
        let Some(attribute) = resource.attribute(name).filter(|attribute| !attribute.read_only) else { continue };
        if let Some(value) = canonical_value(attribute, value)? {
            document.insert(attribute.name.to_owned(), value);
        }
    }
    Ok(document)
}

/// Reads a value; nothing where it is unassigned. A flag is taken as it is: whoever reads it decides.
fn canonical_value(attribute: &'static Attribute, value: &Value) -> Result<Option<Value>, ScimError> {
    if attribute.many {
        let elements = elements(attribute, value)?;
        return Ok(Some(Value::Array(elements)).filter(|it| it.as_array().is_some_and(|it| !it.is_empty())));
    }
    match attribute.kind {
        Kind::Flag => Ok(Some(value.clone())),
        _ if value.is_null() => Ok(None),
        Kind::Complex(_) => canonical_parts(attribute, value)
            .map(|parts| Some(parts).filter(|it| !it.is_empty()))
            .map(|it| it.map(Value::Object)),
        Kind::Text | Kind::Time | Kind::Reference if value.is_string() => Ok(Some(value.clone())),
        Kind::Text | Kind::Time | Kind::Reference => Err(ScimError::value(format!("{} is a string", attribute.name))),
    }
}

fn canonical_parts(attribute: &'static Attribute, value: &Value) -> Result<Document, ScimError> {
    let wrong = || ScimError::value(format!("{} has parts: send an object", attribute.name));
    let sent = match (value.as_object(), value.as_str()) {
        (Some(sent), _) => sent.clone(),
        (None, Some(text)) if attribute.many => Map::from_iter([("value".to_owned(), json!(text))]),
        _ => return Err(wrong()),
    };
    let mut parts = Document::new();
    for (name, value) in &sent {
        let Some(found) = part(attribute.parts(), name).filter(|found| !found.read_only) else { continue };
        if let Some(value) = canonical_value(found, value)?.filter(|value| !value.is_null()) {
            parts.insert(found.name.to_owned(), value);
        }
    }
    Ok(parts)
}

/// Reads the values of a multi-valued attribute: a list, or one.
fn elements(attribute: &'static Attribute, value: &Value) -> Result<Vec<Value>, ScimError> {
    let sent = match value.as_array() {
        Some(items) => items.iter().collect(),
        None if value.is_null() => Vec::new(),
        None => vec![value],
    };
    if sent.len() > VALUES_MAX {
        return Err(ScimError::value(format!("{} has {VALUES_MAX} values at most", attribute.name)));
    }
    let parts = sent.into_iter().map(|item| canonical_parts(attribute, item));
    let parts = parts.filter(|parts| !parts.as_ref().is_ok_and(Map::is_empty));
    parts.map(|parts| parts.map(Value::Object)).collect()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    Add,
    Replace,
    Remove,
}

/// Finds a field whatever its case.
fn field<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    object.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

/// Does the operations of a PATCH to a document.
pub(super) fn apply(resource: Resource, document: &mut Document, body: &Value) -> Result<(), ScimError> {
    let object = body.as_object().ok_or_else(|| ScimError::syntax("a PATCH is an object with Operations"))?;
    let operations = field(object, "Operations").and_then(Value::as_array);
    let operations = operations.ok_or_else(|| ScimError::syntax("a PATCH has a list of Operations"))?;
    if operations.is_empty() || operations.len() > OPERATIONS_MAX {
        return Err(ScimError::syntax(format!("a PATCH has 1 to {OPERATIONS_MAX} Operations")));
    }
    operations.iter().try_for_each(|operation| operate(resource, document, operation))
}

/// Says whether a PATCH is written as Entra writes it: capitals begin its operations, or a member's `$ref` is null.
pub(super) fn is_of_entra(body: &Value) -> bool {
    let operations = body.as_object().and_then(|body| field(body, "Operations")).and_then(Value::as_array);
    operations.into_iter().flatten().filter_map(Value::as_object).any(|operation| {
        let word = field(operation, "op").and_then(Value::as_str).unwrap_or_default();
        let members = field(operation, "value").and_then(Value::as_array);
        word.starts_with(|first: char| first.is_ascii_uppercase())
            || members.into_iter().flatten().any(|member| member.get("$ref").is_some_and(Value::is_null))
    })
}

fn operate(resource: Resource, document: &mut Document, sent: &Value) -> Result<(), ScimError> {
    let sent = sent.as_object().ok_or_else(|| ScimError::syntax("an operation is an object"))?;
    let word = field(sent, "op").and_then(Value::as_str).unwrap_or_default();
    let operation = match word.to_ascii_lowercase().as_str() {
        "add" => Operation::Add,
        "replace" => Operation::Replace,
        "remove" => Operation::Remove,
        _ => return Err(ScimError::syntax("an operation's op is add, replace or remove")),
    };
    let path = match field(sent, "path") {
        None | Some(Value::Null) => "",
        Some(path) => path.as_str().ok_or_else(|| ScimError::path("a path is a string"))?.trim(),
    };
    let value = field(sent, "value");
    if operation != Operation::Remove && value.is_none() {
        return Err(ScimError::value("this operation needs a value"));
    }
    match (path.is_empty(), value) {
        (false, value) => at_path(resource, document, operation, path, value, true),
        (true, Some(Value::Object(values))) if operation != Operation::Remove => {
            without_path(resource, document, operation, values)
        }
        (true, _) if operation == Operation::Remove => Err(ScimError::target("a remove names a path")),
        (true, _) => Err(ScimError::value("an operation without a path has an object as its value")),
    }
}

fn without_path(
    resource: Resource,
    document: &mut Document,
    operation: Operation,
    values: &Map<String, Value>,
) -> Result<(), ScimError> {
    for (name, value) in values {
        if name.eq_ignore_ascii_case("schemas") {
            continue;
        }
        match value.as_object() {
            Some(inner) if name.eq_ignore_ascii_case(resource.urn()) => {
                without_path(resource, document, operation, inner)?;
            }
            _ => at_path(resource, document, operation, name, Some(value), false)?,
        }
    }
    Ok(())
}

/// What a path leads to.
struct Place {
    attribute: &'static Attribute,
    filter: Option<ValFilter>,
    part: Option<&'static Attribute>,
}

/// Finds what a path leads to; nothing where it is something that is taken and forgotten. `strict` where somebody named it
/// as a path: then what is unknown or read-only is refused.
fn place(resource: Resource, path: &str, strict: bool) -> Result<Option<Place>, ScimError> {
    let parsed = match path.parse::<PatchPath>() {
        Ok(parsed) => parsed,
        Err(_) if !strict || is_forgotten(None, path) => return Ok(None),
        Err(_) => return Err(ScimError::path("this path cannot be read")),
    };
    let (attr, filter, sub) = match parsed {
        PatchPath::Attr(mut attr) => {
            let sub = attr.sub_attr.take();
            (attr, None, sub)
        }
        PatchPath::Value(value) => (value.attr, Some(value.filter), value.sub_attr),
    };
    let unknown = |name: &str| match strict && !is_forgotten(attr.uri.as_deref(), name) {
        true => Err(ScimError::path(format!("there is no attribute {}", doorward_model::repeatable(name, 100)))),
        false => Ok(None),
    };
    let own = resource.is_own(attr.uri.as_deref());
    let Some(attribute) = resource.attribute(&attr.name).filter(|_| own) else { return unknown(&attr.name) };
    let part = match &sub {
        None => None,
        Some(sub) => match part(attribute.parts(), sub) {
            Some(found) => Some(found),
            None => return unknown(sub),
        },
    };
    if filter.is_some() && !attribute.many {
        return Err(ScimError::path(format!("{} has one value and takes no filter", attribute.name)));
    }
    if attribute.read_only || part.is_some_and(|part| part.read_only) {
        return match strict {
            true => Err(ScimError::mutability(format!("{} is read-only", attribute.name))),
            false => Ok(None),
        };
    }
    Ok(Some(Place { attribute, filter, part }))
}

fn at_path(
    resource: Resource,
    document: &mut Document,
    operation: Operation,
    path: &str,
    value: Option<&Value>,
    strict: bool,
) -> Result<(), ScimError> {
    let Some(place) = place(resource, path, strict)? else { return Ok(()) };
    if place.attribute.many {
        let old = document.remove(place.attribute.name);
        let old = old.and_then(|old| old.as_array().cloned()).unwrap_or_default();
        let mut new = many(&place, old.clone(), operation, value)?;
        one_primary(&mut new, &old);
        if !new.is_empty() {
            document.insert(place.attribute.name.to_owned(), Value::Array(new));
        }
        return Ok(());
    }
    match place.part {
        None => single(document, place.attribute, operation, value),
        Some(part) => {
            let mut inner =
                document.remove(place.attribute.name).and_then(|it| it.as_object().cloned()).unwrap_or_default();
            let done = single(&mut inner, part, operation, value);
            if !inner.is_empty() {
                document.insert(place.attribute.name.to_owned(), Value::Object(inner));
            }
            done
        }
    }
}

fn single(
    document: &mut Document,
    attribute: &'static Attribute,
    operation: Operation,
    value: Option<&Value>,
) -> Result<(), ScimError> {
    let value = match (operation, value) {
        (Operation::Remove, _) if attribute.required => {
            return Err(ScimError::mutability(format!("{} is needed and cannot be removed", attribute.name)));
        }
        (Operation::Remove, _) | (_, None) => None,
        (_, Some(value)) => canonical_value(attribute, value)?,
    };
    match (value, document.get_mut(attribute.name).and_then(Value::as_object_mut)) {
        (None, _) => drop(document.remove(attribute.name)),
        // Parts that are not named stay as they are.
        (Some(Value::Object(parts)), Some(there)) => there.extend(parts),
        (Some(value), _) => drop(document.insert(attribute.name.to_owned(), value)),
    }
    Ok(())
}

fn many(
    place: &Place,
    mut old: Vec<Value>,
    operation: Operation,
    value: Option<&Value>,
) -> Result<Vec<Value>, ScimError> {
    let Place { attribute, filter, part } = place;
    let is_meant = |element: &Value| filter.as_ref().is_none_or(|filter| element_matches(attribute, filter, element));
    match (operation, filter, part) {
        (Operation::Remove, None, None) => {
            // Entra lists what to remove instead of naming it in the path.
            let listed = match value {
                None | Some(Value::Null) => return Ok(Vec::new()),
                Some(value) => elements(attribute, value)?,
            };
            old.retain(|element| !listed.iter().any(|gone| is_same(element, gone)));
        }
        (Operation::Remove, Some(_), None) => old.retain(|element| !is_meant(element)),
        (Operation::Remove, _, Some(part)) => {
            for element in old.iter_mut().filter(|element| is_meant(element)) {
                element.as_object_mut().and_then(|element| element.remove(part.name));
            }
            old.retain(|element| element.as_object().is_some_and(|element| !element.is_empty()));
        }
        (Operation::Replace, None, None) => return elements(attribute, value.unwrap_or(&Value::Null)),
        (Operation::Add, None, None) => {
            for element in elements(attribute, value.unwrap_or(&Value::Null))? {
                if !old.iter().any(|there| is_same(there, &element)) {
                    old.push(element);
                }
            }
        }
        (Operation::Add | Operation::Replace, _, _) => set(place, &mut old, is_meant, value)?,
    }
    if old.len() > VALUES_MAX {
        return Err(ScimError::value(format!("{} has {VALUES_MAX} values at most", attribute.name)));
    }
    Ok(old)
}

/// Sets parts of those values that a filter means; where there is none, one is made of what the filter says.
fn set(
    place: &Place,
    old: &mut Vec<Value>,
    is_meant: impl Fn(&Value) -> bool,
    value: Option<&Value>,
) -> Result<(), ScimError> {
    let value = value.unwrap_or(&Value::Null);
    let parts = match place.part {
        Some(part) => {
            let value = canonical_value(part, value)?.unwrap_or(Value::Null);
            Document::from_iter([(part.name.to_owned(), value)])
        }
        None => {
            let one = value.as_array().filter(|items| items.len() == 1).and_then(|items| items.first());
            canonical_parts(place.attribute, one.unwrap_or(value))?
        }
    };
    let mut found = false;
    for element in old.iter_mut().filter(|element| is_meant(element)) {
        found = true;
        if let Some(element) = element.as_object_mut() {
            element.extend(parts.clone());
            element.retain(|_, value| !value.is_null());
        }
    }
    if !found {
        let mut made = match &place.filter {
            Some(filter) => said_by(place.attribute, filter)?,
            None => Document::new(),
        };
        made.extend(parts);
        made.retain(|_, value| !value.is_null());
        old.push(Value::Object(made));
    }
    old.retain(|element| element.as_object().is_some_and(|element| !element.is_empty()));
    Ok(())
}

/// What a value has that a filter means: `type eq "work"`.
fn said_by(attribute: &'static Attribute, filter: &ValFilter) -> Result<Document, ScimError> {
    let nothing = || ScimError::target("no value is as the path says");
    match filter {
        ValFilter::Attr(AttrExp::Comparison(path, CompareOp::Eq, to)) => {
            let found = part(attribute.parts(), &path.name).ok_or_else(nothing)?;
            let value = match to {
                CompValue::Str(text) => json!(text),
                CompValue::True | CompValue::False => json!(*to == CompValue::True),
                CompValue::Null | CompValue::Number(_) => return Err(nothing()),
            };
            Ok(Document::from_iter([(found.name.to_owned(), value)]))
        }
        ValFilter::And(items) => {
            let mut all = Document::new();
            for item in items.as_slice() {
                all.extend(said_by(attribute, item)?);
            }
            Ok(all)
        }
        ValFilter::Attr(AttrExp::Comparison(..) | AttrExp::Present(_)) | ValFilter::Not(_) | ValFilter::Or(_) => {
            Err(nothing())
        }
    }
}

/// Two values are the same where what they are of is the same.
fn is_same(one: &Value, other: &Value) -> bool {
    let same = |name: &str| one.get(name) == other.get(name);
    let kinds = one.get("type").is_none() || other.get("type").is_none() || same("type");
    if one.get("value").is_some() { same("value") && kinds } else { one == other }
}

/// Of several primary values the one that came last is (RFC 7644, section 3.5.2).
fn one_primary(new: &mut [Value], old: &[Value]) {
    let is_primary = |element: &Value| element.get("primary").and_then(Value::as_bool) == Some(true);
    if new.iter().filter(|element| is_primary(element)).count() < 2 {
        return;
    }
    let came = new.iter().rposition(|element| is_primary(element) && !old.contains(element));
    let Some(last) = came.or_else(|| new.iter().rposition(is_primary)) else { return };
    for (at, element) in new.iter_mut().enumerate() {
        if at != last
            && is_primary(element)
            && let Some(element) = element.as_object_mut()
        {
            element.insert("primary".to_owned(), json!(false));
        }
    }
}

#[cfg(test)]
#[path = "patch_tests.rs"]
mod tests;
