//! What the fuzzer feeds: one function a parser, from any bytes. Each returns if the bytes were refused or understood, and
//! panics if a promise was broken. `tests/replay.rs` plays the committed corpora; `../README.md` says how to find more.

use std::fmt::{Debug, Display};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

pub use doorward_gateway::fuzzing::{dns_answer, dns_question, sse, uapi};
use doorward_gateway::{FeedAddress, GatewayConfig, GatewaySection, LISTEN_MAX, UPSTREAMS_MAX};
pub use doorward_gateway_core::fuzzing::{classify, coalesce, inner_packet, split, translate};
use doorward_model::{
    Allow, DeviceId, DeviceName, DnsName, Email, FeedMessage, GatewayEvent, GatewayHello, GatewayName, HelloReply,
    PersonName, Ping, PresharedKey, PublicKey, Receipt, ResourceName, Target, TimeLimit, TunnelNetwork, parse_duration,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A target's name, which is its corpus's folder, and its function.
pub type NamedTarget = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: [NamedTarget; 13] = [
    ("classify", classify),
    ("coalesce", coalesce),
    ("core_inputs", core_inputs),
    ("dns_answer", dns_answer),
    ("dns_question", dns_question),
    ("feed", feed),
    ("gateway_config", gateway_config),
    ("inner_packet", inner_packet),
    ("names", names),
    ("split", split),
    ("sse", sse),
    ("translate", translate),
    ("uapi", uapi),
];

/// The feed's messages, both ways: what is read can be written, and read again as the same.
pub fn feed(bytes: &[u8]) {
    json::<FeedMessage>(bytes);
    json::<GatewayHello>(bytes);
    json::<HelloReply>(bytes);
    json::<Ping>(bytes);
    json::<Receipt>(bytes);
    json::<Vec<GatewayEvent>>(bytes);
}

fn json<T: Serialize + DeserializeOwned + PartialEq + Debug>(bytes: &[u8]) {
    let Ok(value) = serde_json::from_slice::<T>(bytes) else { return };
    let text = serde_json::to_vec(&value).unwrap_or_default();
    assert!(!text.contains(&b'\n'), "an event is one line");
    assert_eq!(serde_json::from_slice::<T>(&text).ok(), Some(value));
}

/// What people write: names, addresses, targets, ports, keys, time limits. What is shown of it reads as the same, and has
/// no line break, whatever was taken.
pub fn names(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    shown::<Email>(text);
    shown::<DeviceName>(text);
    shown::<GatewayName>(text);
    shown::<PersonName>(text);
    shown::<ResourceName>(text);
    shown::<DnsName>(text);
    shown::<Target>(text);
    shown::<Allow>(text);
    shown::<PublicKey>(text);
    shown::<DeviceId>(text);
    let _ = text.parse::<PresharedKey>();
    let _ = text.parse::<TimeLimit>();
    if let Ok(span) = parse_duration(text) {
        assert!(span <= Duration::from_secs(10 * 366 * 24 * 3600));
    }
}

fn shown<T: FromStr + Display + PartialEq + Debug>(text: &str) {
    let Ok(value) = text.parse::<T>() else { return };
    let shown = value.to_string();
    assert!(!shown.contains(char::is_control), "{shown:?}");
    assert_eq!(shown.parse::<T>().ok(), Some(value), "{shown:?}");
}

/// The `[gateway]` section of `doorward.toml`: what is read can be written, and read again as the same; what is made of it
/// is within its bounds.
pub fn gateway_config(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(mut section) = toml::from_str::<GatewaySection>(text) else { return };
    let written = written(&section);
    assert_eq!(toml::from_str::<GatewaySection>(&written).ok().as_ref(), Some(&section), "{written}");
    // Without one the routing table would be asked, and an outcome would depend on the machine.
    section.endpoint.get_or_insert_with(|| "door.shop.example:51820".to_owned());
    let network = TunnelNetwork::default();
    let make =
        |section| GatewayConfig::new(section, network, Duration::from_secs(30), PathBuf::from("/var/lib/doorward"));
    let config = match make(section.clone()) {
        Ok(config) => config,
        Err(error) => return assert!(!error.to_string().contains(char::is_control), "{error}"),
    };
    assert!(!config.listen.is_empty() && config.listen.len() <= LISTEN_MAX);
    assert!(config.listen.iter().all(|address| address.port() != 0));
    assert!(config.upstreams.len() <= UPSTREAMS_MAX && (config.resolver || config.upstreams.is_empty()));
    assert!(config.threads >= 1 && (1..16).contains(&config.interface.as_str().len()));
    assert!(!config.endpoint.contains(|c: char| c.is_control() || c.is_whitespace()), "{:?}", config.endpoint);
    if let FeedAddress::Https(named) = &config.feed
        && let [(host, port)] = named.as_slice()
    {
        let bracketed =
            host.parse().map_or_else(|_| format!("{host}:{port}"), |ip| SocketAddr::new(ip, *port).to_string());
        section.control_plane = Some(format!("https://{bracketed}"));
        assert_eq!(make(section).map(|again| again.feed).ok(), Some(config.feed));
    }
}

/// Writes a section as TOML.
fn written(section: &GatewaySection) -> String {
    fn line(key: &str, value: impl Into<toml::Value>) -> String {
        format!("{key} = {}\n", value.into())
    }
    let texts = |addresses: &[SocketAddr]| addresses.iter().map(SocketAddr::to_string).collect::<Vec<_>>();
    let token_file = section.enrolment_token_file.as_deref().and_then(Path::to_str);
    let metrics = section.metrics.map_or_else(|| "off".to_owned(), |address| address.to_string());
    [
        Some(line("name", section.name.as_str())),
        section.endpoint.as_deref().map(|endpoint| line("endpoint", endpoint)),
        Some(line("listen", texts(&section.listen))),
        section.threads.map(|threads| line("threads", i64::from(threads))),
        Some(line("interface", section.interface.as_str())),
        Some(line("egress", section.egress.as_str())),
        Some(line("nat", section.nat)),
        Some(line("resolver", section.resolver)),
        Some(line("upstreams", texts(&section.upstreams))),
        Some(line("metrics", metrics)),
        section.control_plane.as_deref().map(|url| line("control_plane", url)),
        token_file.map(|path| line("enrolment_token_file", path)),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The core's inputs: packets, feed messages and clocks against the simulation's model.
pub fn core_inputs(bytes: &[u8]) {
    let played = doorward_sim::runner::play_bytes(bytes);
    assert!(played.is_ok(), "{:?}", played.err());
}
