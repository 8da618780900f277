//! What other replicas know of gateways: whose streams they have, and what they heard.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use doorward_store::{Confirmed, GatewaySession, SessionSomewhere};
use uuid::Uuid;

use super::{Confirmation, GatewayState, Hub, Place};

impl Hub {
    /// Returns the streams that are open here.
    pub(crate) fn streams(&self) -> Vec<GatewaySession> {
        let places = self.places();
        let open = places.iter().filter(|(_, place)| place.state.connected);
        open.filter_map(|(name, place)| {
            let state = &place.state;
            Some(GatewaySession {
                gateway: name.clone(),
                session: place.session.as_ref()?.id,
                revision: state.revision.map(doorward_model::Revision),
                devices_active: state.devices_active,
                devices_known: state.devices_known,
                heard_at: state.heard_at?,
            })
        })
        .collect()
    }

    /// Takes in the streams of all replicas. A stream here that was `said` and that is not among them has been followed by
    /// one elsewhere: it ends, as it would after a second hello here.
    pub(crate) fn heard_streams(&self, everywhere: Vec<SessionSomewhere>, here: Uuid, said: &HashSet<Uuid>) {
        let mut places = self.places();
        for place in places.values_mut() {
            place.elsewhere = None;
        }
        for it in everywhere.into_iter().filter(|it| it.replica != here) {
            let place: &mut Place = places.entry(it.session.gateway.clone()).or_default();
            let followed = place.session.as_ref().filter(|session| said.contains(&session.id));
            if let Some(session) = followed {
                tracing::info!(gateway.name = %it.session.gateway, replica = it.replica_name, "the gateway said hello elsewhere");
                session.ended.cancel();
            }
            place.elsewhere = Some(GatewayState {
                connected: true,
                revision: it.session.revision.map(|revision| revision.0),
                devices_active: it.session.devices_active,
                devices_known: it.session.devices_known,
                heard_at: Some(it.session.heard_at),
                replica: Some(it.replica_name),
            });
        }
    }

    /// Takes in what another replica heard.
    pub(crate) fn heard_elsewhere(&self, confirmed: Vec<Confirmed>) {
        if confirmed.is_empty() {
            return;
        }
        let mut places = self.places();
        for it in confirmed {
            let place = places.entry(it.gateway).or_default();
            place.confirm(Confirmation {
                revision: it.revision.0,
                // What is ahead of the database is not told through it.
                ahead: None,
                // Later than it was heard there, so that a span is rather too long than too short.
                heard: Instant::now(),
                heard_at: it.heard_at,
                enforced_after: Duration::from_micros(it.enforced_after_micros),
                ended: it.ended.into(),
            });
        }
        drop(places);
        self.confirmed.send_modify(|count| *count = count.wrapping_add(1));
    }
}

#[cfg(test)]
mod tests {
    use doorward_model::{GatewayName, Revision, Timestamp};

    use super::super::super::session::Identity;
    use super::*;
    use crate::Shutdown;

    fn stream(gateway: &GatewayName, session: Uuid) -> SessionSomewhere {
        let session = GatewaySession {
            gateway: gateway.clone(),
            session,
            revision: Some(Revision(3)),
            devices_active: 1,
            devices_known: 2,
            heard_at: Timestamp::UNIX_EPOCH,
        };
        SessionSomewhere { session, replica: Uuid::from_u128(2), replica_name: "other".to_owned() }
    }

    #[test]
    fn a_stream_elsewhere_counts_and_ends_the_one_that_it_followed_but_not_one_that_came_after() {
        let (hub, name): (Hub, GatewayName) = (Hub::new(3, Shutdown::new()), "main".parse().unwrap());
        let here = Uuid::from_u128(1);
        let first = hub.open(&name, Identity::Socket, Timestamp::UNIX_EPOCH);
        hub.streaming(&first);
        let said = HashSet::from([first.id]);
        hub.heard_streams(vec![stream(&name, Uuid::from_u128(9))], here, &said);
        assert!(first.ended.is_cancelled());
        hub.close(&first);
        assert_eq!(hub.connected(), std::slice::from_ref(&name));
        assert_eq!(hub.state(&name).replica.as_deref(), Some("other"));
        let second = hub.open(&name, Identity::Socket, Timestamp::UNIX_EPOCH);
        hub.streaming(&second);
        hub.heard_streams(vec![stream(&name, Uuid::from_u128(9))], here, &said);
        assert!(!second.ended.is_cancelled());
        hub.heard_streams(Vec::new(), here, &said);
        hub.close(&second);
        assert!(hub.connected().is_empty());
    }

    #[test]
    fn what_another_replica_heard_confirms_here() {
        let (hub, name): (Hub, GatewayName) = (Hub::new(3, Shutdown::new()), "main".parse().unwrap());
        let mut waiting = hub.watch_confirmations();
        let confirmed = Confirmed {
            gateway: name.clone(),
            revision: Revision(3),
            heard_at: Timestamp::UNIX_EPOCH,
            enforced_after_micros: 5,
            ended: Vec::new(),
        };
        hub.heard_elsewhere(vec![confirmed]);
        assert!(waiting.has_changed().unwrap());
        waiting.mark_unchanged();
        assert!(hub.confirmation(&name, 3).is_some() && hub.confirmation(&name, 4).is_none());
    }
}
