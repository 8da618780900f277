//! Somebody is put out while the database takes nothing: they are out within the bound all the same, and the database has
//! it once, later.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use doorward_store::Store;
use doorward_tests::doorward::{Doorward, Said, Settings};
use doorward_tests::postgres::Postgres;
use doorward_tests::process::Process;
use doorward_tests::service::{End, Manner, TcpServer, UdpServer};
use doorward_tests::shop::{Shop, micros, receipt_ms};
use doorward_tests::traffic::{Traffic, micros_now};
use doorward_tests::wait::{holds_for, wait_until};
use doorward_tests::witness::Witness;
use doorward_tests::world::{DATABASE, PANEL, at};
use serde_json::Value;

const LONG: Duration = Duration::from_secs(20);
const LEAVER: &str = "leaver@shop.example";
const STAYER: &str = "stayer@shop.example";
/// From the decision to the last packet, while a database that says nothing is waited for.
const HUNG_BOUND_MICROS: i64 = 1_500_000;
/// Ends of the control plane in the crash loop.
const CRASHES: u64 = 12;

/// A shop whose halves run as processes of their own, with one who leaves and one who stays, both connected.
struct Stage {
    _clients: Vec<doorward_tests::client::Client>,
    _gateway: Process,
    control_plane: Process,
    witness: Witness,
    download: Traffic,
    chat: Traffic,
    _servers: (TcpServer, UdpServer),
    shop: Shop,
}

impl Stage {
    fn set(shop: Shop) -> Self {
        let machine = &shop.world.gateway;
        let control_plane = shop.doorward.start(machine, &["run", "control-plane"], &[]);
        shop.doorward.ready(0);
        let gateway = shop.doorward.start(machine, &["run", "gateway"], &[]);
        shop.doorward.ready(1);
        let witness = Witness::inside(&shop.world);
        let servers = (
            TcpServer::start(&shop.world.inside, at(PANEL[0], 443), Manner::Stream),
            UdpServer::start(&shop.world.inside, at(DATABASE[0], 53)),
        );
        shop.resource("panel", &[PANEL[0]], &["tcp/443"]);
        shop.resource("db", &[DATABASE[0]], &["udp/53"]);
        let configs = [shop.person(LEAVER, "panel"), shop.person(STAYER, "db")];
        let clients = configs.iter().enumerate().map(|(laptop, config)| shop.client(laptop, config)).collect();
        let download = Traffic::tcp_download(&shop.world.laptops[0], at(PANEL[0], 443));
        let chat = Traffic::udp_chat(&shop.world.laptops[1], at(DATABASE[0], 53));
        download.flows(LONG);
        chat.flows(LONG);
        Self { _clients: clients, _gateway: gateway, control_plane, witness, download, chat, _servers: servers, shop }
    }

    /// Offboards whoever leaves, and checks by the capture that nothing of theirs passes later than `bound`.
    fn offboard(&self, what: &str, bound: i64) -> Value {
        let outcome = self.shop.doorward.json(&["person", "offboard", LEAVER, "--reason", "left"]);
        let decided = micros(&outcome["decided_at"]);
        assert_eq!(outcome["journalled"], true, "{outcome}");
        assert!(matches!(self.download.ends(LONG).0, End::Cut(_)));
        let to: std::net::IpAddr = PANEL[0].parse().unwrap();
        let last = self.witness.last(|packet| packet.to == to && !packet.is_reset()).unwrap();
        println!(
            "{what}: offboarding confirmed after {} ms, last packet {} ms after the decision",
            receipt_ms(&outcome),
            (last - decided) / 1_000
        );
        assert!(last - decided <= bound, "{what}: a packet {} µs after the decision", last - decided);
        outcome
    }
}

/// Waits until the database has everything, and checks that it has the offboarding once.
fn written_once(doorward: &Doorward, email: &str) {
    wait_until("the journal to be written", LONG, || journalled(doorward) == Some(0));
    assert_eq!(doorward.json(&["person", "show", email])["state"], "departed");
    assert_eq!(offboardings(doorward, email), 1);
}

fn journalled(doorward: &Doorward) -> Option<u64> {
    let said = doorward.says(&["status", "--json"]);
    serde_json::from_str::<Value>(&said.stdout).ok()?["database"]["journalled"].as_u64()
}

/// Counts the rows that say so, in an audit log that holds.
fn offboardings(doorward: &Doorward, email: &str) -> usize {
    assert_eq!(doorward.json(&["audit", "verify"])["intact"], true);
    let rows = doorward.run(&["audit", "export", "--format", "jsonl"]);
    let rows = rows.lines().map(|row| serde_json::from_str::<Value>(row).unwrap());
    rows.filter(|row| row["action"] == "person.offboard" && row["subject"].to_string().contains(email)).count()
}

fn on_postgres(postgres: &Postgres, ttl: &str) -> Shop {
    let server = format!("database = \"{}\"", postgres.url());
    Shop::closed(2, &Settings { server: &server, ttl, ..Settings::default() })
}

#[test]
fn with_postgresql_killed_an_offboarding_ends_the_stream_and_is_written_once_it_is_back() {
    let mut postgres = Postgres::start();
    let mut stage = Stage::set(on_postgres(&postgres, "30s"));
    postgres.kill();
    stage.offboard("PostgreSQL killed", 1_000_000);
    let said = stage.shop.doorward.says(&["status"]);
    assert!(
        said.code == 0 && said.stdout.contains("DOES NOT ANSWER") && said.stdout.contains("journal: 1;"),
        "{said:?}"
    );
    // Whoever was told that it is done can rely on it, whatever happens to who told it.
    stage.control_plane.kill();
    postgres.serve();
    let _again = stage.shop.doorward.start(&stage.shop.world.gateway, &["run", "control-plane"], &[]);
    stage.shop.doorward.ready(1);
    written_once(&stage.shop.doorward, LEAVER);
    stage.chat.flows(LONG);
}

#[test]
fn with_postgresql_frozen_an_offboarding_is_not_held_up_and_others_pause_until_it_goes_on() {
    let postgres = Postgres::start();
    let stage = Stage::set(on_postgres(&postgres, "3s"));
    let frozen = micros_now();
    postgres.freeze();
    stage.offboard("PostgreSQL frozen", HUNG_BOUND_MICROS);
    let paused = stage.chat.stalls(Duration::from_secs(2), LONG) - frozen;
    println!("PostgreSQL frozen: others paused after {} ms", paused / 1_000);
    assert!(paused <= 4_000_000, "no beat without a read: {paused} µs");
    postgres.thaw();
    written_once(&stage.shop.doorward, LEAVER);
    stage.chat.flows(Duration::from_secs(45));
}

/// A small disk that is full on demand.
struct Disk(PathBuf);

impl Disk {
    fn mount(at: &Path) -> Self {
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=24m,mode=0755", "doorward-test"]).arg(at).status();
        assert!(mounted.expect("mount").success(), "a tmpfs needs root");
        Self(at.to_path_buf())
    }

    fn fill(&self) {
        use std::io::Write as _;
        let mut ballast = std::fs::File::create(self.0.join("ballast")).unwrap();
        while ballast.write_all(&[1; 4096]).is_ok() {}
    }

    fn free(&self) {
        std::fs::remove_file(self.0.join("ballast")).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn on_a_full_disk_an_offboarding_is_journalled_outlives_a_crash_and_is_written_once_there_is_room() {
    let shop = Shop::closed(2, &Settings { ttl: "3s", ..Settings::default() });
    let disk = Disk::mount(&shop.doorward.data);
    let mut stage = Stage::set(shop);
    disk.fill();
    stage.offboard("disk full", 1_000_000);
    // A database that can be read is no reason to keep others from working.
    let until = Instant::now() + Duration::from_secs(5);
    while Instant::now() < until {
        stage.chat.flows(LONG);
    }
    stage.control_plane.kill();
    let doorward = &stage.shop.doorward;
    let _again = doorward.start(&stage.shop.world.gateway, &["run", "control-plane"], &[]);
    doorward.ready(1);
    assert_eq!(journalled(doorward), Some(1), "the disk is full still, and nothing is forgotten");
    let again = Traffic::udp_chat(&stage.shop.world.laptops[0], at(DATABASE[0], 53));
    holds_for("whoever left stays out", Duration::from_secs(2), || again.answers() == 0);
    disk.free();
    written_once(doorward, LEAVER);
    stage.chat.flows(LONG);
}

#[test]
fn where_neither_the_database_nor_a_journal_has_room_an_offboarding_is_refused_and_said_to_be_so() {
    let shop = Shop::closed(2, &Settings { ttl: "3s", ..Settings::default() });
    let disk = Disk::mount(&shop.doorward.data);
    let mut stage = Stage::set(shop);
    stage.control_plane.kill();
    let doorward = &stage.shop.doorward;
    std::fs::remove_file(doorward.data.join("journal")).unwrap();
    disk.fill();
    let _again = doorward.start(&stage.shop.world.gateway, &["run", "control-plane"], &[]);
    doorward.ready(1);
    let said = doorward.says(&["person", "offboard", LEAVER]);
    println!("{said:?}");
    said.refuses(1, &["disk"]);
    assert_eq!(doorward.json(&["person", "show", LEAVER])["state"], "active", "refused is refused");
    stage.download.flows(LONG);
    stage.chat.flows(LONG);
    disk.free();
    let outcome = doorward.json(&["person", "offboard", LEAVER, "--reason", "left"]);
    assert!(outcome["receipts"][0]["enforced_after_ms"].is_u64(), "{outcome}");
    assert!(matches!(stage.download.ends(LONG).0, End::Cut(_)));
    written_once(doorward, LEAVER);
}

/// Makes the same sequence of numbers from the same seed.
fn next(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *seed >> 33
}

#[test]
fn killed_at_any_moment_the_control_plane_forgets_nothing_that_it_confirmed_and_writes_nothing_twice() {
    let shop = Shop::closed(0, &Settings::default());
    let (doorward, machine) = (&shop.doorward, &shop.world.gateway);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    // What is dropped here is taken back there.
    let _inside = runtime.enter();
    let mut seed = 7;
    let mut confirmed = 0;
    let mut running = doorward.start(machine, &["run", "control-plane"], &[]);
    doorward.ready(0);
    for round in 0..CRASHES {
        let email = format!("leaver{round}@shop.example");
        shop.staff(&email);
        // Another program holds the database, which is let go before or after the end.
        let store = runtime.block_on(Store::open("sqlite:doorward.db", &doorward.data)).unwrap();
        let held = runtime.block_on(store.write()).unwrap();
        let is_freed_first = round % 2 == 0;
        let (killed_after, asked) = (Duration::from_millis(500 + next(&mut seed) % 700), Instant::now());
        let said: Said = std::thread::scope(|scope| {
            let asking = scope.spawn(|| doorward.says(&["person", "offboard", &email]));
            let mut held = Some(held);
            wait_until("the moment", LONG, || {
                if is_freed_first && asked.elapsed() + Duration::from_millis(60) > killed_after {
                    held = None;
                }
                asked.elapsed() >= killed_after
            });
            running.kill();
            drop(held);
            asking.join().unwrap()
        });
        runtime.block_on(store.close());
        running = doorward.start(machine, &["run", "control-plane"], &[]);
        doorward.ready(0);
        wait_until("the journal to be written", LONG, || journalled(doorward) == Some(0));
        let (rows, state) =
            (offboardings(doorward, &email), doorward.json(&["person", "show", &email])["state"].clone());
        assert_eq!(state == "departed", rows == 1, "round {round}: {rows} rows, {state}");
        assert!(rows <= 1, "round {round}: {rows} rows");
        if said.code == 0 {
            confirmed += 1;
            assert_eq!(rows, 1, "round {round}: confirmed and forgotten");
        }
        println!("round {round}: killed after {killed_after:?}, exit {}, {rows} rows", said.code);
    }
    println!("{confirmed} of {CRASHES} were confirmed before the end");
    assert!(confirmed > 0 && confirmed < CRASHES, "the moments have to lie on both sides: {confirmed}");
}
