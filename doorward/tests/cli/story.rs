//! The main job, as a person types it, and the shapes that programs read.

use crate::harness::{ControlPlane, Ran, wait_until};

#[test]
fn a_contractor_is_let_in_and_put_out_with_a_receipt() {
    let server = ControlPlane::start();
    server.with_people();
    let _gateway = server.with_gateway();
    server.run("device add dba@agency.example laptop").done();

    let person = server.json("person show dba@agency.example");
    assert_eq!((&person["kind"], &person["state"]), (&"contractor".into(), &"active".into()));
    assert_eq!(person["devices"].as_array().map(Vec::len), Some(1));
    assert_eq!(person["grants"][0]["resource"], "customer-db");
    assert_eq!(person["grants"][0]["reason"], "migrate");
    let shown = server.run("person show dba@agency.example").done();
    assert!(shown.contains("laptop") && shown.contains("customer-db"), "{shown}");

    let outcome = server.json("person offboard dba@agency.example --reason contract_ended");
    assert_eq!(outcome["receipts"][0]["gateway"], "main");
    assert!(outcome["receipts"][0]["enforced_after_ms"].is_u64(), "{outcome}");
    let person = server.json("person show dba@agency.example");
    assert_eq!(person["state"], "departed");
    assert_eq!(person["devices"][0]["state"], "revoked");
    assert_eq!(person["grants"][0]["state"], "revoked");
}

#[test]
fn several_people_end_with_one_command_and_one_that_is_unknown_holds_up_nobody() {
    let server = ControlPlane::start();
    server.with_people();
    let ran = server.run("person offboard dba@agency.example nobody@shop.example support@shop.example --json");
    assert!(ran.code == 3 && ran.stderr.contains("nobody@shop.example"), "{ran:?}");
    let ended: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("{}", ran.stdout));
    let emails: Vec<_> = ended.as_array().unwrap().iter().map(|one| one["email"].as_str().unwrap()).collect();
    assert_eq!(emails, ["dba@agency.example", "support@shop.example"]);
    assert_eq!(server.json("person show support@shop.example")["state"], "departed");
    let told = server.run("person endings dba@agency.example").done();
    assert!(told.contains("person.offboard by local:0"), "{told}");
    server.run("person suspend").refused(2, "EMAIL");
}

#[test]
fn revocations_are_told_in_words_with_their_milliseconds() {
    let server = ControlPlane::start();
    server.with_people();
    let _gateway = server.with_gateway();
    server.run("device add support@shop.example laptop").done();
    server.run("device add support@shop.example phone").done();
    server.run("device add dba@agency.example laptop").done();
    server.run("grant add support@shop.example customer-db --for 8h").done();
    let grant = server.json("grant list --email support@shop.example")[0]["id"].as_str().unwrap().to_owned();
    let device = server.json("device list --email support@shop.example")[0]["id"].as_str().unwrap().to_owned();
    for line in [
        format!("grant revoke {grant}"),
        format!("device revoke {device}"),
        "person suspend dba@agency.example".to_owned(),
        "person offboard support@shop.example".to_owned(),
        "lockdown on --reason drill".to_owned(),
    ] {
        let words = server.run(&line).done();
        assert!(words.contains("gateway main enforced it after ") && words.contains(" ms"), "{line}: {words}");
    }
    assert!(server.run("lockdown status").done().contains("lockdown is ON"));
    server.run("lockdown off").done();
    assert_eq!(server.json("lockdown status")["on"], false);
    // Who answered for the contractor comes back first.
    server.run("person restore support@shop.example").done();
    assert!(server.run("person restore dba@agency.example").done().contains("active"));
}

#[test]
fn a_gateway_that_is_away_is_a_warning_and_not_a_receipt() {
    let server = ControlPlane::start();
    server.with_people();
    let gateway = server.with_gateway();
    server.run("device add dba@agency.example laptop").done();
    drop(gateway);
    wait_until("the gateway is gone", || server.json("status")["gateways"][0]["connected"] == false);
    let ran = server.run("person suspend dba@agency.example");
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(
        ran.stderr.contains("warning: gateway main is not connected") && ran.stderr.contains("ends by itself"),
        "{ran:?}"
    );
    assert!(!ran.stdout.contains("enforced it"), "{ran:?}");
}

#[test]
fn status_names_gateways_and_what_they_enforce() {
    let server = ControlPlane::start();
    server.with_people();
    let _gateway = server.with_gateway();
    wait_until("the gateway has confirmed", || {
        let status = server.json("status");
        status["gateways"][0]["revision"] == status["revision"]
    });
    let gateway = &server.json("status")["gateways"][0];
    assert_eq!((&gateway["name"], &gateway["connected"]), (&"main".into(), &true.into()));
    assert!(gateway["devices_active"].is_u64());
    assert!(server.run("status").done().contains("main"));
    assert!(server.run("gateway list").done().contains("203.0.113.2:51820"));
}

#[test]
fn the_audit_log_names_who_did_what_and_its_export_is_whole() {
    let server = ControlPlane::start();
    server.with_people();
    let tail = server.run("audit tail").done();
    assert!(tail.contains("dba@agency.example"), "{tail}");
    server.run("audit verify").done();
    let out = server.data().join("audit.jsonl");
    Ran::run(server.line("audit export --format jsonl --out").arg(&out)).done();
    let text = std::fs::read_to_string(&out).unwrap();
    let rows: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(Some(rows.len()), server.json("audit tail --lines 1000").as_array().map(Vec::len));
    assert!(rows.iter().zip(1_u64..).all(|(row, seq)| row["seq"] == seq), "{text}");
    Ran::run(server.line("audit export --out").arg(&out)).refused(1, "free");
    assert_eq!(server.run("audit export").done(), text);
}

#[test]
fn links_are_printed_once_and_made_where_they_may_be() {
    let server = ControlPlane::start();
    server.with_people();
    let words = server.run("owner link").done();
    let link = words.lines().next().unwrap().to_owned();
    assert!(link.starts_with(&format!("{}/setup/", server.url())) && words.contains("works once"), "{words}");
    assert_ne!(server.json("owner link")["url"], link.as_str());
    let made = server.json("person invite dba@agency.example");
    assert!(made["url"].as_str().unwrap().starts_with(&format!("{}/join/", server.url())), "{made}");
    assert_eq!((&made["mailed"], &made["warnings"]), (&false.into(), &serde_json::json!([])));
    assert!(server.run("person invite dba@agency.example").done().contains("Hand it to them yourself"));
    server.run("person invite nobody@shop.example").refused(3, "nobody@shop.example");
    server.run("person suspend dba@agency.example").done();
    server.run("person invite dba@agency.example").refused(4, "suspended");
    // The secret is in nothing that is kept.
    let secret = link.rsplit('/').next().unwrap();
    let kept = std::fs::read(server.data().join("doorward.db")).unwrap();
    let wal = std::fs::read(server.data().join("doorward.db-wal")).unwrap_or_default();
    assert!(secret.len() == 43 && ![kept, wal].iter().any(|file| file.windows(43).any(|it| it == secret.as_bytes())));
    server.run("login").refused(2, "--server");
}

#[test]
fn lists_are_tables_for_people_and_say_so_when_empty() {
    let server = ControlPlane::start();
    for (line, word) in [
        ("person list", "person add"),
        ("resource list", "resource add"),
        ("grant list", "grant add"),
        ("device list", "device add"),
        ("token list", "token add"),
    ] {
        assert!(server.run(line).done().contains(word), "{line}");
    }
    server.with_people();
    let people = server.run("person list").done();
    assert!(people.contains("EMAIL") && people.contains("Agency DBA"), "{people}");
    assert!(server.run("resource list").done().contains("tcp/5432"));
}
