//! A file of people against the people who are here: who is added, changed, back or gone, and who is left alone.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use doorward_model::{Email, PersonName, SourceName, Timestamp};

use super::{DirectoryTerms, is_too_many};
use crate::{Principal, PrincipalKind, PrincipalState, Role};

/// The latest end that is taken: ten years from here.
const UNTIL_MAX: Duration = Duration::from_secs(10 * 366 * 24 * 3600);

/// A line of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncRow {
    /// Its number in the file.
    pub line: u64,
    /// Who.
    pub email: Email,
    /// What people call them.
    pub name: PersonName,
    /// On what footing they are here.
    pub kind: PrincipalKind,
    /// Who answers for a contractor.
    pub sponsor: Option<Email>,
    /// When their access ends at the latest.
    pub until: Option<Timestamp>,
}

/// Which columns the file has beside the address and the name; what it has not is left as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SyncColumns {
    /// Staff or contractor.
    pub kind: bool,
    /// Who answers for them.
    pub sponsor: bool,
    /// The end date.
    pub until: bool,
}

/// Somebody who is here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncPerson {
    /// Who.
    pub person: Principal,
    /// Who answers for them.
    pub sponsor: Option<Email>,
    /// The directory that manages them.
    pub managed_by: Option<SourceName>,
    /// Whether an earlier file suspended them.
    pub missed: bool,
}

/// What differs for somebody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncChange {
    /// How they are in the file.
    pub row: SyncRow,
    /// What differs, in words.
    pub what: Vec<String>,
}

/// What a file would do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SyncPlan {
    /// Who is in the file alone, staff first, so that whoever answers for somebody is here before them.
    pub added: Vec<SyncRow>,
    /// Who differs.
    pub changed: Vec<SyncChange>,
    /// Who was missing in an earlier file and is in this one.
    pub back: Vec<Email>,
    /// Who is missing in the file.
    pub gone: Vec<Email>,
    /// Who is left as they are though the file says otherwise, and why.
    pub left: Vec<(Email, String)>,
    /// How many are the same here and there.
    pub unchanged: usize,
    /// Lines that make no sense, and why; with one of them nothing is done.
    pub problems: Vec<(u64, String)>,
    /// Whether so many are gone that they are suspended, and depart once somebody confirms it.
    pub braked: bool,
}

impl SyncPlan {
    /// Compares a file with who is here.
    #[must_use]
    pub fn new(
        rows: &[SyncRow],
        columns: SyncColumns,
        here: &[SyncPerson],
        terms: &DirectoryTerms,
        now: Timestamp,
    ) -> Self {
        let people: HashMap<&Email, &SyncPerson> = here.iter().map(|it| (&it.person.email, it)).collect();
        let staff = fit_sponsors(rows, here, now);
        let mut plan = Self::default();
        let mut named: HashMap<&Email, u64> = HashMap::new();
        for row in rows {
            if let Some(line) = named.insert(&row.email, row.line) {
                plan.problems.push((row.line, format!("{} stands in line {line} already", row.email)));
                continue;
            }
            if row.until.is_some_and(|end| end > now.checked_add(UNTIL_MAX).unwrap_or(Timestamp::MAX)) {
                let what = "an end is at most ten years away: leave it empty for none";
                plan.problems.push((row.line, format!("{}: {what}", row.email)));
                continue;
            }
            match people.get(&row.email) {
                None => plan.add(row, &staff, now),
                Some(it) => plan.compare(row, columns, it, &staff),
            }
        }
        for it in here.iter().filter(|it| !named.contains_key(&it.person.email)) {
            plan.miss(it);
        }
        plan.added.sort_by_key(|row| (row.kind == PrincipalKind::Contractor, row.line));
        let active = here.iter().filter(|it| it.person.state == PrincipalState::Active).count();
        plan.braked = is_too_many(count(plan.gone.len()), count(active), terms.brake_share);
        plan
    }

    fn add(&mut self, row: &SyncRow, staff: &HashSet<&Email>, now: Timestamp) {
        if let Some(problem) = sponsor_problem(row, staff) {
            self.problems.push((row.line, problem));
        } else if let Some(end) = row.until.filter(|end| *end <= now) {
            self.left.push((row.email.clone(), format!("not added: their time ended at {end}")));
        } else {
            self.added.push(row.clone());
        }
    }

    fn compare(&mut self, row: &SyncRow, columns: SyncColumns, it: &SyncPerson, staff: &HashSet<&Email>) {
        let email = &row.email;
        let SyncPerson { person, sponsor, managed_by, missed } = it;
        if person.state == PrincipalState::Departed {
            let why = format!("departed: `doorward person restore {email}` brings back the account alone");
            return self.left.push((email.clone(), why));
        }
        let mut what = Vec::new();
        if person.name != row.name {
            what.push(format!("name: {} → {}", person.name, row.name));
        }
        if columns.kind && person.kind != row.kind {
            let why = format!("{} here and {} in the file: a file does not change that", person.kind, row.kind);
            return self.left.push((email.clone(), why));
        }
        if person.kind == PrincipalKind::Contractor && person.state == PrincipalState::Active {
            // Who answers for them may be missing in the file, and would take them along.
            let answers = if columns.sponsor { row.sponsor.clone() } else { sponsor.clone() };
            let row = SyncRow { kind: person.kind, sponsor: answers, ..row.clone() };
            if let Some(problem) = sponsor_problem(&row, staff) {
                return self.problems.push((row.line, problem));
            }
        }
        if columns.sponsor && person.kind == PrincipalKind::Contractor && *sponsor != row.sponsor {
            what.push(format!("sponsor: {} → {}", or_nobody(sponsor.as_ref()), or_nobody(row.sponsor.as_ref())));
        }
        if columns.until && person.not_after != row.until {
            what.push(format!("until: {} → {}", or_never(person.not_after), or_never(row.until)));
        }
        if *missed && person.state == PrincipalState::Suspended {
            self.back.push(email.clone());
        } else if person.state == PrincipalState::Suspended {
            let why = format!("suspended, and not by a file: `doorward person restore {email}` takes them back");
            self.left.push((email.clone(), why));
        }
        if what.is_empty() {
            self.unchanged = self.unchanged.saturating_add(1);
        } else if let Some(why) = kept(person, managed_by.as_ref()) {
            self.left.push((email.clone(), why));
        } else {
            self.changed.push(SyncChange { row: row.clone(), what });
        }
    }

    fn miss(&mut self, it: &SyncPerson) {
        let SyncPerson { person, managed_by, missed, .. } = it;
        if person.state == PrincipalState::Departed || (*missed && person.state == PrincipalState::Suspended) {
            return;
        }
        match kept(person, managed_by.as_ref()) {
            Some(why) => self.left.push((person.email.clone(), format!("not in the file, and {why}"))),
            None => self.gone.push(person.email.clone()),
        }
    }

    /// Says whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.changed.is_empty() && self.back.is_empty() && self.gone.is_empty()
    }
}

/// Why a file does not decide about somebody.
fn kept(person: &Principal, managed_by: Option<&SourceName>) -> Option<String> {
    match (managed_by, person.role) {
        (Some(source), _) => Some(format!("managed by {source}")),
        (None, Role::Member) => None,
        (None, role) => Some(format!("{role}: who has a role is kept by hand")),
    }
}

/// Who can answer for a contractor afterwards: staff of the file, and staff who are here and stay.
fn fit_sponsors<'a>(rows: &'a [SyncRow], here: &'a [SyncPerson], now: Timestamp) -> HashSet<&'a Email> {
    let named: HashSet<&Email> = rows.iter().map(|row| &row.email).collect();
    let known: HashSet<&Email> = here.iter().map(|it| &it.person.email).collect();
    let fresh = rows.iter().filter(|row| row.kind == PrincipalKind::Staff && !known.contains(&row.email));
    let stays = |it: &&SyncPerson| {
        let is_kept = named.contains(&it.person.email) || kept(&it.person, it.managed_by.as_ref()).is_some();
        is_kept && it.person.may_sponsor(now).is_ok()
    };
    fresh.map(|row| &row.email).chain(here.iter().filter(stays).map(|it| &it.person.email)).collect()
}

fn sponsor_problem(row: &SyncRow, staff: &HashSet<&Email>) -> Option<String> {
    let email = &row.email;
    match (row.kind, &row.sponsor) {
        (PrincipalKind::Staff, None) => None,
        (PrincipalKind::Staff, Some(_)) => Some(format!("{email} is staff and needs no sponsor: leave it empty")),
        (PrincipalKind::Contractor, None) => {
            Some(format!("{email} is a contractor: say in `sponsor` who answers for them"))
        }
        (PrincipalKind::Contractor, Some(sponsor)) if staff.contains(sponsor) => None,
        (PrincipalKind::Contractor, Some(sponsor)) => {
            Some(format!("{sponsor} cannot answer for {email}: name somebody on the staff who is here and stays"))
        }
    }
}

fn or_nobody(email: Option<&Email>) -> String {
    email.map_or_else(|| "nobody".to_owned(), ToString::to_string)
}

fn or_never(at: Option<Timestamp>) -> String {
    at.map_or_else(|| "without end".to_owned(), |at| at.to_string())
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lease::fixtures::{person, t};

    fn row(line: u64, email: &str) -> SyncRow {
        let (email, name) = (email.parse().unwrap(), person(1).name);
        SyncRow { line, email, name, kind: PrincipalKind::Staff, sponsor: None, until: None }
    }

    fn here(number: u8, email: &str) -> SyncPerson {
        let person = Principal {
            email: email.parse().unwrap(),
            kind: PrincipalKind::Staff,
            sponsor: None,
            not_after: None,
            ..person(number)
        };
        SyncPerson { person, sponsor: None, managed_by: None, missed: false }
    }

    fn plan(rows: &[SyncRow], people: &[SyncPerson]) -> SyncPlan {
        let columns = SyncColumns { kind: true, sponsor: true, until: true };
        SyncPlan::new(rows, columns, people, &DirectoryTerms::default(), t(100))
    }

    #[test]
    fn the_file_adds_changes_takes_back_and_puts_out() {
        let state = PrincipalState::Suspended;
        let back = SyncPerson { missed: true, ..here(3, "back@a.example") };
        let back = SyncPerson { person: Principal { state, ..back.person }, ..back };
        let people = [here(1, "same@a.example"), here(2, "moved@a.example"), back, here(4, "gone@a.example")];
        let moved = SyncRow { until: Some(t(500)), ..row(3, "moved@a.example") };
        let dba = SyncRow {
            kind: PrincipalKind::Contractor,
            sponsor: Some("new@a.example".parse().unwrap()),
            ..row(5, "dba@b.example")
        };
        let plan =
            plan(&[row(2, "same@a.example"), moved, row(4, "back@a.example"), dba, row(6, "new@a.example")], &people);
        assert_eq!(plan.problems, []);
        let added: Vec<u64> = plan.added.iter().map(|row| row.line).collect();
        assert_eq!(added, [6, 5], "whoever answers for somebody comes first");
        assert_eq!(plan.changed[0].what, ["until: without end → 1970-01-01T00:08:20Z"]);
        assert_eq!((plan.back.len(), plan.gone.len(), plan.unchanged), (1, 1, 2));
        assert!(!plan.braked && !plan.is_empty());
    }

    #[test]
    fn who_has_a_role_or_a_directory_and_who_departed_is_left_alone() {
        let with = |number, email, role, state| {
            let it = here(number, email);
            SyncPerson { person: Principal { role, state, ..it.person }, ..it }
        };
        let managed = SyncPerson { managed_by: Some("okta".parse().unwrap()), ..here(3, "scim@a.example") };
        let people = [
            with(1, "owner@a.example", Role::Owner, PrincipalState::Active),
            with(2, "left@a.example", Role::Member, PrincipalState::Departed),
            with(4, "held@a.example", Role::Member, PrincipalState::Suspended),
            managed,
        ];
        let plan = plan(&[row(2, "left@a.example"), row(3, "held@a.example")], &people);
        assert!(plan.is_empty(), "{plan:?}");
        let left: Vec<&str> = plan.left.iter().map(|(email, _)| email.as_str()).collect();
        assert_eq!(left, ["left@a.example", "held@a.example", "owner@a.example", "scim@a.example"]);
    }

    #[test]
    fn every_bad_line_is_named_with_its_number() {
        let contractor = |line, email, sponsor: Option<&str>| SyncRow {
            kind: PrincipalKind::Contractor,
            sponsor: sponsor.map(|email| email.parse().unwrap()),
            ..row(line, email)
        };
        let staff = SyncRow { sponsor: Some("gone@a.example".parse().unwrap()), ..row(5, "e@a.example") };
        let rows = [
            row(2, "a@a.example"),
            row(3, "a@a.example"),
            contractor(4, "c@a.example", None),
            staff,
            contractor(6, "d@a.example", Some("gone@a.example")),
            SyncRow { until: Some(t(900_000_000)), ..row(7, "f@a.example") },
        ];
        let lines: Vec<u64> = plan(&rows, &[here(1, "gone@a.example")]).problems.iter().map(|it| it.0).collect();
        assert_eq!(lines, [3, 4, 5, 6, 7]);
    }

    #[test]
    fn too_many_who_are_missing_are_suspended() {
        let people: Vec<_> = (0..25).map(|n| here(n, &format!("p{n}@a.example"))).collect();
        let rows: Vec<_> = (0..25).map(|n| row(n, &format!("p{n}@a.example"))).collect();
        assert!(!plan(&rows[5..], &people).braked);
        assert!(plan(&rows[6..], &people).braked && plan(&[], &people).gone.len() == 25);
    }
}
