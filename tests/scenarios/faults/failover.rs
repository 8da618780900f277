//! A fail-over to a PostgreSQL that lags, under two control planes.

use doorward_tests::doorward::{Doorward, Settings};
use doorward_tests::postgres::Postgres;
use doorward_tests::process::Process;
use doorward_tests::shop::Shop;
use doorward_tests::wait::wait_until;
use doorward_tests::world::PANEL;
use serde_json::Value;

use super::{
    AtWork, BOUND_MICROS, EMAIL, LONG, SILENCE, SOON_MICROS, TTL, decided, start_control_plane, start_gateway,
    stays_gone,
};

/// Two control planes on one PostgreSQL, and a gateway at the first.
struct Two {
    postgres: Postgres,
    _first: Process,
    second: (Doorward, Process),
    _gateway: Process,
    shop: Shop,
}

fn two() -> Two {
    let postgres = Postgres::start();
    let server = format!("database = \"{}\"", postgres.url());
    let shop = Shop::closed(1, &Settings { ttl: TTL, server: &server, ..Settings::default() });
    let first = start_control_plane(&shop);
    shop.doorward.ready(0);
    let keys = shop.world.folder.path().join("replica.json");
    shop.doorward.run(&["replica", "export", "--out", keys.to_str().unwrap()]);
    let second = Doorward::prepare(
        shop.world.folder.path(),
        "second",
        &Settings { ttl: TTL, server: &format!("{server}\nreplica = \"second\""), ..Settings::default() },
    );
    second.run(&["replica", "import", keys.to_str().unwrap()]);
    let process = second.start(&shop.world.office, &["run", "control-plane"], &[]);
    second.ready(0);
    let gateway = start_gateway(&shop);
    shop.doorward.ready(1);
    shop.resource("panel", &[PANEL[0]], &["tcp/443-444", "tcp/5432"]);
    Two { postgres, _first: first, second: (second, process), _gateway: gateway, shop }
}

#[test]
fn a_control_plane_killed_with_a_decision_in_its_journal_while_the_database_is_frozen_writes_it_when_it_is_back() {
    let Two { postgres, second: (second, process), shop, .. } = &mut two();
    let at_work = AtWork::begin(shop);
    postgres.freeze();
    let asked = doorward_tests::traffic::micros_now();
    let said = second.says(&["person", "offboard", EMAIL]);
    println!("{} {}{}", said.code, said.stdout, said.stderr);
    process.kill();
    // No gateway goes on without a database.
    at_work.is_over("the database frozen", asked, BOUND_MICROS + SOON_MICROS);
    postgres.thaw();
    let back = second.start(&shop.world.office, &["run", "control-plane"], &[]);
    second.ready(0);
    shop.doorward.ready(1);
    wait_until("the decision in the database", LONG, || {
        shop.doorward.json(&["person", "show", EMAIL])["state"] == "departed"
    });
    at_work.falls_silent();
    at_work.was_reset();
    stays_gone(shop, &at_work);
    drop(back);
}

#[test]
fn after_a_fail_over_to_an_older_database_neither_of_two_control_planes_serves_anybody_before_it_is_accepted() {
    let Two { postgres, second: (second, _process), shop, .. } = &mut two();
    let at_work = AtWork::begin(shop);

    postgres.keep();
    shop.doorward.ready(1);
    at_work.works();
    // Decided at the one that has no gateway; both know that it was.
    let outcome = second.json(&["person", "offboard", EMAIL]);
    at_work.is_over("an offboarding at the other control plane", decided(&outcome), SOON_MICROS);
    at_work.was_reset();

    postgres.kill();
    postgres.put_back();
    postgres.serve();
    let alerts = |plane: &Doorward| {
        let said = plane.says(&["status", "--json"]);
        let status: Value = serde_json::from_str(&said.stdout).unwrap_or_default();
        status["alerts"].to_string()
    };
    for plane in [&shop.doorward, &*second] {
        wait_until("an alert that says what to do", LONG, || {
            alerts(plane).contains("doorward gateway accept-restored")
        });
    }
    assert_eq!(second.json(&["person", "show", EMAIL])["state"], "active", "the copy knows nothing of it");
    at_work.restart_client(shop);
    at_work.stays_silent("an older database", SILENCE);
    second.json(&["gateway", "accept-restored"]);
    shop.doorward.ready(1);
    let outcome = shop.doorward.json(&["person", "offboard", EMAIL]);
    assert!(outcome["receipts"][0]["enforced_after_ms"].is_u64(), "{outcome}");
    at_work.is_over("the offboarding once more", decided(&outcome), SOON_MICROS);
    stays_gone(shop, &at_work);
}
