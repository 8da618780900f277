//! The API's use cases, and what it says to wrong input.

use doorward_control_plane::api::{AuditVerdict, DeviceAdded, EndOutcome, ErrorCode, Person, Status};
use doorward_store::test_support::TestDatabase;
use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use crate::gateway::{Gateway, eventually};
use crate::world::{Settings, World, on_both, public_key};

async fn refusal(world: &World, method: Method, path: &str, body: Value) -> (StatusCode, ErrorCode, String) {
    let (status, answer) = world.call(method, path, body).await;
    let code = serde_json::from_value(answer["error"]["code"].clone())
        .unwrap_or_else(|_| panic!("no error: {status} {answer}"));
    (status, code, answer["error"]["message"].as_str().unwrap().to_owned())
}

on_both!(a_contractor_is_granted_a_resource_and_put_out, |world: World| async move {
    world.furnish().await;
    let dba = json!({
        "email": "DBA@agency.example", "name": "Agency DBA", "kind": "contractor",
        "sponsor": "support@shop.example", "until": "4d",
    });
    world.post("/api/v1/people", dba).await;
    world
        .post("/api/v1/resources", json!({ "name": "customer-db", "targets": ["10.0.5.20"], "allow": ["tcp/5432"] }))
        .await;
    let grant = json!({ "email": "dba@agency.example", "resource": "customer-db", "for": "8h", "reason": "migrate" });
    let grant = world.post("/api/v1/grants", grant).await;
    assert_eq!(grant["state"], "active");
    let added: DeviceAdded = serde_json::from_value(world.device("dba@agency.example", "laptop", 2).await).unwrap();
    assert_eq!(added.client.allowed_ips, ["10.0.5.20/32".parse().unwrap()]);
    assert_eq!((added.client.mtu, added.client.addresses.len()), (1280, 2));
    assert!(added.warnings.iter().any(|warning| warning.contains("no gateway")), "{:?}", added.warnings);

    let person: Person = serde_json::from_value(world.get("/api/v1/people/dba@agency.example").await).unwrap();
    assert_eq!((person.devices.len(), person.grants.len()), (1, 1));
    assert_eq!(person.sponsor, Some("support@shop.example".parse().unwrap()));

    let outcome = world.post("/api/v1/people/dba@agency.example/offboard", json!({ "reason": "contract ended" })).await;
    let outcome: EndOutcome = serde_json::from_value(outcome).unwrap();
    assert_eq!((outcome.ended.devices.len(), outcome.ended.grants.len()), (1, 1));
    let person = world.get("/api/v1/people/dba@agency.example").await;
    assert_eq!(person["state"], "departed");
    assert_eq!((&person["devices"][0]["state"], &person["grants"][0]["state"]), (&json!("revoked"), &json!("revoked")));

    // Once more is no error, and ends nothing.
    let again = world.post("/api/v1/people/dba@agency.example/offboard", Value::Null).await;
    assert_eq!(again["ended"]["devices"], json!([]));
    // The person comes back, and nothing else.
    let back = world.post("/api/v1/people/dba@agency.example/restore", Value::Null).await;
    assert_eq!((&back["state"], &back["devices"][0]["state"]), (&json!("active"), &json!("revoked")));
});

on_both!(what_was_done_is_in_the_audit_and_its_chain_holds, |world: World| async move {
    world.furnish().await;
    let tail = world.get("/api/v1/audit/tail?lines=2").await;
    let actions: Vec<&str> =
        tail["rows"].as_array().unwrap().iter().map(|row| row["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["grant.add", "device.add"]);
    assert!(tail["rows"][0]["actor"].as_str().unwrap().starts_with("local:"), "{tail}");
    let page = world.get("/api/v1/audit?after=0&limit=3").await;
    assert_eq!((page["rows"].as_array().unwrap().len(), &page["next"]), (3, &json!(3)));
    let rest = world.get("/api/v1/audit?after=3").await;
    assert_eq!((rest["rows"][0]["seq"].as_u64(), &rest["next"]), (Some(4), &Value::Null));
    assert_eq!(rest["rows"][0]["previous_hash"], page["rows"][2]["hash"]);
    let verdict: AuditVerdict = serde_json::from_value(world.get("/api/v1/audit/verify").await).unwrap();
    assert!(verdict.intact && verdict.rows == 4, "{verdict:?}");
});

on_both!(wrong_input_gets_its_sentence_and_changes_nothing, |world: World| async move {
    world.furnish().await;
    let before = world.get("/api/v1/audit/verify").await;
    let (post, get, delete) = (Method::POST, Method::GET, Method::DELETE);
    let person = |email: &str, kind: &str| json!({ "email": email, "name": "N", "kind": kind });
    let grant = |limit: Value| {
        let mut body = json!({ "email": "support@shop.example", "resource": "panel" });
        body.as_object_mut().unwrap().extend(limit.as_object().unwrap().clone());
        body
    };
    let device = |key: &str, name: &str| json!({ "email": "support@shop.example", "name": name, "public_key": key });
    let cases = [
        (&get, "/api/v1/people/nobody@shop.example", Value::Null, ErrorCode::NotFound, "doorward person list"),
        (&get, "/api/v1/people/nobody", Value::Null, ErrorCode::Invalid, "no email address"),
        (&post, "/api/v1/people", person("support@shop.example", "staff"), ErrorCode::Conflict, "exists already"),
        (&post, "/api/v1/people", person("no", "staff"), ErrorCode::Invalid, "email: `no` is no email address"),
        (&post, "/api/v1/people", person("c@agency.example", "contractor"), ErrorCode::Refused, "--sponsor"),
        (
            &post,
            "/api/v1/people",
            json!({ "email": "x@y.example", "name": "N", "kind": "staff", "role": "admin" }),
            ErrorCode::Invalid,
            "role",
        ),
        (&post, "/api/v1/people/nobody@shop.example/offboard", Value::Null, ErrorCode::NotFound, "nobody@shop.example"),
        (
            &post,
            "/api/v1/resources",
            json!({ "name": "x", "targets": ["10.0.5.1/24"], "allow": ["tcp/1"] }),
            ErrorCode::Invalid,
            "host bits",
        ),
        (
            &post,
            "/api/v1/resources",
            json!({ "name": "x", "targets": ["10.0.5.1"], "allow": ["tcp/70000"] }),
            ErrorCode::Invalid,
            "65535",
        ),
        (
            &post,
            "/api/v1/resources",
            json!({ "name": "panel", "targets": ["10.0.5.1"], "allow": ["tcp/1"] }),
            ErrorCode::Conflict,
            "panel",
        ),
        (&delete, "/api/v1/resources/nothing", Value::Null, ErrorCode::NotFound, "doorward resource list"),
        (&post, "/api/v1/grants", grant(json!({ "for": "0h" })), ErrorCode::Invalid, "no time at all"),
        (&post, "/api/v1/grants", grant(json!({ "until": "2020-01-01T00:00:00Z" })), ErrorCode::Invalid, "in the past"),
        (&post, "/api/v1/grants", grant(json!({})), ErrorCode::Invalid, "needs an end"),
        (
            &post,
            "/api/v1/grants",
            json!({ "email": "support@shop.example", "resource": "none", "for": "1h" }),
            ErrorCode::NotFound,
            "none",
        ),
        (&post, "/api/v1/devices", device(&public_key(1), "other"), ErrorCode::Conflict, "used once"),
        (&post, "/api/v1/devices", device(&public_key(3), "laptop"), ErrorCode::Conflict, "laptop"),
        (
            &post,
            "/api/v1/devices",
            device("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "x"),
            ErrorCode::Invalid,
            "low-order",
        ),
        (&post, "/api/v1/devices", device(&public_key(3), "a b"), ErrorCode::Invalid, "name"),
        (&get, "/api/v1/audit?limit=5000", Value::Null, ErrorCode::Invalid, "1 to 1000"),
        (&get, "/api/v1/audit?since=1", Value::Null, ErrorCode::Invalid, "since"),
        (&get, "/api/v1/nothing", Value::Null, ErrorCode::NotFound, "openapi"),
        (&post, "/api/v1/tokens", json!({ "name": "a\nb" }), ErrorCode::Invalid, "letters"),
    ];
    for (method, path, body, code, words) in cases {
        let (status, found, message) = refusal(&world, method.clone(), path, body.clone()).await;
        assert_eq!((found, status), (code, code.status()), "{method} {path} {body}: {message}");
        assert!(message.contains(words), "{method} {path} {body}: {message}");
    }
    let (status, found, message) = refusal(&world, Method::PATCH, "/api/v1/people", Value::Null).await;
    assert_eq!((found, status), (ErrorCode::Invalid, StatusCode::METHOD_NOT_ALLOWED), "{message}");
    assert!(message.contains("method"), "{message}");
    assert_eq!(world.get("/api/v1/audit/verify").await, before, "nothing was recorded, so nothing was changed");
});

on_both!(
    an_address_pool_that_is_full_says_so,
    |database| async move {
        let network =
            doorward_model::TunnelNetwork::new("10.99.0.0/30".parse().unwrap(), "fd99::/126".parse().unwrap()).unwrap();
        let world = World::with(database, Settings { network, ..Settings::default() }).await;
        let device = world.furnish().await;
        let body = json!({ "email": "support@shop.example", "name": "phone", "public_key": public_key(2) });
        let (_, code, message) = refusal(&world, Method::POST, "/api/v1/devices", body.clone()).await;
        assert!(code == ErrorCode::Unavailable && message.contains("[network]"), "{message}");
        // The address rests after a revocation, so it is not handed on.
        world.post(&format!("/api/v1/devices/{}/revoke", device["id"].as_str().unwrap()), Value::Null).await;
        let (_, code, message) = refusal(&world, Method::POST, "/api/v1/devices", body).await;
        assert!(code == ErrorCode::Unavailable && message.contains("1 rest"), "{message}");
    },
    database
);

on_both!(a_token_opens_https_until_it_is_revoked, |world: World| async move {
    let made = world.post("/api/v1/tokens", json!({ "name": "ci" })).await;
    let token = made["token"].as_str().unwrap();
    assert!(token.starts_with("dwt1_") && token.len() == 48, "256 bits in base64");
    let (status, _) = world.https(Method::GET, "/api/v1/people", Some(token), Value::Null).await;
    assert_eq!(status, StatusCode::OK);
    for wrong in [None, Some("dwt1_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"), Some(""), Some(&token[..47])] {
        let (status, answer) = world.https(Method::GET, "/api/v1/people", wrong, Value::Null).await;
        assert_eq!((status, &answer["error"]["code"]), (StatusCode::UNAUTHORIZED, &json!("unauthenticated")));
    }
    let person = json!({ "email": "a@shop.example", "name": "A", "kind": "staff" });
    let (status, _) = world.https(Method::POST, "/api/v1/people", Some(token), person).await;
    assert_eq!(status, StatusCode::CREATED);
    assert_eq!(world.get("/api/v1/audit/tail?lines=1").await["rows"][0]["actor"], "token:ci");
    assert_eq!(world.get("/api/v1/tokens").await[0]["name"], "ci");
    assert!(!world.get("/api/v1/tokens").await.to_string().contains("dwt1_"));
    let (status, _) = world.call(Method::DELETE, "/api/v1/tokens/ci", Value::Null).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    let (status, _) = world.https(Method::GET, "/api/v1/people", Some(token), Value::Null).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
});

on_both!(ends_that_time_brings_are_recorded_once, |world: World| async move {
    world.furnish().await;
    let world = &world;
    world.post("/api/v1/grants", json!({ "email": "support@shop.example", "resource": "panel", "for": "1s" })).await;
    let short = json!({ "email": "support@shop.example", "name": "kiosk", "public_key": public_key(9), "for": "1s" });
    world.post("/api/v1/devices", short).await;
    let contractor = json!({
        "email": "c@agency.example", "name": "C", "kind": "contractor", "sponsor": "support@shop.example", "until": "1s",
    });
    world.post("/api/v1/people", contractor).await;
    let count = |rows: &Value, action: &str| {
        rows["rows"].as_array().unwrap().iter().filter(|row| row["action"] == action).count()
    };
    eventually(|| async {
        let rows = world.get("/api/v1/audit").await;
        let all = ["grant.end", "device.end", "person.end"].iter().all(|action| count(&rows, action) > 0);
        all.then_some(())
    })
    .await;
    assert_eq!(world.get("/api/v1/devices?email=support@shop.example").await[1]["state"], "revoked");
    // A later round finds nothing to do: wait for one by an end that comes later.
    world.post("/api/v1/grants", json!({ "email": "support@shop.example", "resource": "panel", "for": "1s" })).await;
    let rows = eventually(|| async {
        let rows = world.get("/api/v1/audit").await;
        (count(&rows, "grant.end") > 1).then_some(rows)
    })
    .await;
    assert_eq!((count(&rows, "grant.end"), count(&rows, "device.end"), count(&rows, "person.end")), (2, 1, 1));
});

on_both!(a_restart_keeps_everything_and_a_second_server_is_refused, |world: World| async move {
    world.furnish().await;
    let second = crate::world::config(world.folder.path(), world.database.url(), Settings::default());
    let refused = doorward_control_plane::run(second, doorward_control_plane::Shutdown::new()).await.unwrap_err();
    assert!(refused.to_string().contains("another Doorward serves"), "{refused}");
    let digest = world.ready.certificate_sha256.clone();
    let world = world.restarted().await;
    assert_eq!(world.get("/api/v1/people").await[0]["devices"][0]["name"], "laptop");
    assert_eq!(world.ready.certificate_sha256, digest, "the certificate stays");
});

on_both!(
    a_stale_socket_is_replaced_and_a_taken_port_is_named,
    |database: TestDatabase| async move {
        let folder = tempfile::tempdir().unwrap();
        drop(std::os::unix::net::UnixListener::bind(folder.path().join("admin.sock")).unwrap());
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut config = crate::world::config(folder.path(), database.url(), Settings::default());
        config.server.listen = taken.local_addr().unwrap();
        let refused = doorward_control_plane::run(config, doorward_control_plane::Shutdown::new()).await.unwrap_err();
        assert!(refused.to_string().contains("another program has this port"), "{refused}");
        assert!(!folder.path().join("admin.sock").exists());
    },
    database
);

on_both!(status_counts_what_there_is, |world: World| async move {
    world.furnish().await;
    let gateway = Gateway::local(&world, "main").await;
    let status: Status = serde_json::from_value(world.get("/api/v1/status").await).unwrap();
    assert_eq!((status.people, status.devices, status.grants, status.lockdown.on), (1, 1, 1, false));
    let found = &status.gateways[0];
    assert!(found.connected && found.endpoint.as_deref() == Some("203.0.113.2:51820"), "{found:?}");
    assert_eq!(found.revision, Some(gateway.held.0));
});

on_both!(health_is_told_to_anybody_and_answers_carry_their_headers, |world: World| async move {
    for path in ["/healthz", "/readyz"] {
        let answer = crate::world::request(world.tls().await, Method::GET, path, None, Value::Null).await;
        assert_eq!(answer.status(), StatusCode::NO_CONTENT, "{path}");
        assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
        assert_eq!(answer.headers()["cache-control"], "no-store");
        assert!(answer.headers().contains_key("x-request-id"));
    }
    assert_eq!(world.announce("/api/v1/people", 2_000_000).await, "HTTP/1.1 400");
});
