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
        let expected = matches!(status, StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND);
        assert!(expected && answer["error"]["message"].is_string(), "{method} {path}: {status} {answer}");
        refused += 1;
    }
    assert!(refused >= 15);
});
