//! Who is connected through one gateway, from where and how much they use, as the gateway tells it. It is kept in memory,
//! for people to look at; a restart forgets it and the gateways tell it again.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use doorward_model::{DeviceId, DeviceUsage, Timestamp};
use jiff::SignedDuration;

/// Devices kept for one gateway at most; a gateway is planned for 100,000.
const DEVICES_MAX: usize = 131_072;

/// Where there is no room, who was not heard for so long goes first.
const FORGET_AFTER: Duration = Duration::from_secs(24 * 3600);

/// A pace is what came within the last report; one that is older says nothing about this moment.
const PACE_AGE_MAX: Duration = Duration::from_secs(15);

/// How exactly the last use is written down.
const NOTED_EVERY: SignedDuration = SignedDuration::from_hours(1);

/// What is known of a device at one gateway.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Use {
    /// Where it was last heard from.
    pub(crate) endpoint: Option<SocketAddr>,
    /// When its last handshake was confirmed.
    pub(crate) last_handshake: Timestamp,
    /// Bytes that it sent in all.
    pub(crate) bytes_up: u64,
    /// Bytes that were sent to it in all.
    pub(crate) bytes_down: u64,
    /// Bytes a second both ways, lately.
    pace: u64,
    heard: Instant,
    /// The last handshake that was written down.
    noted: Timestamp,
}

impl Use {
    /// Returns bytes a second, both ways; 0 where nothing was heard lately, which means nothing moved.
    pub(crate) fn pace(&self, now: Instant) -> u64 {
        if now.saturating_duration_since(self.heard) > PACE_AGE_MAX { 0 } else { self.pace }
    }
}

/// What is known of one gateway's devices.
#[derive(Debug, Default)]
pub(crate) struct Usage {
    devices: HashMap<DeviceId, Use>,
}

impl Usage {
    /// Takes a report in; returns which devices' last handshakes are to be written down, each once an hour.
    pub(crate) fn heard(&mut self, usages: &[DeviceUsage], now: Instant) -> Vec<(DeviceId, Timestamp)> {
        let mut unnoted = Vec::new();
        for usage in usages {
            let before = self.devices.get(&usage.device).copied();
            if before.is_none() && self.devices.len() >= DEVICES_MAX {
                self.devices.retain(|_, known| now.saturating_duration_since(known.heard) < FORGET_AFTER);
                if self.devices.len() >= DEVICES_MAX {
                    return unnoted;
                }
            }
            let at = usage.last_handshake;
            let noted = before.map(|before| before.noted).filter(|noted| at.duration_since(*noted) < NOTED_EVERY);
            if noted.is_none() {
                unnoted.push((usage.device, at));
            }
            let heard = Use {
                endpoint: usage.endpoint,
                last_handshake: usage.last_handshake,
                bytes_up: usage.bytes_up,
                bytes_down: usage.bytes_down,
                pace: before.map_or(0, |before| pace(&before, usage, now)),
                heard: now,
                noted: noted.unwrap_or(at),
            };
            self.devices.insert(usage.device, heard);
        }
        unnoted
    }

    /// Returns what is known of a device.
    pub(crate) fn of(&self, device: &DeviceId) -> Option<Use> {
        self.devices.get(device).copied()
    }

    /// Returns all that is known.
    pub(crate) fn all(&self) -> impl Iterator<Item = (DeviceId, Use)> {
        self.devices.iter().map(|(device, usage)| (*device, *usage))
    }
}

/// Bytes a second since the report before; a counter that began anew counts from nothing.
fn pace(before: &Use, usage: &DeviceUsage, now: Instant) -> u64 {
    let grown = |after: u64, before: u64| after.checked_sub(before).unwrap_or(after);
    let bytes = grown(usage.bytes_up, before.bytes_up).saturating_add(grown(usage.bytes_down, before.bytes_down));
    let millis = u64::try_from(now.saturating_duration_since(before.heard).as_millis()).unwrap_or(u64::MAX);
    bytes.saturating_mul(1_000).checked_div(millis).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(bytes_up: u64) -> DeviceUsage {
        let device = DeviceId::new(uuid::Uuid::from_u128(1));
        DeviceUsage { device, endpoint: None, last_handshake: Timestamp::UNIX_EPOCH, bytes_up, bytes_down: 0 }
    }

    #[test]
    fn a_pace_is_what_moved_between_two_reports_and_fades() {
        let (mut known, start) = (Usage::default(), Instant::now());
        assert_eq!(known.heard(&[usage(1_000)], start).len(), 1);
        let of = |known: &Usage| known.of(&usage(0).device).unwrap();
        assert_eq!(of(&known).pace(start), 0);
        let later = start + Duration::from_secs(5);
        assert_eq!(known.heard(&[usage(11_000)], later), [], "written down within the hour");
        assert_eq!(of(&known).pace(later), 2_000);
        assert_eq!(of(&known).pace(later + Duration::from_secs(16)), 0);
        // The gateway restarted.
        let hour = DeviceUsage { last_handshake: Timestamp::UNIX_EPOCH + NOTED_EVERY, ..usage(500) };
        assert_eq!(known.heard(&[hour], later + Duration::from_secs(5)).len(), 1);
        assert_eq!(of(&known).pace(later + Duration::from_secs(5)), 100);
    }
}
