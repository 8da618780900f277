//! A world with a running Doorward in it, and the few commands that most scenarios begin with.

use std::net::IpAddr;

use jiff::Timestamp;
use serde_json::Value;

use crate::client::{Client, WgQuick};
use crate::doorward::{Doorward, Settings};
use crate::process::Process;
use crate::world::World;

/// The shop: networks, Doorward as one process group (`doorward up`), people.
#[derive(Debug)]
pub struct Shop {
    /// `doorward up`. First in the struct, so that it is ended before its networks go.
    pub up: Option<Process>,
    /// Its folder, configuration and commands.
    pub doorward: Doorward,
    /// The networks.
    pub world: World,
}

impl Shop {
    /// Opens a shop with `doorward up` on the gateway and waits until it is ready.
    #[must_use]
    #[track_caller]
    pub fn open(laptops: u8, settings: &Settings<'_>) -> Self {
        let mut shop = Self::closed(laptops, settings);
        shop.up = Some(shop.doorward.start(&shop.world.gateway, &["up"], &[]));
        shop.doorward.ready(1);
        shop
    }

    /// Lays out the world and the configuration, and starts nothing.
    #[must_use]
    pub fn closed(laptops: u8, settings: &Settings<'_>) -> Self {
        let world = World::new(laptops);
        let doorward = Doorward::prepare(world.folder.path(), "data", settings);
        Self { up: None, doorward, world }
    }

    /// Adds a resource with these targets and allowances.
    #[track_caller]
    pub fn resource(&self, name: &str, targets: &[&str], allows: &[&str]) {
        let mut args = vec!["resource", "add", name];
        targets.iter().for_each(|target| args.extend(["--target", target]));
        allows.iter().for_each(|allow| args.extend(["--allow", allow]));
        self.doorward.run(&args);
    }

    /// Adds a member of staff.
    #[track_caller]
    pub fn staff(&self, email: &str) {
        self.doorward.run(&["person", "add", email, "--name", "Some Body", "--kind", "staff"]);
    }

    /// Grants and returns the grant's id.
    #[track_caller]
    pub fn grant(&self, email: &str, resource: &str, span: &str) -> String {
        let grant = self.doorward.json(&["grant", "add", email, resource, "--for", span]);
        grant["id"].as_str().unwrap_or_else(|| panic!("a grant has an id: {grant}")).to_owned()
    }

    /// Adds a device whose keys the CLI makes, and returns its configuration.
    #[track_caller]
    pub fn device(&self, email: &str, name: &str) -> WgQuick {
        self.device_with(email, name, &[])
    }

    /// The same with more arguments.
    #[track_caller]
    pub fn device_with(&self, email: &str, name: &str, more: &[&str]) -> WgQuick {
        let args = [&["device", "add", email, name], more].concat();
        let added = self.doorward.json(&args);
        let text = added["config"].as_str().unwrap_or_else(|| panic!("a device has a config: {added}"));
        WgQuick::parse(text)
    }

    /// A member of staff with one grant for an hour and one device.
    #[track_caller]
    pub fn person(&self, email: &str, resource: &str) -> WgQuick {
        self.staff(email);
        self.grant(email, resource, "1h");
        self.device(email, "laptop")
    }

    /// Starts somebody's client on a laptop (numbered from 0).
    #[must_use]
    pub fn client(&self, laptop: usize, config: &WgQuick) -> Client {
        Client::start(&self.world.laptops[laptop], self.world.folder.path(), config)
    }

    /// Returns `status --json`.
    #[must_use]
    #[track_caller]
    pub fn status(&self) -> Value {
        self.doorward.json(&["status"])
    }

    /// Says whether an alert names all these words.
    #[must_use]
    #[track_caller]
    pub fn alert_names(&self, words: &[&str]) -> bool {
        let status = self.status();
        let alerts = status["alerts"].as_array().cloned().unwrap_or_default();
        alerts.iter().any(|alert| words.iter().all(|word| alert.to_string().contains(word)))
    }
}

/// Reads a time stamp of an answer as microseconds since 1970.
#[track_caller]
#[must_use]
pub fn micros(value: &Value) -> i64 {
    let text = value.as_str().unwrap_or_else(|| panic!("a time stamp is expected: {value}"));
    text.parse::<Timestamp>().unwrap_or_else(|error| panic!("{text}: {error}")).as_microsecond()
}

/// Returns the milliseconds of an outcome's first receipt.
#[track_caller]
#[must_use]
pub fn receipt_ms(outcome: &Value) -> u64 {
    let ms = outcome["receipts"][0]["enforced_after_ms"].as_u64();
    ms.unwrap_or_else(|| panic!("a receipt with milliseconds is expected: {outcome}"))
}

/// Reads an address.
#[must_use]
pub fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}
