//! Service addresses, names, and what a config routes and dials.

use doorward_control_plane::api::{DeviceAdded, Resource, Routes};
use doorward_model::{Target, TunnelNetwork};
use doorward_store::test_support::TestDatabase;
use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use crate::gateway::{Gateway, Way, hello};
use crate::world::{Settings, World, on_both, public_key};

async fn device(world: &World, name: &str, key: u8, more: Value) -> (StatusCode, Value) {
    let mut body = json!({ "email": "support@shop.example", "name": name, "public_key": public_key(key) });
    body.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
    world.call(Method::POST, "/api/v1/devices", body).await
}

async fn added(world: &World, name: &str, key: u8, more: Value) -> DeviceAdded {
    let (status, answer) = device(world, name, key, more).await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
    serde_json::from_value(answer).unwrap()
}

on_both!(a_resource_shows_its_address_and_name_and_a_lease_carries_them, |world: World| async move {
    world.furnish().await;
    let db = json!({ "name": "customer-db", "targets": ["db.shop.example"], "allow": ["tcp/5432"] });
    let db: Resource = serde_json::from_value(world.post("/api/v1/resources", db).await).unwrap();
    let second = TunnelNetwork::default().service_address(1).unwrap();
    assert_eq!((db.service_v4, db.service_v6), (Some(second.v4), Some(second.v6)));
    assert_eq!(db.dns_name, Some("customer-db.doorward.internal".parse().unwrap()));
    let listed: Vec<Resource> = serde_json::from_value(world.get("/api/v1/resources").await).unwrap();
    assert_eq!(listed[0], db);
    let recorded = &world.get("/api/v1/audit/tail?lines=1").await["rows"][0];
    assert_eq!(recorded["detail"]["service_v4"], json!(second.v4), "{recorded}");

    world
        .post("/api/v1/grants", json!({ "email": "support@shop.example", "resource": "customer-db", "for": "1h" }))
        .await;
    let gateway = Gateway::local(&world, "main").await;
    let rules = &gateway.leases.values().next().unwrap().rules;
    let rule = rules.iter().find(|rule| rule.resource.as_str() == "customer-db").unwrap();
    assert_eq!((rule.service, &rule.targets), (Some(second), &vec!["db.shop.example".parse::<Target>().unwrap()]));

    let (status, answer) = world.call(Method::DELETE, "/api/v1/resources/customer-db", Value::Null).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    let again = json!({ "name": "customer-db", "targets": ["db.shop.example"], "allow": ["tcp/5432"] });
    let again: Resource = serde_json::from_value(world.post("/api/v1/resources", again).await).unwrap();
    assert_eq!(again.service_v4, TunnelNetwork::default().service_address(2).map(|it| it.v4), "the old one rests");
});

on_both!(a_target_inside_the_zone_is_refused, |world: World| async move {
    for own in ["panel.doorward.internal", "DOORWARD.internal."] {
        let body = json!({ "name": "loop", "targets": [own], "allow": ["tcp/1"] });
        let (status, answer) = world.call(Method::POST, "/api/v1/resources", body).await;
        assert_eq!((status, &answer["error"]["code"]), (StatusCode::FORBIDDEN, &json!("refused")), "{answer}");
    }
    assert_eq!(world.get("/api/v1/resources").await, json!([]));
});

on_both!(a_config_routes_the_service_network_alone_or_the_targets_too, |world: World| async move {
    world.furnish().await;
    let targets = added(&world, "one", 11, json!({})).await;
    assert_eq!(targets.client.routes, Routes::Targets);
    assert_eq!(targets.client.allowed_ips, ["10.0.5.10/32".parse().unwrap()]);
    let service = added(&world, "two", 12, json!({ "routes": "service" })).await;
    assert_eq!((service.client.routes, service.client.allowed_ips.len()), (Routes::Service, 0));
    assert!(!service.warnings.iter().any(|it| it.contains("nothing")), "{:?}", service.warnings);
    let first = TunnelNetwork::default().service_address(0).unwrap();
    let reached = &service.resources[0];
    assert_eq!(
        (reached.name.as_str(), reached.service_v4, reached.service_v6),
        ("panel", Some(first.v4), Some(first.v6))
    );
    assert_eq!(reached.dns_name, Some("panel.doorward.internal".parse().unwrap()));
    let shown = serde_json::to_string(&service).unwrap();
    assert!(!shown.contains("10.0.5.10"), "what stands inside is not told: {shown}");
    let (status, answer) = device(&world, "three", 13, json!({ "routes": "everything" })).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{answer}");
    world.post("/api/v1/people", json!({ "email": "new@shop.example", "name": "New", "kind": "staff" })).await;
    let without: DeviceAdded = serde_json::from_value(world.device("new@shop.example", "laptop", 14).await).unwrap();
    assert!(without.resources.is_empty() && without.warnings.iter().any(|it| it.contains("no grant yet")));
});

on_both!(
    whoever_reaches_names_alone_is_not_warned,
    |database: TestDatabase| async move {
        let settings = Settings { routes: Routes::Service, zone: "door.shop.example", ..Settings::default() };
        let world = World::with(database, settings).await;
        let person = json!({ "email": "support@shop.example", "name": "Support", "kind": "staff" });
        world.post("/api/v1/people", person).await;
        let db = json!({ "name": "db", "targets": ["db.shop.example"], "allow": ["tcp/5432"] });
        assert_eq!(world.post("/api/v1/resources", db).await["dns_name"], "db.door.shop.example");
        world.post("/api/v1/grants", json!({ "email": "support@shop.example", "resource": "db", "for": "1h" })).await;
        let gateway = Gateway::local(&world, "main").await;
        for (name, key, routes) in [("one", 1, "targets"), ("two", 2, "service")] {
            let added = added(&world, name, key, json!({ "routes": routes })).await;
            assert_eq!(added.warnings, Vec::<String>::new());
            assert!(added.client.names_answer, "the owner chose a zone of their own");
        }
        assert_eq!(added(&world, "three", 3, json!({})).await.client.routes, Routes::Service);
        drop(gateway);
    },
    database
);

on_both!(
    a_network_without_service_addresses_says_what_is_out_of_reach,
    |database: TestDatabase| async move {
        let network = TunnelNetwork::new("10.99.0.0/28".parse().unwrap(), "fd99::/124".parse().unwrap()).unwrap();
        let world = World::with(database, Settings { network, ..Settings::default() }).await;
        world.furnish().await;
        assert_eq!(world.get("/api/v1/resources").await[0]["service_v4"], Value::Null);
        let lost = |added: DeviceAdded| added.warnings.iter().any(|it| it.contains("panel has no service address"));
        assert!(!lost(added(&world, "one", 11, json!({})).await), "its target is routed");
        assert!(lost(added(&world, "two", 12, json!({ "routes": "service" })).await));
    },
    database
);

on_both!(
    prefixes_are_reached_directly_alone,
    |database: TestDatabase| async move {
        let world = World::on(database).await;
        world.furnish().await;
        let office = json!({ "name": "office", "targets": ["10.0.6.0/24"], "allow": ["tcp/443"] });
        assert_eq!(world.post("/api/v1/resources", office).await["service_v4"], Value::Null);
        world
            .post("/api/v1/grants", json!({ "email": "support@shop.example", "resource": "office", "for": "1h" }))
            .await;
        let lost = |added: DeviceAdded| added.warnings.iter().any(|it| it.contains("office has prefixes"));
        assert!(!lost(added(&world, "one", 11, json!({})).await));
        assert!(lost(added(&world, "two", 12, json!({ "routes": "service" })).await));
    },
    database
);

on_both!(a_port_is_one_that_the_gateway_listens_on, |world: World| async move {
    world.furnish().await;
    let (status, answer) = device(&world, "early", 10, json!({ "port": 443 })).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "nobody knows yet: {answer}");
    let way = Way::Socket(world.socket("feed.sock"));
    let say = async |more: Value| {
        let mut said = hello("main");
        said.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
        way.post("/feed/v1/hello", said).await
    };
    let before = say(json!({})).await;
    assert_eq!(before.0, StatusCode::OK, "a gateway of the release before: {}", before.1);
    let silent = added(&world, "silent", 11, json!({})).await;
    assert!(silent.client.gateways[0].ports.is_empty() && !silent.client.gateways[0].resolver);
    assert!(!silent.client.names_answer, "nobody answers for the default zone");

    assert_eq!(say(json!({ "resolver": true, "ports": [51820, 443, 53, 443] })).await.0, StatusCode::OK);
    let listed = &world.get("/api/v1/gateways").await[0];
    assert_eq!((&listed["ports"], &listed["resolver"]), (&json!([51820, 443, 53]), &json!(true)));
    let chosen = added(&world, "chosen", 12, json!({ "port": 443 })).await;
    assert_eq!(chosen.client.gateways[0].endpoint, "203.0.113.2:443");
    assert!(chosen.client.gateways[0].resolver && chosen.client.names_answer);
    assert_eq!(added(&world, "usual", 13, json!({})).await.client.gateways[0].endpoint, "203.0.113.2:51820");
    let (status, answer) = device(&world, "wrong", 14, json!({ "port": 80 })).await;
    let sentence = answer["error"]["message"].as_str().unwrap();
    assert!(status == StatusCode::BAD_REQUEST && sentence.contains("51820, 443, 53"), "{answer}");
    let devices = world.get("/api/v1/devices").await;
    assert!(!devices.to_string().contains("\"wrong\""), "nothing was enrolled: {devices}");

    for wrong in [json!({ "ports": [0] }), json!({ "ports": (1..20).collect::<Vec<u16>>() })] {
        assert_eq!(say(wrong).await.0, StatusCode::BAD_REQUEST);
    }
    assert_eq!(say(json!({ "resolver": false, "ports": [51820] })).await.0, StatusCode::OK);
    assert_eq!(world.get("/api/v1/gateways").await[0]["resolver"], false, "the last word counts");
});
