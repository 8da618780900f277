//! A person at the portal, with a password and an authenticator app, through the pages that a browser shows.

use crate::doorward::Doorward;
use crate::http::Answer;

const PASSWORD: &str = "four random words here";

/// Somebody who has come in through their invitation.
pub struct Member {
    email: String,
    totp: totp_rs::Totp,
    /// The step of the last code that was used; each counts once.
    step: u64,
}

impl Member {
    /// Invites a person and follows the link: password, authenticator app, access policy. That signs them in.
    #[track_caller]
    pub fn join(doorward: &Doorward, email: &str) -> Self {
        let made = doorward.json(&["person", "invite", email]);
        let url = made["url"].as_str().expect("a link");
        let way = &url[url.find("/join/").expect("a link to join")..];
        let page = doorward.request("GET", way, None);
        assert_eq!(page.status, 200, "{}", page.body);
        let secret = between(&page.body, "into the app: <code>", "</code>").replace(' ', "");
        let secret = totp_rs::Secret::try_from_base32(secret).expect("a seed");
        let totp = totp_rs::Builder::new().with_secret(secret).with_account_name("x").build().expect("an app");
        let mut member = Self { email: email.to_owned(), totp, step: 0 };
        let answer = member.with_code(|code| {
            let fields = [
                ("accepts", between(&page.body, "name=\"accepts\" value=\"", "\"")),
                ("sealed", between(&page.body, "name=\"sealed\" value=\"", "\"")),
                ("password", PASSWORD),
                ("repeated", PASSWORD),
                ("code", code),
            ];
            doorward.connect().form(way, &fields).expect("an answer")
        });
        assert!(answer.body.contains("ecovery code"), "{}: {}", answer.status, answer.body);
        member
    }

    /// Signs in at the portal.
    #[track_caller]
    pub fn sign_in(&mut self, doorward: &Doorward) {
        let email = self.email.clone();
        let answer = self.with_code(|code| {
            let fields = [("email", &*email), ("password", PASSWORD), ("code", code)];
            doorward.connect().form("/sign-in", &fields).expect("an answer")
        });
        assert!((300..400).contains(&answer.status), "{}: {}", answer.status, answer.body);
    }

    /// Takes a code that was not used yet; the server takes those of a step to either side of its clock.
    fn with_code(&mut self, with: impl FnOnce(&str) -> Answer) -> Answer {
        let now = u64::try_from(jiff::Timestamp::now().as_second()).expect("after 1970");
        let step = (now / 30 - 1).max(self.step + 1);
        assert!(step <= now / 30 + 1, "three codes in one minute are all that there are");
        self.step = step;
        with(&self.totp.generate(step * 30).to_string())
    }
}

#[track_caller]
fn between<'a>(text: &'a str, before: &str, after: &str) -> &'a str {
    let begin = text.find(before).unwrap_or_else(|| panic!("no {before} in {text}")) + before.len();
    let end = text[begin..].find(after).expect("an end");
    &text[begin..begin + end]
}
