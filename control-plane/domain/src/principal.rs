//! People: who may be added, and how their state changes.

use std::fmt;
use std::str::FromStr;

use doorward_model::{Email, PersonName, PrincipalId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{Denial, Role};

/// On what footing a person is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PrincipalKind {
    /// Employed by the shop.
    Staff,
    /// From outside; somebody on the staff answers for them.
    Contractor,
}

impl PrincipalKind {
    /// Returns the word for it, as the API and the store write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Staff => "staff",
            Self::Contractor => "contractor",
        }
    }
}

impl fmt::Display for PrincipalKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for PrincipalKind {
    type Err = Denial;

    fn from_str(text: &str) -> Result<Self, Denial> {
        match text {
            "staff" => Ok(Self::Staff),
            "contractor" => Ok(Self::Contractor),
            _ => Err(Denial::invalid("a person's kind is `staff` or `contractor`")),
        }
    }
}

/// Where a person stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PrincipalState {
    /// Grants and devices count.
    Active,
    /// Nothing counts until restored; devices and grants are kept.
    Suspended,
    /// Gone; devices and grants ended for good.
    Departed,
}

impl PrincipalState {
    /// Returns the word for it, as the API and the store write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Departed => "departed",
        }
    }
}

impl fmt::Display for PrincipalState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for PrincipalState {
    type Err = Denial;

    fn from_str(text: &str) -> Result<Self, Denial> {
        match text {
            "active" => Ok(Self::Active),
            "suspended" => Ok(Self::Suspended),
            "departed" => Ok(Self::Departed),
            _ => Err(Denial::invalid("a person's state is `active`, `suspended` or `departed`")),
        }
    }
}

/// A person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The id, for as long as the record is kept.
    pub id: PrincipalId,
    /// The email address; it stays this person's after they left.
    pub email: Email,
    /// The name.
    pub name: PersonName,
    /// Staff or contractor.
    pub kind: PrincipalKind,
    /// Who answers for a contractor.
    pub sponsor: Option<PrincipalId>,
    /// Where the person stands.
    pub state: PrincipalState,
    /// What the person may do for others.
    pub role: Role,
    /// First moment at which nothing counts any more, whatever the grants say; `None` for no end.
    pub not_after: Option<Timestamp>,
    /// When the record was made.
    pub created_at: Timestamp,
    /// When it last changed; for a suspended or departed person, when that was decided.
    pub changed_at: Timestamp,
    /// When the sign-in window closes; `None` before the first sign-in.
    pub signed_in_until: Option<Timestamp>,
    /// When the person signed in last; `None` before the first sign-in.
    pub signed_in_at: Option<Timestamp>,
}

/// What is needed to add a person.
#[derive(Debug)]
pub struct NewPrincipal<'a> {
    /// A fresh id.
    pub id: PrincipalId,
    /// The email address.
    pub email: Email,
    /// The name.
    pub name: PersonName,
    /// Staff or contractor.
    pub kind: PrincipalKind,
    /// Who answers for a contractor.
    pub sponsor: Option<&'a Principal>,
    /// When it all ends.
    pub not_after: Option<Timestamp>,
}

impl Principal {
    /// Decides whether a person may be added, and makes the record.
    ///
    /// A contractor needs a sponsor who is active staff; an end date is advised but optional, because each grant has one.
    ///
    /// # Errors
    /// A denial where the sponsor is missing, not wanted or not fit, or the end date is over.
    pub fn add(new: NewPrincipal<'_>, now: Timestamp) -> Result<Self, Denial> {
        let NewPrincipal { id, email, name, kind, sponsor, not_after } = new;
        match (kind, sponsor) {
            (PrincipalKind::Staff, Some(_)) => {
                return Err(Denial::invalid(format!(
                    "{email} is staff and needs no sponsor: leave `--sponsor` out, or add them as a contractor"
                )));
            }
            (PrincipalKind::Contractor, None) => {
                return Err(Denial::refused(format!(
                    "a contractor needs somebody on the staff who answers for them: add `--sponsor EMAIL` for {email}"
                )));
            }
            (PrincipalKind::Contractor, Some(sponsor)) => sponsor.may_sponsor(now)?,
            (PrincipalKind::Staff, None) => {}
        }
        if let Some(end) = not_after.filter(|end| *end <= now) {
            return Err(Denial::invalid(format!("{email} would end at {end}, which is over: give a time after {now}")));
        }
        let sponsor = sponsor.map(|sponsor| sponsor.id);
        Ok(Self {
            id,
            email,
            name,
            kind,
            sponsor,
            state: PrincipalState::Active,
            role: Role::Member,
            not_after,
            created_at: now,
            changed_at: now,
            signed_in_until: None,
            signed_in_at: None,
        })
    }

    /// Gives a contractor another sponsor.
    ///
    /// # Errors
    /// A denial for somebody on the staff, who needs none, and for a sponsor who is not fit.
    pub fn sponsored_by(&self, sponsor: &Self, now: Timestamp) -> Result<Self, Denial> {
        if self.kind == PrincipalKind::Staff {
            return Err(Denial::invalid(format!("{} is staff and needs no sponsor", self.email)));
        }
        sponsor.may_sponsor(now)?;
        Ok(Self { sponsor: Some(sponsor.id), ..self.clone() })
    }

    /// Refuses to take back a contractor for whom nobody answers any more.
    ///
    /// # Errors
    /// A denial that says how to name another sponsor.
    pub fn require_sponsor(&self, sponsor: Option<&Self>, now: Timestamp) -> Result<(), Denial> {
        if self.kind == PrincipalKind::Staff || sponsor.is_some_and(|sponsor| sponsor.may_sponsor(now).is_ok()) {
            return Ok(());
        }
        let email = &self.email;
        Err(Denial::refused(format!(
            "nobody answers for {email} any more: name somebody with `doorward person sponsor {email} EMAIL` first"
        )))
    }

    /// Decides whether somebody may answer for contractors.
    ///
    /// # Errors
    /// A denial for a contractor, and for somebody who is not active.
    pub fn may_sponsor(&self, now: Timestamp) -> Result<(), Denial> {
        match (self.kind, self.state) {
            (PrincipalKind::Staff, PrincipalState::Active) if !self.is_over(now) => Ok(()),
            (PrincipalKind::Contractor, _) => Err(Denial::refused(format!(
                "{} is a contractor and cannot be a sponsor: name somebody on the staff",
                self.email
            ))),
            (PrincipalKind::Staff, PrincipalState::Active | PrincipalState::Suspended | PrincipalState::Departed) => {
                let state = if self.is_over(now) { "past their end date" } else { self.state.as_str() };
                Err(Denial::refused(format!(
                    "{} is {state} and cannot be a sponsor: name somebody active on the staff",
                    self.email
                )))
            }
        }
    }

    /// Gives a person another role; `is_last_owner` where somebody would be left without any owner and may not do that.
    ///
    /// # Errors
    /// A denial for somebody who has left, and for the last owner.
    pub fn with_role(&self, role: Role, is_last_owner: bool, now: Timestamp) -> Result<Self, Denial> {
        let email = &self.email;
        if role != Role::Member {
            self.require_active("a role", now)?;
        }
        if self.role == Role::Owner && role != Role::Owner && is_last_owner {
            return Err(Denial::refused(format!(
                "{email} is the last owner: make somebody else an owner first, with `doorward person role EMAIL owner`"
            )));
        }
        Ok(Self { role, ..self.clone() })
    }

    /// Says whether the person's own end date came.
    #[must_use]
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.not_after.is_some_and(|end| end <= now)
    }

    /// Refuses what only an active person can be given: a grant, a device.
    ///
    /// # Errors
    /// A denial that names the state and the way back.
    pub fn require_active(&self, what: &str, now: Timestamp) -> Result<(), Denial> {
        let email = &self.email;
        match self.state {
            PrincipalState::Active if self.is_over(now) => {
                let end = self.not_after.unwrap_or(now);
                Err(Denial::refused(format!(
                    "{email} ended at {end} and cannot get {what}: their end date has to be moved first"
                )))
            }
            PrincipalState::Active => Ok(()),
            PrincipalState::Suspended => Err(Denial::refused(format!(
                "{email} is suspended and cannot get {what}: run `doorward person restore {email}` first"
            ))),
            PrincipalState::Departed => Err(Denial::refused(format!(
                "{email} has departed and cannot get {what}: run `doorward person restore {email}` first"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DenialCode;
    use crate::lease::fixtures::{person, t};

    fn new(kind: PrincipalKind, sponsor: Option<&Principal>) -> NewPrincipal<'_> {
        let id = PrincipalId::new(uuid::Uuid::from_u128(99));
        NewPrincipal {
            id,
            email: "dba@agency.example".parse().unwrap(),
            name: "Agency DBA".parse().unwrap(),
            kind,
            sponsor,
            not_after: Some(t(500)),
        }
    }

    #[test]
    fn a_contractor_needs_an_active_sponsor_on_the_staff() {
        let refusal = Principal::add(new(PrincipalKind::Contractor, None), t(1)).unwrap_err();
        assert!(refusal.code == DenialCode::Refused && refusal.sentence.contains("--sponsor"), "{refusal}");
        let staff = person(1);
        assert_eq!(Principal::add(new(PrincipalKind::Contractor, Some(&staff)), t(1)).unwrap().sponsor, Some(staff.id));
        for unfit in [
            Principal { state: PrincipalState::Suspended, ..person(1) },
            Principal { state: PrincipalState::Departed, ..person(1) },
            Principal { not_after: Some(t(1)), ..person(1) },
            Principal { kind: PrincipalKind::Contractor, ..person(1) },
        ] {
            assert_eq!(
                Principal::add(new(PrincipalKind::Contractor, Some(&unfit)), t(1)).unwrap_err().code,
                DenialCode::Refused
            );
        }
    }

    #[test]
    fn the_last_owner_stays_one_and_who_left_has_no_role() {
        let owner = Principal { role: Role::Owner, ..person(1) };
        assert!(owner.with_role(Role::Member, true, t(1)).unwrap_err().sentence.contains("last owner"));
        assert_eq!(owner.with_role(Role::Admin, false, t(1)).unwrap().role, Role::Admin);
        assert_eq!(owner.with_role(Role::Owner, true, t(1)).unwrap().role, Role::Owner);
        let departed = Principal { state: PrincipalState::Departed, ..person(1) };
        assert_eq!(departed.with_role(Role::Admin, false, t(1)).unwrap_err().code, DenialCode::Refused);
    }

    #[test]
    fn a_contractor_comes_back_with_a_sponsor_who_is_fit() {
        let contractor = Principal { kind: PrincipalKind::Contractor, sponsor: Some(person(2).id), ..person(1) };
        let departed = Principal { state: PrincipalState::Departed, ..person(2) };
        assert_eq!(contractor.require_sponsor(Some(&person(2)), t(1)), Ok(()));
        let denial = contractor.require_sponsor(Some(&departed), t(1)).unwrap_err();
        assert!(denial.sentence.contains("doorward person sponsor person1@shop.example"), "{denial}");
        assert!(contractor.require_sponsor(None, t(1)).is_err());
        assert_eq!(person(1).require_sponsor(None, t(1)), Ok(()));
        assert_eq!(contractor.sponsored_by(&person(3), t(1)).unwrap().sponsor, Some(person(3).id));
        assert!(contractor.sponsored_by(&departed, t(1)).is_err() && person(1).sponsored_by(&person(2), t(1)).is_err());
    }

    #[test]
    fn an_end_date_that_is_over_is_refused() {
        assert_eq!(Principal::add(new(PrincipalKind::Staff, None), t(500)).unwrap_err().code, DenialCode::Invalid);
        assert!(Principal::add(new(PrincipalKind::Staff, None), t(499)).is_ok());
    }

    #[test]
    fn who_is_not_active_gets_nothing_and_is_told_the_way_back() {
        for state in [PrincipalState::Suspended, PrincipalState::Departed] {
            let denial = Principal { state, ..person(1) }.require_active("a grant", t(1)).unwrap_err();
            assert!(denial.sentence.contains("doorward person restore"), "{denial}");
        }
        assert!(Principal { not_after: Some(t(1)), ..person(1) }.require_active("a grant", t(1)).is_err());
        assert_eq!(person(1).require_active("a grant", t(1)), Ok(()));
    }
}
