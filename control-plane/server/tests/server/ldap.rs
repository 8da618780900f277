//! A directory that is asked over LDAP: who is suspended for what it says, who never is, and what is no answer.

use std::time::Duration;

use doorward_control_plane::{ControlPlaneConfig, DirectoryTerms, LdapSection, Shutdown, run_announcing};
use doorward_store::test_support::TestDatabase;
use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use crate::gateway::{Gateway, eventually};
use crate::scim_client::Scim;
use crate::slapd::Slapd;
use crate::world::{Settings, World, config, on_both};

const SUPPORT: &str = "support@shop.example";

async fn state(world: &World, name: &str) -> Value {
    world.get(&format!("/api/v1/people/{name}@shop.example")).await["state"].clone()
}

async fn staff(world: &World, names: &[&str]) {
    for name in names {
        let email = format!("{name}@shop.example");
        world.post("/api/v1/people", json!({ "email": email, "name": "Somebody", "kind": "staff" })).await;
    }
}

/// Settings live as long as the test's process.
fn asking(section: LdapSection) -> Settings {
    Settings { ldap: Some(Box::leak(Box::new(section))), ..Settings::default() }
}

/// Starts a server, and waits until the round after its start is over.
async fn start(database: TestDatabase, settings: Settings) -> World {
    let world = World::with(database, settings).await;
    eventually(|| async {
        let it = world.get("/api/v1/status").await["directory"].clone();
        (it["asked_at"].is_string() || it["failures"] != 0).then_some(())
    })
    .await;
    world
}

/// Has a round by hand, once no other one is under way.
async fn round(world: &World) -> (StatusCode, Value) {
    eventually(|| async {
        let (status, answer) = world.call(Method::POST, "/api/v1/sources/ldap/poll", json!({})).await;
        (status != StatusCode::CONFLICT).then_some((status, answer))
    })
    .await
}

async fn poll(world: &World) -> Value {
    let (status, answer) = round(world).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    answer
}

/// Has a round that comes to nothing, and returns why.
async fn failing(world: &World) -> String {
    let (status, answer) = round(world).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{answer}");
    answer["error"]["message"].as_str().unwrap().to_owned()
}

async fn look(world: &World) -> Value {
    world.post("/api/v1/sources/ldap/poll", json!({ "dry_run": true })).await
}

async fn alerts(world: &World, kind: &str) -> Vec<String> {
    let status = world.get("/api/v1/status").await;
    let of_kind = status["alerts"].as_array().unwrap().iter().filter(|it| it["kind"] == kind);
    of_kind.map(|it| it["message"].as_str().unwrap().to_owned()).collect()
}

fn emails(value: &Value) -> Vec<&str> {
    value.as_array().unwrap().iter().map(|it| it.as_str().or_else(|| it["email"].as_str()).unwrap()).collect()
}

on_both!(
    whoever_is_gone_or_disabled_is_suspended_and_whoever_is_there_again_comes_back,
    |database: TestDatabase| async move {
        let slapd = Slapd::start().await;
        slapd.hire(&["support", "anna", "ben", "carl", "stranger"]).await;
        let world = start(database, asking(slapd.section())).await;
        let device = world.furnish().await;
        staff(&world, &["anna", "ben", "carl", "contractor"]).await;
        let mut gateway = Gateway::local(&world, "main").await;
        gateway.until(|gateway| gateway.leases.len() == 1).await;
        let dry = look(&world).await;
        assert_eq!((&dry["done"], &dry["strangers"]), (&json!(false), &json!(1)));
        let seen = poll(&world).await;
        assert_eq!((emails(&seen["first_seen"]).len(), &seen["addresses"]), (4, &json!(5)), "{seen}");

        slapd.dismiss("support").await;
        slapd.set("anna", "userAccountControl", Some("514")).await;
        slapd.set("ben", "pwdAccountLockedTime", Some("000001010000Z")).await;
        slapd.set("carl", "nsAccountLock", Some("FALSE")).await;
        assert_eq!(emails(&look(&world).await["suspended"]).len(), 3);
        assert_eq!(state(&world, "support").await, "active", "looking does nothing");
        let done = poll(&world).await;
        let why: Vec<&str> =
            done["suspended"].as_array().unwrap().iter().map(|it| it["why"].as_str().unwrap()).collect();
        assert_eq!(why.iter().filter(|why| **why == "disabled in the directory").count(), 2, "{done}");
        gateway.until(|gateway| gateway.leases.is_empty()).await;
        for (name, expected) in [
            ("support", "suspended"),
            ("anna", "suspended"),
            ("ben", "suspended"),
            ("carl", "active"),
            ("contractor", "active"),
        ] {
            assert_eq!(state(&world, name).await, expected, "{name}");
        }
        assert_eq!(emails(&poll(&world).await["suspended"]), [""; 0], "said once");

        slapd.hire(&["support"]).await;
        slapd.set("anna", "userAccountControl", Some("512")).await;
        slapd.set("ben", "pwdAccountLockedTime", None).await;
        assert_eq!(emails(&poll(&world).await["back"]).len(), 3);
        gateway.until(|gateway| gateway.leases.len() == 1).await;
        let person = world.get(&format!("/api/v1/people/{SUPPORT}")).await;
        assert_eq!((&person["devices"][0]["id"], &person["devices"][0]["state"]), (&device["id"], &json!("active")));
        let tail = world.get("/api/v1/audit/tail?lines=50").await;
        let rows = tail["rows"].as_array().unwrap().iter().filter(|row| row["actor"] == "source:ldap");
        let actions: Vec<&str> = rows.map(|row| row["action"].as_str().unwrap()).collect();
        let count = |action: &str| actions.iter().filter(|it| **it == action).count();
        assert_eq!((count("person.suspend"), count("person.restore")), (3, 3), "{actions:?}");

        let status = world.get("/api/v1/status").await["directory"].clone();
        assert_eq!((&status["known"], &status["strangers"], &status["failures"]), (&json!(4), &json!(1), &json!(0)));
        let delay = status["delay_seconds"].as_u64().unwrap();
        assert!((3_600..3_700).contains(&delay) && status["age_seconds"].as_u64().unwrap() < 60, "{status}");
        let listed = world.get("/api/v1/sources").await;
        assert_eq!((&listed[0]["kind"], &listed[0]["delay_seconds"]), (&json!("ldap"), &status["delay_seconds"]));
        // It is shown after a restart too, which is no reason to ask sooner.
        let world = world.restarted().await;
        let again = world.get("/api/v1/status").await["directory"].clone();
        assert_eq!((&again["asked_at"], &again["next_at"]), (&status["asked_at"], &status["next_at"]));
    },
    database
);

on_both!(
    what_is_no_answer_changes_nothing_and_is_told_once,
    |database: TestDatabase| async move {
        let slapd = Slapd::start().await;
        let names = ["p1", "p2", "p3", "p4", "p5"];
        slapd.hire(&names).await;
        let world = start(database, asking(slapd.section())).await;
        staff(&world, &names).await;
        assert_eq!(poll(&world).await["known"], 5);
        let wrong = |change: fn(&mut LdapSection)| {
            let mut section = slapd.section();
            change(&mut section);
            asking(section)
        };
        let world = world.restarted_with(wrong(|it| it.filter = Some("(mail=nobody@*)".to_owned()))).await;
        assert!(failing(&world).await.contains("no address in it: check `base`"));
        let told = alerts(&world, "directory_silent").await;
        assert!(told.len() == 1 && told[0].contains("nobody is suspended for it"), "{told:?}");
        let world = world.restarted_with(wrong(|it| it.email = vec!["cn".to_owned()])).await;
        assert!(failing(&world).await.contains("no address in it"));
        let world = world.restarted_with(wrong(|it| it.base = Some("ou=gone,dc=shop,dc=example".to_owned()))).await;
        assert!(failing(&world).await.contains("noSuchObject: check `base`"));
        let world = world.restarted_with(wrong(|it| it.password = Some("wrong".to_owned()))).await;
        assert!(failing(&world).await.contains("check `bind_dn` and the password (invalidCredentials)"));
        assert_eq!(alerts(&world, "directory_silent").await.len(), 1, "one alert for as long as it lasts");
        // Other people, none of whom was here: the addresses were renamed, or the base is another's.
        for name in names {
            slapd.set(name, "mail", Some(&format!("{name}@renamed.example"))).await;
        }
        let world = world.restarted_with(asking(slapd.section())).await;
        assert!(failing(&world).await.contains("none of the 5 people here"));
        for name in names {
            assert_eq!(state(&world, name).await, "active");
            slapd.set(name, "mail", Some(&format!("{name}@shop.example"))).await;
        }
        poll(&world).await;
        let told = alerts(&world, "directory_silent").await;
        assert!(told.len() == 2 && told[0].contains("is read again"), "{told:?}");
        assert_eq!(world.get("/api/v1/status").await["directory"]["trouble"], Value::Null);
    },
    database
);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_that_is_down_is_asked_again_and_nobody_is_suspended() {
    let mut slapd = Slapd::start().await;
    slapd.hire(&["anna"]).await;
    let section = LdapSection { every: Duration::from_secs(1), ..slapd.section() };
    let world = start(TestDatabase::sqlite().await.unwrap(), asking(section)).await;
    staff(&world, &["anna"]).await;
    eventually(|| async { (world.get("/api/v1/status").await["directory"]["known"] == 1).then_some(()) }).await;
    slapd.stop();
    let told = eventually(|| async { alerts(&world, "directory_silent").await.into_iter().next() }).await;
    assert!(told.contains("cannot be reached") && told.contains("was not read since"), "{told}");
    let status = world.get("/api/v1/status").await["directory"].clone();
    assert!(status["failures"].as_u64().unwrap() >= 3 && status["asked_at"].is_string(), "{status}");
    assert_eq!(state(&world, "anna").await, "active");
    slapd.up().await;
    eventually(|| async { (alerts(&world, "directory_silent").await.len() == 2).then_some(()) }).await;
    slapd.dismiss("anna").await;
    slapd.hire(&["ben"]).await;
    eventually(|| async { (state(&world, "anna").await == "suspended").then_some(()) }).await;
}

async fn states(world: &World, names: &[String]) -> String {
    let mut text = String::new();
    for name in names {
        text.push_str(&state(world, name).await.as_str().unwrap()[..1]);
    }
    text
}

on_both!(
    many_at_once_are_suspended_and_wait_for_a_person_whose_word_lasts,
    |database: TestDatabase| async move {
        let slapd = Slapd::start().await;
        let names: Vec<String> = (0..20).map(|n| format!("p{n:02}")).collect();
        let all: Vec<&str> = names.iter().map(String::as_str).collect();
        slapd.hire(&all).await;
        let directory = DirectoryTerms { cooling: Duration::ZERO, ..DirectoryTerms::default() };
        let world = start(database, Settings { directory, ..asking(slapd.section()) }).await;
        staff(&world, &all).await;
        assert_eq!(poll(&world).await["known"], 20);
        for name in &all[..12] {
            slapd.move_away(name).await;
        }
        poll(&world).await;
        // Four are no mass, and their cooling period is over at once; the fifth turns the brake on.
        let suspended = eventually(|| async {
            let states = states(&world, &names).await;
            states.ends_with("aaaaaaaa").then_some(states)
        });
        let suspended = suspended.await;
        assert!(suspended.matches('s').count() >= 8 && !suspended[..12].contains('a'), "{suspended}");
        let told = alerts(&world, "directory_brake").await;
        assert!(told.len() == 1 && told[0].contains("doorward source undo ldap"), "{told:?}");
        let undone = world.post("/api/v1/sources/ldap/undo", json!({})).await;
        let back = emails(&undone["people"]).len();
        assert!(back >= 8, "{undone}");
        // The directory says the same again, and an admin said otherwise.
        let after = states(&world, &names).await;
        assert_eq!(after.matches('a').count(), 8 + back);
        assert_eq!(emails(&poll(&world).await["suspended"]).len(), 0);
        assert_eq!(states(&world, &names).await, after);
    },
    database
);

on_both!(
    an_admins_word_counts_more_and_an_owner_is_told_of_once,
    |database: TestDatabase| async move {
        let slapd = Slapd::start().await;
        slapd.hire(&["anna", "root", "ben", "scim"]).await;
        let world = start(database, asking(slapd.section())).await;
        staff(&world, &["anna", "root", "ben"]).await;
        world.call(Method::PUT, "/api/v1/people/root@shop.example/role", json!({ "role": "owner" })).await;
        world.call(Method::PUT, "/api/v1/people/ben@shop.example/role", json!({ "role": "admin" })).await;
        let okta = Scim::new(&world, "okta").await;
        let id = okta.user("scim@shop.example").await;
        assert_eq!(poll(&world).await["known"], 4);
        for name in ["anna", "root", "scim"] {
            slapd.dismiss(name).await;
        }
        slapd.set("ben", "nsAccountLock", Some("TRUE")).await;
        slapd.hire(&["somebody"]).await;
        let done = poll(&world).await;
        assert_eq!(emails(&done["suspended"]), ["anna@shop.example", "ben@shop.example", "scim@shop.example"]);
        assert_eq!(emails(&done["owners"]), ["root@shop.example"]);
        assert_eq!((state(&world, "root").await, state(&world, "ben").await), (json!("active"), json!("suspended")));
        let told = alerts(&world, "directory_unreadable").await;
        assert!(told.len() == 1 && told[0].contains("doorward person offboard root@shop.example"), "{told:?}");
        // Each source takes back what it took, and nothing else.
        okta.set_active(&id, false).await.expect(200);
        slapd.hire(&["scim"]).await;
        poll(&world).await;
        assert_eq!(state(&world, "scim").await, "suspended", "the other directory says so");
        assert_eq!(okta.set_active(&id, true).await.expect(200)["active"], true);
        // Whom an admin takes back is the admin's business until the directory has them again.
        for name in ["anna", "ben"] {
            world.post(&format!("/api/v1/people/{name}@shop.example/restore"), json!({})).await;
        }
        let done = poll(&world).await;
        assert_eq!((emails(&done["suspended"]).len(), emails(&done["kept"])), (0, vec!["ben@shop.example"]), "{done}");
        assert_eq!(alerts(&world, "directory_unreadable").await.len(), 1, "an owner is told of once");
        slapd.hire(&["anna"]).await;
        assert_eq!(emails(&poll(&world).await["first_seen"]), ["anna@shop.example"]);
        slapd.dismiss("anna").await;
        assert_eq!(emails(&poll(&world).await["suspended"]), ["anna@shop.example"]);
        // Whom an admin suspended is not the directory's to take back.
        world.post("/api/v1/people/ben@shop.example/suspend", json!({})).await;
        slapd.set("ben", "nsAccountLock", None).await;
        poll(&world).await;
        assert_eq!(state(&world, "ben").await, "suspended");
    },
    database
);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_is_spoken_before_anything_else_and_with_whom_is_trusted_alone() {
    let (slapd, other) = (Slapd::start().await, Slapd::start().await);
    slapd.hire(&["anna"]).await;
    let world = start(TestDatabase::sqlite().await.unwrap(), asking(slapd.section())).await;
    staff(&world, &["anna"]).await;
    assert_eq!(poll(&world).await["known"], 1, "StartTLS");
    let file = world.folder.path().join("password");
    std::fs::write(&file, format!("{}\n", slapd.section().password.unwrap())).unwrap();
    let of_file = LdapSection { password: None, password_file: Some(file), ..slapd.section_tls() };
    let world = world.restarted_with(asking(of_file)).await;
    assert_eq!(poll(&world).await["known"], 1, "TLS from the beginning");
    let plain = LdapSection { starttls: false, ..slapd.section() };
    let world = world.restarted_with(asking(plain)).await;
    assert_eq!(poll(&world).await["known"], 1, "within this machine");
    for section in [slapd.section(), slapd.section_tls()] {
        let mistrusting = LdapSection { ca_file: other.section().ca_file, ..section.clone() };
        let world = start(TestDatabase::sqlite().await.unwrap(), asking(mistrusting)).await;
        let why = failing(&world).await;
        assert!(why.contains("cannot be trusted: check `ca_file`"), "{why}");
        let url = section.url.as_ref().unwrap().replace("localhost", "127.0.0.1");
        let elsewhere = LdapSection { url: Some(url), ..section };
        let world = world.restarted_with(asking(elsewhere)).await;
        let why = failing(&world).await;
        assert!(why.contains("the name in `url`"), "{why}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_directory_is_read_page_by_page_or_not_at_all() {
    let names: Vec<String> = (0..1_500).map(|n| format!("p{n:04}")).collect();
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    for (limits, is_read) in [
        ("limits * size.soft=500 size.hard=500 size.pr=500 size.prtotal=unlimited", true),
        ("limits * size.soft=500 size.hard=500 size.pr=500 size.prtotal=1000", false),
    ] {
        let slapd = Slapd::with(limits).await;
        slapd.hire(&all).await;
        let world = start(TestDatabase::sqlite().await.unwrap(), asking(slapd.section())).await;
        staff(&world, &[all[0], all[1_499]]).await;
        if is_read {
            let done = poll(&world).await;
            assert_eq!((&done["addresses"], &done["known"]), (&json!(1_500), &json!(2)), "{done}");
        } else {
            let why = failing(&world).await;
            assert!(why.contains("sizeLimitExceeded: let the account of `bind_dn` read without a limit"), "{why}");
            assert_eq!(world.get("/api/v1/status").await["directory"]["known"], 0);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_two_replicas_asks_and_both_show_it() {
    let slapd = Slapd::start().await;
    slapd.hire(&["anna", "ben"]).await;
    let first = start(TestDatabase::postgres().await.unwrap(), asking(slapd.section())).await;
    staff(&first, &["anna", "ben"]).await;
    assert_eq!(poll(&first).await["known"], 2);
    let second = first.beside().await;
    let (here, there) = (first.get("/api/v1/status").await, second.get("/api/v1/status").await);
    for key in ["asked_at", "delay_seconds", "known", "next_at"] {
        assert_eq!(here["directory"][key], there["directory"][key], "{key}");
    }
    // Both ask every second; a round that began is nobody else's.
    let section = LdapSection { every: Duration::from_secs(1), ..slapd.section() };
    let first = first.restarted_with(asking(section.clone())).await;
    let second = second.restarted_with(asking(section)).await;
    slapd.dismiss("anna").await;
    eventually(|| async { (state(&second, "anna").await == "suspended").then_some(()) }).await;
    let tail = first.get("/api/v1/audit/tail?lines=50").await;
    let rows = tail["rows"].as_array().unwrap().iter();
    assert_eq!(rows.filter(|row| row["action"] == "person.suspend").count(), 1);
    assert_eq!(second.get("/api/v1/status").await["alerts"], json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_asked_by_a_name_that_is_not_the_directorys() {
    let slapd = Slapd::start().await;
    let world = World::on(TestDatabase::postgres().await.unwrap()).await;
    assert_eq!(world.get("/api/v1/status").await["directory"], Value::Null);
    let (status, answer) = world.call(Method::POST, "/api/v1/sources/ldap/poll", json!({})).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(answer["error"]["message"].as_str().unwrap().contains("`[ldap]` in doorward.toml"), "{answer}");
    Scim::new(&world, "okta").await;
    let taken = LdapSection { name: Some("okta".parse().unwrap()), ..slapd.section() };
    let config = config(world.folder.path(), world.database.url(), asking(taken));
    let folder = tempfile::tempdir().unwrap();
    let config = ControlPlaneConfig { data_dir: folder.path().to_path_buf(), ..config };
    let (sender, _ready) = tokio::sync::oneshot::channel();
    let refused = run_announcing(config, Shutdown::new(), sender).await.unwrap_err().to_string();
    assert!(refused.contains("a source of another kind (scim)"), "{refused}");
}
