//! How access ends: by time, by offboarding, by suspension; seen by a capture on the protected side.

use std::time::Duration;

use doorward_tests::client::WgQuick;
use doorward_tests::doorward::Settings;
use doorward_tests::service::{End, Manner, TcpServer, UdpServer};
use doorward_tests::shop::{Shop, micros, receipt_ms};
use doorward_tests::traffic::{Attempt, Traffic, knock_tcp, reaches_udp};
use doorward_tests::wait::{comes_true, wait_for, wait_until};
use doorward_tests::witness::Witness;
use doorward_tests::world::{CAFE_PUBLIC, DATABASE, PANEL, at};

const LONG: Duration = Duration::from_secs(15);
/// The promise: from the commit, or from the deadline, to the last packet.
const BOUND_MICROS: i64 = 1_000_000;
/// Offboardings in the measured run.
const ROUNDS: usize = 40;

#[test]
fn a_grants_end_stops_open_tcp_udp_and_ping_and_an_idle_connection_within_a_second() {
    let shop = Shop::open(1, &Settings::default());
    let (inside, laptop) = (&shop.world.inside, &shop.world.laptops[0]);
    let witness = Witness::inside(&shop.world);
    let tcp = TcpServer::start(inside, at(PANEL[0], 443), Manner::Echo);
    let idle_server = TcpServer::start(inside, at(PANEL[0], 444), Manner::Echo);
    let _udp = UdpServer::start(inside, at(PANEL[0], 53));
    shop.resource("panel", &[PANEL[0]], &["tcp/443-444", "udp/53", "icmp"]);
    shop.staff("support@shop.example");
    let grant = shop.doorward.json(&["grant", "add", "support@shop.example", "panel", "--for", "10s"]);
    let end = micros(&grant["until"]);
    let config = shop.device("support@shop.example", "laptop");
    let _client = shop.client(0, &config);

    let chat = Traffic::tcp_chat(laptop, at(PANEL[0], 443));
    let idle = Traffic::tcp_idle(laptop, at(PANEL[0], 444));
    let question = Traffic::udp_chat(laptop, at(PANEL[0], 53));
    let mut ping = laptop.command("ping").args(["-n", "-q", "-i", "0.05", "-w", "16", PANEL[0]]).spawn().unwrap();
    for traffic in [&chat, &question, &idle] {
        wait_until("an answer before the end", LONG, || traffic.answers() > 0);
    }

    for (what, traffic) in [("TCP", &chat), ("UDP", &question)] {
        let last = traffic.stalls(Duration::from_secs(2), LONG);
        let late = last - end;
        println!("{what}: last answer {late} µs after the grant's end");
        assert!(late <= BOUND_MICROS, "{what} went on for {late} µs");
        assert!(late > -2_000_000, "{what} stopped {late} µs too early");
    }
    let (how, when) = idle.ends(LONG);
    assert!(matches!(how, End::Cut(_)), "the idle connection is reset at the laptop: {how:?}");
    assert!(when - end <= BOUND_MICROS, "after {} µs", when - end);
    assert!(matches!(chat.ends(LONG).0, End::Cut(_)), "the busy one as well");
    for server in [&tcp, &idle_server] {
        wait_until("a reset at the service", LONG, || matches!(server.ends()[..], [(_, End::Cut(_))]));
    }
    ping.wait().unwrap();
    let seen = witness.finish();
    let inside: std::net::IpAddr = PANEL[0].parse().unwrap();
    let last = seen.iter().filter(|packet| packet.to == inside && !packet.is_reset()).map(|packet| packet.at).max();
    let late = last.unwrap() - end;
    println!("witness: last packet towards the service {late} µs after the grant's end");
    assert!(late <= BOUND_MICROS, "the witness saw a packet {late} µs after the end");
}

#[test]
fn offboarding_ends_open_connections_refuses_the_old_key_and_names_it_in_an_alert() {
    let shop = Shop::open(1, &Settings::default());
    let (inside, laptop) = (&shop.world.inside, &shop.world.laptops[0]);
    let witness = Witness::inside(&shop.world);
    let server = TcpServer::start(inside, at(PANEL[0], 443), Manner::Stream);
    shop.resource("panel", &[PANEL[0]], &["tcp/443", "udp/53"]);
    let config = shop.person("support@shop.example", "panel");
    let client = shop.client(0, &config);
    let download = Traffic::tcp_download(laptop, at(PANEL[0], 443));
    download.flows(LONG);

    let outcome = shop.doorward.json(&["person", "offboard", "support@shop.example", "--reason", "contract ended"]);
    let decided = micros(&outcome["decided_at"]);
    println!("offboard: confirmed after {} ms", receipt_ms(&outcome));
    let (how, _) = download.ends(LONG);
    assert!(matches!(how, End::Cut(_)), "the download is reset, not left hanging: {how:?}");
    wait_until("a reset at the service", LONG, || matches!(server.ends()[..], [(_, End::Cut(_))]));
    let person = shop.doorward.json(&["person", "show", "support@shop.example"]);
    assert_eq!(person["state"], "departed");

    // The old key knocks: a fresh start of the client is a fresh handshake.
    client.stop();
    let again = shop.client(0, &config);
    assert_ne!(knock_tcp(laptop, at(PANEL[0], 443), Duration::from_secs(3)), Attempt::Opened);
    assert_eq!(again.latest_handshake(), 0, "the handshake is not answered");
    let words = ["support@shop.example", "laptop", CAFE_PUBLIC];
    wait_until("an alert that names person, device and source", LONG, || shop.alert_names(&words));

    let to: std::net::IpAddr = PANEL[0].parse().unwrap();
    let last = witness.last(|packet| packet.to == to && !packet.is_reset()).unwrap();
    println!("witness: last packet {} µs after the commit", last - decided);
    assert!(last - decided <= BOUND_MICROS, "the witness saw a packet {} µs after the commit", last - decided);
}

#[test]
fn forty_offboardings_in_a_row_end_their_open_connection_in_time() {
    let shop = Shop::open(1, &Settings::default());
    let (inside, laptop) = (&shop.world.inside, &shop.world.laptops[0]);
    let witness = Witness::inside(&shop.world);
    let ports = |round: usize| u16::try_from(7000 + round).unwrap();
    let _servers: Vec<_> =
        (0..ROUNDS).map(|round| TcpServer::start(inside, at(PANEL[0], ports(round)), Manner::Stream)).collect();
    shop.resource("panel", &[PANEL[0]], &["tcp/7000-7999"]);
    let mut client = None;
    let mut decided = Vec::new();
    let mut confirmed = Vec::new();
    let mut told = 0;
    for round in 0..ROUNDS {
        let email = format!("person{round}@shop.example");
        let config = shop.person(&email, "panel");
        let client = client.get_or_insert_with(|| shop.client(0, &config));
        client.configure(shop.world.folder.path(), &config);
        client.route(laptop, &config);
        let download = Traffic::tcp_download(laptop, at(PANEL[0], ports(round)));
        download.flows(LONG);
        let outcome = shop.doorward.json(&["person", "offboard", &email]);
        decided.push(micros(&outcome["decided_at"]));
        confirmed.push(i64::try_from(receipt_ms(&outcome)).unwrap());
        told += usize::from(comes_true(Duration::from_secs(5), || matches!(download.end(), Some((End::Cut(_), _)))));
    }
    // A reset is one datagram: on a machine that is too busy to read its socket it can be lost like any other.
    println!("{told} of {ROUNDS} laptops were told by a reset");
    assert!(told * 10 >= ROUNDS * 9, "{told} of {ROUNDS} laptops were told");
    let seen = witness.finish();
    let mut last: Vec<i64> = (0..ROUNDS)
        .map(|round| {
            let theirs = seen.iter().filter(|packet| packet.to_port(ports(round)) && !packet.is_reset());
            (theirs.map(|packet| packet.at).max().unwrap() - decided[round]).max(0)
        })
        .collect();
    last.sort_unstable();
    confirmed.sort_unstable();
    let percentile = |sorted: &[i64], percent: usize| sorted[(sorted.len() * percent / 100).min(sorted.len() - 1)];
    println!(
        "{ROUNDS} offboardings: commit to last packet p50 {} µs, p99 {} µs; to the receipt p50 {} ms, p99 {} ms",
        percentile(&last, 50),
        percentile(&last, 99),
        percentile(&confirmed, 50),
        percentile(&confirmed, 99)
    );
    assert!(percentile(&last, 99) <= BOUND_MICROS, "{last:?}");
    assert!(percentile(&last, 50) <= BOUND_MICROS / 10, "{last:?}");
}

#[test]
fn suspension_stops_a_person_and_restoring_lets_the_same_config_work_again() {
    let shop = Shop::open(1, &Settings::default());
    let laptop = &shop.world.laptops[0];
    let _panel = UdpServer::start(&shop.world.inside, at(PANEL[0], 53));
    shop.resource("panel", &[PANEL[0]], &["udp/53"]);
    let config = shop.person("support@shop.example", "panel");
    let _client = shop.client(0, &config);
    let chat = Traffic::udp_chat(laptop, at(PANEL[0], 53));
    chat.flows(LONG);
    let outcome = shop.doorward.json(&["person", "suspend", "support@shop.example"]);
    let late = chat.stalls(Duration::from_secs(2), LONG) - micros(&outcome["decided_at"]);
    assert!(late <= BOUND_MICROS, "{late} µs after the suspension");
    shop.doorward.run(&["person", "restore", "support@shop.example"]);
    // The client knocks by itself every five seconds while it has something to say.
    chat.flows(Duration::from_secs(40));
}

#[test]
fn a_revoked_grant_ends_its_own_connections_and_leaves_the_others() {
    let shop = Shop::open(1, &Settings::default());
    let (inside, laptop) = (&shop.world.inside, &shop.world.laptops[0]);
    let _panel = TcpServer::start(inside, at(PANEL[0], 443), Manner::Echo);
    let _database = TcpServer::start(inside, at(DATABASE[0], 5432), Manner::Echo);
    shop.resource("panel", &[PANEL[0]], &["tcp/443"]);
    shop.resource("db", &[DATABASE[0]], &["tcp/5432"]);
    shop.staff("support@shop.example");
    shop.grant("support@shop.example", "panel", "1h");
    let taken = shop.grant("support@shop.example", "db", "1h");
    let config = shop.device("support@shop.example", "laptop");
    let _client = shop.client(0, &config);
    let stays = Traffic::tcp_chat(laptop, at(PANEL[0], 443));
    let goes = Traffic::tcp_chat(laptop, at(DATABASE[0], 5432));
    stays.flows(LONG);
    goes.flows(LONG);
    let address = config.address(false).to_string();
    let entries = || shop.world.gateway.stdout("conntrack", &["-L", "-s", &address, "-d", DATABASE[0]]);
    assert!(entries().contains("dport=5432"), "the kernel tracks the connection");

    let outcome = shop.doorward.json(&["grant", "revoke", &taken]);
    let (how, when) = goes.ends(LONG);
    assert!(matches!(how, End::Cut(_)), "{how:?}");
    let late = when - micros(&outcome["decided_at"]);
    assert!(late <= BOUND_MICROS, "{late} µs");
    wait_until("the kernel to forget the connection", LONG, || !entries().contains("dport=5432"));
    stays.flows(LONG);
    assert_ne!(knock_tcp(laptop, at(DATABASE[0], 5432), Duration::from_secs(2)), Attempt::Opened);
}

#[test]
fn a_grant_that_begins_later_opens_at_its_time() {
    let shop = Shop::open(1, &Settings::default());
    let laptop = &shop.world.laptops[0];
    let _panel = UdpServer::start(&shop.world.inside, at(PANEL[0], 53));
    shop.resource("panel", &[PANEL[0]], &["udp/53"]);
    shop.staff("support@shop.example");
    let begins = jiff::Timestamp::now() + Duration::from_secs(7);
    let from = jiff::Timestamp::from_second(begins.as_second()).unwrap();
    let args = ["grant", "add", "support@shop.example", "panel", "--from", &from.to_string(), "--for", "1h"];
    shop.doorward.json(&args);
    let config = shop.device("support@shop.example", "laptop");
    let _client = shop.client(0, &config);
    let chat = Traffic::udp_chat(laptop, at(PANEL[0], 53));
    let first =
        wait_for("the first answer", Duration::from_secs(25), || (chat.answers() > 0).then(|| chat.last_answer()));
    assert!(first >= from.as_microsecond(), "answered {} µs early", from.as_microsecond() - first);
    assert!(reaches_udp(laptop, at(PANEL[0], 53)));
}

#[test]
fn a_contracts_end_and_a_devices_end_stop_their_people_alone_and_on_time() {
    let shop = Shop::open(3, &Settings::default());
    let _panel = UdpServer::start(&shop.world.inside, at(PANEL[0], 53));
    shop.resource("panel", &[PANEL[0]], &["udp/53"]);
    let stays = shop.person("support@shop.example", "panel");
    let contractor = "dba@agency.example";
    let kind = ["--name", "Agency DBA", "--kind", "contractor", "--sponsor", "support@shop.example", "--until", "12s"];
    let mut add = vec!["person", "add", contractor];
    add.extend(kind);
    let contract_end = micros(&shop.doorward.json(&add)["until"]);
    shop.grant(contractor, "panel", "1h");
    let contract = shop.device(contractor, "laptop");
    let added = shop.doorward.json(&["device", "add", "support@shop.example", "tablet", "--for", "10s"]);
    let device_end = micros(&added["until"]);
    let short = WgQuick::parse(added["config"].as_str().unwrap());
    let chats: Vec<_> = [&stays, &contract, &short]
        .iter()
        .enumerate()
        .map(|(laptop, config)| (shop.client(laptop, config), laptop))
        .map(|(client, laptop)| (client, Traffic::udp_chat(&shop.world.laptops[laptop], at(PANEL[0], 53))))
        .collect();
    for (_, chat) in &chats {
        wait_until("an answer before the end", LONG, || chat.answers() > 0);
    }
    for (what, (_, chat), end) in [("contract", &chats[1], contract_end), ("device", &chats[2], device_end)] {
        let late = chat.stalls(Duration::from_secs(2), Duration::from_secs(25)) - end;
        println!("{what}: last answer {late} µs after its end");
        assert!((-2_000_000..=BOUND_MICROS).contains(&late), "{what}: {late} µs");
    }
    chats[0].1.flows(LONG);
}
