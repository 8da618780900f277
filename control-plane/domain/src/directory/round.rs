//! A round: a directory that tells nothing by itself was asked for everybody it has, and the answer is compared with who is here.
//!
//! A round adds nobody and gives nothing. Whoever it never knew is not its business, and neither is whoever an admin took back
//! against its word, until it says of them that they are enabled.

use std::collections::HashMap;

use doorward_model::Email;

use super::{Account, PEOPLE_MIN};
use crate::{Principal, PrincipalState, Role};

/// The addresses of a directory, each with whether it is somebody's who may come.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RoundAnswer {
    enabled: HashMap<Email, bool>,
}

impl RoundAnswer {
    /// Adds an address of an entry. Where several entries have it, one that is enabled is enough.
    pub fn add(&mut self, email: Email, enabled: bool) {
        let known = self.enabled.entry(email).or_default();
        *known = *known || enabled;
    }

    /// Returns how many addresses there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.enabled.len()
    }

    /// Says whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.enabled.is_empty()
    }
}

/// Somebody who is here, as far as the directory is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoundPerson {
    /// Who.
    pub person: Principal,
    /// Their account there: the directory had them as enabled in an earlier round, or suspended them.
    pub account: Option<Account>,
    /// Whether an earlier account there ended: they are here by somebody else's word.
    pub kept: bool,
}

/// Why a directory's answer takes access away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Absence {
    /// No entry has the address.
    Gone,
    /// Every entry that has it is disabled.
    Disabled,
}

impl Absence {
    /// Says it, for the record.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Gone => "not in the directory any more",
            Self::Disabled => "disabled in the directory",
        }
    }
}

/// Why an answer that was read whole is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RoundDoubt {
    /// It has nobody.
    #[error(
        "the answer has no address in it: check `base`, `filter` and `email`, and what the directory lets this account see"
    )]
    Empty,
    /// It has nobody of many who were there before.
    #[error(
        "the answer has none of the {known} people here whom earlier ones had: check `base`, `filter` and `email`, and what the \
         directory lets this account see"
    )]
    NobodyKnown {
        /// How many those are.
        known: usize,
    },
}

/// What a round would do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RoundPlan {
    /// Who is in the directory for the first time, and has an account there from here on.
    pub first_seen: Vec<Email>,
    /// Who is suspended, and why.
    pub off: Vec<(Email, Absence)>,
    /// Whom an earlier round suspended, and who is there again.
    pub back: Vec<Email>,
    /// Owners who are missing: somebody is told once, and decides.
    pub owners: Vec<(Email, Absence)>,
    /// Who is missing, and stays because an admin said so.
    pub kept: Vec<Email>,
    /// How many people here the directory has or had.
    pub known: usize,
    /// How many addresses of the directory are nobody's here.
    pub strangers: usize,
}

impl RoundPlan {
    /// Compares an answer with who is here.
    ///
    /// # Errors
    /// A [`RoundDoubt`] for an answer that is rather about other people: a base or a filter that is wrong, an attribute that
    /// was renamed, a right that was taken from the account that asks.
    pub fn new(answer: &RoundAnswer, here: &[RoundPerson]) -> Result<Self, RoundDoubt> {
        if answer.is_empty() {
            return Err(RoundDoubt::Empty);
        }
        let mut plan = Self::default();
        let (mut expected, mut met, mut named) = (0_usize, 0_usize, 0_usize);
        for it in here {
            let said = answer.enabled.get(&it.person.email).copied();
            named = named.saturating_add(usize::from(said.is_some()));
            if it.person.state == PrincipalState::Departed {
                continue;
            }
            if let Some(account) = &it.account {
                plan.known = plan.known.saturating_add(1);
                expected = expected.saturating_add(usize::from(account.suspended_at.is_none()));
                met = met.saturating_add(usize::from(said.is_some()));
            }
            plan.compare(it, said);
        }
        plan.known = plan.known.saturating_add(plan.first_seen.len());
        plan.strangers = answer.len().saturating_sub(named);
        // A handful may leave on one day; everybody at once is a mistake in the settings.
        if met == 0 && u64::try_from(expected).unwrap_or(u64::MAX) >= PEOPLE_MIN {
            return Err(RoundDoubt::NobodyKnown { known: expected });
        }
        Ok(plan)
    }

    fn compare(&mut self, it: &RoundPerson, said: Option<bool>) {
        let email = it.person.email.clone();
        let absence = if said.is_none() { Absence::Gone } else { Absence::Disabled };
        match (&it.account, said) {
            (None, Some(true)) => self.first_seen.push(email),
            (None, Some(false)) if it.kept => self.kept.push(email),
            // An owner who was never enabled there is no owner whom the directory lost.
            (None, Some(false)) if it.person.role != Role::Owner => self.off.push((email, absence)),
            (None, Some(false) | None) => {}
            (Some(account), Some(true)) => {
                if account.suspended_at.is_some() && account.held_at.is_none() {
                    self.back.push(email);
                }
            }
            (Some(account), Some(false) | None) => {
                if account.suspended_at.is_some() && account.held_at.is_none() {
                    return;
                }
                if it.person.role == Role::Owner {
                    self.owners.push((email, absence));
                } else {
                    self.off.push((email, absence));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::account::tests::account;
    use super::*;
    use crate::lease::fixtures::{person, t};

    fn here(email: &str) -> RoundPerson {
        let person = Principal { email: email.parse().unwrap(), ..person(1) };
        RoundPerson { person, account: None, kept: false }
    }

    fn known(email: &str) -> RoundPerson {
        RoundPerson { account: Some(account()), ..here(email) }
    }

    fn suspended(email: &str) -> RoundPerson {
        RoundPerson { account: Some(Account { suspended_at: Some(t(5)), ..account() }), ..here(email) }
    }

    fn answer(entries: &[(&str, bool)]) -> RoundAnswer {
        let mut answer = RoundAnswer::default();
        entries.iter().for_each(|(email, enabled)| answer.add(email.parse().unwrap(), *enabled));
        answer
    }

    fn emails(list: &[Email]) -> Vec<&str> {
        list.iter().map(Email::as_str).collect()
    }

    #[test]
    fn who_was_known_and_is_gone_or_disabled_is_suspended_and_nobody_else_is_touched() {
        let people = [
            here("new@a.example"),
            here("never@a.example"),
            known("gone@a.example"),
            known("off@a.example"),
            known("there@a.example"),
            suspended("back@a.example"),
            suspended("still@a.example"),
            here("first-off@a.example"),
        ];
        let said = [
            ("new@a.example", true),
            ("off@a.example", false),
            ("there@a.example", true),
            ("back@a.example", true),
            ("first-off@a.example", false),
            ("stranger@a.example", true),
            ("stranger@b.example", false),
        ];
        let plan = RoundPlan::new(&answer(&said), &people).unwrap();
        assert_eq!(emails(&plan.first_seen), ["new@a.example"]);
        assert_eq!(emails(&plan.back), ["back@a.example"]);
        let off: Vec<_> = plan.off.iter().map(|(email, why)| (email.as_str(), *why)).collect();
        let expected = [
            ("gone@a.example", Absence::Gone),
            ("off@a.example", Absence::Disabled),
            ("first-off@a.example", Absence::Disabled),
        ];
        assert_eq!(off, expected);
        assert_eq!((plan.known, plan.strangers, plan.owners.len(), plan.kept.len()), (6, 2, 0, 0));
    }

    #[test]
    fn one_enabled_entry_of_several_is_enough_in_any_order() {
        for said in [[("a@a.example", true), ("A@a.example", false)], [("a@a.example", false), ("a@a.example", true)]] {
            let plan = RoundPlan::new(&answer(&said), &[known("a@a.example")]).unwrap();
            assert_eq!((plan.off, plan.strangers), (Vec::new(), 0));
        }
    }

    #[test]
    fn owners_are_told_of_and_whoever_is_kept_departed_or_waits_is_left_alone() {
        let owner = |it: RoundPerson| RoundPerson { person: Principal { role: Role::Owner, ..it.person }, ..it };
        let state = PrincipalState::Departed;
        let waits = Account { suspended_at: Some(t(5)), held_at: Some(t(6)), ..account() };
        let departed = known("departed@a.example");
        let people = [
            owner(known("owner@a.example")),
            owner(here("other-owner@a.example")),
            RoundPerson { kept: true, ..here("kept@a.example") },
            RoundPerson { person: Principal { state, ..departed.person }, ..departed },
            RoundPerson { account: Some(waits.clone()), ..here("waits@a.example") },
            RoundPerson { account: Some(waits), ..here("gone-again@a.example") },
        ];
        let said = [("other-owner@a.example", false), ("kept@a.example", false), ("waits@a.example", true)];
        let plan = RoundPlan::new(&answer(&said), &people).unwrap();
        assert_eq!((plan.owners.len(), plan.back.len(), plan.first_seen.len()), (1, 0, 0));
        assert_eq!(emails(&plan.kept), ["kept@a.example"]);
        assert_eq!(plan.off, [("gone-again@a.example".parse().unwrap(), Absence::Gone)]);
        let again = RoundPlan::new(&answer(&[("kept@a.example", true)]), &people).unwrap();
        assert_eq!(emails(&again.first_seen), ["kept@a.example"], "the directory's word counts again");
    }

    #[test]
    fn an_answer_about_other_people_is_not_believed() {
        let people: Vec<_> = (0..5).map(|n| known(&format!("p{n}@a.example"))).collect();
        assert_eq!(RoundPlan::new(&answer(&[]), &[]), Err(RoundDoubt::Empty));
        let others = answer(&[("p0@renamed.example", true), ("p1@renamed.example", true)]);
        assert_eq!(RoundPlan::new(&others, &people), Err(RoundDoubt::NobodyKnown { known: 5 }));
        assert_eq!(RoundPlan::new(&others, &people[..4]).unwrap().off.len(), 4, "a handful may leave on one day");
        let one = answer(&[("p0@a.example", false)]);
        assert_eq!(RoundPlan::new(&one, &people).unwrap().off.len(), 5, "the brake's business from here on");
        // Four left one after the other, and then the last one does.
        let gone = |n| suspended(&format!("p{n}@a.example"));
        let last = [gone(0), gone(1), gone(2), gone(3), known("p4@a.example")];
        assert_eq!(RoundPlan::new(&others, &last).unwrap().off.len(), 1);
    }
}
