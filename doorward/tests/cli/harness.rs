//! A real control plane of the built binary in a folder of its own, and a gateway that speaks the feed and moves no packet.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use doorward_model::{FeedMessage, GatewayHello, HelloReply, PublicKey, Receipt, TunnelNetwork};
use serde_json::Value;

/// How long anything may take to come about.
const PATIENCE: Duration = Duration::from_secs(30);

/// The gateway's public key in these tests.
pub(crate) const GATEWAY_KEY: [u8; 32] = [9; 32];

/// Returns the built binary with an environment in which no variable of the caller counts.
pub(crate) fn doorward() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_doorward"));
    command.env_clear().env("PATH", "/usr/bin:/bin").stdin(Stdio::null());
    command
}

/// What a command did.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    /// Runs a command to its end.
    pub(crate) fn run(command: &mut Command) -> Self {
        let mut output = command.output();
        // A copy of the binary that a test just wrote may still be open in a child of another test that has not become
        // its program yet; that takes less than a millisecond.
        for _ in 0..10_000 {
            if !output.as_ref().is_err_and(|error| error.kind() == std::io::ErrorKind::ExecutableFileBusy) {
                break;
            }
            std::thread::yield_now();
            output = command.output();
        }
        let Output { status, stdout, stderr } = output.expect("the binary runs");
        let text = |bytes| String::from_utf8(bytes).expect("output is UTF-8");
        Self { code: status.code().unwrap_or(-1), stdout: text(stdout), stderr: text(stderr) }
    }

    /// Asserts the exit code and that stderr is one sentence of ours with a word in it.
    #[track_caller]
    pub(crate) fn refused(&self, code: i32, word: &str) {
        assert_eq!(self.code, code, "{self:?}");
        assert!(self.stderr.starts_with("doorward: "), "{self:?}");
        assert!(self.stderr.contains(word), "`{word}` is not in {self:?}");
        assert!(!self.stderr.contains("panicked"), "{self:?}");
        assert_eq!(self.stdout, "", "{self:?}");
    }

    /// Asserts success and returns what was printed.
    #[track_caller]
    pub(crate) fn done(self) -> String {
        assert_eq!(self.code, 0, "{self:?}");
        self.stdout
    }

    /// Asserts success and reads the JSON that was printed.
    #[track_caller]
    pub(crate) fn json(self) -> Value {
        let text = self.done();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }
}

/// A control plane that ends with its owner.
pub(crate) struct ControlPlane {
    child: Child,
    folder: tempfile::TempDir,
    https_port: u16,
}

impl ControlPlane {
    /// Starts one and waits until it answers.
    pub(crate) fn start() -> Self {
        Self::start_with("")
    }

    /// Starts one with more in its configuration, and waits until it answers.
    pub(crate) fn start_with(more: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let https_port = free_port();
        let config =
            format!("[server]\nlisten = \"127.0.0.1:{https_port}\"\nurl = \"https://localhost:{https_port}\"\n{more}");
        std::fs::write(folder.path().join("doorward.toml"), config).expect("a config");
        let child = Self::command(folder.path()).stderr(Stdio::null()).spawn().expect("the binary runs");
        let this = Self { child, folder, https_port };
        wait_until("the control plane answers", || this.run("status").code == 0);
        this
    }

    fn command(folder: &Path) -> Command {
        let mut command = doorward();
        let config = folder.join("doorward.toml");
        command.args(["run", "control-plane", "--data"]).arg(folder).arg("--config").arg(config);
        command
    }

    /// Stops it, as an init system does.
    pub(crate) fn stop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it runs");
        self.child.wait().expect("it ends");
    }

    /// Writes another `[server]` section.
    pub(crate) fn configure(&self, more: &str) {
        let port = self.https_port;
        let config = format!("[server]\nlisten = \"127.0.0.1:{port}\"\nurl = \"https://localhost:{port}\"\n{more}");
        std::fs::write(self.data().join("doorward.toml"), config).expect("a config");
    }

    /// Starts it again and waits until it answers.
    pub(crate) fn start_once_more(&mut self) {
        self.child = Self::command(self.data()).stderr(Stdio::null()).spawn().expect("the binary runs");
        wait_until("the control plane answers", || self.run("status").code == 0);
    }

    /// Starts a second one on the same folder and waits for its end.
    pub(crate) fn start_again(&self) -> Ran {
        Ran::run(&mut Self::command(self.data()))
    }

    pub(crate) fn data(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn url(&self) -> String {
        format!("https://localhost:{}", self.https_port)
    }

    /// Prepares a command over the admin socket; the line is split at spaces, `_` stands for a space in a word.
    pub(crate) fn line(&self, line: &str) -> Command {
        let mut command = doorward();
        // First, so that a test can add an argument at the end.
        command.arg("--data").arg(self.data()).args(line.split(' ').map(|word| word.replace('_', " ")));
        command
    }

    /// Runs a command over the admin socket.
    pub(crate) fn run(&self, line: &str) -> Ran {
        Ran::run(&mut self.line(line))
    }

    /// Runs a command for its JSON.
    #[track_caller]
    pub(crate) fn json(&self, line: &str) -> Value {
        Ran::run(self.line(line).arg("--json")).json()
    }

    /// Adds a member of staff, a contractor, a resource and a grant.
    #[track_caller]
    pub(crate) fn with_people(&self) {
        self.run("resource add customer-db --target 10.0.5.20 --allow tcp/5432").done();
        self.run("person add support@shop.example --name Support_desk --kind staff").done();
        self.run("person add dba@agency.example --name Agency_DBA --kind contractor --sponsor support@shop.example --until 4d").done();
        self.run("grant add dba@agency.example customer-db --for 8h --reason migrate").done();
    }

    /// Connects a gateway named `main` that confirms whatever it hears.
    pub(crate) fn with_gateway(&self) -> FakeGateway {
        self.with_gateway_that(false, &[])
    }

    /// Connects a gateway that resolves or not, and listens on these ports.
    pub(crate) fn with_gateway_that(&self, resolver: bool, ports: &[u16]) -> FakeGateway {
        let gateway = FakeGateway::connect(self.data().join("feed.sock"), resolver, ports.to_vec());
        wait_until("the gateway is connected", || self.json("status")["gateways"][0]["connected"] == true);
        gateway
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        // Already gone is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns a port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("its number").port()
}

/// Waits for a condition, never for a guessed time.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "waited {PATIENCE:?} until {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A gateway that holds no packet: it says hello, reads its stream and sends a receipt for every revision.
pub(crate) struct FakeGateway {
    stream: UnixStream,
    reader: Option<JoinHandle<()>>,
}

impl FakeGateway {
    fn connect(socket: PathBuf, resolver: bool, ports: Vec<u16>) -> Self {
        let hello = GatewayHello {
            name: "main".parse().expect("a name"),
            public_key: PublicKey::from_bytes(GATEWAY_KEY).expect("a key"),
            endpoint: "203.0.113.2:51820".to_owned(),
            network: TunnelNetwork::default(),
            version: "0".to_owned(),
            resolver,
            ports,
            revision: None,
        };
        let reply = post(&socket, "/feed/v1/hello", &serde_json::to_string(&hello).expect("JSON"));
        let reply: HelloReply = serde_json::from_str(&reply).expect("a reply");
        let mut stream = UnixStream::connect(&socket).expect("the feed socket");
        write!(stream, "GET /feed/v1/stream?session={} HTTP/1.1\r\nHost: localhost\r\n\r\n", reply.session)
            .expect("a request");
        let lines = BufReader::new(stream.try_clone().expect("a second handle"));
        let reader = std::thread::spawn(move || {
            // Each event is one chunk, so that a line is never cut by the transfer encoding.
            for line in lines.lines() {
                let Some(text) = line.as_ref().ok().and_then(|line| line.strip_prefix("data:")) else { continue };
                let revision = match serde_json::from_str(text).expect("a feed message") {
                    FeedMessage::Snapshot(page) => page.revision,
                    FeedMessage::Delta(delta) => delta.revision,
                    FeedMessage::Heartbeat(_) => continue,
                };
                let receipt = Receipt {
                    session: reply.session,
                    revision,
                    enforced_after_micros: 10,
                    ended: Vec::new(),
                    ahead: None,
                };
                post(&socket, "/feed/v1/receipts", &serde_json::to_string(&receipt).expect("JSON"));
            }
        });
        Self { stream, reader: Some(reader) }
    }
}

impl Drop for FakeGateway {
    fn drop(&mut self) {
        // Ends the reader's loop; a closed stream is as good.
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

fn post(socket: &Path, path: &str, body: &str) -> String {
    let mut stream = UnixStream::connect(socket).expect("the feed socket");
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .expect("a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 2"), "{path}: {answer}");
    answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default()
}
