//! What a webhook says, and what makes it believable: a signature over name, time and body, and a time that is near.

use std::time::Duration;

use doorward_model::{SourceName, Timestamp, repeatable};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::{Denial, Reason};

/// How far a message's time may be from the server's, to either side: clocks differ, and a replay has no longer.
const HOOK_WINDOW: Duration = Duration::from_secs(300);
/// People whom one message names at most.
pub const HOOK_PEOPLE_MAX: usize = 1_000;
/// Signatures that are tried at most: one with the earlier secret, one with the later, and room for a sender's own.
const SIGNATURES_MAX: usize = 4;
/// Longest id of a message, in bytes.
const ID_BYTES_MAX: usize = 200;
/// Longest reason that is kept, in characters.
const REASON_CHARS_MAX: usize = 500;

/// What is said of somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Word {
    /// They pause: everything ends at once and is kept.
    #[serde(rename = "person.suspended")]
    Suspended,
    /// They left: everything ends for good.
    #[serde(rename = "person.departed")]
    Departed,
    /// They are back from a pause that the same source began.
    #[serde(rename = "person.active")]
    Active,
}

/// A message, as its body says it. What else a sender puts in is left alone.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct HookMessage {
    /// The sender's own id of it; a message with the id of an earlier one is that one again.
    pub id: Option<String>,
    /// What happened.
    pub event: Word,
    /// To whom.
    pub email: Option<String>,
    /// To whom else.
    #[serde(default)]
    pub emails: Vec<String>,
    /// Why, for the record.
    pub reason: Option<String>,
}

impl HookMessage {
    /// Reads a body.
    ///
    /// # Errors
    /// A denial that says what is wrong with it.
    pub fn read(body: &[u8]) -> Result<Self, Denial> {
        let message: Self = serde_json::from_slice(body).map_err(|error| {
            let text = error.to_string();
            let what = text.rsplit_once(" at line ").map_or(text.as_str(), |(before, _)| before);
            let what = repeatable(what, 200);
            Denial::invalid(format!(
                "the body is not as expected ({what}): send {{\"event\": \"person.suspended\", \"email\": \"…\"}}, with \
                 person.suspended, person.departed or person.active"
            ))
        })?;
        if message.id.as_ref().is_some_and(|id| id.is_empty() || id.len() > ID_BYTES_MAX) {
            return Err(Denial::invalid(format!("`id` has 1 to {ID_BYTES_MAX} bytes, or is left out")));
        }
        match message.people().count() {
            0 => Err(Denial::invalid("nobody is named: give `email`, or `emails` for several")),
            1..=HOOK_PEOPLE_MAX => Ok(message),
            _ => Err(Denial::invalid(format!("one message names {HOOK_PEOPLE_MAX} people at most: send several"))),
        }
    }

    /// Lists the people, as they were written.
    pub fn people(&self) -> impl Iterator<Item = &str> {
        self.email.iter().chain(&self.emails).map(|email| email.trim())
    }

    /// Returns the reason, shortened and cleaned: a revocation does not fail over its reason.
    #[must_use]
    pub fn why(&self) -> Option<Reason> {
        repeatable(self.reason.as_deref()?, REASON_CHARS_MAX).parse().ok()
    }
}

/// What tells one message from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeliveryId(pub [u8; 32]);

impl DeliveryId {
    /// Returns the identity of a message: its id, or else all that was signed.
    #[must_use]
    pub fn of(message: &HookMessage, signed: &[u8]) -> Self {
        let mut hasher = Sha256::new();
        match &message.id {
            Some(id) => hasher.update([b"id\0", id.as_bytes()].concat()),
            None => hasher.update([b"all\0", signed].concat()),
        }
        Self(hasher.finalize().into())
    }
}

/// Returns the bytes that are signed: `NAME "." TIMESTAMP "." BODY`. Neither a name's end nor a time's can be moved: a time has
/// no dot, and each name has its own secret.
#[must_use]
pub fn hook_signed(name: &SourceName, timestamp: &str, body: &[u8]) -> Vec<u8> {
    [name.as_str().as_bytes(), b".", timestamp.as_bytes(), b".", body].concat()
}

/// Reads `v1=HEX`, several with commas between them; what is of another version is passed over.
#[must_use]
pub fn hook_signatures(header: &str) -> Vec<[u8; 32]> {
    let v1 = header.split(',').filter_map(|part| part.trim().strip_prefix("v1="));
    let read = |text: &str| {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).ok().map(|()| bytes)
    };
    v1.take(SIGNATURES_MAX).filter_map(read).collect()
}

/// Reads a message's time and checks that it is near.
///
/// # Errors
/// A denial that says what time it is here.
pub fn hook_time(timestamp: &str, now: Timestamp) -> Result<Timestamp, Denial> {
    let second = now.as_second();
    let at = timestamp.parse().ok().and_then(|second| Timestamp::from_second(second).ok()).ok_or_else(|| {
        Denial::invalid(format!("`Doorward-Timestamp` is a number of seconds since 1970: here it is {second}"))
    })?;
    if now.duration_since(at).unsigned_abs() > HOOK_WINDOW {
        let minutes = HOOK_WINDOW.as_secs() / 60;
        return Err(Denial::refused(format!(
            "the message is of {at} and here it is {second} ({now}): sign with a time at most {minutes} minutes away"
        )));
    }
    Ok(at)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::lease::fixtures::t;

    fn read(body: &str) -> Result<HookMessage, Denial> {
        HookMessage::read(body.as_bytes())
    }

    #[test]
    fn a_message_names_people_and_what_happened_and_may_say_more() {
        let message = read(r#"{"event":"person.departed","email":" a@b.example ","emails":["c@d.example"],"x":1}"#);
        let message = message.unwrap();
        assert_eq!(
            (message.event, message.people().collect::<Vec<_>>()),
            (Word::Departed, vec!["a@b.example", "c@d.example"])
        );
        let reason = format!(r#"{{"event":"person.active","email":"a","reason":"a\u001bb{}"}}"#, "c".repeat(900));
        assert_eq!(read(&reason).unwrap().why().unwrap().as_str().len(), 500);
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let many = format!(r#"{{"event":"person.active","emails":[{}]}}"#, vec![r#""a""#; 1_001].join(","));
        for (body, named) in [
            ("{", "EOF"),
            (r#"{"event":"person.gone","email":"a"}"#, "person.gone"),
            (r#"{"event":"person.active"}"#, "nobody is named"),
            (r#"{"event":"person.active","email":"a","id":""}"#, "`id`"),
            (many.as_str(), "1000 people"),
        ] {
            let denial = read(body).unwrap_err();
            assert!(denial.sentence.contains(named), "{denial:?}");
        }
    }

    #[test]
    fn a_message_is_known_by_its_id_or_by_all_of_it() {
        let of = |body: &str, signed: &str| DeliveryId::of(&read(body).unwrap(), signed.as_bytes());
        let (with, without) =
            (r#"{"event":"person.active","email":"a","id":"7"}"#, r#"{"event":"person.active","email":"a"}"#);
        assert_eq!(of(with, "one"), of(with, "two"));
        assert_ne!(of(without, "one"), of(without, "two"));
        assert_ne!(of(with, "7"), of(without, "7"));
    }

    #[test]
    fn a_time_is_near_or_refused() {
        let at = |second: i64| hook_time(&second.to_string(), t(1_000));
        assert_eq!([700, 1_300].map(|second| at(second).is_ok()), [true, true]);
        assert_eq!([699, 1_301].map(|second| at(second).is_ok()), [false, false]);
        assert!(at(0).unwrap_err().sentence.contains("here it is 1000 (1970-01-01T00:16:40Z)"));
        assert!(hook_time("soon", t(0)).is_err() && hook_time("99999999999999999", t(0)).is_err());
    }

    #[test]
    fn signatures_are_read_with_what_is_none_left_out() {
        let hex = "ab".repeat(32);
        assert_eq!(hook_signatures(&format!("v0=x, v1={hex},v1=zz,v1={hex}00")), [[0xab; 32]]);
        assert_eq!(hook_signatures(&format!("v1={hex},").repeat(9)).len(), 4);
    }

    proptest! {
        #[test]
        fn no_bytes_break_the_reader(body in proptest::collection::vec(any::<u8>(), 0..200), header in "\\PC{0,200}") {
            let _ = HookMessage::read(&body);
            prop_assert!(hook_signatures(&header).len() <= 4);
            let _ = hook_time(&header, t(0));
        }
    }
}
