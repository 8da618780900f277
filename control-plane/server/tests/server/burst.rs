//! How fast revocations reach many gateways, and how fast many revocations are done.

use std::time::{Duration, Instant};

use doorward_domain::{
    Action, Actor, AuditEntry, Grant, NewDevice, NewGrant, NewPrincipal, NewResource, Principal, PrincipalKind,
    Receiver, Resource, Subject,
};
use doorward_model::{DeviceId, GrantId, Interval, PrincipalId, PublicKey, ResourceId, Timestamp, TunnelNetwork};
use doorward_store::Outbox;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::fixtures::OpenAt as _;
use crate::gateway::Gateway;
use crate::world::{PATIENCE, World, on_both};

/// What the 99th percentile may be, of what is promised.
const FAN_OUT_MAX: Duration = Duration::from_millis(250);
/// How long the burst may take, of what is promised.
const BURST_MAX: Duration = Duration::from_secs(10);
/// Callers who offboard at the same time.
const CALLERS: usize = 8;
const ALONE: &str = "DOORWARD_BURST_ALONE";

/// How much happens.
#[derive(Debug, Clone, Copy)]
struct Size {
    /// Feeds that are open at the same time.
    feeds: usize,
    /// Revocations that each of them hears.
    revocations: usize,
    /// People who leave in one burst.
    leaving: usize,
}

impl Size {
    /// What is promised, where the machine does nothing else (`tests/bench/burst.sh` says so); then times count too. The
    /// ordinary run is smaller, and holds that everybody hears everything.
    fn of_this_run() -> (Self, bool) {
        let promised = std::env::var_os(ALONE).is_some();
        let (feeds, revocations, leaving) = if promised { (200, 40, 1_000) } else { (50, 5, 100) };
        (Self { feeds, revocations, leaving }, promised)
    }
}

fn email(number: usize) -> String {
    format!("person{number}@shop.example")
}

/// People with a device and a grant each.
async fn furnish(world: &World, people: usize) {
    let store = world.database.open_at(world).await;
    let (now, network) = (doorward_domain::micros(Timestamp::now()), TunnelNetwork::default());
    let new = NewResource {
        id: ResourceId::new(Uuid::now_v7()),
        name: "panel".parse().unwrap(),
        targets: vec!["10.0.5.10".parse().unwrap()],
        allow: vec!["tcp/443".parse().unwrap()],
    };
    let panel = Resource::add(new, &network, &"doorward.internal".parse().unwrap(), now).unwrap();
    let mut tx = store.write().await.unwrap();
    let panel = tx.resource_add(&panel, &network).await.unwrap();
    let until = doorward_domain::micros(now.checked_add(jiff::SignedDuration::from_hours(8)).unwrap());
    for number in 0..people {
        let new = NewPrincipal {
            id: PrincipalId::new(Uuid::now_v7()),
            email: email(number).parse().unwrap(),
            name: "Some Body".parse().unwrap(),
            kind: PrincipalKind::Staff,
            sponsor: None,
            not_after: None,
        };
        let person = Principal::add(new, now).unwrap();
        tx.person_add(&person).await.unwrap();
        let new = NewGrant {
            id: GrantId::new(Uuid::now_v7()),
            to: Receiver::Person(&person),
            hours: None,
            resource: &panel,
            validity: Interval { not_before: now, not_after: until },
            requested_by: "test".to_owned(),
            approved_by: "test".to_owned(),
            reason: None,
        };
        tx.grant_add(&Grant::add(new, now).unwrap()).await.unwrap();
        let mut key = [0x42; 32];
        key[..8].copy_from_slice(&(number as u64).to_le_bytes());
        let new = NewDevice {
            id: DeviceId::new(Uuid::now_v7()),
            principal: person.id,
            name: "laptop".parse().unwrap(),
            public_key: PublicKey::from_bytes(key).unwrap(),
            preshared_key: None,
            not_after: None,
            created_at: now,
        };
        tx.device_add(&new, &network).await.unwrap();
    }
    let entry = AuditEntry {
        at: now,
        actor: Actor::System,
        action: Action::PersonAdd,
        subject: Subject::Everything,
        detail: json!({ "people": people }),
    };
    tx.commit(entry, Outbox::Everything).await.unwrap();
}

/// A connection to the admin socket that is kept open.
async fn admin(world: &World) -> SendRequest<Full<Bytes>> {
    let io = UnixStream::connect(world.socket("admin.sock")).await.unwrap();
    let (sender, connection) = http1::handshake(TokioIo::new(io)).await.unwrap();
    tokio::spawn(connection);
    sender
}

async fn offboard(sender: &mut SendRequest<Full<Bytes>>, number: usize) -> Value {
    sender.ready().await.unwrap();
    let request = Request::post(format!("/api/v1/people/{}/offboard", email(number)))
        .header("host", "localhost")
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from_static(b"{}")))
        .unwrap();
    let answer = tokio::time::timeout(PATIENCE, sender.send_request(request)).await.unwrap().unwrap();
    let status = answer.status();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    assert!(status.is_success(), "{status}: {}", String::from_utf8_lossy(&body));
    serde_json::from_slice(&body).unwrap()
}

/// A feed that tells when it heard which revision, and confirms it.
fn timed(mut gateway: Gateway, heard: mpsc::UnboundedSender<(u64, Instant)>) {
    tokio::spawn(async move {
        while let Ok(applied) = gateway.step().await {
            if applied {
                if heard.send((gateway.held.0, Instant::now())).is_err() {
                    return;
                }
                gateway.confirm(Vec::new()).await;
            }
        }
    });
}

on_both!(a_revocation_reaches_every_one_of_many_feeds, |world: World| async move {
    let (Size { feeds, revocations, .. }, timed_too) = Size::of_this_run();
    furnish(&world, revocations).await;
    let (sender, mut heard) = mpsc::unbounded_channel();
    for number in 0..feeds {
        timed(Gateway::local(&world, &format!("gw{number}")).await, sender.clone());
    }
    let mut admin = admin(&world).await;
    let mut spans = Vec::new();
    for number in 0..revocations {
        let sent = Instant::now();
        let outcome = offboard(&mut admin, number).await;
        assert_eq!(outcome["warnings"], json!([]), "{}", outcome["warnings"]);
        let revision = outcome["revision"].as_u64().unwrap();
        let mut last = 0;
        while last < feeds {
            let (held, at) = tokio::time::timeout(PATIENCE, heard.recv()).await.unwrap().unwrap();
            if held >= revision {
                spans.push(at - sent);
                last += 1;
            }
        }
    }
    spans.sort_unstable();
    let at = |percent: usize| spans[(spans.len() - 1) * percent / 100];
    println!("{feeds} feeds, {revocations} revocations: p50 {:?}, p99 {:?}, last {:?}", at(50), at(99), at(100));
    assert!(!timed_too || at(99) <= FAN_OUT_MAX, "{:?}", at(99));
});

on_both!(many_people_leave_at_once_and_every_receipt_is_there, |world: World| async move {
    let (Size { leaving, .. }, timed_too) = Size::of_this_run();
    furnish(&world, leaving).await;
    let (sender, mut heard) = mpsc::unbounded_channel();
    for name in ["berlin", "paris"] {
        timed(Gateway::local(&world, name).await, sender.clone());
    }
    let reading = tokio::spawn(async move { while heard.recv().await.is_some() {} });
    let begun = Instant::now();
    let callers = (0..CALLERS).map(|caller| {
        let world = &world;
        async move {
            let mut admin = admin(world).await;
            let mut slowest = Duration::ZERO;
            for number in (caller..leaving).step_by(CALLERS) {
                let asked = Instant::now();
                let outcome = offboard(&mut admin, number).await;
                slowest = slowest.max(asked.elapsed());
                let receipts = outcome["receipts"].as_array().unwrap();
                assert_eq!(receipts.len(), 2, "{outcome}");
                assert!(receipts.iter().all(|receipt| receipt["enforced_after_ms"].is_u64()), "{outcome}");
            }
            slowest
        }
    });
    let slowest = futures_util::future::join_all(callers).await.into_iter().max().unwrap();
    let took = begun.elapsed();
    println!("{leaving} offboardings in {took:?}, the slowest answered after {slowest:?}");
    reading.abort();
    let store = world.database.open_at(&world).await;
    let mut read = store.read().await.unwrap();
    let (mut seq, mut offboarded, mut confirmed) = (0, 0, 0);
    loop {
        let rows = read.audit_after(seq, 1_000).await.unwrap();
        let Some(last) = rows.last() else { break };
        seq = last.seq;
        offboarded += rows.iter().filter(|row| row.action == "person.offboard").count();
        confirmed += rows.iter().filter(|row| row.action == "receipt.record").count();
    }
    assert_eq!((offboarded, confirmed), (leaving, leaving), "rows of the audit");
    assert_eq!(world.get("/api/v1/audit/verify").await["intact"], true);
    assert!(!timed_too || took <= BURST_MAX, "{took:?}");
});
