//! A small world to test on: two people, one resource, one grant, one device.

use doorward_domain::{
    Action, Actor, AuditEntry, Device, Grant, Introduction, NewDevice, NewGrant, NewPrincipal, NewResource, Principal,
    PrincipalKind, Receiver, Resource, Subject,
};
use doorward_model::{
    DeviceId, DnsName, EndReason, GrantId, Interval, PresharedKey, PrincipalId, PublicKey, ResourceId, Timestamp,
    TunnelNetwork,
};
use doorward_store::test_support::TestDatabase;
use doorward_store::{Outbox, Store};
use sqlx::ConnectOptions as _;
use uuid::Uuid;

/// Runs each test on either engine.
macro_rules! on_both {
    ($($test:ident,)*) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test(doorward_store::test_support::TestDatabase::sqlite().await.unwrap()).await;
            })*
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test(doorward_store::test_support::TestDatabase::postgres().await.unwrap()).await;
            })*
        }
    };
}
pub(crate) use on_both;

pub(crate) fn t(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

pub(crate) fn key(n: u8) -> PublicKey {
    let mut bytes = [42; 32];
    bytes[0] = n;
    PublicKey::from_bytes(bytes).unwrap()
}

pub(crate) fn entry(at: i64) -> AuditEntry {
    let detail = serde_json::json!({ "why": "a test" });
    AuditEntry { at: t(at), actor: Actor::System, action: Action::PersonAdd, subject: Subject::Everything, detail }
}

pub(crate) struct World {
    pub(crate) store: Store,
    pub(crate) staff: Principal,
    pub(crate) contractor: Principal,
    pub(crate) panel: Resource,
    pub(crate) grant: Grant,
    pub(crate) laptop: Device,
}

impl World {
    pub(crate) async fn new(database: &TestDatabase) -> Self {
        let store = database.open().await.unwrap();
        let staff = person("support@shop.example", None);
        let contractor = person("dba@agency.example", Some(&staff));
        let new = NewResource {
            id: ResourceId::new(Uuid::now_v7()),
            name: "panel".parse().unwrap(),
            targets: vec!["10.0.5.10".parse().unwrap(), "fd00:5::/64".parse().unwrap()],
            allow: vec!["tcp/443".parse().unwrap(), "icmp".parse().unwrap()],
        };
        let panel = Resource::add(new, &TunnelNetwork::default(), &DnsName::zone_default(), t(1)).unwrap();
        let new = NewGrant {
            id: GrantId::new(Uuid::now_v7()),
            to: Receiver::Person(&contractor),
            resource: &panel,
            validity: Interval { not_before: t(1), not_after: t(1_000_000) },
            hours: None,
            requested_by: "local:0".to_owned(),
            approved_by: "local:0".to_owned(),
            reason: Some("migrate the orders table".parse().unwrap()),
        };
        let grant = Grant::add(new, t(1)).unwrap();
        let laptop = NewDevice {
            id: DeviceId::new(Uuid::now_v7()),
            principal: contractor.id,
            name: "laptop".parse().unwrap(),
            public_key: key(255),
            preshared_key: Some(PresharedKey::from_bytes([3; 32])),
            not_after: None,
            created_at: t(1),
        };
        let mut tx = store.write().await.unwrap();
        tx.person_add(&staff).await.unwrap();
        tx.person_add(&contractor).await.unwrap();
        let panel = tx.resource_add(&panel, &TunnelNetwork::default()).await.unwrap();
        tx.grant_add(&grant).await.unwrap();
        let laptop = tx.device_add(&laptop, &TunnelNetwork::default()).await.unwrap();
        tx.commit(entry(1), Outbox::Devices(vec![laptop.id])).await.unwrap();
        Self { store, staff, contractor, panel, grant, laptop }
    }

    pub(crate) fn person(&self, email: &str) -> Principal {
        person(email, None)
    }

    pub(crate) fn new_device(&self, n: u8, at: i64) -> NewDevice {
        NewDevice {
            id: DeviceId::new(Uuid::now_v7()),
            principal: self.contractor.id,
            name: format!("device{n}").parse().unwrap(),
            public_key: key(n),
            preshared_key: None,
            not_after: None,
            created_at: t(at),
        }
    }

    pub(crate) async fn device(&self, n: u8, at: i64) -> Device {
        let mut tx = self.store.write().await.unwrap();
        let device = tx.device_add(&self.new_device(n, at), &TunnelNetwork::default()).await.unwrap();
        tx.commit(entry(at), Outbox::Devices(vec![device.id])).await.unwrap();
        device
    }

    pub(crate) async fn revoke(&self, id: DeviceId, at: i64) {
        let mut tx = self.store.write().await.unwrap();
        tx.device_revoke(id, EndReason::DeviceRevoked, t(at)).await.unwrap();
        tx.commit(entry(at), Outbox::Devices(vec![id])).await.unwrap();
    }
}

fn person(email: &str, sponsor: Option<&Principal>) -> Principal {
    let kind = if sponsor.is_some() { PrincipalKind::Contractor } else { PrincipalKind::Staff };
    let not_after = sponsor.map(|_| t(2_000_000));
    let id = PrincipalId::new(Uuid::now_v7());
    let new = NewPrincipal {
        id,
        email: email.parse().unwrap(),
        name: "Zoë Ångström".parse().unwrap(),
        kind,
        sponsor,
        not_after,
    };
    Principal::add(new, t(1)).unwrap()
}

/// Runs a statement past the store, on whichever engine it is.
#[allow(unused_macros, reason = "not every test that has this module needs it")]
macro_rules! raw {
    ($database:expr, $sql:expr $(, $arg:expr)*) => {
        if $database.url().starts_with("sqlite:") {
            let mut connection = crate::common::sqlite($database).await;
            sqlx::query($sql)$(.bind($arg))*.execute(&mut connection).await.unwrap();
        } else {
            let mut connection = crate::common::postgres($database).await;
            sqlx::query($sql)$(.bind($arg))*.execute(&mut connection).await.unwrap();
        }
    };
}
pub(crate) use raw;

pub(crate) async fn sqlite(database: &TestDatabase) -> sqlx::SqliteConnection {
    let file = database.data_dir().join("doorward.db");
    sqlx::sqlite::SqliteConnectOptions::new().filename(file).create_if_missing(true).connect().await.unwrap()
}

pub(crate) async fn postgres(database: &TestDatabase) -> sqlx::PgConnection {
    database.url().parse::<sqlx::postgres::PgConnectOptions>().unwrap().connect().await.unwrap()
}

/// What a gateway says of itself.
pub(crate) fn said(public_key: PublicKey, version: &str) -> Introduction {
    let (endpoint, version) = ("203.0.113.2:51820".to_owned(), version.to_owned());
    Introduction { public_key, endpoint, version, resolver: true, ports: vec![51820, 443] }
}
