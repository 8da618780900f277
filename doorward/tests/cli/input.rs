//! Bad input: one clear sentence, the right exit code, and nothing changed.

use crate::harness::{ControlPlane, Ran, doorward};

const LOW_ORDER: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
const ANY_KEY: &str = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";
const GATEWAYS_KEY: &str = "CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk=";

/// Command line, exit code, a word of the sentence. Each is refused before any server is asked.
const REFUSED_HERE: &[(&str, i32, &str)] = &[
    ("grant add a@b.example db --for 0", 2, "at least 1s"),
    ("grant add a@b.example db --for 8w", 2, "90s, 15m, 8h or 4d"),
    ("grant add a@b.example db", 2, "--for"),
    ("grant add db --for 8h", 2, "--group NAME RESOURCE"),
    ("grant add a@b.example db --group desk --for 8h", 2, "leave out EMAIL"),
    ("grant add nobody db --for 8h", 2, "no email address"),
    ("group join desk nobody", 2, "no email address"),
    ("group add a/b", 2, "letters, digits"),
    ("request db --for 8h", 2, "--reason"),
    ("request db --reason why", 2, "--for 8h"),
    ("request db --for 0 --reason why", 2, "at least 1s"),
    ("approve 17", 2, "UUID"),
    ("deny 17", 2, "UUID"),
    ("person role a@b.example king", 2, "owner"),
    ("grant add a@b.example db --for 8h --until 2030-01-01T00:00:00Z", 2, "cannot be used with"),
    ("resource add db --target 10.0.5.10/24 --allow tcp/443", 2, "10.0.5.0/24"),
    ("resource add db --target database --allow tcp/443", 2, "DNS name such as db.shop.example"),
    ("resource add db --target 10.0.5.10 --allow tcp/70000", 2, "1 to 65535"),
    ("resource add db --target 10.0.5.10", 2, "--allow"),
    ("resource add a/b --target 10.0.5.10 --allow tcp/443", 2, "letters, digits"),
    ("person add nobody --name N --kind staff", 2, "no email address"),
    ("person add a@b.example --name N --kind robot", 2, "staff"),
    ("person shwo a@b.example", 2, "show"),
    ("device add a@b.example laptop --public-key abc", 2, "44 characters"),
    ("device revoke 17", 2, "UUID"),
    ("audit tail --lines 0", 2, "1..=1000"),
    ("status --server http://localhost", 2, "https://HOST:PORT"),
    ("status --server https://localhost", 2, "DOORWARD_TOKEN"),
    ("nonsense", 2, "nonsense"),
];

/// The same against a server that knows `support@shop.example`, `dba@agency.example`, `customer-db` and gateway `main`.
const REFUSED_THERE: &[(&str, i32, &str)] = &[
    ("person show nobody@shop.example", 3, "nobody@shop.example"),
    ("person offboard nobody@shop.example", 3, "doorward person list"),
    ("person suspend nobody@shop.example", 3, "nobody@shop.example"),
    ("person add support@shop.example --name Twice --kind staff", 1, "support@shop.example"),
    ("person add new@agency.example --name New --kind contractor", 4, "--sponsor"),
    ("person add late@shop.example --name Late --kind staff --until 2020-01-01T00:00:00Z", 2, "past"),
    ("resource add customer-db --target 10.0.5.21 --allow tcp/5432", 1, "customer-db"),
    ("resource remove no-such-thing", 3, "no-such-thing"),
    ("grant add nobody@shop.example customer-db --for 8h", 3, "nobody@shop.example"),
    ("grant add support@shop.example no-such-thing --for 8h", 3, "no-such-thing"),
    ("grant add support@shop.example customer-db --until 2020-01-01T00:00:00Z", 2, "past"),
    ("grant revoke 0192f0c1-7a3e-7cc1-b2f4-0123456789ab", 3, "0192f0c1-7a3e-7cc1-b2f4-0123456789ab"),
    ("device revoke 0192f0c1-7a3e-7cc1-b2f4-0123456789ab", 3, "0192f0c1-7a3e-7cc1-b2f4-0123456789ab"),
    ("device add nobody@shop.example laptop", 3, "nobody@shop.example"),
    ("grant add --group nobodies customer-db --for 8h", 3, "doorward group list"),
    ("grant add support@shop.example customer-db --for 8h --hours mon_08:00-09:00_Europe/Nowhere", 2, "Europe/Nowhere"),
    ("approve 0192f0c1-7a3e-7cc1-b2f4-0123456789ab", 3, "doorward request list"),
    ("person sponsor support@shop.example dba@agency.example", 2, "needs no sponsor"),
    ("gateway remove nowhere", 3, "nowhere"),
    ("token revoke nothing", 3, "nothing"),
];

#[test]
fn wrong_words_are_refused_before_any_server_is_asked() {
    for (line, code, word) in REFUSED_HERE {
        Ran::run(doorward().args(line.split(' ')).args(["--data", "/nonexistent"])).refused(*code, word);
    }
    let low_order = ["device", "add", "a@b.example", "laptop", "--public-key", LOW_ORDER];
    Ran::run(doorward().args(low_order)).refused(2, "low-order");
    let newline = ["device", "add", "a@b.example", "laptop\nPostUp = x"];
    Ran::run(doorward().args(newline)).refused(2, "letters, digits");
}

#[test]
fn what_the_server_refuses_changes_nothing() {
    let server = ControlPlane::start();
    server.with_people();
    let _gateway = server.with_gateway();
    let everything = || {
        ["person list", "resource list", "grant list", "device list", "status"].map(|list| {
            let mut json = server.json(list);
            // The clock goes on, and receipts of earlier changes may still come in.
            if let Some(status) = json.as_object_mut() {
                status.retain(|key, _| ["people", "devices", "grants", "revision", "lockdown"].contains(&key.as_str()));
            }
            json
        })
    };
    let before = everything();
    for (line, code, word) in REFUSED_THERE {
        server.run(line).refused(*code, word);
    }
    let device =
        |name: &str, key: &str| server.run(&format!("device add dba@agency.example {name} --public-key {key}"));
    device("laptop", GATEWAYS_KEY).refused(1, "gateway");
    assert_eq!(before, everything());
    device("laptop", ANY_KEY).done();
    device("tablet", ANY_KEY).refused(1, "key");
    device("laptop", "CAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAg=").refused(1, "laptop");
    assert_eq!(server.json("device list").as_array().map(Vec::len), Some(1));
}

#[test]
fn no_server_is_exit_code_5_and_says_how_to_start_one() {
    Ran::run(doorward().args(["status", "--data", "/nonexistent"])).refused(5, "start it with `doorward up`");
    // A port below those that tests get: another one's server might have it by then.
    let nobody_listens = "https://127.0.0.1:1";
    Ran::run(doorward().args(["status", "--server", nobody_listens]).env("DOORWARD_TOKEN", "dwt1_x"))
        .refused(5, "cannot be reached");
}

#[test]
fn every_help_has_examples() {
    let mut waiting = vec![Vec::new()];
    let mut seen = 0;
    while let Some(words) = waiting.pop() {
        let help = Ran::run(doorward().args(&words).arg("--help")).done();
        assert!(help.contains("Examples:\n  "), "{words:?}: {help}");
        seen += 1;
        let commands = help.split_once("Commands:\n").map_or("", |(_, rest)| rest);
        for line in commands.lines().take_while(|line| line.starts_with("  ")) {
            let name = line.split_whitespace().next().unwrap();
            // Lines of a wrapped description are indented further.
            if name != "help" && !line.starts_with("   ") {
                waiting.push([words.as_slice(), &[name.to_owned()]].concat());
            }
        }
    }
    assert!(seen > 35, "{seen}");
}

#[test]
fn completions_know_the_nouns() {
    for shell in ["bash", "zsh", "fish"] {
        let script = Ran::run(doorward().args(["completions", shell])).done();
        assert!(script.contains("lockdown") && script.contains("offboard"), "{shell}");
    }
}
