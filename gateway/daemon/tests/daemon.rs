//! The daemon as a process, in a network namespace of its own, with a control plane played by this test.
//!
//! ```text
//!   this test ── DIR/feed.sock ── gateway process
//!   (host)                        netns dwt-PID-N: lo, doorward device, out0 192.0.2.7/24
//! ```
//! The test is its own helper: `daemon --gateway DIR INTERFACE PORT` runs a gateway until its standard input closes,
//! `daemon --hold ADDRESS` holds a UDP port as long, `daemon --get ADDRESS PATH` makes one HTTP request.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test with a main of its own"
)]

mod plane;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::time::{Duration, Instant};

use doorward_gateway::{GatewayConfig, GatewaySection, run};
use doorward_model::TunnelNetwork;
use tokio_util::sync::CancellationToken;

use crate::plane::Plane;

/// Nothing here takes longer, except when it is broken.
const PATIENCE: Duration = Duration::from_secs(20);

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        [_, "--gateway", dir, interface, port] => std::process::exit(gateway(Path::new(dir), interface, port)),
        [_, "--hold", address] => return hold(address),
        [_, "--get", address, path] => return println!("{}", get(address, path)),
        _ => (),
    }
    assert!(rustix::process::geteuid().is_root(), "these tests make network namespaces: run them as root");
    type Scenario = fn(&Host);
    let scenarios: [(&str, Scenario); 4] = [
        ("a_gateway_serves_its_peers_and_leaves_nothing_behind", serves_and_leaves_nothing),
        ("a_killed_gateway_is_cleared_by_the_next_one", killed_is_cleared),
        ("what_is_taken_is_named_and_leaves_the_host_as_it_was", taken_is_named),
        ("a_silent_control_plane_ends_authority_and_the_feed_comes_back", feed_comes_back),
    ];
    for (number, (name, scenario)) in scenarios.into_iter().enumerate() {
        let host = Host::new(number);
        scenario(&host);
        println!("test {name} ... ok");
    }
}

/// The helper: a gateway that says `ready` and stops when its standard input closes.
fn gateway(dir: &Path, interface: &str, port: &str) -> i32 {
    let section = GatewaySection {
        endpoint: Some(format!("192.0.2.7:{port}")),
        listen: vec![format!("0.0.0.0:{port}").parse().unwrap(), format!("[::]:{port}").parse().unwrap()],
        interface: interface.to_owned(),
        metrics: Some("127.0.0.1:9586".parse().unwrap()),
        ..GatewaySection::default()
    };
    let config =
        GatewayConfig::new(section, TunnelNetwork::default(), Duration::from_secs(30), dir.to_owned()).unwrap();
    let shutdown = CancellationToken::new();
    let stop = shutdown.clone();
    std::thread::spawn(move || {
        let _closed = std::io::stdin().read_to_end(&mut Vec::new());
        stop.cancel();
    });
    match run(config, shutdown, |ready| println!("ready {}", ready.public_key)) {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("{error}");
            1
        }
    }
}

/// The helper: holds a UDP port until its standard input closes.
fn hold(address: &str) {
    let _held = std::net::UdpSocket::bind(address).unwrap();
    println!("bound");
    let _closed = std::io::stdin().read_to_end(&mut Vec::new());
}

/// The helper: one HTTP request, printed whole.
fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

fn command(line: &str) -> Output {
    let words: Vec<&str> = line.split_whitespace().collect();
    let (program, arguments) = words.split_first().unwrap();
    Command::new(program).args(arguments).output().unwrap()
}

fn succeed(line: &str) -> String {
    let output = command(line);
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < until, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A network namespace and a data folder; both go away with it.
struct Host {
    namespace: String,
    interface: String,
    dir: tempfile::TempDir,
}

impl Host {
    fn new(number: usize) -> Self {
        let id = std::process::id();
        let host = Self {
            namespace: format!("dwt-{id}-{number}"),
            interface: format!("dwt{id}-{number}"),
            dir: tempfile::tempdir().unwrap(),
        };
        succeed(&format!("ip netns add {}", host.namespace));
        for line in [
            "link set lo up",
            "link add out0 type veth peer name far0",
            "addr add 192.0.2.7/24 dev out0",
            "link set out0 up",
        ] {
            succeed(&format!("ip -n {} {line}", host.namespace));
        }
        host
    }

    fn inside(&self, line: &str) -> String {
        succeed(&format!("ip netns exec {} {line}", self.namespace))
    }

    fn start(&self) -> Process {
        self.spawn(&["--gateway", self.dir.path().to_str().unwrap(), &self.interface, "51820"])
    }

    /// Starts this test as its own helper, inside the namespace.
    fn spawn(&self, arguments: &[&str]) -> Process {
        let mut child = Command::new("ip")
            .args(["netns", "exec", &self.namespace])
            .arg(std::env::current_exe().unwrap())
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Process { stdin: child.stdin.take(), child }
    }

    fn uapi_socket(&self) -> PathBuf {
        Path::new("/var/run/wireguard").join(format!("{}.sock", self.interface))
    }

    fn has_interface(&self) -> bool {
        command(&format!("ip -n {} link show {}", self.namespace, self.interface)).status.success()
    }

    /// What a gateway could have left: table, interface, sockets, kernel settings.
    fn assert_clean(&self) {
        assert!(!self.has_interface());
        assert_eq!(self.inside("nft list tables"), "");
        assert_eq!(self.inside("cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/all/forwarding"), "0\n0\n");
        assert_eq!(self.inside("cat /proc/sys/net/ipv6/conf/out0/accept_ra"), "1\n");
        assert!(!self.uapi_socket().exists());
        assert!(!self.dir.path().join("gateway/host-state.json").exists());
        let routes = succeed(&format!("ip -n {} -o addr show to 100.80.0.0/16", self.namespace));
        assert_eq!(routes, "");
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        command(&format!("ip netns del {}", self.namespace));
        let _gone = std::fs::remove_file(self.uapi_socket());
    }
}

/// A gateway process. Closing its standard input stops it.
struct Process {
    child: Child,
    stdin: Option<ChildStdin>,
}

impl Process {
    /// Waits for `ready` and returns the public key.
    fn ready(&mut self) -> String {
        let mut line = String::new();
        BufReader::new(self.child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        match line.strip_prefix("ready ") {
            Some(key) => key.trim().to_owned(),
            None => panic!("the gateway did not start: {}", self.fails()),
        }
    }

    fn stop(mut self) {
        drop(self.stdin.take());
        let status = self.end();
        assert!(status, "{}", self.stderr());
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.end();
    }

    /// Waits for a failure and returns what it said.
    fn fails(&mut self) -> String {
        assert!(!self.end(), "the gateway ended well");
        self.stderr()
    }

    fn stderr(&mut self) -> String {
        let mut text = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
        text
    }

    fn end(&mut self) -> bool {
        wait_for("the gateway's end", || self.child.try_wait().unwrap()).success()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            let _killed = self.child.kill();
            let _ended = self.child.wait();
        }
    }
}

fn serves_and_leaves_nothing(host: &Host) {
    let plane = Plane::start(&host.dir.path().join("feed.sock"), Duration::from_secs(30));
    let mut gateway = host.start();
    let key = gateway.ready();
    let hello = wait_for("a hello", || plane.hellos().pop());
    assert_eq!((hello.public_key.to_string(), hello.endpoint.as_str()), (key, "192.0.2.7:51820"));
    let receipt = wait_for("a receipt of the snapshot", || plane.receipts().pop());
    assert_eq!(receipt.revision, plane::REVISION);
    wait_for("a ping that names the revision", || {
        plane.pings().into_iter().find(|ping| ping.revision == Some(plane::REVISION))
    });

    let addresses = succeed(&format!("ip -n {} -br addr show {}", host.namespace, host.interface));
    assert!(addresses.contains("100.80.0.1/16") && addresses.contains("fd64:6f6f:7277::1/64"), "{addresses}");
    assert!(!addresses.contains("fe80"), "{addresses}");
    assert!(succeed(&format!("ip -n {} link show {}", host.namespace, host.interface)).contains("mtu 1420"));
    let dump = succeed(&format!("wg show {} dump", host.interface));
    let peer = plane::lease().public_key.to_string();
    assert!(
        dump.contains(&peer) && dump.contains("100.80.0.2/32,fd64:6f6f:7277::2/128") && dump.contains("51820"),
        "{dump}"
    );
    assert!(!command(&format!("wg set {} listen-port 1", host.interface)).status.success());
    let rules = host.inside("nft list ruleset");
    assert!(rules.contains("masquerade") && rules.contains("maxseg size set rt mtu"), "{rules}");
    let metrics = host.inside(&format!("{} --get 127.0.0.1:9586 /metrics", std::env::current_exe().unwrap().display()));
    assert!(metrics.contains("doorward_gateway_feed_connected 1\n"), "{metrics}");
    assert!(
        metrics.contains("doorward_gateway_devices_known 1\n") && metrics.trim_end().ends_with("# EOF"),
        "{metrics}"
    );
    let tasks = std::fs::read_dir(format!("/proc/{}/task", gateway.child.id())).unwrap();
    let statuses = tasks.map(|task| std::fs::read_to_string(task.unwrap().path().join("status")).unwrap());
    let packets = statuses.into_iter().find(|status| status.starts_with("Name:\tpackets-0\n")).unwrap();
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        // CAP_NET_ADMIN is number 12.
        assert!(packets.contains(&format!("{set}:\t0000000000001000\n")), "{packets}");
    }
    gateway.stop();
    host.assert_clean();
}

fn killed_is_cleared(host: &Host) {
    let _plane = Plane::start(&host.dir.path().join("feed.sock"), Duration::from_secs(30));
    let mut gateway = host.start();
    let key = gateway.ready();
    gateway.kill();
    assert_ne!(host.inside("nft list tables"), "");
    assert_eq!(host.inside("cat /proc/sys/net/ipv4/ip_forward"), "1\n");
    let mut gateway = host.start();
    assert_eq!(gateway.ready(), key, "the key is kept");
    gateway.stop();
    host.assert_clean();
}

fn taken_is_named(host: &Host) {
    let mut taker = host.spawn(&["--hold", "0.0.0.0:51820"]);
    BufReader::new(taker.child.stdout.take().unwrap()).read_line(&mut String::new()).unwrap();
    let error = host.start().fails();
    assert!(error.contains("0.0.0.0:51820 is taken") && error.contains("`[gateway] listen`"), "{error}");
    host.assert_clean();
    drop(taker);

    succeed(&format!("ip -n {} link add {} type veth peer name taken0", host.namespace, host.interface));
    let error = host.start().fails();
    assert!(error.contains("exists already") && error.contains("`[gateway] interface`"), "{error}");
    succeed(&format!("ip -n {} link del {}", host.namespace, host.interface));
    host.assert_clean();

    let mut first = host.start();
    first.ready();
    let error = host.start().fails();
    assert!(error.contains("is running on"), "{error}");
    first.stop();
    host.assert_clean();
}

fn feed_comes_back(host: &Host) {
    let ttl = Duration::from_secs(1);
    let path = host.dir.path().join("feed.sock");
    let plane = Plane::start(&path, ttl);
    let mut gateway = host.start();
    gateway.ready();
    wait_for("a receipt", || plane.receipts().pop());
    let left = || {
        let metrics =
            host.inside(&format!("{} --get 127.0.0.1:9586 /metrics", std::env::current_exe().unwrap().display()));
        let line = metrics
            .lines()
            .find(|line| line.starts_with("doorward_gateway_authority_left_seconds "))
            .unwrap()
            .to_owned();
        line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()
    };
    wait_for("authority", || (left() > 0.0).then_some(()));
    drop(plane);
    wait_for("the end of authority", || (left() <= 0.0).then_some(()));
    let plane = Plane::start(&path, ttl);
    wait_for("authority again", || (left() > 0.0).then_some(()));
    assert_eq!(plane.hellos().len(), 1);
    gateway.stop();
    host.assert_clean();
}
