//! How people come in and sign in: through real HTTP, with a software authenticator.

use doorward_domain::{Attempts, TokenHash};
use doorward_model::Timestamp;
use doorward_store::Outbox;
use doorward_store::test_support::TestDatabase;
use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use doorward_control_plane::api::Person;

use crate::authenticator::Authenticator;
use crate::browser::{Browser, ORIGIN, way};
use crate::fixtures::{
    OWNER, OpenAt as _, PASSWORD, actions, code, entry, invitation, invited, join_with_password, named, owner,
    owner_link, secret_on,
};
use crate::world::on_both;

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
        assert!(locked.status == StatusCode::FORBIDDEN && locked.text.contains("Too many wrong"), "{}", locked.text);
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
