//! Service addresses, names, and what a config routes, resolves and dials.

use crate::harness::{ControlPlane, Ran};

/// The first two service addresses of the default network.
const FIRST: [&str; 2] = ["100.80.255.254", "fd64:6f6f:7277::fffe"];
const SECOND: [&str; 2] = ["100.80.255.253", "fd64:6f6f:7277::fffd"];

fn lines<'a>(config: &'a str, key: &str) -> Vec<&'a str> {
    config.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix(" = ")).collect()
}

#[test]
fn a_resource_is_shown_with_its_address_and_its_name() {
    let server = ControlPlane::start();
    let added = server.run("resource add panel --target 10.0.5.10 --allow tcp/443").done();
    assert!(FIRST.iter().all(|address| added.contains(address)), "{added}");
    let db = server.json("resource add db --target db.shop.example --allow tcp/5432");
    assert_eq!((&db["service_v4"], &db["service_v6"]), (&SECOND[0].into(), &SECOND[1].into()));
    assert_eq!((&db["dns_name"], &db["targets"][0]), (&"db.doorward.internal".into(), &"db.shop.example".into()));
    let table = server.run("resource list").done();
    for word in [FIRST[0], SECOND[1], "db.doorward.internal", "db.shop.example"] {
        assert!(table.contains(word), "{word} is not in {table}");
    }
    assert_eq!(server.json("resource list")[0]["service_v4"], SECOND[0]);
    server.run("resource add loop --target panel.doorward.internal --allow tcp/1").refused(4, "own zone");
    server.run("resource add loop --target panel..internal --allow tcp/1").refused(2, "no target");
}

#[test]
fn records_are_what_a_zone_or_a_hosts_file_takes() {
    let server = ControlPlane::start_with("[network]\nzone = \"door.shop.example\"\n");
    let empty = server.run("resource records");
    assert!(empty.code == 0 && empty.stdout.is_empty() && empty.stderr.contains("no record"), "{empty:?}");
    server.run("resource add panel --target 10.0.5.10 --allow tcp/443").done();
    let zone = server.run("resource records").done();
    assert_eq!(
        zone,
        format!("panel.door.shop.example. 300 IN A {}\npanel.door.shop.example. 300 IN AAAA {}\n", FIRST[0], FIRST[1])
    );
    let hosts = server.run("resource records --format hosts").done();
    assert_eq!(hosts, format!("{} panel.door.shop.example\n{} panel.door.shop.example\n", FIRST[0], FIRST[1]));
    let json = server.json("resource records");
    assert_eq!((&json[1]["type"], &json[1]["address"]), (&"AAAA".into(), &FIRST[1].into()));
    server.run("resource add ends-with- --target 10.0.5.11 --allow tcp/443").done();
    let ran = server.run("resource records");
    assert!(ran.code == 0 && ran.stdout == zone && ran.stderr.contains("ends-with- is left out"), "{ran:?}");
}

#[test]
fn a_config_for_service_addresses_tells_nothing_of_the_inside() {
    let server = ControlPlane::start_with("[network]\nroutes = \"service\"\n");
    server.with_people();
    let _gateway = server.with_gateway();
    let ran = server.run("device add dba@agency.example laptop");
    let config = &ran.stdout;
    assert_eq!(lines(config, "AllowedIPs"), ["100.80.0.0/16, fd64:6f6f:7277::/64"]);
    assert!(!config.contains("10.0.5.20"), "{config}");
    let comment = format!("# Reaches customer-db at {}, {} (tcp/5432)", FIRST[0], FIRST[1]);
    assert!(config.lines().any(|line| line == comment), "{config}");
    assert!(lines(config, "DNS").is_empty(), "no resolver of ours answers: {config}");
    assert!(!config.contains("doorward.internal"), "nobody answers for that name: {config}");
    for word in ["SERVICE ADDRESS", FIRST[0], FIRST[1], "customer-db.doorward.internal", "tcp/5432"] {
        assert!(ran.stderr.contains(word), "{word} is not in {}", ran.stderr);
    }
    assert!(!ran.stderr.contains("warning"), "{ran:?}");

    let json = server.json("device add dba@agency.example tablet");
    let reached = &json["resources"][0];
    assert_eq!((&reached["name"], &reached["allow"][0]), (&"customer-db".into(), &"tcp/5432".into()));
    assert_eq!((&reached["service_v4"], &reached["service_v6"]), (&FIRST[0].into(), &FIRST[1].into()));
    assert_eq!(reached["dns_name"], "customer-db.doorward.internal");
    assert!(server.run("person show dba@agency.example").done().contains(FIRST[0]));
    let granted = &server.json("grant list")[0];
    assert_eq!((&granted["service_v4"], &granted["service_v6"]), (&FIRST[0].into(), &FIRST[1].into()));
    assert_eq!(granted["dns_name"], "customer-db.doorward.internal");

    let with_targets = server.run("device add dba@agency.example desktop --routes targets").done();
    assert_eq!(lines(&with_targets, "AllowedIPs"), ["10.0.5.20/32, 100.80.0.0/16, fd64:6f6f:7277::/64"]);
    server.run("device add dba@agency.example other --routes all").refused(2, "service");
}

#[test]
fn a_resolver_and_other_ports_are_named_where_the_gateway_has_them() {
    let server = ControlPlane::start();
    server.with_people();
    let _gateway = server.with_gateway_that(true, &[51820, 443, 53]);
    let config = server.run("device add dba@agency.example laptop --routes service").done();
    assert_eq!(lines(&config, "DNS"), ["100.80.0.1, fd64:6f6f:7277::1"]);
    assert_eq!(lines(&config, "Endpoint"), ["203.0.113.2:51820"]);
    assert!(config.contains(", customer-db.doorward.internal (tcp/5432)\n"), "{config}");
    let hint = "# If this network blocks UDP port 51820, change it in Endpoint to one of 443, 53.\n";
    assert!(config.contains(hint), "{config}");

    let config = server.run("device add dba@agency.example tablet --port 443").done();
    assert_eq!(lines(&config, "Endpoint"), ["203.0.113.2:443"]);
    assert!(config.contains("# If this network blocks UDP port 443, change it in Endpoint to one of 51820, 53.\n"));
    let before = server.json("device list");
    server.run("device add dba@agency.example phone --port 80").refused(2, "does not listen on UDP port 80");
    server.run("device add dba@agency.example phone --port 0").refused(2, "--port");
    assert_eq!(server.json("device list"), before, "nothing was enrolled");
}

#[test]
fn a_qr_code_carries_no_comments() {
    let server = ControlPlane::start();
    server.with_people();
    let _gateway = server.with_gateway();
    for number in 0..25 {
        server.run(&format!("resource add r{number} --target 10.0.6.{number} --allow tcp/443")).done();
        server.run(&format!("grant add dba@agency.example r{number} --for 8h")).done();
    }
    let ran = Ran::run(&mut server.line("device add dba@agency.example phone --routes service --qr"));
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stdout.contains('█') && !ran.stdout.contains("# Reaches"), "{}", ran.stdout);
    assert!(ran.stderr.contains("r24"), "{}", ran.stderr);
}
