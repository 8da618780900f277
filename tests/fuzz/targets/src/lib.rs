//! What the fuzzer feeds: one function a parser, from any bytes. Each returns if the bytes were refused or understood, and
//! panics if a promise was broken. `tests/replay.rs` plays the committed corpora; `../README.md` says how to find more.

use std::fmt::{Debug, Display};
use std::str::FromStr;
use std::time::Duration;

pub use doorward_gateway_core::fuzzing::{classify, coalesce, inner_packet, split, translate};
use doorward_model::{
    Allow, DeviceId, DeviceName, DnsName, Email, FeedMessage, GatewayEvent, GatewayHello, GatewayName, HelloReply,
    PersonName, Ping, PresharedKey, PublicKey, Receipt, ResourceName, Target, TimeLimit, parse_duration,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A target's name, which is its corpus's folder, and its function.
pub type NamedTarget = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: [NamedTarget; 8] = [
    ("classify", classify),
    ("coalesce", coalesce),
    ("core_inputs", core_inputs),
    ("feed", feed),
    ("inner_packet", inner_packet),
    ("names", names),
    ("split", split),
    ("translate", translate),
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

/// The core's inputs: packets, feed messages and clocks against the simulation's model.
pub fn core_inputs(bytes: &[u8]) {
    let played = doorward_sim::runner::play_bytes(bytes);
    assert!(played.is_ok(), "{:?}", played.err());
}
