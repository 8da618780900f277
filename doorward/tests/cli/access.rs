//! Groups, requests, roles and sponsors, as a person types them.

use crate::harness::ControlPlane;

#[test]
fn a_group_is_granted_access_and_a_member_leaves_with_a_receipt() {
    let server = ControlPlane::start();
    server.with_people();
    let _gateway = server.with_gateway();
    server.run("device add support@shop.example laptop").done();
    assert!(server.run("group list").done().contains("group add"));
    assert!(server.run("group add desk").done().contains("doorward group join desk"));
    server.run("group join desk support@shop.example").done();
    let hours = "mon-fri_00:00-24:00_UTC";
    let granted = server.run(&format!("grant add --group desk customer-db --for 30d --hours {hours}")).done();
    assert!(granted.contains("group desk may use customer-db"), "{granted}");
    let listed = server.run("grant list").done();
    assert!(listed.contains("group desk") && listed.contains("mon-fri 00:00-24:00 UTC"), "{listed}");
    let shown = server.run("group show desk").done();
    assert!(shown.contains("support@shop.example") && shown.contains("customer-db"), "{shown}");
    let person = server.json("person show support@shop.example");
    assert_eq!((&person["groups"][0], &person["grants"][0]["group"]), (&"desk".into(), &"desk".into()));
    let left = server.run("group leave desk support@shop.example").done();
    assert!(left.contains("gateway main enforced it after ") && left.contains("customer-db"), "{left}");
    server.run("group remove desk").done();
    server.run("group show desk").refused(3, "desk");
}

#[test]
fn access_is_asked_for_and_answered() {
    let server = ControlPlane::start();
    server.with_people();
    server.run("resource owner customer-db support@shop.example").done();
    server.run("resource span customer-db 8h").done();
    let asked = server.json("request customer-db --for 2h --reason the_orders --as dba@agency.example");
    let id = asked["id"].as_str().unwrap().to_owned();
    assert_eq!((&asked["state"], &asked["answerable_by"][0]), (&"open".into(), &"support@shop.example".into()));
    assert!(server.run("request list").done().contains(&id));
    let approved = server.run(&format!("approve {id} --for 1h")).done();
    assert!(approved.contains("dba@agency.example may use customer-db"), "{approved}");
    server.run(&format!("deny {id} --reason late")).refused(1, "approved by local:");
    assert!(server.run("request list").done().contains("--all"));
    assert_eq!(server.json("request list --all")[0]["state"], "approved");
    let other = server.json("request customer-db --for 1h --reason more --as dba@agency.example");
    let other = other["id"].as_str().unwrap().to_owned();
    assert!(server.run(&format!("request withdraw {other}")).done().contains("withdrawn"));
    let last = server.json("request customer-db --for 1h --reason more --as dba@agency.example");
    let denied = server.run(&format!("deny {} --reason no", last["id"].as_str().unwrap())).done();
    assert!(denied.contains("denied"), "{denied}");
    server.run("request customer-db --for 9h --reason more --as dba@agency.example").refused(4, "8h at most");
    server.run("request customer-db --for 1h --reason more").refused(2, "--as");
    server.run("request nothing --for 1h --reason more --as dba@agency.example").refused(3, "nothing");
}

#[test]
fn a_sponsor_hands_over_or_takes_along() {
    let server = ControlPlane::start();
    server.with_people();
    let _gateway = server.with_gateway();
    server.run("person add anna@shop.example --name Anna --kind staff").done();
    server.run("person role anna@shop.example approver").done();
    assert!(server.run("person show anna@shop.example").done().contains("an approver"));
    let ran = server.run("person suspend support@shop.example");
    assert!(ran.stderr.contains("doorward person sponsor dba@agency.example"), "{ran:?}");
    assert!(ran.done().contains("dba@agency.example is suspended"));
    server.run("person restore dba@agency.example").refused(4, "person sponsor");
    assert!(server.run("person sponsor dba@agency.example anna@shop.example").done().contains("answers for"));
    server.run("person restore dba@agency.example").done();
    server.run("person restore support@shop.example").done();
    server.run("person offboard anna@shop.example --hand-over-to support@shop.example").done();
    let person = server.json("person show dba@agency.example");
    assert_eq!((&person["sponsor"], &person["state"]), (&"support@shop.example".into(), &"active".into()));
}

#[test]
fn terms_of_a_resource_and_an_exempt_group_are_told_in_words() {
    let server = ControlPlane::start();
    server.with_people();
    assert!(server.run("resource window customer-db 2h").done().contains("2h after a sign-in"));
    assert!(server.run("resource window customer-db off").done().contains("as long as"));
    assert!(server.run("resource span customer-db off").done().contains("30d"));
    assert!(server.run("resource owner customer-db nobody").done().contains("nobody answers"));
    server.run("resource window customer-db 2w").refused(2, "90s, 15m");
    server.run("resource owner customer-db dba@agency.example").refused(4, "contractor");
    server.run("lockdown on --except incident").refused(3, "incident");
    server.run("group add incident").done();
    assert!(server.run("lockdown on --except incident").done().contains("but group incident"));
    assert!(server.run("lockdown status").done().contains("but group incident"));
    assert_eq!(server.json("lockdown status")["except"], "incident");
    server.run("lockdown off").done();
}
