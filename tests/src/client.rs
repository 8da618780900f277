//! A person's WireGuard client: wireguard-go, driven by `wg`, set up from the text that Doorward hands out.

use std::net::{IpAddr, SocketAddr};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::names;
use crate::netns::Namespace;
use crate::process::Process;
use crate::wait::wait_until;

/// A wg-quick configuration, as far as a client on Linux needs it.
#[derive(Debug, Clone, Default)]
pub struct WgQuick {
    /// `PrivateKey`, where the text carries one.
    pub private_key: Option<String>,
    /// `Address`, with prefix lengths.
    pub addresses: Vec<String>,
    /// `DNS`, where the gateway answers every name.
    pub dns: Vec<String>,
    /// `MTU`.
    pub mtu: u16,
    /// The gateway's `PublicKey`.
    pub gateway_key: String,
    /// `PresharedKey`, where there is one.
    pub preshared_key: Option<String>,
    /// `AllowedIPs`.
    pub allowed_ips: Vec<String>,
    /// `Endpoint`.
    pub endpoint: String,
    /// `PersistentKeepalive`, seconds; 0 = off.
    pub keepalive: u16,
    /// The text that it came from.
    pub text: String,
}

impl WgQuick {
    /// Reads a configuration strictly: an unknown section or key is a failure, because phones refuse it too.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut config = Self { text: text.to_owned(), ..Self::default() };
        let mut section = "";
        for line in text.lines().map(str::trim) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if line.starts_with('[') {
                section = if line == "[Interface]" { "Interface" } else { "Peer" };
                assert!(line == "[Interface]" || line == "[Peer]", "unknown section {line}");
                continue;
            }
            let (key, value) = line.split_once('=').unwrap_or_else(|| panic!("no `key = value`: {line}"));
            config.set(section, key.trim(), value.trim());
        }
        assert!(!config.gateway_key.is_empty() && !config.endpoint.is_empty(), "an incomplete configuration:\n{text}");
        config
    }

    fn set(&mut self, section: &str, key: &str, value: &str) {
        let list = || value.split(',').map(|item| item.trim().to_owned()).filter(|item| !item.is_empty()).collect();
        match (section, key) {
            ("Interface", "PrivateKey") => self.private_key = Some(value.to_owned()),
            ("Interface", "Address") => self.addresses = list(),
            ("Interface", "DNS") => self.dns = list(),
            ("Interface", "MTU") => self.mtu = value.parse().expect("MTU is a number"),
            ("Peer", "PublicKey") => value.clone_into(&mut self.gateway_key),
            ("Peer", "PresharedKey") => self.preshared_key = Some(value.to_owned()),
            ("Peer", "AllowedIPs") => self.allowed_ips = list(),
            ("Peer", "Endpoint") => value.clone_into(&mut self.endpoint),
            ("Peer", "PersistentKeepalive") => self.keepalive = value.parse().expect("a number of seconds"),
            (section, key) => panic!("[{section}] {key} is no key that every official app accepts"),
        }
    }

    /// Returns the device's tunnel address of the family asked for.
    #[must_use]
    pub fn address(&self, v6: bool) -> IpAddr {
        let bare = self.addresses.iter().filter_map(|text| text.split('/').next()?.parse::<IpAddr>().ok());
        bare.into_iter().find(|address| address.is_ipv6() == v6).expect("an address of each family")
    }

    /// What `wg setconf` takes of it.
    fn wg_text(&self) -> String {
        let key = self.private_key.as_deref().expect("a client needs its private key");
        let psk = self.preshared_key.as_ref().map(|key| format!("PresharedKey = {key}\n")).unwrap_or_default();
        format!(
            "[Interface]\nPrivateKey = {key}\n[Peer]\nPublicKey = {}\n{psk}AllowedIPs = {}\nEndpoint = {}\n\
             PersistentKeepalive = {}\n",
            self.gateway_key,
            self.allowed_ips.join(", "),
            self.endpoint,
            self.keepalive
        )
    }
}

/// Whose WireGuard a client runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// The reference implementation in user space, from the distribution.
    WireguardGo,
    /// boringtun-cli, Cloudflare's.
    Boringtun,
    /// gotatun-cli, Mullvad's descendant of it.
    Gotatun,
}

impl Program {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::WireguardGo, Self::Boringtun, Self::Gotatun];

    /// The command that runs it in the foreground for an interface.
    fn command(self, interface: &str) -> Vec<String> {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let mut command = match self {
            Self::WireguardGo => words(&["wireguard-go", "-f"]),
            Self::Boringtun => words(&[&tool("boringtun-cli"), "-f", "--disable-drop-privileges", "-t", "2"]),
            Self::Gotatun => words(&[&tool("gotatun"), "-f", "-v", "error", "--disable-drop-privileges"]),
        };
        command.push(interface.to_owned());
        command
    }
}

/// A program that `tests/run.sh` built: in the folder that `DOORWARD_TEST_TOOLS` names, or else in `target/tools/bin`.
fn tool(name: &str) -> String {
    let tests = std::env::current_exe().expect("a test binary knows its path");
    let beside = || tests.ancestors().nth(3).expect("target/release/deps/…").join("tools/bin");
    let path = std::env::var_os("DOORWARD_TEST_TOOLS").map_or_else(beside, Into::into).join(name);
    assert!(path.exists(), "{} is not there: tests/run.sh builds it", path.display());
    path.to_str().expect("a path in UTF-8").to_owned()
}

/// A running client in somebody's laptop.
#[derive(Debug)]
pub struct Client {
    interface: String,
    process: Process,
}

impl Client {
    /// Starts wireguard-go and configures interface, addresses and routes as `wg-quick up` would.
    #[must_use]
    pub fn start(laptop: &Namespace, folder: &Path, config: &WgQuick) -> Self {
        Self::start_program(Program::WireguardGo, laptop, folder, config)
    }

    /// The same with the program of choice.
    #[must_use]
    pub fn start_program(program: Program, laptop: &Namespace, folder: &Path, config: &WgQuick) -> Self {
        let interface = names::interface();
        let quiet = [("LOG_LEVEL", "error"), ("WG_I_PREFER_BUGGY_USERSPACE_TO_POLISHED_KMOD", "1")];
        let title = format!("{program:?}-{interface}");
        let command = program.command(&interface);
        let command: Vec<&str> = command.iter().map(String::as_str).collect();
        let process = Process::start(&title, laptop, folder, &command, &quiet);
        let client = Self { interface, process };
        wait_for_uapi(&client.interface);
        client.configure(folder, config);
        client.route(laptop, config);
        client
    }

    /// Gives keys, peer and endpoint to the running client, in place of what it had.
    pub fn configure(&self, folder: &Path, config: &WgQuick) {
        let file = folder.join(format!("{}.wg", self.interface));
        std::fs::write(&file, config.wg_text()).expect("writing the client's configuration");
        let output = Command::new("wg").arg("setconf").arg(&self.interface).arg(&file).output();
        let output = output.expect("running wg: apt install wireguard-tools");
        assert!(output.status.success(), "wg setconf: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Sets addresses and routes, in place of what the interface had.
    pub fn route(&self, laptop: &Namespace, config: &WgQuick) {
        let interface = &self.interface;
        let mut lines = format!("addr flush dev {interface}\n");
        for address in &config.addresses {
            lines += &format!("addr add {address} dev {interface} nodad\n");
        }
        lines += &format!("link set {interface} mtu {} up\n", config.mtu);
        for prefix in config.allowed_ips.iter().flat_map(|prefix| halves(prefix)) {
            lines += &format!("route replace {prefix} dev {interface}\n");
        }
        // What wg-quick does with a firewall mark for a full tunnel: the tunnel's own datagrams go around it.
        let endpoint: SocketAddr = config.endpoint.parse().expect("scenarios dial addresses");
        let number = laptop.name().rsplit_once("laptop").map_or("1", |(_, number)| number);
        let via = if endpoint.is_ipv4() { format!("172.16.{number}.1") } else { format!("2001:db8:16:{number}::1") };
        if config.allowed_ips.iter().any(|prefix| prefix.ends_with("/0")) {
            lines += &format!("route replace {} via {via}\n", endpoint.ip());
        }
        laptop.batch(&lines.replace(" nodad\n", "\n"));
    }

    /// Returns the interface's name.
    #[must_use]
    pub fn interface(&self) -> &str {
        &self.interface
    }

    /// Returns the time of the latest handshake (seconds since 1970; 0 = none yet).
    #[must_use]
    pub fn latest_handshake(&self) -> u64 {
        let output = Command::new("wg").args(["show", &self.interface, "latest-handshakes"]).output().expect("wg show");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.split_whitespace().nth(1).and_then(|seconds| seconds.parse().ok()).unwrap_or(0)
    }

    /// Stops the program as a closing lid does: it neither sends nor reads, and what it holds stays.
    pub fn sleep(&self) {
        self.process.signal(rustix::process::Signal::STOP);
    }

    /// Lets it go on.
    pub fn wake(&self) {
        self.process.signal(rustix::process::Signal::CONT);
    }

    /// Ends the client.
    pub fn stop(mut self) {
        self.process.terminate();
    }
}

/// Waits until a WireGuard program answers on its socket. The file alone is not enough: `wg` removes a socket on which
/// nobody listens yet.
#[track_caller]
pub fn wait_for_uapi(interface: &str) {
    let socket = format!("/var/run/wireguard/{interface}.sock");
    wait_until("wireguard-go's socket", Duration::from_secs(20), || UnixStream::connect(&socket).is_ok());
}

/// A default route as two halves, which leave the laptop's own default route in place.
fn halves(prefix: &str) -> Vec<String> {
    match prefix {
        "0.0.0.0/0" => vec!["0.0.0.0/1".to_owned(), "128.0.0.0/1".to_owned()],
        "::/0" => vec!["::/1".to_owned(), "8000::/1".to_owned()],
        other => vec![other.to_owned()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# laptop\n[Interface]\nPrivateKey = k=\nAddress = 100.80.0.2/32, fd64::2/128\nMTU = 1280\n\
                        [Peer]\nPublicKey = g=\nAllowedIPs = 10.0.5.10/32\nEndpoint = 203.0.113.2:51820\n";

    #[test]
    fn a_config_is_read_back_as_it_was_meant() {
        let config = WgQuick::parse(TEXT);
        assert_eq!(config.private_key.as_deref(), Some("k="));
        assert_eq!(config.address(true).to_string(), "fd64::2");
        assert_eq!(config.allowed_ips, ["10.0.5.10/32"]);
    }

    #[test]
    #[should_panic(expected = "no key that every official app accepts")]
    fn a_key_that_phones_refuse_is_noticed() {
        let _ = WgQuick::parse(&TEXT.replace("MTU = 1280", "PostUp = reboot"));
    }
}
