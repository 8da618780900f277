//! Groups, requests, hours and notices on both engines.

use doorward_domain::{
    Asked, Decided, Derived, EndNotice, EndingKind, Grant, Grantee, Group, LeaseTerms, NewGrant, NewRequest, Receiver,
    Request, RequestState, WeeklyHours, derive_lease, offboard,
};
use doorward_model::{GrantId, GroupId, Interval, RequestId, Span, TunnelNetwork};
use doorward_store::test_support::TestDatabase;
use doorward_store::{Outbox, StoreError};
use jiff::tz::TimeZone;
use uuid::Uuid;

use crate::common::{World, entry, on_both, t};

on_both! {
    a_groups_grant_is_in_the_leases_of_its_members_alone,
    a_removed_group_takes_its_memberships_and_grants_with_it,
    offboarding_ends_memberships,
    a_request_is_kept_as_asked_and_decided_once,
    one_open_request_a_resource_and_an_expired_one_is_in_nobodys_way,
    hours_are_kept_and_due_when_what_was_told_is_over,
    a_notice_is_kept_once,
    resources_change_hands_and_terms,
}

async fn group(world: &World, name: &str) -> Group {
    let group = Group::add(GroupId::new(Uuid::now_v7()), name.parse().unwrap(), t(1));
    let mut tx = world.store.write().await.unwrap();
    tx.group_add(&group).await.unwrap();
    tx.commit(entry(1), Outbox::None).await.unwrap();
    group
}

fn granted(world: &World, to: Receiver<'_>, hours: Option<&str>) -> Grant {
    let new = NewGrant {
        id: GrantId::new(Uuid::now_v7()),
        to,
        resource: &world.panel,
        validity: Interval { not_before: t(1), not_after: t(1_000_000) },
        hours: hours.map(|text| text.parse::<WeeklyHours>().unwrap().in_zone(Some(TimeZone::UTC))),
        requested_by: "local:0".to_owned(),
        approved_by: "local:0".to_owned(),
        reason: None,
    };
    Grant::add(new, t(1)).unwrap()
}

/// The grants in the lease of the contractor's laptop, read for it alone and for all; both say the same.
async fn rules(world: &World, at: i64) -> Vec<GrantId> {
    let terms = LeaseTerms { network: TunnelNetwork::default(), sign_in_window: std::time::Duration::ZERO };
    let mut tx = world.store.read().await.unwrap();
    let one = tx.lease_subjects(&[world.laptop.id], t(at)).await.unwrap();
    assert_eq!(one, tx.lease_subjects_all(t(at)).await.unwrap());
    match derive_lease(&one[0], &terms, t(at)) {
        Derived::Lease(lease) => lease.rules.into_iter().map(|rule| rule.grant).collect(),
        Derived::Ended(_) => Vec::new(),
    }
}

async fn a_groups_grant_is_in_the_leases_of_its_members_alone(database: TestDatabase) {
    let world = World::new(&database).await;
    let (desk, other) = (group(&world, "desk").await, group(&world, "other").await);
    let (to_desk, to_other) =
        (granted(&world, Receiver::Group(&desk), None), granted(&world, Receiver::Group(&other), None));
    let mut tx = world.store.write().await.unwrap();
    tx.grant_add(&to_desk).await.unwrap();
    tx.grant_add(&to_other).await.unwrap();
    assert!(tx.group_join(desk.id, world.contractor.id, t(2)).await.unwrap());
    assert!(!tx.group_join(desk.id, world.contractor.id, t(3)).await.unwrap(), "joining twice is joining once");
    tx.commit(entry(2), Outbox::Devices(vec![world.laptop.id])).await.unwrap();
    let mut found = rules(&world, 5).await;
    found.sort();
    let mut expected = vec![world.grant.id, to_desk.id];
    expected.sort();
    assert_eq!(found, expected);

    let mut tx = world.store.write().await.unwrap();
    assert_eq!(tx.grant(to_desk.id).await.unwrap().unwrap(), to_desk);
    assert_eq!(tx.grants_of(world.contractor.id).await.unwrap().len(), 1);
    assert_eq!(tx.grants_for(world.contractor.id).await.unwrap().len(), 2);
    assert_eq!((tx.grants().await.unwrap().len(), tx.counts(t(5)).await.unwrap().grants), (3, 3));
    assert_eq!(tx.grantee_devices(Grantee::Group(desk.id)).await.unwrap(), [world.laptop.id]);
    assert_eq!(tx.grantee_devices(Grantee::Group(other.id)).await.unwrap(), []);
    assert_eq!(tx.groups_of(world.contractor.id).await.unwrap(), std::slice::from_ref(&desk));
    assert_eq!(tx.group_members(desk.id).await.unwrap(), std::slice::from_ref(&world.contractor));
    assert_eq!(tx.resource_devices(world.panel.id, t(5)).await.unwrap(), [world.laptop.id]);
    assert!(matches!(tx.group_add(&desk).await.unwrap_err(), StoreError::Conflict { .. }));
    assert!(tx.group_leave(desk.id, world.contractor.id).await.unwrap());
    assert!(!tx.group_leave(desk.id, world.contractor.id).await.unwrap());
    tx.commit(entry(6), Outbox::Devices(vec![world.laptop.id])).await.unwrap();
    assert_eq!(rules(&world, 7).await, [world.grant.id]);
}

async fn a_removed_group_takes_its_memberships_and_grants_with_it(database: TestDatabase) {
    let world = World::new(&database).await;
    let desk = group(&world, "desk").await;
    let grant = granted(&world, Receiver::Group(&desk), None);
    let mut tx = world.store.write().await.unwrap();
    tx.grant_add(&grant).await.unwrap();
    tx.group_join(desk.id, world.contractor.id, t(2)).await.unwrap();
    let removed = tx.group_remove(desk.id, t(3)).await.unwrap();
    assert_eq!((removed.grants, removed.devices), (vec![grant.id], vec![world.laptop.id]));
    assert!(matches!(tx.group_remove(desk.id, t(3)).await.unwrap_err(), StoreError::NotFound { .. }));
    assert_eq!((tx.groups().await.unwrap(), tx.group_members(desk.id).await.unwrap()), (vec![], vec![]));
    assert_eq!(tx.group_names().await.unwrap().get(&desk.id), Some(&desk.name), "old grants keep its name");
    tx.commit(entry(3), Outbox::Devices(vec![world.laptop.id])).await.unwrap();
    assert_eq!(rules(&world, 4).await, [world.grant.id]);
    group(&world, "desk").await;
}

async fn offboarding_ends_memberships(database: TestDatabase) {
    let world = World::new(&database).await;
    let desk = group(&world, "desk").await;
    let mut tx = world.store.write().await.unwrap();
    tx.group_join(desk.id, world.contractor.id, t(2)).await.unwrap();
    tx.effect_apply(&offboard(&world.contractor, &[], &[], t(3)), t(3)).await.unwrap();
    assert_eq!(tx.group_members(desk.id).await.unwrap(), []);
}

fn asked(world: &World, asked: Asked, at: i64) -> Request {
    let new = NewRequest {
        id: RequestId::new(Uuid::now_v7()),
        principal: &world.staff,
        resource: &world.panel,
        asked,
        reason: "the orders table".parse().unwrap(),
        renews: Some(world.grant.id),
        requested_by: "person:support@shop.example".to_owned(),
    };
    Request::ask(new, t(at)).unwrap()
}

async fn a_request_is_kept_as_asked_and_decided_once(database: TestDatabase) {
    let world = World::new(&database).await;
    let hour = Span::from_secs(3600).unwrap();
    let first = asked(&world, Asked::For { span: hour, from: Some(t(100)) }, 10);
    let mut tx = world.store.write().await.unwrap();
    tx.request_add(&first).await.unwrap();
    assert_eq!(tx.request(first.id).await.unwrap().as_ref(), Some(&first));
    assert_eq!(tx.requests_open(t(11)).await.unwrap(), std::slice::from_ref(&first));
    assert_eq!(tx.requests_open(first.expires_at).await.unwrap(), []);
    let by = Decided { by: "local:0".to_owned(), at: t(20), reason: Some("go on".parse().unwrap()) };
    tx.request_decide(first.id, RequestState::Approved, &by, Some(world.grant.id)).await.unwrap();
    let again = tx.request_decide(first.id, RequestState::Denied, &by, None).await.unwrap_err();
    assert!(matches!(again, StoreError::Conflict { .. }), "{again}");
    let decided =
        Request { recorded: RequestState::Approved, decided: Some(by), grant: Some(world.grant.id), ..first.clone() };
    assert_eq!(tx.request(first.id).await.unwrap(), Some(decided));
    let second = asked(&world, Asked::Until { from: None, until: t(500) }, 21);
    tx.request_add(&second).await.unwrap();
    assert_eq!(tx.requests_withdraw(world.staff.id, "local:0", t(22)).await.unwrap(), 1);
    let kept = tx.requests_of(world.staff.id).await.unwrap();
    assert_eq!(
        kept.iter().map(|it| it.recorded).collect::<Vec<_>>(),
        [RequestState::Withdrawn, RequestState::Approved]
    );
    assert_eq!(kept[0].asked, second.asked);
    assert_eq!(tx.requests().await.unwrap(), kept);
}

async fn one_open_request_a_resource_and_an_expired_one_is_in_nobodys_way(database: TestDatabase) {
    let world = World::new(&database).await;
    let until = |end| Asked::Until { from: None, until: t(end) };
    let mut tx = world.store.write().await.unwrap();
    let first = asked(&world, until(100), 10);
    tx.request_add(&first).await.unwrap();
    let twice = tx.request_add(&asked(&world, until(200), 11)).await.unwrap_err();
    assert!(matches!(&twice, StoreError::Conflict { what } if what.contains(&first.id.to_string())), "{twice}");
    tx.request_add(&asked(&world, until(200), 100)).await.unwrap();
    let expired = tx.request(first.id).await.unwrap().unwrap();
    assert_eq!((expired.recorded, expired.decided.map(|it| it.at)), (RequestState::Expired, Some(t(100))));
}

async fn hours_are_kept_and_due_when_what_was_told_is_over(database: TestDatabase) {
    let world = World::new(&database).await;
    let desk = group(&world, "desk").await;
    // 1970-01-01 was a Thursday.
    let alone = granted(&world, Receiver::Person(&world.contractor), Some("thu-fri 00:00-01:00 UTC"));
    let together = granted(&world, Receiver::Group(&desk), Some("thu-fri 00:00-02:00 UTC"));
    let mut tx = world.store.write().await.unwrap();
    tx.grant_add(&alone).await.unwrap();
    tx.grant_add(&together).await.unwrap();
    assert_eq!(tx.grant(alone.id).await.unwrap(), Some(alone.clone()));
    let due = async |tx: &mut doorward_store::WriteTx, at| -> Vec<GrantId> {
        tx.grants_hours_due(t(at)).await.unwrap().into_iter().map(|granted| granted.grant.id).collect()
    };
    assert_eq!(due(&mut tx, 3_599).await, []);
    assert_eq!(due(&mut tx, 3_600).await, [alone.id]);
    assert_eq!(due(&mut tx, 7_200).await, [alone.id, together.id]);
    tx.grant_hours_told(&alone, t(7_200)).await.unwrap();
    tx.grant_hours_told(&together, t(7_200)).await.unwrap();
    let day = 24 * 3_600;
    assert_eq!(due(&mut tx, day).await, []);
    assert_eq!(due(&mut tx, day + 3_600).await, [alone.id]);
    // A week later: after that the grant is over, and nothing is due any more.
    tx.grant_hours_told(&alone, t(8 * day + 3_600)).await.unwrap();
    assert!(!due(&mut tx, 999_999).await.contains(&alone.id));
}

async fn a_notice_is_kept_once(database: TestDatabase) {
    let world = World::new(&database).await;
    let mut tx = world.store.read().await.unwrap();
    let endings = tx.endings(t(10), t(2_000_000)).await.unwrap();
    let kinds: Vec<_> = endings.iter().map(|it| (it.kind, it.what.as_str(), it.principal)).collect();
    let whose = Some(world.contractor.id);
    assert_eq!(kinds, [(EndingKind::Grant, "panel", whose), (EndingKind::Person, "Zoë Ångström", whose)]);
    assert_eq!(tx.endings(t(1_000_000), t(1_999_999)).await.unwrap(), []);
    drop(tx);
    let notice = EndNotice {
        kind: EndingKind::Grant,
        subject: world.grant.id.uuid(),
        ends_at: t(1_000_000),
        lead: std::time::Duration::from_secs(86_400),
        principal: whose,
        group: None,
        what: "panel".to_owned(),
        noticed_at: t(950_000),
    };
    let later = EndNotice { noticed_at: t(950_030), ..notice.clone() };
    assert_eq!(
        world.store.end_notices_record(vec![(notice.clone(), vec![world.contractor.id])]).await.unwrap(),
        std::slice::from_ref(&notice)
    );
    assert_eq!(world.store.end_notices_record(vec![(later, Vec::new())]).await.unwrap(), []);
    assert_eq!(world.store.read().await.unwrap().end_notices(t(960_000)).await.unwrap(), [notice]);
    world.store.prune(t(1_000_000)).await.unwrap();
    assert_eq!(world.store.read().await.unwrap().end_notices(t(1)).await.unwrap(), []);
}

async fn resources_change_hands_and_terms(database: TestDatabase) {
    let world = World::new(&database).await;
    let mut tx = world.store.write().await.unwrap();
    let panel = doorward_domain::Resource {
        owner: Some(world.staff.id),
        sign_in_window: Span::from_secs(7_200),
        request_span_max: Span::from_secs(60),
        ..world.panel.clone()
    };
    tx.resource_update(&panel).await.unwrap();
    assert_eq!(tx.resource(panel.id).await.unwrap().as_ref(), Some(&panel));
    let handed = tx.resources_hand_over(world.staff.id, Some(world.contractor.id)).await.unwrap();
    assert_eq!(handed, std::slice::from_ref(&panel.name));
    assert_eq!(tx.resources_hand_over(world.contractor.id, None).await.unwrap(), [panel.name]);
    assert_eq!(tx.resource(panel.id).await.unwrap().unwrap().owner, None);
}
