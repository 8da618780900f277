//! Authority and deadlines on two clocks.

use doorward_gateway_core::{Command, DenyReason, Event};
use doorward_model::{GatewayEventKind, Interval, Snapshot, Timestamp};

use crate::harness::{DB, World, lease, v4};
use crate::packets::{ACK, SYN, tcp, udp};

fn with_end(seconds: i64) -> (World, crate::harness::Client) {
    let (mut world, [client]) = World::connected();
    let interval = Interval { not_before: Timestamp::MIN, not_after: world.wall_in(seconds) };
    world.leases[0].rules[0].validity = interval;
    world.snapshot();
    (world, client)
}

#[test]
fn the_boot_clock_alone_ends_a_grant() {
    let (mut world, mut client) = with_end(10);
    assert!(world.reaches_db(&mut client));
    world.boot += 10_000_000;
    world.heartbeat();
    assert!(!world.reaches_db(&mut client));
}

#[test]
fn the_wall_clock_alone_ends_a_grant() {
    let (mut world, mut client) = with_end(10);
    assert!(world.reaches_db(&mut client));
    world.wall += 10_000_000;
    assert!(!world.reaches_db(&mut client));
}

#[test]
fn a_wall_clock_moved_back_a_day_lengthens_nothing() {
    let (mut world, mut client) = with_end(10);
    world.wall -= 86_400_000_000;
    world.heartbeat();
    assert!(world.reaches_db(&mut client));
    assert!(world.notices().iter().any(|notice| notice.kind == GatewayEventKind::ClockJumped));
    world.boot += 10_000_000;
    world.wall += 10_000_000;
    world.heartbeat();
    assert!(!world.reaches_db(&mut client));
}

#[test]
fn a_wall_clock_that_ran_ahead_and_is_set_right_gives_back_only_what_the_boot_clock_leaves() {
    let (mut world, mut client) = with_end(100);
    world.wall += 86_400_000_000;
    world.timeout();
    assert!(!world.reaches_db(&mut client));
    world.wall -= 86_400_000_000;
    world.timeout();
    assert!(world.reaches_db(&mut client));
    for _ in 0..100 {
        world.pass(1);
        world.heartbeat();
    }
    assert_eq!(world.gateway.flows().count(), 0, "the timer was set again");
    assert!(!world.reaches_db(&mut client));
}

#[test]
fn a_reissue_from_a_clock_that_was_set_back_widens_nothing() {
    let (mut world, mut client) = with_end(10);
    // The control plane and this machine had their clocks set back an hour; the grant's end is the same text.
    world.wall -= 3_600_000_000;
    world.snapshot();
    world.heartbeat();
    assert!(world.reaches_db(&mut client));
    world.boot += 10_000_000;
    world.wall += 10_000_000;
    world.heartbeat();
    assert!(!world.reaches_db(&mut client));
    // Nor does leaving it out and listing it again.
    let leases = std::mem::take(&mut world.leases);
    world.snapshot();
    world.leases = leases;
    world.snapshot();
    assert!(world.connect(&mut client));
    world.heartbeat();
    assert!(!world.reaches_db(&mut client));
}

#[test]
fn an_extension_with_another_end_does_lengthen() {
    let (mut world, mut client) = with_end(10);
    world.leases[0].rules[0].validity.not_after = world.wall_in(60);
    world.snapshot();
    world.pass_alive(30);
    assert!(world.reaches_db(&mut client));
}

#[test]
fn a_grant_needs_both_clocks_to_begin() {
    let (mut world, [mut client]) = World::connected();
    world.leases[0].rules[0].validity.not_before = world.wall_in(10);
    world.snapshot();
    assert!(!world.reaches_db(&mut client));
    world.wall += 10_000_000;
    assert!(!world.reaches_db(&mut client), "the boot clock has not come so far");
    world.boot += 10_000_000;
    world.heartbeat();
    assert!(world.reaches_db(&mut client));
}

#[test]
fn authority_starts_lost() {
    let mut world = World::new();
    world.leases = vec![lease(1)];
    world.snapshot();
    let mut client = crate::harness::Client::new(1);
    assert!(world.connect(&mut client), "handshakes are answered");
    assert!(!world.reaches_db(&mut client));
    assert_eq!(world.gateway.authority_until(), None);
}

#[test]
fn lost_authority_pauses_both_ways_and_resumes_without_a_handshake() {
    let (mut world, [mut client]) = World::connected();
    world.up(&mut client, &tcp((&v4(1), 4_000), (DB, 5_432), SYN, (1, 0), b""));
    let answer = tcp((DB, 5_432), (&v4(1), 4_000), SYN | ACK, (9, 2), b"");
    world.pass(29);
    assert_eq!(world.down(&mut client, &answer).len(), 1);
    world.transmits();
    world.pass(1);
    assert!(world.events.contains(&Event::AuthorityLost));
    let segment = tcp((&v4(1), 4_000), (DB, 5_432), ACK, (2, 10), b"");
    assert!(world.up(&mut client, &segment).is_empty());
    assert!(world.down_sealed(&answer).is_empty());
    assert!(world.told(&mut client).is_empty(), "no reset: connections survive");
    assert!(world.told_resources().is_empty());
    assert!(world.denied(DenyReason::AuthorityLost) >= 2);
    world.heartbeat();
    assert!(world.events.contains(&Event::AuthorityRegained));
    assert_eq!(world.up(&mut client, &segment).len(), 1);
    assert_eq!(world.down(&mut client, &answer).len(), 1);
}

#[test]
fn authority_ends_on_the_packet_path_without_a_timer() {
    let (mut world, [mut client]) = World::connected();
    assert!(world.reaches_db(&mut client));
    world.boot += 30_000_000;
    world.wall += 30_000_000;
    assert!(!world.reaches_db(&mut client));
}

#[test]
fn late_replayed_or_future_heartbeats_give_nothing() {
    let (mut world, [mut client]) = World::connected();
    let first = world.boot;
    world.pass(31);
    world.heartbeat_with(world.revision, first);
    assert!(!world.reaches_db(&mut client), "a heartbeat that was on the way for 31 s");
    world.heartbeat_with(world.revision, world.boot + 1);
    assert!(!world.reaches_db(&mut client), "an echo of the future");
    world.heartbeat_with(world.revision - 1, world.boot);
    assert!(!world.reaches_db(&mut client), "of an older revision");
    world.heartbeat_with(world.revision + 1, world.boot);
    assert!(!world.reaches_db(&mut client), "of a revision that is not held");
    assert!(world.events.iter().any(|event| matches!(event, Event::ResyncNeeded { .. })));
    world.heartbeat();
    assert!(world.reaches_db(&mut client));
}

#[test]
fn what_a_snapshot_says_to_be_over_is_over() {
    let (mut world, [mut client]) = World::connected();
    world.leases[0].rules[0].validity.not_after = world.wall_in(-1);
    world.revision += 1;
    let snapshot = Snapshot { sent_at: world.wall_in(0), ..world.snapshot_of(world.revision) };
    world.command(Command::Snapshot(snapshot.into()));
    world.heartbeat();
    assert!(world.up(&mut client, &udp((&v4(1), 1), (DB, 53), b"")).is_empty());
}
