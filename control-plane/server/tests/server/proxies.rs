//! Behind a reverse proxy: whose failures are whose.

use doorward_store::test_support::TestDatabase;
use hyper::StatusCode;

use crate::browser::{Browser, ORIGIN};
use crate::world::{Settings, World, on_both};

/// Fails to sign in until the server says something else than "no".
async fn fail_until_locked(browser: &mut Browser<'_>) -> usize {
    for tries in 0..30 {
        let email = format!("nobody{tries}@shop.example");
        let reply = browser.form("/sign-in", &[("email", &email), ("password", "x"), ("code", "123456")]).await;
        if reply.status != StatusCode::UNAUTHORIZED {
            return tries;
        }
    }
    panic!("nothing was locked");
}

on_both!(
    a_trusted_proxys_word_tells_sources_apart_and_nobody_elses,
    |database: TestDatabase| async move {
        let settings = Settings { url: Some(ORIGIN), ..Settings::default() };
        let world = World::with(database, settings).await;
        let mut browser = Browser::new(&world);
        browser.more = vec![("x-forwarded-for", "192.0.2.7".to_owned())];
        assert_eq!(fail_until_locked(&mut browser).await, 10);
        // Who writes the header themselves is who they were.
        browser.more = vec![("x-forwarded-for", "192.0.2.8".to_owned())];
        assert_eq!(fail_until_locked(&mut browser).await, 0);

        let world = world.restarted_with(Settings { trusted_proxies: &["127.0.0.0/8"], ..settings }).await;
        let mut browser = Browser::new(&world);
        browser.more = vec![("x-forwarded-for", "192.0.2.7".to_owned())];
        assert_eq!(fail_until_locked(&mut browser).await, 10, "this source has failed nothing yet");
        browser.more = vec![("x-forwarded-for", "192.0.2.7, 192.0.2.8".to_owned())];
        assert_eq!(fail_until_locked(&mut browser).await, 10, "the proxy's own word stands at the end");
        let audit = world.get("/api/v1/audit/tail?lines=200").await.to_string();
        assert!(audit.contains("192.0.2.8") && audit.contains("127.0.0.1"), "{audit}");
    },
    database
);
