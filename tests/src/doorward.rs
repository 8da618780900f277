//! Doorward as an admin meets it: the binary, its configuration file, its commands.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::Value;

use crate::http::{Answer, Connection};
use crate::names;
use crate::netns::Namespace;
use crate::process::Process;
use crate::wait::wait_until;

/// How long a start may take on a busy machine with two cores.
pub const START: Duration = Duration::from_secs(30);

/// The binary under test, in a place that every user can reach: the control plane drops root and starts it again.
///
/// `DOORWARD_BIN` names another one than `target/release/doorward`.
#[must_use]
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
    let (_, path) = BINARY.get_or_init(|| {
        let built = std::env::var_os("DOORWARD_BIN").map_or_else(beside_the_tests, PathBuf::from);
        let folder = names::folder(&names::fresh());
        let path = folder.path().join("doorward");
        // By another process: a program that is open for writing in this one cannot be started, and what a test in another
        // thread starts meanwhile inherits the open file.
        let copied = Command::new("install").args(["-m", "0755"]).args([&built, &path]).output().expect("install");
        let complaint = String::from_utf8_lossy(&copied.stderr);
        assert!(copied.status.success(), "{complaint}: build it first with `cargo build --release -p doorward`");
        (folder, path)
    });
    path
}

/// `target/PROFILE/doorward`, from `target/PROFILE/deps/scenarios-…`.
fn beside_the_tests() -> PathBuf {
    let tests = std::env::current_exe().expect("a test binary knows its path");
    tests.parent().and_then(Path::parent).expect("deps has a parent").join("doorward")
}

/// What a command printed and how it ended.
#[derive(Debug, Clone)]
pub struct Said {
    /// The exit code; -1 when a signal ended it.
    pub code: i32,
    /// What programs read.
    pub stdout: String,
    /// What people read when something is wrong.
    pub stderr: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Said {
    /// Asserts one clear sentence on stderr with these words in it, and the exit code.
    #[track_caller]
    pub fn refuses(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, code, "exit code; stderr: {}", self.stderr);
        // `doorward up` adds which half it was that gave the reason.
        let reason = |line: &&str| line.starts_with("doorward: ") && !line.ends_with("for the reason above");
        let lines: Vec<&str> = self.stderr.lines().filter(reason).collect();
        assert_eq!(lines.len(), 1, "one sentence is expected: {}", self.stderr);
        let text = self.stderr.to_lowercase();
        for word in words {
            assert!(text.contains(&word.to_lowercase()), "`{word}` is not in: {}", self.stderr);
        }
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
    }
}

/// One machine's Doorward: data folder and configuration file. The processes are started by the scenario.
#[derive(Debug)]
pub struct Doorward {
    /// The data folder.
    pub data: PathBuf,
    /// The configuration file.
    pub config: PathBuf,
    /// The gateway's interface: unique on the machine.
    pub interface: String,
}

impl Doorward {
    /// Prepares a folder and writes a configuration that fits the drawn topology; `more` is appended to the file.
    #[must_use]
    pub fn prepare(folder: &Path, name: &str, settings: &Settings<'_>) -> Self {
        let data = folder.join(name);
        fs::create_dir_all(&data).expect("making a data folder");
        let interface = names::interface();
        let endpoint = settings.endpoint.unwrap_or(crate::world::ENDPOINT_V4);
        let text = format!(
            "[server]\nlisten = \"0.0.0.0:8443\"\n{}\n[gateway]\nendpoint = \"{endpoint}\"\ninterface = \"{interface}\"\n\
             {}\n[authority]\nttl = \"{}\"\n{}\n",
            settings.server, settings.gateway, settings.ttl, settings.more
        );
        let config = folder.join(format!("{name}.toml"));
        fs::write(&config, text).expect("writing a configuration");
        Self { data, config, interface }
    }

    /// Starts `doorward COMMAND…` (such as `up` or `run gateway`) on a machine.
    #[must_use]
    pub fn start(&self, machine: &Namespace, command: &[&str], env: &[(&str, &str)]) -> Process {
        let title = format!("doorward-{}", command.join("-"));
        let mut all = vec![utf8(binary())];
        all.extend(command);
        all.extend(["--config", utf8(&self.config), "--data", utf8(&self.data)]);
        let folder = self.data.parent().expect("the data folder is in the scenario's");
        Process::start(&title, machine, folder, &all, env)
    }

    /// Runs a start that must fail, to its end (at most 20 s), on a machine, perhaps through another program first.
    #[must_use]
    pub fn start_in_vain(&self, machine: &Namespace, through: &[&str], command: &[&str]) -> Said {
        let mut all = vec!["20"];
        all.extend(through);
        all.push(utf8(binary()));
        all.extend(command);
        all.extend(["--config", utf8(&self.config), "--data", utf8(&self.data)]);
        machine.output("timeout", &all).into()
    }

    /// Runs an admin's command over the admin socket.
    #[must_use]
    pub fn says(&self, args: &[&str]) -> Said {
        let output = Command::new(binary()).args(args).arg("--data").arg(&self.data).env("NO_COLOR", "1").output();
        output.expect("running doorward").into()
    }

    /// Runs a command that must succeed, and returns what it printed.
    #[track_caller]
    pub fn run(&self, args: &[&str]) -> String {
        let said = self.says(args);
        assert_eq!(said.code, 0, "doorward {args:?}: {}{}", said.stdout, said.stderr);
        said.stdout
    }

    /// Runs a command that must succeed, with `--json`, and returns what it printed.
    #[track_caller]
    pub fn json(&self, args: &[&str]) -> Value {
        let mut all = args.to_vec();
        all.push("--json");
        let text = self.run(&all);
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("doorward {all:?}: {error}: {text}"))
    }

    /// Waits until the control plane answers and so many gateways are connected.
    #[track_caller]
    pub fn ready(&self, gateways: usize) {
        wait_until("Doorward to be ready", START, || {
            let said = self.says(&["status", "--json"]);
            let status: Value = serde_json::from_str(&said.stdout).unwrap_or_default();
            said.code == 0 && connected(&status) >= gateways
        });
    }

    /// Sends one request over the admin socket, on a connection of its own.
    #[must_use]
    pub fn request(&self, method: &str, path: &str, body: Option<&str>) -> Answer {
        self.connect().request(method, path, body).expect("an answer over the admin socket")
    }

    /// Opens a connection to the admin socket.
    #[must_use]
    pub fn connect(&self) -> Connection<UnixStream> {
        let socket = self.data.join("admin.sock");
        Connection::new(UnixStream::connect(&socket).unwrap_or_else(|error| panic!("{}: {error}", socket.display())))
    }

    /// Reads the gateway's metrics on its machine.
    #[must_use]
    pub fn metrics(&self, machine: &Namespace) -> String {
        let address: SocketAddr = "127.0.0.1:9586".parse().expect("an address");
        let stream = machine.tcp_connect(address, Duration::from_secs(5)).expect("the gateway's metrics listener");
        Connection::new(stream).request("GET", "/metrics", None).expect("metrics").body
    }
}

/// Adds up the gateway's metrics whose lines have all these words.
#[must_use]
pub fn sum_of(metrics: &str, words: &[&str]) -> f64 {
    let lines = metrics.lines().filter(|line| line.starts_with("doorward_gateway_"));
    let named = lines.filter(|line| words.iter().all(|word| line.contains(word)));
    named.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

/// What a scenario sets in the configuration file.
#[derive(Debug, Clone, Copy)]
pub struct Settings<'a> {
    /// `[gateway] endpoint`; absent: the drawn one over IPv4.
    pub endpoint: Option<&'a str>,
    /// `[authority] ttl`.
    pub ttl: &'a str,
    /// More lines of `[server]`.
    pub server: &'a str,
    /// More lines of `[gateway]`.
    pub gateway: &'a str,
    /// Lines at the end of the file.
    pub more: &'a str,
}

impl Default for Settings<'_> {
    fn default() -> Self {
        Self { endpoint: None, ttl: "30s", server: "", gateway: "", more: "" }
    }
}

/// How many gateways a status names as connected.
#[must_use]
pub fn connected(status: &Value) -> usize {
    let gateways = status["gateways"].as_array().map_or(&[][..], Vec::as_slice);
    gateways.iter().filter(|gateway| gateway["connected"] == true).count()
}

/// A path as text.
#[must_use]
pub fn utf8(path: &Path) -> &str {
    path.to_str().expect("paths of scenarios are UTF-8")
}
