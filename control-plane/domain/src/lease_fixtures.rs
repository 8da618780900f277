//! People, devices and grants for tests; small numbers stand for ids and for seconds.

use std::sync::Arc;

use doorward_model::{DeviceId, GrantId, PrincipalId, PublicKey, ResourceId};
use uuid::Uuid;

use super::*;
use crate::{Grant, Group, PrincipalKind, Resource};

pub(crate) fn t(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

fn uuid(n: u8) -> Uuid {
    Uuid::from_u128(u128::from(n))
}

pub(crate) fn person(n: u8) -> Principal {
    Principal {
        id: PrincipalId::new(uuid(n)),
        email: format!("person{n}@shop.example").parse().unwrap(),
        name: "Somebody".parse().unwrap(),
        kind: PrincipalKind::Staff,
        sponsor: None,
        state: PrincipalState::Active,
        role: crate::Role::Member,
        not_after: None,
        created_at: t(0),
        changed_at: t(0),
        signed_in_until: None,
        signed_in_at: None,
    }
}

pub(crate) fn device(n: u8, owner: u8) -> Device {
    Device {
        id: DeviceId::new(uuid(n)),
        principal: PrincipalId::new(uuid(owner)),
        name: format!("device{n}").parse().unwrap(),
        public_key: PublicKey::from_bytes([n.wrapping_add(9); 32]).unwrap(),
        preshared_key: None,
        slot: u32::from(n),
        not_after: None,
        created_at: t(0),
        window_closed_at: None,
        revoked: None,
    }
}

pub(crate) fn resource(n: u8) -> Resource {
    Resource {
        id: ResourceId::new(uuid(n)),
        name: format!("resource{n}").parse().unwrap(),
        targets: vec!["10.0.5.10".parse().unwrap()],
        allow: vec!["tcp/443".parse().unwrap()],
        service_slot: Some(u32::from(n)),
        owner: None,
        sign_in_window: None,
        request_span_max: None,
        created_at: t(0),
        removed_at: None,
    }
}

pub(crate) fn group(n: u8) -> Group {
    Group::add(GroupId::new(uuid(n)), format!("group{n}").parse().unwrap(), t(0))
}

pub(crate) fn grant(n: u8, owner: u8, resource: u8, from: i64, until: i64) -> Grant {
    Grant {
        id: GrantId::new(uuid(n)),
        to: Grantee::Person(PrincipalId::new(uuid(owner))),
        resource: ResourceId::new(uuid(resource)),
        validity: Interval { not_before: t(from), not_after: t(until) },
        hours: None,
        requested_by: "local:0".to_owned(),
        approved_by: "local:0".to_owned(),
        reason: None,
        created_at: t(0),
        revoked_at: None,
    }
}

pub(crate) fn granted(grant: Grant) -> GrantedResource {
    let n = u8::try_from(grant.resource.uuid().as_u128()).unwrap();
    GrantedResource { grant, resource: Arc::new(resource(n)) }
}
