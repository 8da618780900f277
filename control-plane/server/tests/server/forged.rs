//! An identity provider that lies, or is in trouble: nobody comes in, and everybody learns what to do.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use doorward_store::test_support::TestDatabase;
use hyper::StatusCode;
use serde_json::{Value, json};

use crate::browser::Browser;
use crate::idp::{Idp, Sent, Trouble};
use crate::provider::{ANNA, away, back, joined, with};
use crate::world::on_both;

/// Makes a token of what the provider was asked for.
type Forger = Box<dyn Fn(&Sent) -> String>;

/// Changes what the provider claims.
type Spoil = fn(&mut Value);

/// What an honest provider says of Anna, with a second factor.
fn honest(idp: &Idp, sent: &Sent) -> Value {
    let mut claims = idp.claims(sent, "42");
    claims["amr"] = json!(["mfa"]);
    claims
}

fn part(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

on_both!(
    what_a_provider_must_not_say_lets_nobody_in,
    |database: TestDatabase| async move {
        let idp = Idp::start().await;
        let world = with(&idp, database).await;
        joined(&world, &idp, ANNA, "42").await;
        let mut browser = Browser::new(&world);
        let spoiled: [(&str, Spoil); 12] = [
            ("another issuer", |claims| claims["iss"] = json!("https://evil.example")),
            ("another audience", |claims| claims["aud"] = json!("somebody-else")),
            ("one more audience", |claims| claims["aud"] = json!(["doorward", "somebody-else"])),
            ("another nonce", |claims| claims["nonce"] = json!("guess")),
            ("no nonce", |claims| {
                claims.as_object_mut().unwrap().remove("nonce");
            }),
            ("an old token", |claims| claims["exp"] = json!(1_600_000_000)),
            ("no end", |claims| {
                claims.as_object_mut().unwrap().remove("exp");
            }),
            ("another party", |claims| claims["azp"] = json!("somebody-else")),
            ("another access token", |claims| claims["at_hash"] = json!("guess")),
            ("no subject", |claims| {
                claims.as_object_mut().unwrap().remove("sub");
            }),
            ("an account of nobody with a known address", |claims| claims["sub"] = json!("43")),
            ("an account of nobody whose address nobody checked", |claims| {
                claims["sub"] = json!("43");
                claims["email_verified"] = json!(false);
            }),
        ];
        for (what, spoil) in spoiled {
            let sent = away(&mut browser).await;
            let mut claims = honest(&idp, &sent);
            claims["email_verified"] = json!(true);
            spoil(&mut claims);
            let refused = back(&mut browser, &idp, &sent, &claims).await;
            assert_eq!(refused.status, StatusCode::FORBIDDEN, "{what}: {}", refused.text);
            assert!(browser.cookie.is_none(), "{what}");
        }
        // A code that somebody else was given, a state of nobody, a browser that never left, and a refusal.
        let sent = away(&mut browser).await;
        let stolen = Sent { challenge: "another".to_owned(), ..sent.clone() };
        let code = idp.grant(&stolen, &honest(&idp, &sent));
        assert_eq!(browser.get(&sent.back(&code)).await.status, StatusCode::FORBIDDEN);
        let sent = away(&mut browser).await;
        let claims = honest(&idp, &sent);
        let mut stranger = Browser::new(&world);
        let fixed = back(&mut stranger, &idp, &sent, &claims).await;
        assert!(fixed.status == StatusCode::BAD_REQUEST && stranger.cookie.is_none(), "{}", fixed.text);
        let guessed = Sent { state: "guess".to_owned(), ..sent.clone() };
        assert_eq!(back(&mut browser, &idp, &guessed, &claims).await.status, StatusCode::BAD_REQUEST);
        let refused =
            browser.get(&format!("/sign-in/provider/callback?state={}&error=access_denied", sent.state)).await;
        assert!(
            refused.status == StatusCode::FORBIDDEN && refused.text.contains("did not sign you in"),
            "{}",
            refused.text
        );
    },
    database
);

on_both!(
    a_token_that_the_provider_did_not_sign_lets_nobody_in,
    |database: TestDatabase| async move {
        let idp = Idp::start().await;
        let world = with(&idp, database).await;
        joined(&world, &idp, ANNA, "42").await;
        joined(&world, &idp, "ben@shop.example", "43").await;
        let mut browser = Browser::new(&world);
        let mut forged: Vec<(String, Forger)> = Vec::new();
        let (one, two, three, four) = (idp.clone(), idp.clone(), idp.clone(), idp.clone());
        forged.push((
            "no algorithm".to_owned(),
            Box::new(move |sent| format!("{}.{}.", part(&json!({ "alg": "none" })), part(&honest(&one, sent)))),
        ));
        // The public key, which everybody has, taken for a secret that both share; no secret; the client's id.
        for (at, secret) in idp.public_forms().into_iter().enumerate() {
            let idp = idp.clone();
            forged.push((
                format!("a shared secret, {at}"),
                Box::new(move |sent| {
                    let text =
                        format!("{}.{}", part(&json!({ "alg": "HS256", "kid": "first" })), part(&honest(&idp, sent)));
                    let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &secret), text.as_bytes());
                    format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
                }),
            ));
        }
        forged.push((
            "no signature".to_owned(),
            Box::new(move |sent| {
                let token = two.signed(&json!({ "alg": "ES256", "kid": "first" }), &honest(&two, sent));
                token[..=token.rfind('.').unwrap()].to_owned()
            }),
        ));
        forged.push((
            "a key that nobody publishes".to_owned(),
            Box::new(move |sent| three.signed(&json!({ "alg": "ES256", "kid": "third" }), &honest(&three, sent))),
        ));
        forged.push((
            "another subject under the signature of this one".to_owned(),
            Box::new(move |sent| {
                let token = four.signed(&json!({ "alg": "ES256", "kid": "first" }), &honest(&four, sent));
                let mut claims = honest(&four, sent);
                claims["sub"] = json!("43");
                let parts: Vec<&str> = token.split('.').collect();
                format!("{}.{}.{}", parts[0], part(&claims), parts[2])
            }),
        ));
        let (other, own) = (Idp::start().await, idp.clone());
        forged.push((
            "another provider's key of the same name".to_owned(),
            Box::new(move |sent| other.signed(&json!({ "alg": "ES256", "kid": "first" }), &honest(&own, sent))),
        ));
        for (what, forge) in &forged {
            let sent = away(&mut browser).await;
            let code = idp.code(&sent, forge(&sent));
            let refused = browser.get(&sent.back(&code)).await;
            assert_eq!(refused.status, StatusCode::FORBIDDEN, "{what}: {}", refused.text);
            assert!(refused.text.contains("cannot be trusted") && browser.cookie.is_none(), "{what}: {}", refused.text);
        }
        let failures = world.get("/api/v1/audit/tail?lines=200").await.to_string();
        assert!(failures.matches("sign_in.fail").count() >= forged.len(), "each is on record");
        // A code works once, in whatever browser.
        let sent = away(&mut browser).await;
        let code = idp.grant(&sent, &honest(&idp, &sent));
        assert_eq!(browser.get(&sent.back(&code)).await.status, StatusCode::SEE_OTHER);
        let mut second = Browser::new(&world);
        let sent = away(&mut second).await;
        let again = second.get(&sent.back(&code)).await;
        assert!(again.status == StatusCode::FORBIDDEN && again.text.contains("begin again"), "{}", again.text);
    },
    database
);

on_both!(
    a_provider_in_trouble_says_so_in_time,
    |database: TestDatabase| async move {
        let idp = Idp::start().await;
        let world = with(&idp, database).await;
        joined(&world, &idp, ANNA, "42").await;
        let mut browser = Browser::new(&world);
        for (trouble, status, words) in [
            (Trouble::Silent, StatusCode::SERVICE_UNAVAILABLE, "does not answer"),
            (Trouble::Endless, StatusCode::SERVICE_UNAVAILABLE, "does not answer"),
            (Trouble::Elsewhere, StatusCode::FORBIDDEN, "begin again"),
            (Trouble::Nonsense, StatusCode::FORBIDDEN, "begin again"),
        ] {
            let sent = away(&mut browser).await;
            idp.give_trouble(trouble);
            let told = back(&mut browser, &idp, &sent, &honest(&idp, &sent)).await;
            assert_eq!(told.status, status, "{trouble:?}: {}", told.text);
            assert!(told.text.contains(words) && browser.cookie.is_none(), "{trouble:?}: {}", told.text);
        }
        idp.give_trouble(Trouble::None);
        let sent = away(&mut browser).await;
        assert_eq!(
            back(&mut browser, &idp, &sent, &honest(&idp, &sent)).await.status,
            StatusCode::SEE_OTHER,
            "and afterwards all is well"
        );
        // It goes while somebody is there.
        let mut second = Browser::new(&world);
        let sent = away(&mut second).await;
        idp.stop();
        let code = idp.grant(&sent, &honest(&idp, &sent));
        let down = second.get(&sent.back(&code)).await;
        assert!(down.status == StatusCode::SERVICE_UNAVAILABLE && down.text.contains("another way"), "{}", down.text);
    },
    database
);

on_both!(
    a_provider_that_is_down_or_another_one_says_so,
    |database: TestDatabase| async move {
        let idp = Idp::start().await;
        idp.claim("https://evil.example");
        let world = with(&idp, database).await;
        let mut browser = Browser::new(&world);
        let lying = browser.get("/sign-in/provider").await;
        assert!(
            lying.status == StatusCode::SERVICE_UNAVAILABLE && lying.text.contains("does not answer"),
            "{}",
            lying.text
        );
        idp.stop();
        let down = browser.get("/sign-in/provider").await;
        assert!(down.status == StatusCode::SERVICE_UNAVAILABLE && down.text.contains("another way"), "{}", down.text);
        assert_eq!(browser.get("/sign-in").await.status, StatusCode::OK);
    },
    database
);
