//! Two control planes, PostgreSQL and two gateways, started from the files of `deploy/example/replicas`.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use doorward_tests::client::{Client, WgQuick};
use doorward_tests::doorward::{Doorward, binary, connected, utf8};
use doorward_tests::names;
use doorward_tests::netns::Namespace;
use doorward_tests::service::UdpServer;
use doorward_tests::shop::micros;
use doorward_tests::traffic::{Traffic, micros_now};
use doorward_tests::wait::wait_until;
use doorward_tests::witness::Witness;
use doorward_tests::world::at;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

const LONG: Duration = Duration::from_secs(15);
const SHOP: &str = "10.0.5.10";
/// People who are put out while control planes are killed.
const PEOPLE: usize = 24;
/// `[authority] ttl` of the example.
const TTL: Duration = Duration::from_secs(3);

/// The example, running.
struct Example {
    script: Child,
    folder: tempfile::TempDir,
    tag: String,
}

impl Example {
    fn start() -> Self {
        let tag = names::fresh();
        let folder = names::folder(&tag);
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/example/replicas/replicas.sh");
        let log = File::create(folder.path().join("script.log")).unwrap();
        let script = Command::new("setpriv")
            .args(["--pdeathsig", "TERM", utf8(&script)])
            .env("DOORWARD", binary())
            .env("DOORWARD_EXAMPLE_TAG", &tag)
            .env("DOORWARD_EXAMPLE_FOLDER", folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut this = Self { script, folder, tag };
        wait_until("the example to be ready", Duration::from_secs(120), || {
            let ended = this.script.try_wait().unwrap();
            assert!(ended.is_none(), "the example ended: {}", this.log("script"));
            this.folder.path().join("ready").exists()
        });
        this
    }

    fn machine(&self, name: &str) -> Namespace {
        Namespace::of(format!("{}-{name}", self.tag))
    }

    fn plane(&self, name: &str) -> Doorward {
        let config = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../deploy/example/replicas/{name}.toml"));
        Doorward { data: self.folder.path().join(name), config, interface: String::new() }
    }

    fn log(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(&format!("{name}.log"))).unwrap_or_default()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn signal(&self, name: &str, signal: Signal) {
        let pid = std::fs::read_to_string(self.path(&format!("{name}.pid"))).unwrap();
        kill_process(Pid::from_raw(pid.trim().parse().unwrap()).unwrap(), signal).unwrap();
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for name in ["script", "a", "b", "berlin", "paris"] {
                let log = self.log(name);
                let lines: Vec<&str> = log.lines().collect();
                eprintln!("──── {name} ────\n{}", lines[lines.len().saturating_sub(40)..].join("\n"));
            }
        }
        let _ = kill_process(Pid::from_child(&self.script), Signal::TERM);
        let _ = self.script.wait();
    }
}

fn furnish(plane: &Doorward) {
    plane.run(&["resource", "add", "panel", "--target", SHOP, "--allow", "udp/53"]);
}

fn person(plane: &Doorward, email: &str) -> WgQuick {
    plane.run(&["person", "add", email, "--name", "Some Body", "--kind", "staff"]);
    plane.run(&["grant", "add", email, "panel", "--for", "1h"]);
    let added = plane.json(&["device", "add", email, "laptop"]);
    WgQuick::parse(added["config"].as_str().unwrap())
}

/// Where a gateway is, in the eyes of a control plane.
fn place(plane: &Doorward, gateway: &str) -> Option<String> {
    let status: Value = serde_json::from_str(&plane.says(&["status", "--json"]).stdout).ok()?;
    let found = status["gateways"].as_array()?.iter().find(|it| it["name"] == gateway && it["connected"] == true)?;
    found["replica"].as_str().map(ToOwned::to_owned)
}

#[test]
fn control_planes_killed_at_random_lose_nothing_that_was_acknowledged_and_gateways_go_to_the_other() {
    let example = Example::start();
    let (a, b) = (example.plane("a"), example.plane("b"));
    let (shop, laptop) = (example.machine("shop"), example.machine("laptop"));
    let _panel = UdpServer::start(&shop, at(SHOP, 53));
    furnish(&a);
    let config = person(&a, "victim@shop.example");
    assert!(config.endpoint.starts_with("192.0.2.21"), "the config names the first gateway: {}", config.endpoint);
    let people: Vec<String> = (0..PEOPLE).map(|n| format!("person{n}@shop.example")).collect();
    for email in &people {
        person(&b, email);
    }
    let _client = Client::start(&laptop, example.folder.path(), &config);
    let service: Value = a.json(&["resource", "list"]);
    let service =
        service[0]["service_v4"].as_str().unwrap_or_else(|| panic!("a service address: {service}")).to_owned();
    let chat = Traffic::udp_chat(&laptop, at(&service, 53));
    chat.flows(LONG);
    let witness = Witness::start(&shop, example.folder.path(), "inside", "lan");

    // Offboardings go on at both, while the one that has berlin's feed is killed.
    let acknowledged = Arc::new(Mutex::new(Vec::new()));
    let unanswered = Arc::new(AtomicUsize::new(0));
    let over = Arc::new(AtomicBool::new(false));
    let offboarding = {
        let planes = [example.plane("a"), example.plane("b")];
        let (acknowledged, unanswered, over) = (Arc::clone(&acknowledged), Arc::clone(&unanswered), Arc::clone(&over));
        std::thread::spawn(move || {
            for (n, email) in people.iter().enumerate() {
                // Whoever gets no answer asks the other one, as a person would.
                for attempt in 0..40 {
                    let said = planes[(n + attempt) % 2].says(&["person", "offboard", email, "--json"]);
                    if said.code == 0 || said.stderr.contains("departed") {
                        acknowledged.lock().unwrap().push(email.clone());
                        break;
                    }
                    unanswered.fetch_add(1, Ordering::SeqCst);
                    std::thread::sleep(Duration::from_millis(100));
                }
            }
            over.store(true, Ordering::SeqCst);
        })
    };
    let some = || acknowledged.lock().unwrap().len();
    wait_until("the first offboardings", LONG, || some() >= PEOPLE / 6);
    let killed = place(&a, "berlin").unwrap();
    let (dead, alive) = if killed == "a" { ("a", &b) } else { ("b", &a) };
    example.signal(dead, Signal::KILL);
    let cut = micros_now();
    println!("{dead} was killed after {} offboardings", some());

    // The victim is put out at the one that is left, while the gateway is on its way to it.
    let outcome = alive.json(&["person", "offboard", "victim@shop.example"]);
    let decided = micros(&outcome["decided_at"]);
    chat.stalls(Duration::from_secs(2), LONG);
    let last = witness.last(|seen| seen.to_port(53)).unwrap();
    println!(
        "the last packet passed {} ms after the decision, which came {} ms after the kill; receipts: {}",
        (last - decided) / 1_000,
        (decided - cut) / 1_000,
        outcome["receipts"]
    );
    let berlin = &outcome["receipts"][0];
    assert_eq!(berlin["gateway"], "berlin");
    if !berlin["enforced_at"].is_null() {
        // What the gateway has confirmed has passed its last packet; what it let go before may still be on its way.
        let after = last - micros(&berlin["enforced_at"]);
        assert!(after <= 50_000, "a packet {after} µs after the receipt");
    }
    let bound = i64::try_from((TTL + Duration::from_secs(1)).as_micros()).unwrap();
    assert!(last - decided <= bound, "{} µs after the decision", last - decided);
    wait_until("both gateways at the one that is left", LONG, || {
        ["berlin", "paris"].iter().all(|gateway| place(alive, gateway).is_some_and(|replica| replica != dead))
    });

    // The killed one comes back beside the other, and everything goes on to its end.
    wait_until("the killed one to answer", Duration::from_secs(30), || example.plane(dead).says(&["status"]).code == 0);
    wait_until("all offboardings", Duration::from_secs(60), || over.load(Ordering::SeqCst));
    offboarding.join().unwrap();
    let acknowledged = acknowledged.lock().unwrap().clone();
    assert_eq!(acknowledged.len(), PEOPLE);
    for plane in [&a, &b] {
        let listed = plane.json(&["person", "list"]);
        let state = |email: &str| {
            let person = listed.as_array().unwrap().iter().find(|person| person["email"] == email);
            person.map_or(Value::Null, |person| person["state"].clone())
        };
        for email in acknowledged.iter().map(String::as_str).chain(["victim@shop.example"]) {
            assert_eq!(state(email), "departed", "{email}");
        }
        assert_eq!(plane.json(&["audit", "verify"])["intact"], true);
        let status = plane.json(&["status"]);
        assert_eq!(connected(&status), 2, "{status}");
        wait_until("both gateways to hold the newest revision", LONG, || {
            let status = plane.json(&["status"]);
            status["gateways"].as_array().unwrap().iter().all(|gateway| gateway["revisions_behind"] == 0)
        });
    }
    let rows = a.run(&["audit", "export"]);
    let offboarded: Vec<&str> = rows.lines().filter(|row| row.contains("\"person.offboard\"")).collect();
    for email in &acknowledged {
        assert!(offboarded.iter().any(|row| row.contains(&format!("person:{email}"))), "{email} is in no audit row");
    }
    // One that was committed and not answered is in there twice, because it was asked for twice.
    let twice = offboarded.len().saturating_sub(PEOPLE + 1);
    assert!(twice <= unanswered.load(Ordering::SeqCst), "{twice} more rows than offboardings");
}

#[test]
fn a_frozen_control_plane_stops_nobody_and_is_followed_by_the_other() {
    let example = Example::start();
    let (a, b) = (example.plane("a"), example.plane("b"));
    let (shop, laptop) = (example.machine("shop"), example.machine("laptop"));
    let _panel = UdpServer::start(&shop, at(SHOP, 53));
    furnish(&a);
    let config = person(&a, "support@shop.example");
    let _client = Client::start(&laptop, example.folder.path(), &config);
    let service: Value = a.json(&["resource", "list"]);
    let chat = Traffic::udp_chat(&laptop, at(service[0]["service_v4"].as_str().unwrap(), 53));
    chat.flows(LONG);
    let frozen = place(&a, "berlin").unwrap();
    let alive = if frozen == "a" { &b } else { &a };
    example.signal(&frozen, Signal::STOP);
    wait_until("the gateways to go to the other", LONG, || {
        place(alive, "berlin").is_some_and(|replica| replica != frozen)
    });
    chat.flows(LONG);
    let outcome = alive.json(&["person", "suspend", "support@shop.example"]);
    assert_eq!(outcome["receipts"][0]["gateway"], "berlin");
    assert!(outcome["receipts"][0]["enforced_after_ms"].is_u64(), "{outcome}");
    chat.stalls(Duration::from_secs(2), LONG);
    example.signal(&frozen, Signal::CONT);
    let thawed = example.plane(&frozen);
    wait_until("the thawed one to see the gateways where they are", LONG, || {
        place(&thawed, "berlin").is_some_and(|replica| replica != frozen)
    });
    let alerts = thawed.json(&["status"])["alerts"].to_string();
    assert!(!alerts.contains("gateway_lost"), "nobody was lost: {alerts}");
    assert_eq!(alive.json(&["audit", "verify"])["intact"], true);
}
