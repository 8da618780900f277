//! Public Wi-Fi as it is: a relay in the café that loses, delays, reorders, doubles, cuts and re-addresses datagrams,
//! shuts ports, and has a captive portal. The kernel here has no `netem`.
//!
//! ```text
//!   laptop ── 172.16.N.1 ┬ redirect ─ relay ─ uplink0 ═══ internet ═══ gateway
//!                        └ everything else is forwarded as ever
//! ```
//!
//! The laptop keeps its config: the café redirects what goes to the gateway's UDP ports into the relay, which passes it on
//! from a socket of its own for each laptop and port, connected to where the laptop meant to go. As with a NAT, an answer
//! from another address or port than the one asked never arrives. Chance comes from a seed; what happened is counted.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::netns::Namespace;

mod chance;
mod path;

pub(crate) use chance::Chance;

/// What the network does to datagrams, each way; chances are in thousandths.
#[derive(Debug, Clone, Copy, Default)]
pub struct Weather {
    /// Lost.
    pub loss: u32,
    /// Sent twice.
    pub duplicate: u32,
    /// Held back until about ten others have passed.
    pub reorder: u32,
    /// Cut short at a random length.
    pub truncate: u32,
    /// The shortest delay.
    pub delay: Duration,
    /// What chance adds to it at most; order is kept.
    pub jitter: Duration,
    /// Longest IP packet that passes, in bytes; longer ones vanish without a word. 0 = no limit.
    pub mtu: usize,
}

impl Weather {
    /// A bad evening in a full café: 2 % lost, 40 ± 30 ms, some doubled, overtaken, cut.
    #[must_use]
    pub fn bad() -> Self {
        Self {
            loss: 20,
            duplicate: 10,
            reorder: 20,
            truncate: 5,
            delay: Duration::from_millis(10),
            jitter: Duration::from_millis(60),
            mtu: 1400,
        }
    }
}

/// What the relay did so far, in datagrams of both directions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Passed on.
    pub carried: u64,
    /// Lost by chance.
    pub lost: u64,
    /// Sent twice.
    pub doubled: u64,
    /// Held back.
    pub reordered: u64,
    /// Cut short.
    pub cut: u64,
    /// Longer than the path takes.
    pub too_long: u64,
    /// Eaten by the portal or at a blocked port.
    pub eaten: u64,
    /// Dropped because too many were on their way.
    pub overflowed: u64,
    /// Sockets opened towards the gateway: how often a laptop looked like somebody else.
    pub mappings: u64,
}

/// The relay's settings, which a scenario changes while it runs.
#[derive(Debug, Clone)]
struct Settings {
    weather: Weather,
    /// Eats everything, as before somebody accepted the terms.
    portal: bool,
    blocked: Vec<u16>,
    /// From which addresses the café speaks to the gateway.
    from: (Ipv4Addr, Ipv6Addr),
    /// Raised to make all mappings end.
    generation: u64,
    /// Mappings end after so long without a datagram from the laptop.
    forget_after: Option<Duration>,
    stop: bool,
}

#[derive(Debug)]
struct Shared {
    settings: Mutex<Settings>,
    counts: Mutex<Counts>,
}

/// A relay that runs until dropped.
#[derive(Debug)]
pub struct Relay {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Relay {
    /// Redirects what laptops send to `gateway` (an address of each family) at these UDP ports, and passes it on.
    ///
    /// # Panics
    /// When the café cannot be set up.
    #[must_use]
    pub fn start(cafe: &Namespace, gateway: (Ipv4Addr, Ipv6Addr), ports: &[u16], seed: u64) -> Self {
        let (four, six) = gateway;
        // What the relay itself sends keeps the address that it chose: the café's own translation passes over it.
        let list = ports.iter().map(u16::to_string).collect::<Vec<_>>().join(", ");
        cafe.nft(&format!(
            "table inet relay {{ chain in {{ type nat hook prerouting priority dstnat;\n\
             ip daddr {four} udp dport {{ {list} }} redirect\nip6 daddr {six} udp dport {{ {list} }} redirect\n}}\n\
             chain out {{ type filter hook output priority raw;\n\
             ip daddr {four} udp dport {{ {list} }} notrack\nip6 daddr {six} udp dport {{ {list} }} notrack\n}}\n}}\n"
        ));
        let settings = Settings {
            weather: Weather::default(),
            portal: false,
            blocked: Vec::new(),
            from: ("198.51.100.7".parse().expect("an address"), "2001:db8:100::7".parse().expect("an address")),
            generation: 0,
            forget_after: None,
            stop: false,
        };
        let shared = Arc::new(Shared { settings: Mutex::new(settings), counts: Mutex::default() });
        let listeners: Vec<_> = ports
            .iter()
            .flat_map(|&port| {
                let any: [(IpAddr, IpAddr); 2] = [
                    (Ipv4Addr::UNSPECIFIED.into(), gateway.0.into()),
                    (Ipv6Addr::UNSPECIFIED.into(), gateway.1.into()),
                ];
                any.map(|(here, there)| (SocketAddr::new(here, port), SocketAddr::new(there, port)))
            })
            .map(|(here, there)| (path::listen(cafe, here), there))
            .collect();
        let own = shared.clone();
        let thread = cafe.spawn(move || path::Path::new(listeners, own, seed).run());
        Self { shared, thread: Some(thread) }
    }

    /// The relay of the drawn topology: the gateway's own addresses, at 51820, 443 and 53.
    #[must_use]
    pub fn in_cafe(world: &crate::world::World, seed: u64) -> Self {
        let gateway = ("203.0.113.2".parse().expect("an address"), "2001:db8:203::2".parse().expect("an address"));
        Self::start(&world.cafe, gateway, &[51820, 443, 53], seed)
    }

    fn settings(&self) -> MutexGuard<'_, Settings> {
        self.shared.settings.lock().expect("the relay does not panic")
    }

    /// Changes the weather.
    pub fn weather(&self, weather: Weather) {
        self.settings().weather = weather;
    }

    /// Closes or opens the captive portal.
    pub fn portal(&self, closed: bool) {
        self.settings().portal = closed;
    }

    /// Eats everything that goes to these ports, and lets the others pass.
    pub fn block(&self, ports: &[u16]) {
        self.settings().blocked = ports.to_vec();
    }

    /// Forgets a laptop's mapping after so long without a datagram from it.
    pub fn forget_after(&self, idle: Duration) {
        self.settings().forget_after = Some(idle);
    }

    /// From here on laptops look like another port of the same address.
    pub fn change_ports(&self) {
        self.settings().generation += 1;
    }

    /// From here on laptops look like somebody at another address, which the café must have.
    pub fn change_address(&self, to: Ipv4Addr) {
        let mut settings = self.settings();
        settings.from.0 = to;
        settings.generation += 1;
    }

    /// What happened so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        *self.shared.counts.lock().expect("the relay does not panic")
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.settings().stop = true;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
