//! Puts the pages of a snapshot together: in order, of one revision, all of them.

use doorward_model::{Snapshot, SnapshotPage};

/// Pages of one snapshot at most: with 1,000 leases each, four times what a gateway is planned for.
const PAGES_MAX: u32 = 1_000;

/// The page is not the one that has to come next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Misplaced;

/// The pages so far.
#[derive(Debug, Default)]
pub(crate) struct Assembly {
    begun: Option<Begun>,
}

#[derive(Debug)]
struct Begun {
    snapshot: Snapshot,
    next: u32,
    pages: u32,
}

impl Assembly {
    /// Adds a page; gives the snapshot when it was the last one. A page 0 begins a snapshot anew.
    ///
    /// # Errors
    /// [`Misplaced`] for any page but the next one of the same snapshot.
    pub(crate) fn add(&mut self, page: SnapshotPage) -> Result<Option<Snapshot>, Misplaced> {
        let begun = self.begun.take();
        if page.pages == 0 || page.pages > PAGES_MAX || page.page >= page.pages {
            return Err(Misplaced);
        }
        let mut begun = match begun {
            _ if page.page == 0 => Begun {
                snapshot: Snapshot {
                    revision: page.revision,
                    sent_at: page.sent_at,
                    lockdown: page.lockdown,
                    lockdown_exempt: Vec::new(),
                    leases: Vec::new(),
                    tombstones: Vec::new(),
                },
                next: 0,
                pages: page.pages,
            },
            Some(begun) => begun,
            None => return Err(Misplaced),
        };
        let held = &mut begun.snapshot;
        if page.page != begun.next
            || page.pages != begun.pages
            || page.revision != held.revision
            || page.lockdown != held.lockdown
        {
            return Err(Misplaced);
        }
        // A deadline on the boot clock is counted from the last page's arrival, so it takes the last page's clock: an
        // earlier one would add the time that the pages took.
        held.sent_at = held.sent_at.max(page.sent_at);
        begun.next = begun.next.saturating_add(1);
        held.leases.extend(page.leases);
        held.tombstones.extend(page.tombstones);
        for device in page.lockdown_exempt {
            if !held.lockdown_exempt.contains(&device) {
                held.lockdown_exempt.push(device);
            }
        }
        if begun.next == begun.pages {
            return Ok(Some(begun.snapshot));
        }
        self.begun = Some(begun);
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use doorward_model::{DeviceId, Lockdown, Revision, Timestamp};

    use super::*;

    fn page(page: u32, pages: u32, revision: u64) -> SnapshotPage {
        let device: DeviceId = "0192f0c1-7a3e-7cc1-b2f4-0123456789ab".parse().unwrap();
        SnapshotPage {
            revision: Revision(revision),
            sent_at: Timestamp::UNIX_EPOCH,
            page,
            pages,
            lockdown: Lockdown::On,
            lockdown_exempt: vec![device],
            leases: Vec::new(),
            tombstones: Vec::new(),
        }
    }

    #[test]
    fn a_snapshot_is_there_when_its_last_page_is() {
        let mut assembly = Assembly::default();
        assert_eq!(assembly.add(page(0, 3, 7)), Ok(None));
        assert_eq!(assembly.add(page(1, 3, 7)), Ok(None));
        let snapshot = assembly.add(page(2, 3, 7)).unwrap().unwrap();
        assert_eq!(
            (snapshot.revision, snapshot.lockdown, snapshot.lockdown_exempt.len()),
            (Revision(7), Lockdown::On, 1)
        );
        assert!(assembly.add(page(0, 1, 8)).unwrap().is_some());
    }

    #[test]
    fn pages_that_are_missing_doubled_or_of_another_snapshot_are_refused() {
        for second in
            [page(2, 3, 7), page(0, 0, 7), page(1, 3, 8), page(1, 2, 7), page(3, 3, 7), page(1, PAGES_MAX + 1, 7)]
        {
            let mut assembly = Assembly::default();
            assembly.add(page(0, 3, 7)).unwrap();
            assert_eq!(assembly.add(second), Err(Misplaced));
            assert_eq!(assembly.add(page(1, 3, 7)), Err(Misplaced), "a refused page ends the snapshot");
        }
        assert_eq!(Assembly::default().add(page(1, 2, 7)), Err(Misplaced));
    }
}
