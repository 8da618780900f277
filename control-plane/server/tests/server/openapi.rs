//! What the description promises, for each route that it lists.

use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use crate::world::{World, on_both};

/// Every route with its method, from the description itself.
async fn routes(world: &World) -> Vec<(Method, String)> {
    let (status, description) = world.https(Method::GET, "/api/openapi.json", None, Value::Null).await;
    assert_eq!(status, StatusCode::OK);
    let paths = description["paths"].as_object().unwrap();
    let routes = paths.iter().flat_map(|(path, item)| {
        let methods = item.as_object().unwrap().keys().filter_map(|method| method.to_uppercase().parse().ok());
        methods.map(move |method| (method, path.clone()))
    });
    routes.collect()
}

fn filled(path: &str) -> String {
    path.replace("{email}", "nobody@shop.example")
        .replace("{id}", "0192f0c1-7a3e-7cc1-b2f4-0123456789ab")
        .replace("{name}", "nothing")
}

on_both!(every_route_refuses_without_a_credential, |world: World| async move {
    let routes = routes(&world).await;
    assert!(routes.len() >= 27, "the description lists {} routes", routes.len());
    for (method, path) in routes {
        let (status, answer) = world.https(method.clone(), &filled(&path), None, json!({})).await;
        assert_eq!(
            (status, &answer["error"]["code"]),
            (StatusCode::UNAUTHORIZED, &json!("unauthenticated")),
            "{method} {path}"
        );
    }
});

on_both!(every_route_answers_unknown_things_in_the_errors_shape, |world: World| async move {
    let mut refused = 0;
    for (method, path) in routes(&world).await {
        let wrong = if method == Method::GET { Value::Null } else { json!({ "unexpected": 1 }) };
        let (status, answer) = world.call(method.clone(), &filled(&path), wrong).await;
        if method == Method::GET && !path.contains('{') {
            assert_eq!(status, StatusCode::OK, "{path}: {answer}");
            continue;
        }
        // What takes no body and names nothing can only find that there is nothing to do.
        let expected = match path.as_str() {
            "/api/v1/gateways/accept-restored" => status == StatusCode::CONFLICT,
            _ => matches!(status, StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND),
        };
        assert!(expected && answer["error"]["message"].is_string(), "{method} {path}: {status} {answer}");
        refused += 1;
    }
    assert!(refused >= 15);
});

/// Every `$ref` in a value.
fn references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get("$ref").and_then(Value::as_str).map(str::to_owned));
            fields.values().for_each(|field| references(field, found));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Every string in a schema of which nothing is said but that it is one, with where it stands.
fn bare_strings(schema: &Value, at: &str, found: &mut Vec<String>) {
    let says = ["pattern", "format", "enum", "$ref"].iter().any(|word| schema.get(word).is_some());
    if schema["type"].as_str() == Some("string") && !says {
        found.push(at.to_owned());
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        bare_strings(property, &format!("{at}.{name}"), found);
    }
    bare_items(schema, at, found);
}

fn bare_items(schema: &Value, at: &str, found: &mut Vec<String>) {
    for forms in ["oneOf", "anyOf"] {
        schema[forms].as_array().into_iter().flatten().for_each(|form| bare_strings(form, at, found));
    }
    if schema.get("items").is_some() {
        bare_strings(&schema["items"], at, found);
    }
}

on_both!(every_reference_of_the_description_resolves, |world: World| async move {
    let (_, description) = world.https(Method::GET, "/api/openapi.json", None, Value::Null).await;
    let mut found = Vec::new();
    references(&description, &mut found);
    assert!(found.len() > 300, "{} references", found.len());
    for reference in found {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(description.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
});

on_both!(every_text_of_a_request_has_its_form, |world: World| async move {
    let (_, description) = world.https(Method::GET, "/api/openapi.json", None, Value::Null).await;
    let (mut found, mut spared) = (Vec::new(), 0);
    let schemas = description["components"]["schemas"].as_object().unwrap();
    for (name, schema) in schemas.iter().filter(|(_, schema)| schema["additionalProperties"] == json!(false)) {
        bare_strings(schema, name, &mut found);
    }
    for (path, item) in description["paths"].as_object().unwrap() {
        for operation in item.as_object().unwrap().values() {
            let body = &operation["requestBody"];
            spared += usize::from(body.is_object() && body.get("required").is_none());
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                bare_strings(&parameter["schema"], &format!("{path} {}", parameter["name"]), &mut found);
            }
        }
    }
    assert_eq!(found, Vec::<String>::new());
    assert_eq!(spared, 9, "bodies that may be left out");
});
