//! The harness against itself: what the scenarios conclude from silence is worth nothing if the topology is at fault.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use doorward_tests::client::{Client, WgQuick, wait_for_uapi};
use doorward_tests::names;
use doorward_tests::process::Process;
use doorward_tests::service::{Manner, TcpServer, UdpServer};
use doorward_tests::traffic::{Attempt, knock_tcp, reaches_ping, reaches_udp};
use doorward_tests::witness::{Witness, carries};
use doorward_tests::world::{CAFE_PUBLIC, DATABASE, PANEL, World, at};

const LONG: Duration = Duration::from_secs(10);

fn wg(args: &[&str], input: &str) -> String {
    use std::io::Write;
    let mut child = Command::new("wg").args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap().trim().to_owned()
}

#[test]
fn topology_clients_and_witness_work_with_a_plain_wireguard_go_gateway() {
    let world = World::new(1);
    let folder = world.folder.path();
    let (gateway_key, client_key) = (wg(&["genkey"], ""), wg(&["genkey"], ""));
    let interface = names::interface();
    let _gateway = Process::start("gateway", &world.gateway, folder, &["wireguard-go", "-f", &interface], &[]);
    wait_for_uapi(&interface);
    let conf = format!(
        "[Interface]\nPrivateKey={gateway_key}\nListenPort=51820\n[Peer]\nPublicKey={}\n\
         AllowedIPs=100.80.0.2/32,fd64:6f6f:7277::2/128\n",
        wg(&["pubkey"], &client_key)
    );
    fs::write(folder.join("gateway.wg"), conf).unwrap();
    let _ = world.gateway.stdout("wg", &["setconf", &interface, folder.join("gateway.wg").to_str().unwrap()]);
    world.gateway.batch(&format!(
        "addr add 100.80.0.1/16 dev {interface}\naddr add fd64:6f6f:7277::1/64 dev {interface}\nlink set {interface} up\n"
    ));
    world.gateway.sysctl("net/ipv4/ip_forward", "1");
    world.gateway.sysctl("net/ipv6/conf/all/forwarding", "1");

    let witness = Witness::inside(&world);
    let outside = Witness::start(&world.internet, folder, "witness-internet", "gateway0");
    let _web = TcpServer::start(&world.inside, at(PANEL[0], 443), Manner::Echo);
    let _web6 = TcpServer::start(&world.inside, at(PANEL[1], 443), Manner::Echo);
    let _dns = UdpServer::start(&world.inside, at(DATABASE[0], 53));
    let config = WgQuick::parse(&format!(
        "[Interface]\nPrivateKey = {client_key}\nAddress = 100.80.0.2/32, fd64:6f6f:7277::2/128\nMTU = 1280\n[Peer]\n\
         PublicKey = {}\nAllowedIPs = 10.0.5.0/24, fd00:5::/64\nEndpoint = 203.0.113.2:51820\nPersistentKeepalive = 25\n",
        wg(&["pubkey"], &gateway_key)
    ));
    let laptop = &world.laptops[0];
    let client = Client::start(laptop, folder, &config);
    assert_eq!(knock_tcp(laptop, at(PANEL[0], 443), LONG), Attempt::Opened);
    assert_eq!(knock_tcp(laptop, at(PANEL[1], 443), LONG), Attempt::Opened);
    assert_eq!(knock_tcp(laptop, at(PANEL[0], 444), LONG), Attempt::Refused);
    assert!(reaches_udp(laptop, at(DATABASE[0], 53)));
    assert!(reaches_ping(laptop, DATABASE[0]) && reaches_ping(laptop, PANEL[1]));
    assert!(client.latest_handshake() > 0);
    client.stop();

    let seen = witness.finish();
    assert!(seen.iter().any(|packet| packet.to_port(443)) && seen.iter().any(|packet| packet.to_port(53)));
    assert!(carries(&seen, b"knock"), "inside, the question is in the clear");
    let outside = outside.finish();
    assert!(!carries(&outside, b"knock"), "outside, it is not");
    let public: std::net::IpAddr = CAFE_PUBLIC.parse().unwrap();
    assert!(
        outside.iter().any(|packet| packet.from == public && packet.to_port(51820)),
        "the café translates addresses"
    );
}
