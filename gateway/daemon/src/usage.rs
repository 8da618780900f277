//! Tells the control plane who is connected, from where and how much they use: for people to look at. Nothing waits for
//! it and nothing is decided by it, so what cannot be told is told with the next report.

use std::collections::HashMap;
use std::time::Duration;

use doorward_gateway_core::PeerStatus;
use doorward_model::{DeviceId, DeviceUsage, USAGE_DEVICES_MAX, UsageReport};
use uuid::Uuid;

use crate::enrol::chain;
use crate::http::Poster;
use crate::shards::ShardHandle;
use crate::upload::SessionSlot;

/// How often changes are looked for: a person who watches sees them soon, and a packet thread hardly notices.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Reports for ever.
pub(crate) async fn report(mut poster: Poster, slot: SessionSlot, shard: ShardHandle) {
    let mut told = Told::default();
    loop {
        let Some(session) = slot.wait().await else { return };
        let Some(peers) = shard.peers_live().await else { return };
        let changed = told.changed(session, peers.iter().filter_map(usage));
        for devices in changed.chunks(USAGE_DEVICES_MAX) {
            if !post(&mut poster, session, devices).await {
                told = Told::default();
                break;
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn usage(peer: &PeerStatus) -> Option<DeviceUsage> {
    Some(DeviceUsage {
        device: peer.device,
        endpoint: peer.endpoint,
        last_handshake: peer.last_handshake?,
        bytes_up: peer.rx_bytes,
        bytes_down: peer.tx_bytes,
    })
}

async fn post(poster: &mut Poster, session: Uuid, devices: &[DeviceUsage]) -> bool {
    let report = UsageReport { session, devices: devices.to_vec() };
    let Ok(body) = serde_json::to_vec(&report) else { return false };
    match poster.post("/feed/v1/usage", body).await {
        Ok(answer) if answer.status.is_success() => true,
        Ok(answer) => {
            tracing::debug!(complaint = answer.complaint(), "the control plane did not take a usage report");
            false
        }
        Err(error) => {
            tracing::debug!(error = chain(&error), "the control plane did not hear a usage report");
            false
        }
    }
}

/// What the session of the moment was told.
#[derive(Debug, Default)]
struct Told {
    session: Option<Uuid>,
    devices: HashMap<DeviceId, DeviceUsage>,
}

impl Told {
    /// Takes what is, and returns what of it is news to this session.
    fn changed(&mut self, session: Uuid, usages: impl Iterator<Item = DeviceUsage>) -> Vec<DeviceUsage> {
        if self.session != Some(session) {
            *self = Self { session: Some(session), devices: HashMap::new() };
        }
        // Devices without a tunnel are left out of `usages`, and forgotten with it: the map stays as small.
        let before = std::mem::take(&mut self.devices);
        self.devices = usages.map(|usage| (usage.device, usage)).collect();
        self.devices.values().filter(|usage| before.get(&usage.device) != Some(usage)).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(device: u128, bytes_up: u64) -> DeviceUsage {
        DeviceUsage {
            device: DeviceId::new(Uuid::from_u128(device)),
            endpoint: Some("192.0.2.1:4000".parse().unwrap()),
            last_handshake: doorward_model::Timestamp::UNIX_EPOCH,
            bytes_up,
            bytes_down: 0,
        }
    }

    #[test]
    fn changes_alone_are_told_and_a_fresh_session_hears_everything() {
        let (mut told, session) = (Told::default(), Uuid::from_u128(1));
        assert_eq!(told.changed(session, [usage(1, 5), usage(2, 5)].into_iter()).len(), 2);
        assert_eq!(told.changed(session, [usage(1, 5), usage(2, 6)].into_iter()), [usage(2, 6)]);
        assert_eq!(told.changed(session, [usage(1, 5), usage(2, 6)].into_iter()), []);
        assert_eq!(told.changed(Uuid::from_u128(2), [usage(1, 5), usage(2, 6)].into_iter()).len(), 2);
    }

    #[test]
    fn a_device_that_was_away_is_told_again() {
        let (mut told, session) = (Told::default(), Uuid::from_u128(1));
        told.changed(session, [usage(1, 5)].into_iter());
        told.changed(session, std::iter::empty());
        assert_eq!(told.changed(session, [usage(1, 5)].into_iter()), [usage(1, 5)]);
    }
}
