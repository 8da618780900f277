//! An account: a person as one source knows them, and what follows from what it says.

use std::fmt;
use std::str::FromStr;

use doorward_model::{AccountId, Email, PersonName, PrincipalId, SourceId, Timestamp, repeatable};
use serde::{Deserialize, Serialize};

use super::{DirectoryTerms, Source};
use crate::{Denial, Device, Effect, Grant, Principal, PrincipalState, offboard, restore, suspend};

/// Longest person's name, in characters.
const NAME_CHARS_MAX: usize = 100;

/// An email address as a source sent it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Mail {
    /// The address.
    pub value: String,
    /// What it is for: `work`.
    pub kind: Option<String>,
    /// Whether it goes before the others.
    pub primary: Option<bool>,
}

/// What a source says of somebody beside whether they are active, as it sent it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Profile {
    /// What they are called.
    pub display_name: Option<String>,
    /// The whole name.
    pub formatted: Option<String>,
    /// The family name.
    pub family_name: Option<String>,
    /// The given name.
    pub given_name: Option<String>,
    /// Email addresses.
    pub emails: Vec<Mail>,
}

impl Profile {
    /// Finds the address that a person has here: the primary one, or the one for work, or the first, or else the user name.
    #[must_use]
    pub fn address(&self, user_name: &str) -> Option<Email> {
        let mut mails: Vec<&Mail> = self.emails.iter().collect();
        mails.sort_by_key(|mail| match (mail.primary, mail.kind.as_deref()) {
            (Some(true), _) => 0,
            (_, Some("work")) => 1,
            _ => 2,
        });
        let values = mails.into_iter().map(|mail| mail.value.as_str()).chain([user_name]);
        values.filter_map(|value| value.trim().parse().ok()).next()
    }

    /// Finds the name that a person has here.
    ///
    /// # Errors
    /// A denial where nothing that was sent can be shown as a name.
    pub fn name(&self, user_name: &str) -> Result<PersonName, Denial> {
        let parts: Vec<&str> =
            [&self.given_name, &self.family_name].into_iter().flatten().map(String::as_str).collect();
        let joined = Some(parts.join(" ")).filter(|name| !name.trim().is_empty());
        let sent = [self.display_name.clone(), self.formatted.clone(), joined, Some(user_name.to_owned())];
        let named = sent.into_iter().flatten().filter_map(|name| repeatable(&name, NAME_CHARS_MAX).parse().ok()).next();
        named.ok_or_else(|| Denial::invalid("nothing that was sent can be shown as a person's name"))
    }
}

/// Who ended an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndedBy {
    /// The source, or time after it had suspended somebody.
    Source,
    /// An admin.
    Hand,
}

impl EndedBy {
    /// Returns the word for it, as the store writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Hand => "hand",
        }
    }
}

impl fmt::Display for EndedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for EndedBy {
    type Err = Denial;

    fn from_str(text: &str) -> Result<Self, Denial> {
        match text {
            "source" => Ok(Self::Source),
            "hand" => Ok(Self::Hand),
            _ => Err(Denial::invalid("an account ends by the `source` or by `hand`")),
        }
    }
}

/// A person as one source knows them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The id that the source knows them by.
    pub id: AccountId,
    /// Which source.
    pub source: SourceId,
    /// Who.
    pub principal: PrincipalId,
    /// The source's own id for them.
    pub external_id: Option<String>,
    /// The user name as the source sent it.
    pub user_name: String,
    /// The rest of what it sent.
    pub profile: Profile,
    /// Since when the source says that they are not active.
    pub suspended_at: Option<Timestamp>,
    /// When the source said that they are active again, and that has to wait for a person's decision.
    pub held_at: Option<Timestamp>,
    /// When an admin suspended them; the source cannot take that back.
    pub by_hand_at: Option<Timestamp>,
    /// When the source took them back last.
    pub reactivated_at: Option<Timestamp>,
    /// When the source deleted them while the brake was on.
    pub deleted_at: Option<Timestamp>,
    /// When the source made them, or was given them.
    pub created_at: Timestamp,
    /// When the source changed them last.
    pub changed_at: Timestamp,
}

/// What stands in the way of somebody whom a source says is active again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Return {
    /// Nothing.
    Free,
    /// A person's decision: they are one of too many at once.
    Waits,
    /// Another source, which says that they are not active.
    HeldElsewhere,
}

/// What follows from what a source said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// The account afterwards.
    pub account: Account,
    /// What changes for the person; `None` where nothing does.
    pub effect: Option<Effect>,
}

impl Account {
    /// The source says that somebody is not active: everything pauses at once, and the cooling period begins.
    #[must_use]
    pub fn turn_off(&self, person: &Principal, devices: &[Device], now: Timestamp) -> Turn {
        let suspended_at = self.suspended_at.or(Some(now));
        let account = Self { suspended_at, held_at: None, changed_at: now, ..self.clone() };
        // Whoever departed or was suspended already has nothing to lose.
        let effect = match person.state {
            PrincipalState::Active => suspend(person, devices, now).ok(),
            PrincipalState::Suspended | PrincipalState::Departed => None,
        };
        Turn { account, effect }
    }

    /// The source says that somebody is active again.
    ///
    /// # Errors
    /// A denial for somebody whose own end date came.
    pub fn turn_on(
        &self,
        person: &Principal,
        devices: &[Device],
        back: Return,
        now: Timestamp,
    ) -> Result<Turn, Denial> {
        if self.suspended_at.is_none() {
            return Ok(Turn { account: self.clone(), effect: None });
        }
        if back == Return::Waits {
            let account = Self { held_at: self.held_at.or(Some(now)), changed_at: now, ..self.clone() };
            return Ok(Turn { account, effect: None });
        }
        let account = Self {
            suspended_at: None,
            held_at: None,
            deleted_at: None,
            reactivated_at: Some(now),
            changed_at: now,
            ..self.clone()
        };
        let is_free = self.by_hand_at.is_none() && back == Return::Free;
        let effect = match person.state {
            PrincipalState::Suspended if is_free => Some(restore(person, devices, now)?),
            PrincipalState::Suspended | PrincipalState::Active | PrincipalState::Departed => None,
        };
        Ok(Turn { account, effect })
    }

    /// The source deletes somebody: they depart at once. While the brake is on they are suspended, and depart once a
    /// person confirms it.
    #[must_use]
    pub fn delete(
        &self,
        person: &Principal,
        devices: &[Device],
        grants: &[Grant],
        braked: bool,
        now: Timestamp,
    ) -> Turn {
        if !braked {
            return Turn { account: self.clone(), effect: Some(offboard(person, devices, grants, now)) };
        }
        let Turn { account, effect } = self.turn_off(person, devices, now);
        Turn { account: Self { deleted_at: Some(now), ..account }, effect }
    }

    /// Says whether somebody counts as departed: their cooling period is over, or the source deleted them. Not while the
    /// brake is on, and not while a reactivation waits for a decision.
    #[must_use]
    pub fn is_due(&self, source: &Source, terms: &DirectoryTerms, now: Timestamp) -> bool {
        let cooled = self.suspended_at.is_some_and(|at| at.checked_add(terms.cooling).is_ok_and(|end| end <= now));
        source.brake_since.is_none() && self.held_at.is_none() && (cooled || self.deleted_at.is_some())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::time::Duration;

    use uuid::Uuid;

    use super::*;
    use crate::SourceKind;
    use crate::lease::fixtures::{device, grant, person, t};

    pub(crate) fn account() -> Account {
        Account {
            id: AccountId::new(Uuid::from_u128(1)),
            source: SourceId::new(Uuid::from_u128(1)),
            principal: person(1).id,
            external_id: None,
            user_name: "anna@shop.example".to_owned(),
            profile: Profile::default(),
            suspended_at: None,
            held_at: None,
            by_hand_at: None,
            reactivated_at: None,
            deleted_at: None,
            created_at: t(0),
            changed_at: t(0),
        }
    }

    fn source(brake_since: Option<Timestamp>) -> Source {
        Source {
            id: account().source,
            name: "okta".parse().unwrap(),
            kind: SourceKind::Scim,
            created_at: t(0),
            brake_since,
            brake_cleared_at: None,
        }
    }

    #[test]
    fn off_suspends_at_once_and_on_brings_everything_back_within_the_cooling_period() {
        let off = account().turn_off(&person(1), &[device(1, 1)], t(5));
        let effect = off.effect.unwrap();
        assert_eq!((effect.principal.state, effect.devices_revoked.len()), (PrincipalState::Suspended, 0));
        let again = off.account.turn_off(&effect.principal, &[device(1, 1)], t(7));
        assert_eq!((again.account.suspended_at, again.effect), (Some(t(5)), None), "the first time counts");
        let on = off.account.turn_on(&effect.principal, &[device(1, 1)], Return::Free, t(9)).unwrap();
        assert_eq!(on.effect.unwrap().principal.state, PrincipalState::Active);
        assert_eq!((on.account.suspended_at, on.account.reactivated_at), (None, Some(t(9))));
    }

    #[test]
    fn the_cooling_period_runs_out_unless_the_brake_is_on_or_a_decision_is_awaited() {
        let terms = DirectoryTerms { cooling: Duration::from_secs(10), ..DirectoryTerms::default() };
        let off = account().turn_off(&person(1), &[], t(5)).account;
        assert_eq!([14, 15].map(|at| off.is_due(&source(None), &terms, t(at))), [false, true]);
        assert!(!off.is_due(&source(Some(t(1))), &terms, t(99)));
        let held = off.turn_on(&person(1), &[], Return::Waits, t(6)).unwrap();
        assert!(held.effect.is_none() && !held.account.is_due(&source(None), &terms, t(99)));
        assert!(!account().is_due(&source(None), &terms, t(99)));
    }

    #[test]
    fn a_source_cannot_take_back_what_was_done_by_hand() {
        let suspended = Principal { state: PrincipalState::Suspended, ..person(1) };
        let by_hand = Account { by_hand_at: Some(t(1)), ..account() };
        let on = by_hand.turn_on(&suspended, &[], Return::Free, t(9)).unwrap();
        assert_eq!(on.effect, None);
        let both = by_hand.turn_off(&suspended, &[], t(5)).account;
        let on = both.turn_on(&suspended, &[], Return::Free, t(9)).unwrap();
        assert_eq!((on.effect, on.account.suspended_at, on.account.by_hand_at), (None, None, Some(t(1))));
    }

    #[test]
    fn nobody_comes_back_whom_another_source_holds() {
        let off = account().turn_off(&person(1), &[], t(5));
        let suspended = off.effect.unwrap().principal;
        let on = off.account.turn_on(&suspended, &[], Return::HeldElsewhere, t(9)).unwrap();
        assert_eq!((on.effect, on.account.suspended_at), (None, None), "this source has nothing against them any more");
    }

    #[test]
    fn a_deletion_ends_everything_unless_the_brake_is_on() {
        let gone = account().delete(&person(1), &[device(1, 1)], &[grant(1, 1, 1, 0, 10)], false, t(5));
        let effect = gone.effect.unwrap();
        assert_eq!((effect.principal.state, effect.grants_revoked.len()), (PrincipalState::Departed, 1));
        let kept = account().delete(&person(1), &[device(1, 1)], &[], true, t(5));
        assert_eq!(kept.effect.unwrap().principal.state, PrincipalState::Suspended);
        assert!(!kept.account.is_due(&source(Some(t(1))), &DirectoryTerms::default(), t(6)));
        assert!(kept.account.is_due(&source(None), &DirectoryTerms::default(), t(6)), "once a person confirmed it");
    }

    #[test]
    fn the_address_is_the_primary_one_and_a_name_is_always_found() {
        let mail =
            |value: &str, kind: &str, primary| Mail { value: value.to_owned(), kind: Some(kind.to_owned()), primary };
        let emails = vec![mail("a@home.example", "home", None), mail("a@shop.example", "work", None)];
        let profile = Profile { emails, ..Profile::default() };
        assert_eq!(profile.address("x@upn.example"), Some("a@shop.example".parse().unwrap()));
        let primary = Profile { emails: vec![mail("a@home.example", "home", Some(true))], ..profile };
        assert_eq!(primary.address("x@upn.example"), Some("a@home.example".parse().unwrap()));
        assert_eq!(Profile::default().address("x@upn.example"), Some("x@upn.example".parse().unwrap()));
        assert_eq!(Profile::default().address("anna"), None);
        let named = Profile { given_name: Some("Anna\n".to_owned()), family_name: Some("Berg".to_owned()), ..primary };
        assert_eq!(named.name("x").unwrap().as_str(), "Anna Berg");
        assert!(Profile::default().name("\n").is_err());
    }
}
