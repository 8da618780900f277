//! Network namespaces: made with `ip netns`, entered by threads, gone when dropped.

use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// A network namespace of one scenario.
#[derive(Debug)]
pub struct Namespace {
    name: String,
    /// Whether it was made elsewhere, and stays when this is dropped.
    borrowed: bool,
}

impl Namespace {
    /// Makes an empty namespace with its loopback up.
    #[must_use]
    pub fn new(name: String) -> Self {
        ip(&["netns", "add", &name]);
        let namespace = Self { name, borrowed: false };
        namespace.batch("link set lo up");
        // No address here is doubted: detection of duplicates would delay IPv6 by a second or two, and change routes
        // while a scenario compares them.
        namespace.sysctl("net/ipv6/conf/default/accept_dad", "0");
        namespace
    }

    /// Takes a namespace that somebody else made and will remove.
    #[must_use]
    pub const fn of(name: String) -> Self {
        Self { name, borrowed: true }
    }

    /// Returns the name under which `ip netns exec` finds it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs several `ip` commands, one a line, in the namespace.
    #[track_caller]
    pub fn batch(&self, lines: &str) {
        feed_stdin(Command::new("ip").args(["-n", &self.name, "-batch", "-"]), lines);
    }

    /// Loads an nftables script in the namespace.
    #[track_caller]
    pub fn nft(&self, script: &str) {
        feed_stdin(self.command("nft").args(["-f", "-"]), script);
    }

    /// A command that runs in the namespace.
    #[must_use]
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, program]);
        command
    }

    /// Runs a program in the namespace to its end.
    #[track_caller]
    #[must_use]
    pub fn output(&self, program: &str, args: &[&str]) -> Output {
        self.command(program).args(args).stdin(Stdio::null()).output().expect("running a program in a namespace")
    }

    /// Runs a program that must succeed, and returns what it printed.
    #[track_caller]
    #[must_use]
    pub fn stdout(&self, program: &str, args: &[&str]) -> String {
        let output = self.output(program, args);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{program} {args:?} in {}: {error}", self.name);
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Runs a closure on a thread inside the namespace. Sockets that it opens stay there for ever.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            let inside = scope.spawn(|| {
                let file = fs::File::open(format!("/var/run/netns/{}", self.name)).expect("opening a namespace");
                move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
                    .expect("entering a namespace");
                work()
            });
            inside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Runs a closure on a thread inside the namespace, and goes on.
    pub fn spawn<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> std::thread::JoinHandle<T> {
        let file = fs::File::open(format!("/var/run/netns/{}", self.name)).expect("opening a namespace");
        std::thread::spawn(move || {
            move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).expect("entering a namespace");
            work()
        })
    }

    /// Sets a kernel parameter of the namespace, such as `net/ipv4/ip_forward`.
    pub fn sysctl(&self, key: &str, value: &str) {
        self.run(|| fs::write(format!("/proc/sys/{key}"), value))
            .unwrap_or_else(|error| panic!("sysctl {key}: {error}"));
    }

    /// Listens for TCP inside the namespace.
    #[must_use]
    pub fn tcp_listener(&self, at: SocketAddr) -> TcpListener {
        self.run(|| TcpListener::bind(at)).unwrap_or_else(|error| panic!("listening on {at}: {error}"))
    }

    /// Binds a UDP socket inside the namespace.
    #[must_use]
    pub fn udp_socket(&self, at: SocketAddr) -> UdpSocket {
        self.run(|| UdpSocket::bind(at)).unwrap_or_else(|error| panic!("binding {at}: {error}"))
    }

    /// Opens a TCP connection from inside the namespace.
    ///
    /// # Errors
    /// As `connect` does: refused, unreachable, timed out after `bound`.
    pub fn tcp_connect(&self, to: SocketAddr, bound: Duration) -> std::io::Result<TcpStream> {
        self.run(|| TcpStream::connect_timeout(&to, bound))
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if self.borrowed {
            return;
        }
        let _ = Command::new("ip").args(["netns", "delete", &self.name]).stderr(Stdio::null()).status();
    }
}

/// Joins two namespaces with a cable.
#[track_caller]
pub fn cable(a: &Namespace, a_interface: &str, b: &Namespace, b_interface: &str) {
    ip(&["link", "add", a_interface, "netns", &a.name, "type", "veth", "peer", "name", b_interface, "netns", &b.name]);
}

#[track_caller]
fn ip(args: &[&str]) {
    let output = Command::new("ip").args(args).output().expect("running ip: apt install iproute2");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {args:?} (scenarios need root): {error}");
}

#[track_caller]
fn feed_stdin(command: &mut Command, text: &str) {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("running a network tool");
    child.stdin.take().expect("stdin is piped").write_all(text.as_bytes()).expect("writing to a network tool");
    let output = child.wait_with_output().expect("waiting for a network tool");
    assert!(output.status.success(), "{text}\n→ {}", String::from_utf8_lossy(&output.stderr));
}
