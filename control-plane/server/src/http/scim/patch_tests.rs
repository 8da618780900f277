//! PATCH: the shapes of identity providers, and what holds for any bytes.

use proptest::prelude::*;

use super::*;

fn user() -> Document {
    let sent = json!({
        "userName": "anna@shop.example", "displayName": "Anna", "active": true,
        "name": { "givenName": "Anna", "familyName": "Berg" },
        "emails": [{ "value": "anna@shop.example", "type": "work", "primary": true }],
    });
    canonical(Resource::User, sent.as_object().unwrap()).unwrap()
}

fn patched(operations: Value) -> Result<Value, ScimError> {
    let mut document = user();
    apply(Resource::User, &mut document, &json!({ "Operations": operations }))?;
    Ok(Value::Object(document))
}

#[test]
fn okta_and_entra_say_inactive_in_four_ways() {
    for operation in [
        json!([{ "op": "replace", "value": { "active": false } }]),
        json!([{ "op": "replace", "path": "active", "value": false }]),
        json!([{ "op": "Replace", "path": "active", "value": "False" }]),
        json!([{ "op": "ADD", "path": "urn:ietf:params:scim:schemas:core:2.0:User:active", "value": false }]),
    ] {
        let found = patched(operation.clone()).unwrap()["active"].clone();
        assert!(found == json!(false) || found == json!("False"), "{operation}: {found}");
    }
}

#[test]
fn entra_names_parts_in_keys_and_values_that_are_not_there_yet() {
    let document = patched(json!([
        { "op": "Add", "value": {
            "name.givenName": "Ana", "emails[type eq \"home\"].value": "a@home.example", "title": "DBA",
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department": "IT",
        } },
        { "op": "Replace", "path": "emails[type eq \"work\"].value", "value": "ana@shop.example" },
        { "op": "Add", "path": "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:employeeNumber", "value": "7" },
        { "op": "Replace", "path": "phoneNumbers[type eq \"work\"].value", "value": "1" },
    ]))
    .unwrap();
    assert_eq!(document["name"], json!({ "givenName": "Ana", "familyName": "Berg" }));
    let emails = json!([
        { "value": "ana@shop.example", "type": "work", "primary": true },
        { "value": "a@home.example", "type": "home" },
    ]);
    assert_eq!(document["emails"], emails);
}

#[test]
fn members_come_and_go_as_providers_write_it() {
    let mut group = Document::from_iter([("displayName".to_owned(), json!("Support"))]);
    let mut apply = |operation: Value| {
        apply(Resource::Group, &mut group, &json!({ "operations": [operation] })).unwrap();
        let members = group.get("members").and_then(Value::as_array).cloned().unwrap_or_default();
        members.iter().map(|member| member["value"].as_str().unwrap().to_owned()).collect::<Vec<_>>().join(",")
    };
    assert_eq!(
        apply(json!({ "op": "Add", "path": "members", "value": [{ "$ref": null, "value": "a" }, { "value": "b" }] })),
        "a,b"
    );
    assert_eq!(
        apply(json!({ "op": "add", "path": "members", "value": [{ "value": "b", "display": "B" }, { "value": "c" }] })),
        "a,b,c"
    );
    assert_eq!(apply(json!({ "op": "Remove", "path": "members", "value": [{ "value": "a" }] })), "b,c");
    assert_eq!(apply(json!({ "op": "remove", "path": "members[value eq \"b\"]" })), "c");
    assert_eq!(apply(json!({ "op": "remove", "path": "members[value eq \"zz\"]" })), "c", "who is not there is gone");
    assert_eq!(apply(json!({ "op": "replace", "path": "members", "value": [{ "value": "d" }] })), "d");
    assert_eq!(apply(json!({ "op": "replace", "value": { "id": "x", "displayName": "Desk" } })), "d");
    assert_eq!(apply(json!({ "op": "remove", "path": "members" })), "");
}

#[test]
fn a_second_primary_value_takes_the_place_of_the_first() {
    let add = json!([{ "op": "add", "path": "emails", "value": { "value": "b@shop.example", "type": "home", "primary": true } }]);
    let document = patched(add).unwrap();
    let primary: Vec<&Value> = document["emails"].as_array().unwrap().iter().map(|email| &email["primary"]).collect();
    assert_eq!(primary, [&json!(false), &json!(true)]);
}

#[test]
fn what_cannot_be_done_is_refused_with_its_type() {
    for (operation, kind) in [
        (json!({ "op": "replace", "path": "id", "value": "x" }), "mutability"),
        (json!({ "op": "remove", "path": "userName" }), "mutability"),
        (json!({ "op": "replace", "path": "noSuchThing", "value": "x" }), "invalidPath"),
        (json!({ "op": "replace", "path": "emails[type eq", "value": "x" }), "invalidPath"),
        (json!({ "op": "replace", "path": "userName[type eq \"x\"]", "value": "x" }), "invalidPath"),
        (json!({ "op": "replace", "path": "emails[type sw \"x\"].value", "value": "x" }), "noTarget"),
        (json!({ "op": "remove" }), "noTarget"),
        (json!({ "op": "move", "path": "active" }), "invalidSyntax"),
        (json!({ "op": "replace", "path": "displayName", "value": 7 }), "invalidValue"),
        (json!({ "op": "replace", "path": "displayName" }), "invalidValue"),
        (json!("x"), "invalidSyntax"),
    ] {
        assert_eq!(patched(json!([operation])).unwrap_err().kind, Some(kind), "{operation}");
    }
    assert_eq!(patched(json!([])).unwrap_err().kind, Some("invalidSyntax"));
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        "[a-zA-Z@. ]{0,12}".prop_map(Value::from),
    ];
    let key = prop_oneof![
        Just("value".to_owned()),
        Just("type".to_owned()),
        Just("primary".to_owned()),
        Just("active".to_owned()),
        Just("emails".to_owned()),
        Just("name.givenName".to_owned()),
        Just("emails[type eq \"work\"].value".to_owned()),
        "[a-zA-Z.:\\[\\]\" ]{0,12}",
    ];
    leaf.prop_recursive(3, 24, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((key.clone(), inner), 0..4)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

fn any_path() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("active".to_owned()),
        Just("emails".to_owned()),
        Just("name".to_owned()),
        Just("NAME.givenname".to_owned()),
        Just("emails.type".to_owned()),
        Just("emails[type eq \"work\"]".to_owned()),
        Just("emails[type eq \"home\" and primary eq true].value".to_owned()),
        Just("emails[not (type eq \"work\")].value".to_owned()),
        Just("displayName".to_owned()),
        Just("userName".to_owned()),
        "[ -~]{0,30}",
        "\\PC{0,20}",
    ]
}

proptest! {
    #[test]
    fn no_patch_breaks_the_shape_of_a_document(
        op in prop_oneof![Just("add"), Just("Replace"), Just("REMOVE")], path in prop::option::of(any_path()), value in any_json(),
    ) {
        let mut document = user();
        let body = json!({ "Operations": [{ "op": op, "path": path, "value": value }] });
        if apply(Resource::User, &mut document, &body).is_ok() {
            prop_assert_eq!(canonical(Resource::User, &document).unwrap(), document.clone(), "{}", body);
            let primaries = document.get("emails").and_then(Value::as_array).into_iter().flatten();
            prop_assert!(primaries.filter(|email| email["primary"] == json!(true)).count() <= 1);
        }
    }

    #[test]
    fn replacing_twice_is_replacing_once(path in any_path(), value in any_json()) {
        // Whoever replaces what a filter looks for may find nothing the second time.
        prop_assume!(!path.ends_with(']'));
        let body = json!({ "Operations": [{ "op": "replace", "path": path, "value": value }] });
        let mut once = user();
        if apply(Resource::User, &mut once, &body).is_ok() {
            let mut twice = once.clone();
            prop_assert_eq!(apply(Resource::User, &mut twice, &body), Ok(()), "{}", &body);
            prop_assert_eq!(twice, once, "{}", body);
        }
    }

    #[test]
    fn any_text_is_a_filter_or_is_refused(text in "\\PC{0,80}") {
        if let Ok(filter) = super::super::filter::parse(Resource::User, &text) {
            super::super::filter::matches(Resource::User, &filter, &Value::Object(user()));
        }
    }
}
