//! How people come in, sign in and stay signed in: through real HTTP, with a software authenticator.

use doorward_control_plane::api::Person;
use doorward_domain::{Attempts, SignInMethod, TokenHash, WebSession};
use doorward_model::Timestamp;
use doorward_store::test_support::TestDatabase;
use doorward_store::{Outbox, Store};
use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use crate::authenticator::Authenticator;
use crate::browser::{Browser, HOST, ORIGIN, Reply, way};
use crate::world::{Settings, World, on_both};

const PASSWORD: &str = "correct horse battery staple";
const OWNER: &str = "owner@shop.example";

/// A server with the name that browsers reach it by.
async fn named(database: TestDatabase) -> World {
    World::with(database, Settings { url: Some(ORIGIN), ..Settings::default() }).await
}

async fn owner_link(world: &World) -> String {
    way(&world.post("/api/v1/owner/link", json!({})).await["url"])
}

async fn invitation(world: &World, email: &str) -> String {
    way(&world.post(&format!("/api/v1/people/{email}/invitation"), Value::Null).await["url"])
}

/// A member of staff with an invitation.
async fn invited(world: &World) -> String {
    let person = json!({ "email": "anna@shop.example", "name": "Anna Berg", "kind": "staff" });
    world.post("/api/v1/people", person).await;
    invitation(world, "anna@shop.example").await
}

fn owner() -> Value {
    json!({ "email": OWNER, "name": "The Owner" })
}

/// The code that an authenticator app shows for a key, so many steps from now.
fn code(secret: &str, steps: i64) -> String {
    let secret = totp_rs::Secret::try_from_base32(secret.replace(' ', "")).unwrap();
    let totp = totp_rs::Builder::new().with_secret(secret).with_account_name("x").build().unwrap();
    let at = Timestamp::now().as_second() + steps * 30;
    totp.generate(u64::try_from(at).unwrap()).to_string()
}

/// The key on a page, as somebody would type it.
fn secret_on(page: &Reply) -> String {
    let rest = page.text.split("this key into the app: <code>").nth(1).unwrap_or_else(|| panic!("{}", page.text));
    rest.split("</code>").next().unwrap().to_owned()
}

/// Joins with a password and a code; returns the key and the recovery codes.
async fn join_with_password(browser: &mut Browser<'_>, way: &str) -> (String, Vec<String>) {
    let page = browser.get(way).await;
    let secret = secret_on(&page);
    let fields = [
        ("email", OWNER),
        ("name", "The Owner"),
        ("accepts", &page.field("accepts")),
        ("sealed", &page.field("sealed")),
        ("password", PASSWORD),
        ("repeated", PASSWORD),
        // The step before, so that the next ones are still to be used.
        ("code", &code(&secret, -1)),
    ];
    let done = browser.form(way, &fields).await;
    assert_eq!(done.status, StatusCode::OK, "{}", done.text);
    let codes = done.text.split("<li><code>").skip(1).map(|rest| rest.split('<').next().unwrap().to_owned());
    (secret, codes.collect())
}

async fn actions(world: &World) -> Vec<String> {
    let tail = world.get("/api/v1/audit/tail?lines=200").await;
    tail["rows"].as_array().unwrap().iter().map(|row| row["action"].as_str().unwrap().to_owned()).collect()
}

on_both!(
    the_first_owner_comes_in_once_and_signs_in_with_a_passkey,
    |database: TestDatabase| async move {
        let world = named(database).await;
        let first = world.post("/api/v1/owner/link", json!({ "first_run": true })).await;
        let way = way(&first["url"]);
        let mut browser = Browser::new(&world);
        let mut passkey = browser.join_with_passkey(&way, owner()).await;
        let person = browser.get(&format!("/api/v1/people/{OWNER}")).await;
        let person: Person = serde_json::from_str(&person.text).unwrap();
        assert_eq!(person.kind, doorward_control_plane::api::PersonKind::Staff);
        // The link is used up, and so is the first run.
        let again = Browser::new(&world).get(&way).await;
        assert_eq!(again.status, StatusCode::FORBIDDEN);
        assert!(
            again.text.contains("was used already") && again.text.contains("doorward owner link"),
            "{}",
            again.text
        );
        let (status, answer) = world.call(Method::POST, "/api/v1/owner/link", json!({ "first_run": true })).await;
        assert_eq!((status, answer["error"]["code"].as_str()), (StatusCode::CONFLICT, Some("conflict")));
        // Out, and in again with nothing typed.
        let out = browser.form("/sign-out", &[]).await;
        assert_eq!((out.status, out.location()), (StatusCode::SEE_OTHER, "/sign-in"));
        assert!(browser.cookie.is_none());
        assert_eq!(browser.get("/security").await.location(), "/sign-in?next=%2Fsecurity");
        let done = browser.prove("/sign-in", &mut passkey).await;
        assert_eq!((done.status, done.json()["next"].as_str()), (StatusCode::OK, Some("/")));
        assert_eq!(browser.get("/security").await.status, StatusCode::OK);
        let actions = actions(&world).await;
        assert_eq!(actions, ["owner.link", "owner.setup", "sign_out", "sign_in"]);
        let audit = world.get("/api/v1/audit/tail?lines=1").await;
        assert_eq!(audit["rows"][0]["actor"], format!("person:{OWNER}"));
    },
    database
);

on_both!(
    links_that_do_not_count_say_why_where_that_gives_nothing_away,
    |database: TestDatabase| async move {
        let world = named(database).await;
        let first = invited(&world).await;
        let second = invitation(&world, "anna@shop.example").await;
        let mut browser = Browser::new(&world);
        let replaced = browser.get(&first).await;
        assert!(
            replaced.status == StatusCode::FORBIDDEN && replaced.text.contains("later link took"),
            "{}",
            replaced.text
        );
        let setup = second.replace("/join/", "/setup/");
        let guesses = ["/join/AAAA", "/join/%00", &setup, &format!("{second}x"), &format!("/join/{}", "a".repeat(500))];
        let mut told = Vec::new();
        for guess in guesses {
            let page = browser.get(guess).await;
            assert_eq!(page.status, StatusCode::NOT_FOUND, "{guess}: {}", page.text);
            told.push(page.text.contains("is not known here"));
        }
        assert!(told.iter().all(|it| *it), "{told:?}");
        // Looking does not use it up, and a suspension does.
        assert_eq!(browser.get(&second).await.status, StatusCode::OK);
        world.post("/api/v1/people/anna@shop.example/suspend", Value::Null).await;
        assert_eq!(browser.get(&second).await.status, StatusCode::FORBIDDEN);
        // One that has expired, made by hand because no test waits three days.
        let store = world.database.open_at(&world).await;
        let mut tx = store.write().await.unwrap();
        let late = doorward_domain::Invitation {
            kind: doorward_domain::InvitationKind::Setup,
            principal: None,
            created_at: Timestamp::UNIX_EPOCH,
            created_by: "a test".to_owned(),
            expires_at: Timestamp::now(),
            used_at: None,
            replaced_at: None,
        };
        tx.invitation_add(&TokenHash::of(b"late"), &late).await.unwrap();
        tx.commit(entry(), Outbox::None).await.unwrap();
        let expired = browser.get("/setup/late").await;
        assert!(expired.status == StatusCode::FORBIDDEN && expired.text.contains("has expired"), "{}", expired.text);
    },
    database
);

on_both!(
    a_password_with_codes_lets_in_and_each_code_counts_once,
    |database: TestDatabase| async move {
        let world = named(database).await;
        let mut browser = Browser::new(&world);
        let (secret, codes) = join_with_password(&mut browser, &owner_link(&world).await).await;
        assert_eq!(codes.len(), 10);
        assert_eq!(browser.get("/security").await.status, StatusCode::OK);
        let mut other = Browser::new(&world);
        let used = code(&secret, 0);
        let fields = |code: &str| {
            vec![("email", OWNER.to_owned()), ("password", PASSWORD.to_owned()), ("code", code.to_owned())]
        };
        let mut sign_in = async |fields: Vec<(&str, String)>| {
            let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
            other.form("/sign-in", &fields).await
        };
        let done = sign_in(fields(&used)).await;
        assert_eq!((done.status, done.location()), (StatusCode::SEE_OTHER, "/"), "{}", done.text);
        let replay = sign_in(fields(&used)).await;
        assert!(replay.status == StatusCode::FORBIDDEN && replay.text.contains("used already"), "{}", replay.text);
        let with_recovery = sign_in(fields(&codes[0].to_uppercase().replace('-', " "))).await;
        assert_eq!(with_recovery.status, StatusCode::SEE_OTHER, "{}", with_recovery.text);
        for wrong in [&codes[0], "000000", "", &code(&secret, -1)] {
            let refused = sign_in(fields(wrong)).await;
            assert_ne!(refused.status, StatusCode::SEE_OTHER, "{wrong}");
            assert!(refused.text.contains("role=\"alert\""), "{}", refused.text);
        }
        // The same sentence whichever part was wrong, and whether there is such a person or not.
        let sentence = "That did not match: check the address, the password and the code";
        for (email, password) in
            [(OWNER, "wrong horse battery"), ("nobody@shop.example", PASSWORD), ("not an address", "x")]
        {
            let fields =
                vec![("email", email.to_owned()), ("password", password.to_owned()), ("code", code(&secret, 1))];
            let refused = sign_in(fields).await;
            assert!(refused.status == StatusCode::UNAUTHORIZED && refused.text.contains(sentence), "{}", refused.text);
        }
        let audit = world.get("/api/v1/audit/tail?lines=1").await;
        assert_eq!(
            (&audit["rows"][0]["action"], &audit["rows"][0]["actor"]),
            (&json!("sign_in.fail"), &json!("system"))
        );
        assert!(audit["rows"][0]["detail"].to_string().contains("127.0.0.1"), "{audit}");
    },
    database
);

on_both!(
    what_is_wrong_with_a_form_is_said_on_it_and_the_link_stays,
    |database: TestDatabase| async move {
        let world = named(database).await;
        let way = owner_link(&world).await;
        let mut browser = Browser::new(&world);
        let page = browser.get(&way).await;
        let (accepts, sealed, secret) = (page.field("accepts"), page.field("sealed"), secret_on(&page));
        let good = code(&secret, 0);
        let right = [
            ("email", OWNER),
            ("name", "The Owner"),
            ("accepts", accepts.as_str()),
            ("sealed", sealed.as_str()),
            ("password", PASSWORD),
            ("repeated", PASSWORD),
            ("code", good.as_str()),
        ];
        for (field, wrong, word) in [
            ("email", "nobody", "no email address"),
            ("name", "a\u{202e}b", "name"),
            ("name", "line\nbreak", "name"),
            ("accepts", "", "policy"),
            ("password", "short", "too short"),
            ("repeated", "another one entirely", "differ"),
            ("code", "000000", "does not fit"),
            ("sealed", "AAAA", "load the page again"),
        ] {
            let fields = right.map(|(name, value)| if name == field { (name, wrong) } else { (name, value) });
            let both =
                fields.map(
                    |(name, value)| {
                        if field == "password" && name == "repeated" { (name, wrong) } else { (name, value) }
                    },
                );
            let refused = browser.form(&way, &both).await;
            assert!(refused.status.is_client_error(), "{field}: {}", refused.status);
            assert!(
                refused.text.contains("role=\"alert\"") && refused.text.contains(word),
                "{field}: {}",
                refused.text
            );
            assert!(browser.cookie.is_none(), "{field}");
            assert!(!refused.text.contains(PASSWORD), "a password is never sent back");
        }
        // The page kept the seed, so that the app need not scan again; markup in a name stays text.
        let refused = browser.form(&way, &[("name", "<script>x</script>"), ("sealed", &sealed)]).await;
        assert_eq!(secret_on(&refused), secret);
        assert!(refused.text.contains("&#60;script&#62;") && !refused.text.contains("<script>x"), "{}", refused.text);
        let done = browser.form(&way, &right).await;
        assert_eq!(done.status, StatusCode::OK, "{}", done.text);
    },
    database
);

on_both!(
    ten_wrong_attempts_lock_an_account_until_the_clock_says_so,
    |database: TestDatabase| async move {
        let world = named(database).await;
        let mut browser = Browser::new(&world);
        let (secret, _) = join_with_password(&mut browser, &owner_link(&world).await).await;
        let mut other = Browser::new(&world);
        for n in 0..10 {
            let fields = [("email", OWNER), ("password", "wrong horse battery"), ("code", "123456")];
            let refused = other.form("/sign-in", &fields).await;
            assert_eq!(refused.status, StatusCode::UNAUTHORIZED, "attempt {n}");
        }
        let now = code(&secret, 0);
        let right = [("email", OWNER), ("password", PASSWORD), ("code", now.as_str())];
        let locked = other.form("/sign-in", &right).await;
        assert!(locked.status == StatusCode::FORBIDDEN && locked.text.contains("too many wrong"), "{}", locked.text);
        let alerts = world.get("/api/v1/status").await["alerts"].to_string();
        assert!(alerts.contains("sign_in_locked"), "{alerts}");
        assert_eq!(actions(&world).await.iter().filter(|action| *action == "sign_in.lock").count(), 2);
        // The half hour passes for both, as the clock would have it.
        let store = world.database.open_at(&world).await;
        let mut tx = store.write().await.unwrap();
        for subject in [format!("account:{OWNER}"), "source:127.0.0.1".to_owned()] {
            let attempts = tx.attempts(&subject).await.unwrap().unwrap();
            assert_eq!(attempts.failures, 10, "{subject}");
            let over = Attempts { locked_until: Some(Timestamp::now()), ..attempts };
            tx.attempts_set(&subject, &over).await.unwrap();
        }
        tx.commit(entry(), Outbox::None).await.unwrap();
        let done = other.form("/sign-in", &right).await;
        assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.text);
    },
    database
);

on_both!(
    passkeys_of_others_of_elsewhere_and_copies_are_refused,
    |database: TestDatabase| async move {
        let world = named(database).await;
        let mut browser = Browser::new(&world);
        let mut passkey = browser.join_with_passkey(&owner_link(&world).await, owner()).await;
        let mut stranger = Browser::new(&world);
        // A ceremony ends once.
        let begun = stranger.post("/sign-in/passkey/start", json!({})).await.json();
        let proof = json!({ "ceremony": begun["ceremony"], "credential": passkey.get(&begun["options"]) });
        assert_eq!(stranger.post("/sign-in/passkey/finish", proof.clone()).await.status, StatusCode::OK);
        let replay = stranger.post("/sign-in/passkey/finish", proof).await;
        assert!(
            replay.status == StatusCode::BAD_REQUEST && replay.message().contains("press the button again"),
            "{replay:?}"
        );
        // One that was cancelled leaves nothing behind that another could end.
        let cancelled = stranger.post("/sign-in/passkey/start", json!({})).await.json();
        let begun = stranger.post("/sign-in/passkey/start", json!({})).await.json();
        let proof = json!({ "ceremony": cancelled["ceremony"], "credential": passkey.get(&begun["options"]) });
        assert_eq!(stranger.post("/sign-in/passkey/finish", proof).await.status, StatusCode::UNAUTHORIZED);
        stranger.cookie = None;
        for (what, spoil) in [
            (
                "another origin",
                (|it: &mut Authenticator| it.origin = "https://evil.example".to_owned()) as fn(&mut Authenticator),
            ),
            ("another site", |it| it.rp_id = "evil.example".to_owned()),
            ("no verification", |it| it.verifies = false),
        ] {
            let (origin, rp_id) = (passkey.origin.clone(), passkey.rp_id.clone());
            spoil(&mut passkey);
            let refused = stranger.prove("/sign-in", &mut passkey).await;
            assert_eq!(refused.status, StatusCode::UNAUTHORIZED, "{what}: {}", refused.text);
            assert!(refused.message().contains("not known here") && stranger.cookie.is_none(), "{what}");
            (passkey.origin, passkey.rp_id, passkey.verifies) = (origin, rp_id, true);
        }
        let forged = json!({ "ceremony": "x", "credential": { "id": "AA" } });
        assert_eq!(stranger.post("/sign-in/passkey/finish", forged).await.status, StatusCode::BAD_REQUEST);
        // A counter that goes back is a copy: this passkey never counts again.
        passkey.counter = 0;
        let copied = stranger.prove("/sign-in", &mut passkey).await;
        assert!(copied.status == StatusCode::FORBIDDEN && copied.message().contains("copied"), "{}", copied.text);
        passkey.counter = 100;
        let refused = stranger.prove("/sign-in", &mut passkey).await;
        assert!(refused.status == StatusCode::FORBIDDEN && refused.message().contains("copy"), "{}", refused.text);
        let alerts = world.get("/api/v1/status").await["alerts"].to_string();
        assert!(alerts.contains("passkey_copied") && alerts.contains(OWNER), "{alerts}");
    },
    database
);

on_both!(
    a_passkey_that_does_not_ask_for_the_person_is_not_registered,
    |database: TestDatabase| async move {
        let world = named(database).await;
        let way = owner_link(&world).await;
        let mut browser = Browser::new(&world);
        let mut fields = owner();
        fields["accepts"] = json!(browser.get(&way).await.field("accepts"));
        for (origin, verifies) in [(ORIGIN, false), ("https://evil.example", true)] {
            let begun = browser.post(&format!("{way}/passkey/start"), fields.clone()).await.json();
            let (_, credential) = if verifies {
                Authenticator::create(origin, &begun["options"])
            } else {
                Authenticator::create_without_verification(origin, &begun["options"])
            };
            let mut sent = fields.clone();
            sent["ceremony"] = begun["ceremony"].clone();
            sent["credential"] = credential;
            let refused = browser.post(&format!("{way}/passkey/finish"), sent).await;
            assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{}", refused.text);
            assert!(browser.cookie.is_none());
        }
        assert_eq!(browser.get(&way).await.status, StatusCode::OK, "the link still counts");
        // At a bare address there is nothing to bind a passkey to, and the refusal says so.
        browser.host = "192.0.2.1:8443".to_owned();
        browser.origin = Some("https://192.0.2.1:8443".to_owned());
        let refused = browser.post(&format!("{way}/passkey/start"), fields).await;
        assert!(
            refused.status == StatusCode::BAD_REQUEST && refused.message().contains("password"),
            "{}",
            refused.text
        );
    },
    database
);

on_both!(
    sessions_end_by_idleness_by_age_and_with_the_person,
    |database: TestDatabase| async move {
        let world = named(database).await;
        let mut browser = Browser::new(&world);
        browser.join_with_passkey(&owner_link(&world).await, owner()).await;
        let store = world.database.open_at(&world).await;
        let owner = store.read().await.unwrap().person_by_email(&OWNER.parse().unwrap()).await.unwrap().unwrap();
        let ago = |seconds: i64| Timestamp::from_second(Timestamp::now().as_second() - seconds).unwrap();
        for (secret, begun, seen, counts) in [
            ("in use", 3600, 14 * 60, true),
            ("idle", 3600, 15 * 60, false),
            ("old", 12 * 3600, 0, false),
            ("nearly old", 12 * 3600 - 60, 0, true),
        ] {
            let id = uuid::Uuid::now_v7();
            let session = WebSession::begin(id, owner.id, SignInMethod::Passkey, ("192.0.2.1", "x"), ago(begun));
            let mut tx = store.write().await.unwrap();
            let session = WebSession { seen_at: ago(seen), ..session };
            tx.web_session_add(&TokenHash::of(secret.as_bytes()), &session).await.unwrap();
            tx.commit(entry(), Outbox::None).await.unwrap();
            browser.cookie = Some(secret.to_owned());
            let expected = if counts { StatusCode::OK } else { StatusCode::SEE_OTHER };
            assert_eq!(browser.get("/security").await.status, expected, "{secret}");
            let api = if counts { StatusCode::OK } else { StatusCode::UNAUTHORIZED };
            assert_eq!(browser.get("/api/v1/people").await.status, api, "{secret}");
        }
        // A page that is left open asks by itself, and keeps no session alive by it.
        let left_open = uuid::Uuid::now_v7();
        let session = WebSession::begin(left_open, owner.id, SignInMethod::Passkey, ("192.0.2.1", "x"), ago(600));
        let mut tx = store.write().await.unwrap();
        tx.web_session_add(&TokenHash::of(b"left open"), &session).await.unwrap();
        tx.commit(entry(), Outbox::None).await.unwrap();
        browser.cookie = Some("left open".to_owned());
        let seen = async || {
            store.read().await.unwrap().web_session(&TokenHash::of(b"left open")).await.unwrap().unwrap().0.seen_at
        };
        browser.more = vec![("x-doorward-background", "1".to_owned())];
        assert_eq!(browser.get("/api/v1/people").await.status, StatusCode::OK);
        assert_eq!(seen().await, session.seen_at);
        browser.more.clear();
        assert_eq!(browser.get("/api/v1/people").await.status, StatusCode::OK);
        assert!(seen().await > session.seen_at);
        world.post(&format!("/api/v1/people/{OWNER}/suspend"), Value::Null).await;
        assert_eq!(browser.get("/security").await.status, StatusCode::SEE_OTHER);
        let mut read = store.read().await.unwrap();
        assert!(read.web_sessions_of(owner.id).await.unwrap().is_empty());
    },
    database
);

on_both!(
    what_comes_from_elsewhere_is_not_done,
    |database: TestDatabase| async move {
        let world = named(database).await;
        let mut browser = Browser::new(&world);
        browser.join_with_passkey(&owner_link(&world).await, owner()).await;
        let person = json!({ "email": "anna@shop.example", "name": "Anna", "kind": "staff" });
        for (what, origin, more) in [
            ("another site", Some("https://evil.example"), None),
            ("a sandboxed frame", Some("null"), None),
            ("plain HTTP", Some("http://door.shop.example:8443"), None),
            ("a neighbour", Some(ORIGIN), Some(("sec-fetch-site", "same-site"))),
            ("nobody", None, None),
        ] {
            browser.origin = origin.map(ToOwned::to_owned);
            browser.more = more.map(|(name, value)| (name, value.to_owned())).into_iter().collect();
            for refused in [
                browser.post("/api/v1/people", person.clone()).await,
                browser.form("/security/sessions/end-all", &[]).await,
                browser.form("/sign-out", &[]).await,
            ] {
                assert_eq!(refused.status, StatusCode::FORBIDDEN, "{what}: {}", refused.text);
            }
        }
        (browser.origin, browser.more) = (Some(ORIGIN.to_owned()), Vec::new());
        // The browser that was led here by another name (DNS rebinding), with the cookie that it would not even have.
        browser.host = "evil.example:8443".to_owned();
        for path in ["/security", "/api/v1/people", "/sign-in"] {
            let misled = browser.get(path).await;
            assert!(
                misled.status == StatusCode::MISDIRECTED_REQUEST && misled.text.contains(HOST),
                "{path}: {misled:?}"
            );
        }
        browser.host = HOST.to_owned();
        let page = browser.get("/security").await;
        assert_eq!(page.status, StatusCode::OK);
        assert!(page.headers["content-security-policy"].to_str().unwrap().contains("script-src 'self'"));
        assert_eq!(browser.post("/api/v1/people", person).await.status, StatusCode::CREATED);
        // A program with a token needs no origin, and a foreign cookie beside it gives nothing.
        let token = world.post("/api/v1/tokens", json!({ "name": "ci" })).await["token"].as_str().unwrap().to_owned();
        let (status, _) = world.https(Method::GET, "/api/v1/people", Some(&token), Value::Null).await;
        assert_eq!(status, StatusCode::OK);
        browser.more = vec![("authorization", "Bearer dwt1_wrong".to_owned())];
        assert_eq!(browser.get("/api/v1/people").await.status, StatusCode::UNAUTHORIZED);
    },
    database
);

on_both!(
    admin_changes_ask_for_the_factor_again_after_five_minutes,
    |database: TestDatabase| async move {
        let world = named(database).await;
        let mut browser = Browser::new(&world);
        let mut passkey = browser.join_with_passkey(&owner_link(&world).await, owner()).await;
        let store = world.database.open_at(&world).await;
        let hash = TokenHash::of(browser.cookie.clone().unwrap().as_bytes());
        let (session, _) = store.read().await.unwrap().web_session(&hash).await.unwrap().unwrap();
        let mut tx = store.write().await.unwrap();
        let stale = Timestamp::from_second(Timestamp::now().as_second() - 300).unwrap();
        tx.web_session_factor(session.id, stale).await.unwrap();
        tx.commit(entry(), Outbox::None).await.unwrap();
        let person = json!({ "email": "anna@shop.example", "name": "Anna", "kind": "staff" });
        let refused = browser.post("/api/v1/people", person.clone()).await;
        assert_eq!(refused.json()["error"]["code"], "fresh_factor_needed", "{}", refused.text);
        let adding = browser.post("/security/passkeys/start", json!({})).await;
        assert_eq!(adding.json()["error"]["code"], "fresh_factor_needed", "{}", adding.text);
        let form = browser.form("/security/password", &[("password", PASSWORD), ("repeated", PASSWORD)]).await;
        assert!(form.location().starts_with("/step-up"), "{form:?}");
        // Another person's passkey proves nothing about this one.
        let mut other = Browser::new(&world);
        let mut others = other.join_with_passkey(&invited(&world).await, json!({})).await;
        let refused = browser.prove("/step-up", &mut others).await;
        assert!(
            refused.status == StatusCode::FORBIDDEN && refused.message().contains("another person"),
            "{}",
            refused.text
        );
        let done = browser.prove("/step-up", &mut passkey).await;
        assert_eq!(done.status, StatusCode::OK, "{}", done.text);
        let ben = json!({ "email": "ben@shop.example", "name": "Ben", "kind": "staff" });
        assert_eq!(browser.post("/api/v1/people", ben).await.status, StatusCode::CREATED);
    },
    database
);

on_both!(
    a_sign_in_opens_the_window_and_signing_out_everywhere_shuts_it,
    |database: TestDatabase| async move {
        let window = std::time::Duration::from_secs(3600);
        let settings = Settings { url: Some(ORIGIN), sign_in_window: window, ..Settings::default() };
        let world = World::with(database, settings).await;
        let way = invited(&world).await;
        world.device("anna@shop.example", "laptop", 1).await;
        let store = world.database.open_at(&world).await;
        let anna = async || {
            store.read().await.unwrap().person_by_email(&"anna@shop.example".parse().unwrap()).await.unwrap().unwrap()
        };
        let revision = async || store.read().await.unwrap().revision().await.unwrap().0;
        assert_eq!(anna().await.signed_in_until, None);
        let before = revision().await;
        let mut browser = Browser::new(&world);
        let mut passkey = browser.join_with_passkey(&way, json!({})).await;
        let opened = anna().await;
        let (at, until) = (opened.signed_in_at.unwrap(), opened.signed_in_until.unwrap());
        assert_eq!(until.duration_since(at).as_secs(), 3600);
        assert_eq!(revision().await, before + 1, "gateways hear of it");
        let mut second = Browser::new(&world);
        second.prove("/sign-in", &mut passkey).await;
        assert!(anna().await.signed_in_until.unwrap() > until);
        assert!(browser.get("/security").await.text.contains("End it"));
        let out = browser.form("/security/sessions/end-all", &[]).await;
        assert_eq!(out.location(), "/sign-in");
        assert_eq!(second.get("/security").await.status, StatusCode::SEE_OTHER);
        assert_eq!((anna().await.signed_in_until, revision().await), (None, before + 3));
    },
    database
);

on_both!(
    one_manages_ones_own_credentials_and_keeps_a_way_in,
    |database: TestDatabase| async move {
        let world = named(database).await;
        let mut browser = Browser::new(&world);
        browser.join_with_passkey(&owner_link(&world).await, owner()).await;
        let page = browser.get("/security").await;
        let id = page.field("id");
        let last = browser.form("/security/passkeys/remove", &[("id", &id)]).await;
        assert!(last.status == StatusCode::CONFLICT && last.text.contains("last thing"), "{}", last.text);
        let begun = browser.post("/security/passkeys/start", json!({})).await.json();
        assert_eq!(begun["options"]["publicKey"]["excludeCredentials"].as_array().map(Vec::len), Some(1));
        let (_, credential) = Authenticator::create(ORIGIN, &begun["options"]);
        let finished = json!({ "ceremony": begun["ceremony"], "credential": credential });
        assert_eq!(browser.post("/security/passkeys/finish", finished).await.status, StatusCode::OK);
        assert_eq!(browser.form("/security/passkeys/remove", &[("id", &id)]).await.location(), "/security");
        let weak = browser.form("/security/password", &[("password", "short"), ("repeated", "short")]).await;
        assert!(weak.text.contains("too short"), "{}", weak.text);
        let kept = browser.form("/security/password", &[("password", PASSWORD), ("repeated", PASSWORD)]).await;
        assert_eq!(kept.location(), "/security", "{}", kept.text);
        let page = browser.get("/security").await;
        let (secret, sealed) = (secret_on(&page), page.field("sealed"));
        let codes = browser.form("/security/totp", &[("sealed", &sealed), ("code", &code(&secret, -1))]).await;
        assert!(codes.status == StatusCode::OK && codes.text.contains("recovery codes"), "{}", codes.text);
        let mut other = Browser::new(&world);
        let now = code(&secret, 0);
        let done = other.form("/sign-in", &[("email", OWNER), ("password", PASSWORD), ("code", &now)]).await;
        assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.text);
        // The seed is not in the database as it is.
        let store = world.database.open_at(&world).await;
        let mut read = store.read().await.unwrap();
        let owner = read.person_by_email(&OWNER.parse().unwrap()).await.unwrap().unwrap();
        let kept = read.totp_of(owner.id).await.unwrap().unwrap();
        let seed = totp_rs::Secret::try_from_base32(secret.replace(' ', "")).unwrap();
        assert!(!kept.sealed.windows(seed.as_bytes().len()).any(|window| window == seed.as_bytes()));
    },
    database
);

on_both!(
    an_admin_cannot_make_an_owners_link_or_become_one,
    |database: TestDatabase| async move {
        let world = named(database).await;
        let mut owner_browser = Browser::new(&world);
        owner_browser.join_with_passkey(&owner_link(&world).await, owner()).await;
        let way = invited(&world).await;
        let store = world.database.open_at(&world).await;
        let mut tx = store.write().await.unwrap();
        let anna = tx.person_by_email(&"anna@shop.example".parse().unwrap()).await.unwrap().unwrap();
        tx.person_update(&doorward_domain::Principal { role: doorward_domain::Role::Admin, ..anna }).await.unwrap();
        tx.commit(entry(), Outbox::None).await.unwrap();
        let mut admin = Browser::new(&world);
        admin.join_with_passkey(&way, json!({})).await;
        for path in [format!("/api/v1/people/{OWNER}/invitation"), "/api/v1/owner/link".to_owned()] {
            let refused = admin.post(&path, json!({})).await;
            assert_eq!(refused.status, StatusCode::FORBIDDEN, "{path}: {}", refused.text);
        }
        let token = world.post("/api/v1/tokens", json!({ "name": "ci" })).await["token"].as_str().unwrap().to_owned();
        for path in [format!("/api/v1/people/{OWNER}/invitation"), "/api/v1/owner/link".to_owned()] {
            let (status, answer) = world.https(Method::POST, &path, Some(&token), json!({})).await;
            assert_eq!(status, StatusCode::FORBIDDEN, "{path}: {answer}");
        }
        assert_eq!(
            admin.post("/api/v1/people/anna@shop.example/invitation", json!({})).await.status,
            StatusCode::CREATED
        );
    },
    database
);

on_both!(
    a_command_line_acts_for_whoever_let_it_and_ends_with_them,
    |database: TestDatabase| async move {
        use base64::Engine as _;
        use sha2::Digest as _;
        let world = named(database).await;
        let mut browser = Browser::new(&world);
        browser.join_with_passkey(&owner_link(&world).await, owner()).await;
        let verifier = "a".repeat(43);
        let challenge =
            base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(sha2::Sha256::digest(verifier.as_bytes()));
        let asked =
            [("port", "40000"), ("state", "st-_1"), ("challenge", challenge.as_str()), ("name", "<b>laptop</b>")];
        let query = format!("/login?port=40000&state=st-_1&challenge={challenge}&name=%3Cb%3Elaptop%3C/b%3E");
        assert!(Browser::new(&world).get(&query).await.location().starts_with("/sign-in?next=%2Flogin"));
        let page = browser.get(&query).await;
        assert!(page.status == StatusCode::OK && !page.text.contains("<b>laptop"), "{}", page.text);
        let code_of = |reply: &Reply| {
            let rest =
                reply.text.split("http://127.0.0.1:40000/?code=").nth(1).unwrap_or_else(|| panic!("{}", reply.text));
            rest.split('&').next().unwrap().to_owned()
        };
        let mut line = Browser::new(&world);
        line.origin = None;
        line.more = vec![("authorization", "Bearer none".to_owned())];
        let code = code_of(&browser.form("/login", &asked).await);
        let wrong = line.post("/login/redeem", json!({ "code": code, "verifier": "b".repeat(43) })).await;
        assert_eq!(wrong.status, StatusCode::BAD_REQUEST, "{}", wrong.text);
        let used = line.post("/login/redeem", json!({ "code": code, "verifier": verifier })).await;
        assert_eq!(used.status, StatusCode::BAD_REQUEST, "a wrong verifier uses the code up");
        let code = code_of(&browser.form("/login", &asked).await);
        let made = line.post("/login/redeem", json!({ "code": code, "verifier": verifier })).await;
        let token = made.json()["token"].as_str().unwrap_or_else(|| panic!("{}", made.text)).to_owned();
        assert!(token.starts_with("dwl1_"));
        line.more = vec![("authorization", format!("Bearer {token}"))];
        let ben = json!({ "email": "ben@shop.example", "name": "Ben", "kind": "staff" });
        assert_eq!(line.post("/api/v1/people", ben).await.status, StatusCode::CREATED);
        let audit = world.get("/api/v1/audit/tail?lines=1").await;
        assert_eq!(audit["rows"][0]["actor"], format!("person:{OWNER}"));
        // Where there is no browser, a short code is typed in one elsewhere.
        let mut other = Browser::new(&world);
        other.origin = None;
        other.more = vec![("authorization", "Bearer none".to_owned())];
        let waiting = other.post("/login/wait", json!({ "name": "server" })).await.json();
        let poll = json!({ "device_code": waiting["device_code"] });
        assert_eq!(other.post("/login/poll", poll.clone()).await.json(), json!({ "login": null }));
        let guess = browser.form("/login/device", &[("code", "BBBB-BBBB")]).await;
        assert!(
            guess.status == StatusCode::BAD_REQUEST && guess.text.contains("no command line shows"),
            "{}",
            guess.text
        );
        let typed = waiting["user_code"].as_str().unwrap().to_lowercase();
        assert!(browser.form("/login/device", &[("code", &typed)]).await.text.contains("server acts for you"));
        let second = other.post("/login/poll", poll.clone()).await.json()["login"]["token"].clone();
        assert!(second.is_string());
        assert_eq!(other.post("/login/poll", poll).await.status, StatusCode::BAD_REQUEST, "once");
        // Both are listed, and end with the person's sessions.
        assert!(browser.get("/security").await.text.contains("doorward login, server"));
        browser.form("/security/sessions/end-all", &[]).await;
        for token in [token, second.as_str().unwrap().to_owned()] {
            let (status, _) = world.https(Method::GET, "/api/v1/people", Some(&token), Value::Null).await;
            assert_eq!(status, StatusCode::UNAUTHORIZED);
        }
    },
    database
);

fn entry() -> doorward_domain::AuditEntry {
    doorward_domain::AuditEntry {
        at: Timestamp::now(),
        actor: doorward_domain::Actor::System,
        action: doorward_domain::Action::Read,
        subject: doorward_domain::Subject::Everything,
        detail: json!({ "why": "a test" }),
    }
}

/// Opens the server's own database beside it.
trait OpenAt {
    async fn open_at(&self, world: &World) -> Store;
}

impl OpenAt for TestDatabase {
    async fn open_at(&self, world: &World) -> Store {
        Store::open(self.url(), world.folder.path()).await.unwrap()
    }
}
