//! Snapshots, deltas, gaps and contradictions.

use doorward_gateway_core::{Command, Event};
use doorward_model::{Change, Delta, EndReason, Lockdown, Removal, Revision};

use crate::harness::{Client, World, device, lease, public, tombstone};

fn gapped(world: &World, base: u64, revision: u64, changes: Vec<Change>) -> Command {
    Command::Delta(Delta {
        base: Revision(base),
        revision: Revision(revision),
        sent_at: world.now().wall,
        changes,
        ahead: None,
    })
}

fn resyncs(world: &World) -> usize {
    world.events.iter().filter(|event| matches!(event, Event::ResyncNeeded { .. })).count()
}

#[test]
fn a_gap_asks_for_a_resync_changes_nothing_and_still_honours_removals() {
    let (mut world, [mut one, mut two]) = World::connected();
    let held = world.revision;
    let changes = vec![
        Change::Lease(lease(3)),
        Change::Remove(Removal { device: device(1), tombstone: tombstone(1, EndReason::Offboarded) }),
    ];
    world.command(gapped(&world, held + 3, held + 4, changes));
    assert_eq!(resyncs(&world), 1);
    assert!(!world.events.iter().any(|event| matches!(event, Event::Enforced(_))));
    assert_eq!(world.gateway.revision(), Some(Revision(held)));
    assert!(!world.reaches_db(&mut one), "the removal");
    assert!(world.reaches_db(&mut two));
    assert!(!world.connect(&mut Client::new(3)), "the lease");
    world.command(gapped(&world, held, held, vec![Change::Lease(lease(3))]));
    assert_eq!(resyncs(&world), 2, "a delta that leads nowhere");
    assert!(!world.connect(&mut Client::new(3)));
}

#[test]
fn a_lockdown_is_not_held_up_by_a_gap_and_its_end_is() {
    let (mut world, [mut client]) = World::connected();
    let held = world.revision;
    world.command(gapped(&world, held + 1, held + 2, vec![Change::Lockdown { state: Lockdown::On, exempt: vec![] }]));
    assert!(!world.reaches_db(&mut client));
    world.command(gapped(&world, held + 2, held + 3, vec![Change::Lockdown { state: Lockdown::Off, exempt: vec![] }]));
    assert!(!world.reaches_db(&mut client));
}

#[test]
fn an_older_snapshot_is_refused_loudly() {
    let (mut world, [mut client]) = World::connected();
    world.leases.clear();
    world.snapshot();
    assert!(!world.reaches_db(&mut client));
    world.leases = vec![lease(1)];
    let old = world.snapshot_of(world.revision - 1);
    world.command(Command::Snapshot(old.into()));
    assert!(world.events.iter().any(|event| matches!(event, Event::SnapshotRefused { .. })));
    assert_eq!(resyncs(&world), 1);
    assert!(!world.connect(&mut client), "a restored backup re-opened what ended");
}

#[test]
fn the_same_snapshot_again_changes_nothing() {
    let (mut world, [mut client]) = World::connected();
    assert!(world.reaches_db(&mut client));
    let same = world.snapshot_of(world.revision);
    world.command(Command::Snapshot(same.into()));
    assert!(world.enforced().ended.is_empty());
    assert_eq!(world.gateway.flows().count(), 1);
    assert!(world.reaches_db(&mut client));
}

#[test]
fn two_leases_with_one_key_or_one_address_are_both_denied() {
    for wrong in 0..4 {
        let mut world = World::new();
        let (mut a, b) = (lease(1), lease(2));
        match wrong {
            0 => a.public_key = b.public_key,
            1 => a.address_v4 = b.address_v4,
            2 => a.address_v6 = b.address_v6,
            _ => a.device = b.device,
        }
        world.leases = vec![a, b, lease(3)];
        world.snapshot();
        world.heartbeat();
        assert_eq!(world.gateway.peers().map(|peer| peer.device).collect::<Vec<_>>(), [device(3)], "case {wrong}");
        assert!(!world.notices().is_empty());
        assert!(!world.connect(&mut Client::new(1)) && !world.connect(&mut Client::new(2)));
    }
}

#[test]
fn a_delta_that_contradicts_a_held_lease_denies_both() {
    let (mut world, [mut one, mut two]) = World::connected();
    let mut thief = lease(3);
    thief.address_v4 = lease(1).address_v4;
    world.delta(vec![Change::Lease(thief)]);
    assert!(!world.reaches_db(&mut one));
    assert!(!world.connect(&mut Client::new(3)));
    assert!(world.reaches_db(&mut two));
    assert_eq!(world.gateway.peers().count(), 1);
}

#[test]
fn two_devices_may_trade_addresses_in_one_delta() {
    let (mut world, [mut one, mut two]) = World::connected();
    let (mut a, mut b) = (lease(1), lease(2));
    std::mem::swap(&mut a.address_v4, &mut b.address_v4);
    world.delta(vec![Change::Lease(a), Change::Lease(b)]);
    assert_eq!(world.gateway.peers().count(), 2);
    (one.number, two.number) = (2, 1);
    assert!(world.reaches_db(&mut one) && world.reaches_db(&mut two));
}

#[test]
fn addresses_that_no_device_may_have_and_the_gateways_own_key_are_denied() {
    let mut world = World::new();
    let mut leases: Vec<_> = (1..=7).map(lease).collect();
    leases[0].address_v4 = "10.0.0.5".parse().unwrap();
    leases[1].address_v4 = "100.80.0.1".parse().unwrap();
    leases[2].address_v4 = "100.80.255.255".parse().unwrap();
    leases[3].address_v6 = "fd00::5".parse().unwrap();
    leases[4].address_v6 = "fd64:6f6f:7277::1".parse().unwrap();
    leases[5].public_key = public(200);
    world.leases = leases;
    world.snapshot();
    assert_eq!(world.gateway.peers().map(|peer| peer.device).collect::<Vec<_>>(), [device(7)]);
    assert_eq!(world.notices().len(), 6);
}

#[test]
fn what_wg_show_prints_is_there() {
    let (mut world, [mut client]) = World::connected();
    assert!(world.reaches_db(&mut client));
    let peer = world.gateway.peers().next().unwrap();
    assert_eq!((peer.public_key, peer.endpoint, peer.has_preshared_key), (public(1), Some(client.from), false));
    assert_eq!(peer.last_handshake, Some(world.now().wall));
    // Initiation 148, keepalive 32, a packet of 36 bytes in a datagram of 36 + 32: the client of the test does not pad.
    assert_eq!(peer.rx_bytes, 148 + 32 + 68);
    assert_eq!(peer.tx_bytes, 92);
    assert_eq!(peer.allowed_ips.map(|net| net.to_string()), ["100.80.0.2/32", "fd64:6f6f:7277::2/128"]);
}

#[test]
fn a_decision_ahead_of_the_database_is_enforced_and_confirmed_by_its_name_at_the_same_revision() {
    let (mut world, [mut one, mut two]) = World::connected();
    let held = world.revision;
    let id = "0192f0c1-7a3e-7cc1-b2f4-0123456789ab".parse().unwrap();
    let ahead = |base: u64, changes: Vec<Change>, sent_at| {
        let (base, revision) = (Revision(base), Revision(base));
        Command::Delta(Delta { base, revision, sent_at, changes, ahead: Some(id) })
    };
    let gone = Change::Remove(Removal { device: device(1), tombstone: tombstone(1, EndReason::Offboarded) });
    for _ in 0..2 {
        // Twice is once.
        world.events.clear();
        world.command(ahead(held, vec![gone.clone()], world.now().wall));
        assert_eq!((world.enforced().revision, world.enforced().ahead, resyncs(&world)), (Revision(held), Some(id), 0));
    }
    assert!(!world.reaches_db(&mut one));
    assert!(world.reaches_db(&mut two));

    world.events.clear();
    world.command(ahead(held, vec![Change::Lockdown { state: Lockdown::On, exempt: vec![] }], world.now().wall));
    assert_eq!(world.enforced().ahead, Some(id));
    assert!(!world.reaches_db(&mut two), "a lockdown at the revision that is held");

    // What builds on something else is no receipt, and takes away all the same.
    let (mut world, [mut one, _]) = World::connected();
    world.events.clear();
    world.command(ahead(world.revision + 1, vec![gone], world.now().wall));
    assert!(!world.events.iter().any(|event| matches!(event, Event::Enforced(_))));
    assert_eq!(resyncs(&world), 1);
    assert!(!world.reaches_db(&mut one));
}
