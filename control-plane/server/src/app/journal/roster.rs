//! Which devices gateways were told of, and whose they are: what is known about whom while the database does not answer.
//!
//! It is what the feed's own reads found, so that it has every device that a gateway with an open session may hold.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use doorward_domain::LeaseSubject;
use doorward_model::{
    DeviceId, DeviceName, Email, EndReason, GrantId, Lease, PrincipalId, PublicKey, Removal, Revision, Timestamp,
    Tombstone,
};

/// One device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) principal: PrincipalId,
    pub(crate) sponsor: Option<PrincipalId>,
    pub(crate) email: Email,
    name: DeviceName,
    public_key: PublicKey,
    grants: Box<[GrantId]>,
}

impl Known {
    /// Takes down what a lease says, with who answers for its person.
    pub(crate) fn of(subject: &LeaseSubject, lease: &Lease) -> Self {
        Self {
            principal: lease.principal,
            sponsor: subject.principal.sponsor,
            email: lease.email.clone(),
            name: lease.device_name.clone(),
            public_key: lease.public_key,
            grants: lease.rules.iter().map(|rule| rule.grant).collect(),
        }
    }

    /// Says whether this grant opens something for it.
    pub(crate) fn has(&self, grant: GrantId) -> bool {
        self.grants.contains(&grant)
    }

    /// The end of this device, as gateways are told it.
    pub(crate) fn removal(&self, device: DeviceId, reason: EndReason, ended_at: Timestamp) -> Removal {
        let (public_key, device_name, email) = (self.public_key, self.name.clone(), self.email.clone());
        Removal { device, tombstone: Tombstone { public_key, device, device_name, email, reason, ended_at } }
    }
}

/// How much is known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) people: u64,
    pub(crate) devices: u64,
    pub(crate) grants: u64,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Roster(Mutex<Told>);

#[derive(Debug, Default)]
struct Told {
    revision: Option<Revision>,
    devices: HashMap<DeviceId, Known>,
}

impl Roster {
    /// Says whether a whole state of this revision says anything that is not known.
    pub(crate) fn is_behind(&self, revision: Revision) -> bool {
        self.told().revision < Some(revision)
    }

    /// Takes in a whole state.
    pub(crate) fn replace(&self, revision: Revision, devices: HashMap<DeviceId, Known>) {
        let mut told = self.told();
        if told.revision < Some(revision) {
            *told = Told { revision: Some(revision), devices };
        }
    }

    /// Takes in how these devices are at a revision; `None` for one without a lease.
    pub(crate) fn update(&self, revision: Revision, changed: impl Iterator<Item = (DeviceId, Option<Known>)>) {
        let mut told = self.told();
        if told.revision.is_none_or(|held| held > revision) {
            return;
        }
        told.revision = Some(revision);
        for (device, known) in changed {
            match known {
                Some(known) => drop(told.devices.insert(device, known)),
                None => drop(told.devices.remove(&device)),
            }
        }
    }

    /// Finds devices: a look at each, since nobody is put out so often that an index would pay for its memory.
    pub(crate) fn find(&self, concerns: impl Fn(DeviceId, &Known) -> bool) -> Vec<(DeviceId, Known)> {
        let told = self.told();
        let found = told.devices.iter().filter(|(device, known)| concerns(**device, known));
        found.map(|(device, known)| (*device, known.clone())).collect()
    }

    /// Counts people, devices and grants.
    pub(crate) fn counts(&self) -> Counts {
        let told = self.told();
        let distinct = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let people: std::collections::HashSet<_> = told.devices.values().map(|known| known.principal).collect();
        let grants: std::collections::HashSet<_> =
            told.devices.values().flat_map(|known| known.grants.iter()).collect();
        Counts { people: distinct(people.len()), devices: distinct(told.devices.len()), grants: distinct(grants.len()) }
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        // Each change above leaves it whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    pub(super) fn known(person: u128, grants: &[u128]) -> Known {
        Known {
            principal: PrincipalId::new(Uuid::from_u128(person)),
            sponsor: None,
            email: format!("p{person}@shop.example").parse().unwrap(),
            name: "laptop".parse().unwrap(),
            public_key: PublicKey::from_bytes([7; 32]).unwrap(),
            grants: grants.iter().map(|grant| GrantId::new(Uuid::from_u128(*grant))).collect(),
        }
    }

    fn device(number: u128) -> DeviceId {
        DeviceId::new(Uuid::from_u128(number))
    }

    #[test]
    fn what_was_read_earlier_never_takes_the_place_of_what_was_read_later() {
        let roster = Roster::default();
        roster.replace(Revision(5), HashMap::from([(device(1), known(1, &[1])), (device(2), known(2, &[1, 2]))]));
        roster.update(Revision(6), [(device(2), None), (device(3), Some(known(1, &[])))].into_iter());
        roster.replace(Revision(5), HashMap::from([(device(2), known(2, &[]))]));
        roster.update(Revision(5), [(device(2), Some(known(2, &[])))].into_iter());
        assert_eq!(roster.counts(), Counts { people: 1, devices: 2, grants: 1 });
        let grant = GrantId::new(Uuid::from_u128(1));
        let found = roster.find(|_, known| known.has(grant));
        assert_eq!(found.iter().map(|(device, _)| *device).collect::<Vec<_>>(), [device(1)]);
        assert!(!roster.is_behind(Revision(6)) && roster.is_behind(Revision(7)));
    }

    #[test]
    fn a_hundred_thousand_devices_stay_cheap() {
        let roster = Roster::default();
        let many = (0..100_000).map(|number| (device(number), known(number / 2, &[number, number + 1]))).collect();
        roster.replace(Revision(1), many);
        let begun = std::time::Instant::now();
        let email: Email = "p49999@shop.example".parse().unwrap();
        assert_eq!(roster.find(|_, known| known.email == email).len(), 2);
        let took = begun.elapsed();
        // The table's slots, and the three small texts and lists of each: what an allocator adds is about as much again.
        let bytes = 100_000 * (size_of::<(DeviceId, Known)>() * 8 / 7 + 20 + 6 + 32);
        println!("finding one among 100,000 devices: {took:?}; about {} MiB", bytes / 1024 / 1024);
        assert!(took < std::time::Duration::from_millis(200), "{took:?}");
        assert!(bytes < 64 * 1024 * 1024, "{bytes}");
    }
}
