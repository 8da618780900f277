//! Flushing connection tracking, away from the packet thread.
//!
//! Nothing depends on it for what passes: the core refuses each packet by itself. It keeps the kernel's table from
//! holding translations of flows that ended.

use std::io;
use std::net::IpAddr;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use doorward_gateway_core::{ConntrackEntry, FlowTuple};
use doorward_model::Protocol;

use crate::error::GatewayError;

/// Requests waiting at most; an offboarding makes one.
const REQUESTS_MAX: usize = 1_024;

/// Where the packet thread leaves what is to be flushed. It never waits.
#[derive(Clone)]
pub(crate) struct ConntrackFlusher {
    requests: SyncSender<Vec<ConntrackEntry>>,
}

impl ConntrackFlusher {
    /// Starts the worker thread; it ends when the last flusher is dropped.
    ///
    /// # Errors
    /// [`GatewayError::Runtime`].
    pub(crate) fn start() -> Result<Self, GatewayError> {
        let (requests, receiver) = sync_channel(REQUESTS_MAX);
        std::thread::Builder::new()
            .name("conntrack".to_owned())
            .spawn(move || work(&receiver))
            .map_err(|source| GatewayError::Runtime { source })?;
        Ok(Self { requests })
    }

    /// Asks for entries to be removed; says whether there was room for the request.
    pub(crate) fn flush(&self, entries: Vec<ConntrackEntry>) -> bool {
        match self.requests.try_send(entries) {
            Ok(()) => true,
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => false,
        }
    }
}

fn work(requests: &Receiver<Vec<ConntrackEntry>>) {
    if let Err(error) = run(&["--version".to_owned()])
        && error.kind() == io::ErrorKind::NotFound
    {
        tracing::warn!(
            "the program `conntrack` is missing: ended flows stay in the kernel's table until they time out; install it with `apt install conntrack`"
        );
        return;
    }
    while let Ok(entries) = requests.recv() {
        for entry in entries {
            if let Err(error) = run(&arguments(&entry)) {
                tracing::debug!(%error, "cannot flush connection tracking");
            }
        }
    }
}

fn run(arguments: &[String]) -> io::Result<()> {
    let try_one = |program: &str| {
        Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            // It prints how many entries went, and ends with 1 when there were none: neither is an error here.
            .stderr(Stdio::null())
            .status()
            .map(|_| ())
    };
    match try_one("conntrack") {
        Err(error) if error.kind() == io::ErrorKind::NotFound => try_one("/usr/sbin/conntrack"),
        done => done,
    }
}

/// Writes the arguments of `conntrack` that remove an entry.
fn arguments(entry: &ConntrackEntry) -> Vec<String> {
    let family = |address: &IpAddr| if address.is_ipv4() { "ipv4" } else { "ipv6" };
    match entry {
        ConntrackEntry::Device(address) => {
            ["-D", "-f", family(address), "-s", &address.to_string()].map(str::to_owned).to_vec()
        }
        ConntrackEntry::Flow(FlowTuple { protocol, device, remote }) => {
            let (source, destination) = (device.ip().to_string(), remote.ip().to_string());
            let (source_port, destination_port) = (device.port().to_string(), remote.port().to_string());
            let mut arguments =
                ["-D", "-f", family(&device.ip()), "-s", &source, "-d", &destination].map(str::to_owned).to_vec();
            let rest: Vec<&str> = match (protocol, device.is_ipv4()) {
                (Protocol::Tcp, _) => vec!["-p", "tcp", "--sport", &source_port, "--dport", &destination_port],
                (Protocol::Udp, _) => vec!["-p", "udp", "--sport", &source_port, "--dport", &destination_port],
                (Protocol::Icmp, true) => vec!["-p", "icmp", "--icmp-id", &source_port],
                (Protocol::Icmp, false) => vec!["-p", "icmpv6", "--icmpv6-id", &source_port],
            };
            arguments.extend(rest.into_iter().map(str::to_owned));
            arguments
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_become_arguments_of_the_right_family_and_protocol() {
        let device = arguments(&ConntrackEntry::Device("fd64::5".parse().unwrap()));
        assert_eq!(device.join(" "), "-D -f ipv6 -s fd64::5");
        let flow = |protocol| {
            let (device, remote) = ("100.80.0.2:5000".parse().unwrap(), "10.0.5.20:5432".parse().unwrap());
            arguments(&ConntrackEntry::Flow(FlowTuple { protocol, device, remote })).join(" ")
        };
        assert_eq!(flow(Protocol::Tcp), "-D -f ipv4 -s 100.80.0.2 -d 10.0.5.20 -p tcp --sport 5000 --dport 5432");
        assert_eq!(flow(Protocol::Icmp), "-D -f ipv4 -s 100.80.0.2 -d 10.0.5.20 -p icmp --icmp-id 5000");
    }
}
