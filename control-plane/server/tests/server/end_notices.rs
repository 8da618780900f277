//! Notices before an end, as mail.

use doorward_model::Timestamp;
use doorward_store::test_support::TestDatabase;
use serde_json::json;

use crate::browser::ORIGIN;
use crate::gateway::eventually;
use crate::smtp::Smtp;
use crate::world::{Settings, World, on_both};

const DANA: &str = "dana@agency.example";
const SAM: &str = "sam@shop.example";

/// A contractor whose time, and nothing else, ends within three days.
async fn furnish(world: &World) {
    world.post("/api/v1/people", json!({ "email": SAM, "name": "Sam", "kind": "staff" })).await;
    let new = json!({ "email": DANA, "name": "Dana", "kind": "contractor", "sponsor": SAM, "until": "259201s" });
    let until: Timestamp = world.post("/api/v1/people", new).await["until"].as_str().unwrap().parse().unwrap();
    eventually(|| async { (Timestamp::now().duration_until(until).as_secs() < 259_200).then_some(()) }).await;
}

async fn waiting(world: &World) -> u64 {
    world.get("/api/v1/status").await["mail"]["waiting"].as_u64().unwrap()
}

on_both!(
    whose_end_comes_and_who_answers_for_them_are_mailed_once,
    |database: TestDatabase| async move {
        let smtp = Smtp::start().await;
        let settings = Settings { url: Some(ORIGIN), mail: Some(smtp.url()), ..Settings::default() };
        let world = World::with(database, settings).await;
        furnish(&world).await;
        // The first look is at the start.
        let world = world.restarted().await;
        let mails = eventually(|| async { Some(smtp.mails()).filter(|mails| mails.len() == 2) }).await;
        let (dana, sam) = (&mails[0], &mails[1]);
        assert_eq!((dana.to.as_str(), sam.to.as_str()), (DANA, SAM));
        assert!(dana.text.contains("Subject: Ends soon: your access\n"), "{}", dana.text);
        assert!(
            dana.text.contains("Hello Dana,") && dana.text.contains("all of your access ends on "),
            "{}",
            dana.text
        );
        assert!(sam.text.contains("Subject: Ends soon: the time of Dana\n"), "{}", sam.text);
        assert!(sam.text.contains(&format!("You answer for Dana ({DANA})")), "{}", sam.text);
        eventually(|| async { (waiting(&world).await == 0).then_some(()) }).await;
        let world = world.restarted().await;
        eventually(|| async { (world.get("/api/v1/notices").await.as_array()?.len() == 1).then_some(()) }).await;
        assert_eq!((waiting(&world).await, smtp.mails().len()), (0, 2), "each once");
    },
    database
);

on_both!(
    a_mail_that_fails_is_seen_and_tried_again_and_holds_up_nothing,
    |database: TestDatabase| async move {
        let smtp = Smtp::start().await;
        smtp.refuse(true);
        let settings = Settings { url: Some(ORIGIN), mail: Some(smtp.url()), ..Settings::default() };
        let world = World::with(database, settings).await;
        furnish(&world).await;
        let world = world.restarted().await;
        let mail = eventually(|| async {
            let mail = world.get("/api/v1/status").await["mail"].clone();
            (mail["failing"].as_u64()? > 0).then_some(mail)
        })
        .await;
        assert_eq!(mail["waiting"], 2, "{mail}");
        assert!(mail["error"].as_str().unwrap().contains("the disk is full"), "{mail}");
        world.post("/api/v1/people", json!({ "email": "ben@shop.example", "name": "Ben", "kind": "staff" })).await;
        // Who goes meanwhile gets none.
        world.post(&format!("/api/v1/people/{DANA}/suspend"), json!({})).await;
        smtp.refuse(false);
        let mails = eventually(|| async { Some(smtp.mails()).filter(|mails| !mails.is_empty()) }).await;
        assert_eq!(mails.iter().map(|mail| mail.to.as_str()).collect::<Vec<_>>(), [SAM]);
    },
    database
);
