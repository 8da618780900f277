//! Filters over rendered resources (RFC 7644, section 3.4.2.2). What a resource does not have matches nothing.

use std::cmp::Ordering;

use doorward_model::Timestamp;
use scim_v2::filter::{AttrExp, AttrPath, CompValue, CompareOp, Filter, ValFilter};
use serde_json::Value;

use super::error::ScimError;
use super::schema::{Attribute, Kind, Resource, part};

/// Longest filter that is read.
const FILTER_BYTES_MAX: usize = 4_096;

/// Reads a filter.
pub(super) fn parse(resource: Resource, text: &str) -> Result<Filter, ScimError> {
    if text.len() > FILTER_BYTES_MAX {
        return Err(ScimError::filter(format!("a filter has {FILTER_BYTES_MAX} bytes at most")));
    }
    let filter: Filter = text.parse().map_err(|_| ScimError::filter("this filter cannot be read"))?;
    check(resource, &filter)?;
    Ok(filter)
}

/// Refuses to compare what has no order (RFC 7644, table 3).
fn check(resource: Resource, filter: &Filter) -> Result<(), ScimError> {
    match filter {
        Filter::Attr(AttrExp::Comparison(path, CompareOp::Gt | CompareOp::Ge | CompareOp::Lt | CompareOp::Le, _)) => {
            let found = resource.attribute(&path.name);
            let of = |attribute: &'static Attribute| match &path.sub_attr {
                Some(sub) => part(attribute.parts(), sub),
                None => Some(attribute),
            };
            if found.and_then(of).is_some_and(|attribute| attribute.kind == Kind::Flag) {
                return Err(ScimError::filter(format!("{} is true or false and has no order", path.name)));
            }
            Ok(())
        }
        Filter::Attr(AttrExp::Comparison(..) | AttrExp::Present(_)) | Filter::ValuePath(_) => Ok(()),
        Filter::Not(inner) => check(resource, inner),
        Filter::And(items) | Filter::Or(items) => items.as_slice().iter().try_for_each(|item| check(resource, item)),
    }
}

/// Says what a filter asks for where it is one equality, so that the database can answer it.
pub(super) fn equality(resource: Resource, filter: &Filter) -> Option<(&'static str, &str)> {
    let Filter::Attr(AttrExp::Comparison(path, CompareOp::Eq, CompValue::Str(value))) = filter else { return None };
    let own = resource.is_own(path.uri.as_deref()) && path.sub_attr.is_none();
    resource.attribute(&path.name).filter(|_| own).map(|attribute| (attribute.name, value.as_str()))
}

/// Says whether a rendered resource is meant.
pub(super) fn matches(resource: Resource, filter: &Filter, document: &Value) -> bool {
    match filter {
        Filter::Attr(expression) => {
            let found = resource.attribute(&path_of(expression).name);
            let own = resource.is_own(path_of(expression).uri.as_deref());
            expressed(expression, found.filter(|_| own), document)
        }
        Filter::ValuePath(path) => {
            let own = resource.is_own(path.attr.uri.as_deref());
            let Some(attribute) = resource.attribute(&path.attr.name).filter(|_| own) else { return false };
            let elements = document.get(attribute.name).map(each).unwrap_or_default();
            elements.into_iter().any(|element| element_matches(attribute, &path.filter, element))
        }
        Filter::Not(inner) => !matches(resource, inner, document),
        Filter::And(items) => items.as_slice().iter().all(|item| matches(resource, item, document)),
        Filter::Or(items) => items.as_slice().iter().any(|item| matches(resource, item, document)),
    }
}

/// Says whether one element of a multi-valued attribute is meant.
pub(super) fn element_matches(attribute: &'static Attribute, filter: &ValFilter, element: &Value) -> bool {
    match filter {
        ValFilter::Attr(expression) => {
            expressed(expression, part(attribute.parts(), &path_of(expression).name), element)
        }
        ValFilter::Not(inner) => !element_matches(attribute, inner, element),
        ValFilter::And(items) => items.as_slice().iter().all(|item| element_matches(attribute, item, element)),
        ValFilter::Or(items) => items.as_slice().iter().any(|item| element_matches(attribute, item, element)),
    }
}

const fn path_of(expression: &AttrExp) -> &AttrPath {
    match expression {
        AttrExp::Present(path) | AttrExp::Comparison(path, _, _) => path,
    }
}

fn each(value: &Value) -> Vec<&Value> {
    match value.as_array() {
        Some(items) => items.iter().collect(),
        None => vec![value],
    }
}

fn expressed(expression: &AttrExp, attribute: Option<&'static Attribute>, document: &Value) -> bool {
    let mut attribute = attribute;
    let mut values: Vec<&Value> = attribute.and_then(|found| document.get(found.name)).map(each).unwrap_or_default();
    let parts = attribute.map(Attribute::parts).unwrap_or_default();
    // A multi-valued attribute without a part means its values.
    let sub = path_of(expression).sub_attr.as_deref().or((!parts.is_empty()).then_some("value"));
    if let (Some(sub), false) = (sub, parts.is_empty()) {
        match part(parts, sub) {
            Some(found) => {
                attribute = Some(found);
                values = values.into_iter().filter_map(|value| value.get(found.name)).collect();
            }
            None if path_of(expression).sub_attr.is_some() => values.clear(),
            None => {}
        }
    }
    match expression {
        AttrExp::Present(_) => values.into_iter().any(|value| !is_empty(value)),
        AttrExp::Comparison(_, CompareOp::Ne, to) => {
            !values.into_iter().any(|value| compared(value, &CompareOp::Eq, to, attribute))
                && (*to != CompValue::Null || !is_absent(document, path_of(expression), attribute))
        }
        AttrExp::Comparison(_, CompareOp::Eq, CompValue::Null) => values.into_iter().all(is_empty),
        AttrExp::Comparison(_, operator, to) => {
            values.into_iter().any(|value| compared(value, operator, to, attribute))
        }
    }
}

fn is_absent(document: &Value, path: &AttrPath, attribute: Option<&Attribute>) -> bool {
    attribute.is_none() || (path.sub_attr.is_none() && attribute.is_some_and(|it| document.get(it.name).is_none()))
}

fn is_empty(value: &Value) -> bool {
    value.is_null()
        || value.as_str().is_some_and(str::is_empty)
        || value.as_array().is_some_and(Vec::is_empty)
        || value.as_object().is_some_and(serde_json::Map::is_empty)
}

fn compared(value: &Value, operator: &CompareOp, to: &CompValue, attribute: Option<&'static Attribute>) -> bool {
    let attribute = attribute.map_or((false, Kind::Text), |found| (found.case_exact, found.kind));
    match to {
        CompValue::True | CompValue::False => {
            *operator == CompareOp::Eq && value.as_bool() == Some(*to == CompValue::True)
        }
        CompValue::Null | CompValue::Number(_) => false,
        CompValue::Str(to) => match (value.as_bool(), value.as_str()) {
            // Some directories write `active eq "True"`.
            (Some(flag), _) => *operator == CompareOp::Eq && to.eq_ignore_ascii_case(&flag.to_string()),
            (None, Some(text)) => compared_text(text, operator, to, attribute),
            (None, None) => false,
        },
    }
}

fn compared_text(text: &str, operator: &CompareOp, to: &str, (case_exact, kind): (bool, Kind)) -> bool {
    if kind == Kind::Time
        && let (Ok(one), Ok(other)) = (text.parse::<Timestamp>(), to.parse::<Timestamp>())
    {
        return ordered(one.cmp(&other), operator).unwrap_or(false);
    }
    let fold = |text: &str| if case_exact { text.to_owned() } else { text.to_lowercase() };
    let (one, other) = (fold(text), fold(to));
    match operator {
        CompareOp::Co => one.contains(&other),
        CompareOp::Sw => one.starts_with(&other),
        CompareOp::Ew => one.ends_with(&other),
        CompareOp::Eq | CompareOp::Ne | CompareOp::Gt | CompareOp::Ge | CompareOp::Lt | CompareOp::Le => {
            ordered(one.cmp(&other), operator).unwrap_or(false)
        }
    }
}

fn ordered(ordering: Ordering, operator: &CompareOp) -> Option<bool> {
    match operator {
        CompareOp::Eq => Some(ordering.is_eq()),
        CompareOp::Ne => Some(ordering.is_ne()),
        CompareOp::Gt => Some(ordering.is_gt()),
        CompareOp::Ge => Some(ordering.is_ge()),
        CompareOp::Lt => Some(ordering.is_lt()),
        CompareOp::Le => Some(ordering.is_le()),
        CompareOp::Co | CompareOp::Sw | CompareOp::Ew => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn anna() -> Value {
        json!({
            "id": "0192f0c1-7a3e-7cc1-b2f4-0123456789ab", "userName": "Anna@Shop.Example", "active": true,
            "externalId": "00uA", "name": { "givenName": "Anna" },
            "emails": [
                { "value": "anna@shop.example", "type": "work", "primary": true },
                { "value": "anna@home.example", "type": "home" },
            ],
            "meta": { "lastModified": "2026-11-22T10:00:00Z" },
        })
    }

    fn found(text: &str) -> bool {
        matches(Resource::User, &parse(Resource::User, text).unwrap(), &anna())
    }

    #[test]
    fn a_filter_finds_what_the_standard_says() {
        for text in [
            r#"userName eq "anna@shop.example""#,
            r#"USERNAME Eq "ANNA@shop.example""#,
            r#"urn:ietf:params:scim:schemas:core:2.0:User:userName sw "anna""#,
            r#"name.givenName co "nn" and active eq true"#,
            r#"active eq "True""#,
            r#"emails[type eq "work" and value co "@shop"]"#,
            r#"emails.type eq "home""#,
            r#"emails co "home.example""#,
            r#"not (userName eq "ben")"#,
            r#"userName eq "ben" or externalId eq "00uA""#,
            r#"displayName ne "x""#,
            r#"externalId pr and not (displayName pr)"#,
            r#"meta.lastModified gt "2026-11-22T09:59:59.5Z""#,
            r#"meta.lastModified le "2026-11-22T11:00:00+01:00""#,
            r#"emails pr"#,
        ] {
            assert!(found(text), "{text}");
        }
        for text in [
            r#"externalId eq "00ua""#,
            r#"userName ew "@home.example""#,
            r#"nothing eq "x""#,
            r#"nothing pr"#,
            r#"emails[type eq "home" and value co "@shop"]"#,
            r#"active eq false"#,
            r#"urn:ietf:params:scim:schemas:core:2.0:Group:userName pr"#,
        ] {
            assert!(!found(text), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_refused_as_a_filter() {
        for text in ["", "userName", "userName eq", r#"userName is "x""#, "active gt true", "((((", &"(".repeat(5_000)]
        {
            assert_eq!(parse(Resource::User, text).unwrap_err().kind, Some("invalidFilter"), "{text:?}");
        }
    }
}
