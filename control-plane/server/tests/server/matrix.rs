//! Who may what: every route that the router has, asked with every credential. The table is in `permissions.txt`, for a
//! person to read when it changes (`UPDATE_SNAPSHOTS=1` writes it); a route without a case here fails the test, and so
//! does one that refuses nobody and is not named as open.

use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU32, Ordering};

use doorward_domain::{LoginToken, NewPrincipal, Principal, PrincipalKind, Role, SignInMethod, TokenHash, WebSession};
use doorward_model::{PrincipalId, Timestamp};
use doorward_store::test_support::TestDatabase;
use doorward_store::{Outbox, Store};
use hyper::header::SET_COOKIE;
use hyper::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::browser::{Browser, Reply};
use crate::fixtures::{OpenAt as _, entry, named};
use crate::world::{World, public_key};

/// What comes with a request.
#[derive(Debug, Clone, Copy)]
enum Credential {
    Nobody,
    Token,
    /// A token of `doorward login`.
    Login(Role),
    /// A browser's session.
    Session(Role),
}

const CREDENTIALS: [(&str, Credential); 9] = [
    ("nobody", Credential::Nobody),
    ("token", Credential::Token),
    ("login owner", Credential::Login(Role::Owner)),
    ("login member", Credential::Login(Role::Member)),
    ("member", Credential::Session(Role::Member)),
    ("auditor", Credential::Session(Role::Auditor)),
    ("approver", Credential::Session(Role::Approver)),
    ("admin", Credential::Session(Role::Admin)),
    ("owner", Credential::Session(Role::Owner)),
];

/// What is sent to a route so that it comes as far as the decision.
enum Body {
    None,
    Json(Value),
    Form(&'static [(&'static str, &'static str)]),
}

/// Routes in which a secret or a ceremony is the credential, whoever sends it, or at which people arrive who have none
/// yet. `accounts`, `sessions` and `provider` have their refusals.
const OPEN: [&str; 22] = [
    "GET /join/{secret}",
    "GET /setup/{secret}",
    "GET /sign-in",
    "GET /sign-in/provider",
    "GET /sign-in/provider/callback",
    "GET /sign-in/provider/passkey",
    "POST /join/{secret}",
    "POST /join/{secret}/passkey/finish",
    "POST /join/{secret}/passkey/start",
    "POST /join/{secret}/provider",
    "POST /login/poll",
    "POST /login/redeem",
    "POST /login/wait",
    "POST /setup/{secret}",
    "POST /setup/{secret}/passkey/finish",
    "POST /setup/{secret}/passkey/start",
    "POST /sign-in",
    "POST /sign-in/passkey/finish",
    "POST /sign-in/passkey/start",
    "POST /sign-in/provider/passkey/finish",
    "POST /sign-in/provider/passkey/start",
    "POST /sign-out",
];

/// Routes whose form holds a proof, which no case here has: they say so after they know who asks.
const PROOFS: [&str; 5] = ["/security/", "/step-up", "/login", "/devices/new", "/policy"];

const NOBODY: &str = "nobody@shop.example";
const ASKER: &str = "asker@shop.example";

fn body(method: &str, path: &str) -> Body {
    match (method, path) {
        ("GET" | "DELETE", _) => Body::None,
        (_, path) if path.starts_with("/api/") => api_body(method, path),
        (_, path) if OPEN.contains(&format!("{method} {path}").as_str()) && path != "/sign-out" => {
            Body::Json(json!({}))
        }
        (_, path) if path.ends_with("/start") || path.ends_with("/finish") => Body::Json(json!({})),
        (_, path) => Body::Form(form(method, path)),
    }
}

fn api_body(method: &str, path: &str) -> Body {
    Body::Json(match (method, path) {
        ("POST", "/api/v1/people") => json!({ "email": "new@shop.example", "name": "N", "kind": "staff" }),
        ("POST", "/api/v1/people/sync") => json!({ "lines": [] }),
        ("POST", "/api/v1/grants") => json!({ "email": NOBODY, "resource": "none", "for": "1h" }),
        ("POST", "/api/v1/resources") => json!({ "name": "matrix", "targets": ["10.9.9.9"], "allow": ["tcp/1"] }),
        ("POST", "/api/v1/devices") => json!({ "email": NOBODY, "name": "x", "public_key": public_key(9) }),
        ("PUT", "/api/v1/devices/{id}/preshared-key") => json!({ "preshared_key": null }),
        ("PUT", "/api/v1/lockdown") => json!({ "on": false }),
        (
            "POST",
            "/api/v1/gateways/tokens" | "/api/v1/tokens" | "/api/v1/groups" | "/api/v1/scim/tokens" | "/api/v1/hooks",
        ) => {
            json!({ "name": "matrix" })
        }
        ("POST", "/api/v1/groups/{name}/members" | "/api/v1/scim/sources/{name}/people") => json!({ "email": NOBODY }),
        ("POST", "/api/v1/requests") => json!({ "resource": "none", "for": "1h", "reason": "x", "email": NOBODY }),
        ("PUT", "/api/v1/people/{email}/role") => json!({ "role": "member" }),
        ("PUT", "/api/v1/people/{email}/sponsor") => json!({ "sponsor": NOBODY }),
        ("PUT", "/api/v1/resources/{name}/owner") => json!({ "email": null }),
        ("PUT", "/api/v1/resources/{name}/window" | "/api/v1/resources/{name}/span") => json!({ "span": null }),
        (
            "POST",
            "/api/v1/gateways/accept-restored"
            | "/api/v1/people/{email}/offboard"
            | "/api/v1/people/{email}/suspend"
            | "/api/v1/people/{email}/restore"
            | "/api/v1/people/{email}/invitation"
            | "/api/v1/grants/{id}/revoke"
            | "/api/v1/devices/{id}/revoke"
            | "/api/v1/requests/{id}/approve"
            | "/api/v1/requests/{id}/deny"
            | "/api/v1/requests/{id}/withdraw"
            | "/api/v1/scim/sources/{name}/undo"
            | "/api/v1/scim/sources/{name}/confirm"
            | "/api/v1/sources/{name}/undo"
            | "/api/v1/sources/{name}/confirm"
            | "/api/v1/sources/{name}/poll"
            | "/api/v1/owner/link"
            | "/api/v1/logout",
        ) => json!({}),
        _ => no_case(method, path),
    })
}

fn form(method: &str, path: &str) -> &'static [(&'static str, &'static str)] {
    match (method, path) {
        ("POST", "/admin/people") => &[("email", "new@shop.example"), ("name", "N"), ("kind", "staff")],
        ("POST", "/admin/grants") => &[("email", NOBODY), ("resource", "none"), ("how_long", "1h")],
        ("POST", "/admin/resources") => &[("name", "matrix"), ("targets", "10.9.9.9"), ("allow", "tcp/1")],
        ("POST", "/admin/lockdown") => &[("turn", "off")],
        ("POST", "/admin/gateways/tokens" | "/admin/groups") => &[("name", "matrix")],
        ("POST", "/admin/groups/{name}/join" | "/admin/groups/{name}/leave") => &[("email", NOBODY)],
        ("POST", "/admin/people/{email}/role") => &[("to", "member"), ("was", "member")],
        ("POST", "/admin/people/{email}/sponsor") => &[("to", NOBODY)],
        ("POST", "/admin/leaving" | "/admin/leaving/offboard" | "/admin/leaving/suspend") => &[("email", NOBODY)],
        ("POST", "/requests/new") => &[("resource", "none"), ("amount", "1"), ("reason", "x")],
        ("POST", "/devices/new") => &[("name", "x")],
        ("POST", "/security/password") => &[("password", "x"), ("repeated", "x")],
        ("POST", "/security/totp") => &[("sealed", "x"), ("code", "1")],
        ("POST", "/security/passkeys/remove" | "/security/sessions/end") => {
            &[("id", "0192f0c1-7a3e-7cc1-b2f4-0123456789ab")]
        }
        (
            "POST",
            "/admin/people/{email}/offboard"
            | "/admin/people/{email}/suspend"
            | "/admin/people/{email}/restore"
            | "/admin/people/{email}/invite"
            | "/admin/people/{email}/sign-out"
            | "/admin/groups/{name}/remove"
            | "/admin/grants/{id}/revoke"
            | "/admin/resources/{name}/owner"
            | "/admin/resources/{name}/window"
            | "/admin/resources/{name}/span"
            | "/admin/resources/{name}/remove"
            | "/admin/devices/{id}/revoke"
            | "/admin/gateways/{name}/remove"
            | "/approvals/{id}/approve"
            | "/approvals/{id}/deny"
            | "/requests/{id}/withdraw"
            | "/devices/{id}/lost"
            | "/security/recovery-codes"
            | "/security/sessions/end-all"
            | "/step-up"
            | "/login"
            | "/login/device"
            | "/policy"
            | "/sign-out",
        ) => &[],
        _ => no_case(method, path),
    }
}

fn no_case(method: &str, path: &str) -> ! {
    panic!("{method} {path} has no case: add to matrix.rs what is sent to it");
}

/// A server with one person of each role, and somebody else who asked for something.
struct Sweep {
    world: World,
    store: Store,
    token: String,
    people: Vec<(Role, PrincipalId)>,
    request: String,
    device: String,
    sources: AtomicU32,
}

impl Sweep {
    async fn start() -> Self {
        let world = named(TestDatabase::sqlite().await.unwrap()).await;
        let token = world.post("/api/v1/tokens", json!({ "name": "sweep" })).await["token"].clone();
        world.post("/api/v1/people", json!({ "email": ASKER, "name": "N", "kind": "staff" })).await;
        world.post("/api/v1/resources", json!({ "name": "panel", "targets": ["10.0.5.1"], "allow": ["tcp/1"] })).await;
        let request = json!({ "resource": "panel", "for": "8h", "reason": "x", "email": ASKER });
        let request = world.post("/api/v1/requests", request).await["id"].clone();
        let device = world.device(ASKER, "laptop", 1).await["id"].clone();
        let store = world.database.open_at(&world).await;
        let now = doorward_domain::micros(Timestamp::now());
        let mut tx = store.write().await.unwrap();
        let mut people = Vec::new();
        for role in Role::ALL {
            let new = NewPrincipal {
                id: PrincipalId::new(Uuid::now_v7()),
                email: format!("{role}@shop.example").parse().unwrap(),
                name: role.as_str().parse().unwrap(),
                kind: PrincipalKind::Staff,
                sponsor: None,
                not_after: None,
            };
            let person = Principal { role, ..Principal::add(new, now).unwrap() };
            tx.person_add(&person).await.unwrap();
            people.push((role, person.id));
        }
        tx.commit(entry(), Outbox::None).await.unwrap();
        let text = |value: Value| value.as_str().unwrap().to_owned();
        let (token, request, device) = (text(token), text(request), text(device));
        Self { world, store, token, people, request, device, sources: AtomicU32::new(2) }
    }

    /// A credential of its own for one request, because some requests end it.
    async fn secret(&self, credential: Credential, fresh: bool) -> String {
        let role = match credential {
            Credential::Nobody => return String::new(),
            Credential::Token => return self.token.clone(),
            Credential::Login(role) | Credential::Session(role) => role,
        };
        let (_, principal) = *self.people.iter().find(|(of, _)| *of == role).unwrap();
        let now = doorward_domain::micros(Timestamp::now());
        let factor_at = if fresh { now } else { Timestamp::from_second(now.as_second() - 600).unwrap() };
        let mut tx = self.store.write().await.unwrap();
        let secret = if matches!(credential, Credential::Login(_)) {
            let secret = format!("dwl1_{}", Uuid::new_v4());
            let expires_at = Timestamp::from_second(now.as_second() + 600).unwrap();
            let (id, name) = (Uuid::now_v7(), "test".to_owned());
            let kept = LoginToken { id, principal, name, created_at: now, expires_at, factor_at, last_used_at: None };
            tx.login_token_add(&TokenHash::of(secret.as_bytes()), &kept).await.unwrap();
            secret
        } else {
            let secret = Uuid::new_v4().to_string();
            let session = WebSession::begin(Uuid::now_v7(), principal, SignInMethod::Passkey, ("192.0.2.1", "x"), now);
            let kept = WebSession { factor_at, ..session };
            tx.web_session_add(&TokenHash::of(secret.as_bytes()), &kept).await.unwrap();
            secret
        };
        tx.commit(entry(), Outbox::None).await.unwrap();
        secret
    }

    fn filled(&self, path: &str) -> String {
        let id = if path.contains("/requests/") || path.contains("/approvals/") {
            &self.request
        } else if path.contains("/devices/") {
            &self.device
        } else {
            "0192f0c1-7a3e-7cc1-b2f4-0123456789ab"
        };
        path.replace("{email}", NOBODY).replace("{id}", id).replace("{name}", "nothing").replace("{secret}", "nothing")
    }

    async fn ask(&self, credential: Credential, fresh: bool, method: &str, path: &str) -> Reply {
        let mut browser = Browser::new(&self.world);
        // Strangers come from many networks, so that how much one of them may ask for does not matter here.
        let source = self.sources.fetch_add(1, Ordering::Relaxed);
        browser.source = Ipv4Addr::from(u32::from(Ipv4Addr::LOCALHOST) + source);
        let secret = self.secret(credential, fresh).await;
        match credential {
            Credential::Nobody => {}
            Credential::Token | Credential::Login(_) => {
                browser.more.push(("authorization", format!("Bearer {secret}")));
            }
            Credential::Session(_) => browser.cookie = Some(secret),
        }
        let (method, filled): (Method, String) = (method.parse().unwrap(), self.filled(path));
        match body(method.as_str(), path) {
            Body::None => browser.send(method, &filled, "text/plain", String::new()).await,
            Body::Json(value) => browser.send(method, &filled, "application/json", value.to_string()).await,
            Body::Form(fields) => browser.form(&filled, fields).await,
        }
    }

    /// One cell of the table.
    async fn cell(&self, credential: Credential, method: &str, path: &str) -> &'static str {
        let reply = self.ask(credential, false, method, path).await;
        assert!(!reply.status.is_server_error(), "{method} {path} as {credential:?}: {}", reply.text);
        match verdict(path, &reply) {
            "fresh" => match verdict(path, &self.ask(credential, true, method, path).await) {
                "yes" => "fresh",
                other => panic!("{method} {path} as {credential:?} asks for a factor, then says {other}"),
            },
            "yes" => {
                let is_open = OPEN.contains(&format!("{method} {path}").as_str());
                let decided = is_open || reply.status != StatusCode::BAD_REQUEST;
                let has_proof = PROOFS.iter().any(|it| path.starts_with(it));
                assert!(decided || has_proof, "{method} {path} as {credential:?} was not decided: {}", reply.text);
                "yes"
            }
            other => other,
        }
    }
}

fn verdict(path: &str, reply: &Reply) -> &'static str {
    let location = reply.location();
    let code = reply.json()["error"]["code"].as_str().unwrap_or_default().to_owned();
    // What signs out leads to the sign-in too, and takes the cookie with it.
    let led_to_sign_in = location.starts_with("/sign-in") && !reply.headers.contains_key(SET_COOKIE);
    let is_anothers = ["/devices/{id}", "/requests/{id}", "/approvals/{id}"].iter().any(|it| path.starts_with(it));
    if location.starts_with("/step-up") || code == "fresh_factor_needed" {
        "fresh"
    } else if led_to_sign_in || reply.status == StatusCode::UNAUTHORIZED {
        "sign in"
    } else if reply.status == StatusCode::FORBIDDEN || (is_anothers && reply.status == StatusCode::NOT_FOUND) {
        "no"
    } else {
        "yes"
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_route_answers_every_credential_as_reviewed() {
    let sweep = Sweep::start().await;
    let (_, description) = sweep.world.https(Method::GET, "/api/openapi.json", Some(&sweep.token), Value::Null).await;
    let paths = description["paths"].as_object().unwrap();
    let api = paths.iter().flat_map(|(path, item)| {
        item.as_object().unwrap().keys().map(move |method| (method.to_uppercase(), path.clone()))
    });
    let pages = doorward_control_plane::page_routes();
    let pages = pages.into_iter().map(|(method, path)| (method.to_owned(), path.to_owned()));
    let mut routes: Vec<(String, String)> = api.chain(pages).collect();
    routes.sort_by(|one, other| (&one.1, &one.0).cmp(&(&other.1, &other.0)));
    let mut table = String::from(
        "Who may what. One row a route, one column what comes with the request; `permissions.txt` is written by\n\
         UPDATE_SNAPSHOTS=1 and read by a person.\n  \
         yes  it is done, or would be if what it names were there    fresh  after a factor of the last five minutes\n  \
         no   refused                                                sign in  whoever asks is nobody here\n\n",
    );
    let _ = write!(table, "{:<52}", "");
    for (name, _) in CREDENTIALS {
        let _ = write!(table, "{name:<14}");
    }
    let mut unrefused = Vec::new();
    for (method, path) in routes {
        let route = format!("{method} {path}");
        let _ = write!(table, "\n{route:<52}");
        let mut refuses = false;
        for (_, credential) in CREDENTIALS {
            let cell = sweep.cell(credential, &method, &path).await;
            refuses |= matches!(cell, "no" | "sign in");
            let _ = write!(table, "{cell:<14}");
        }
        if !refuses {
            unrefused.push(route);
        }
    }
    unrefused.sort_unstable();
    assert_eq!(unrefused, OPEN, "a route that refuses nobody is named as open, and no other");
    let table: Vec<&str> = table.lines().map(str::trim_end).collect();
    let table = format!("{}\n", table.join("\n"));
    let kept = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/server/permissions.txt");
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(kept, &table).unwrap();
    }
    let reviewed = std::fs::read_to_string(kept).unwrap();
    assert!(reviewed == table, "permissions.txt should be, if it is right:\n{table}");
}
