//! Who may do what, as a table that is reviewed: `authz_matrix.txt`.
//!
//! A change of the rules changes the table, and a reviewer sees which cell. `UPDATE_SNAPSHOTS=1` writes it anew.

use std::fmt::Write as _;

use doorward_model::{PrincipalId, RequestId};
use uuid::Uuid;

use crate::{Action, Actor, Decision, DenialCode, Role, SignedIn, Subject, authorise};

const HEAD: &str = "\
Who may do what. One row an action, one column an actor; in each cell what they may do to others, to themselves, and for
requests to one for which they answer (the resource is theirs, or the requester):
  +  yes    f  with a fresh second factor    .  no
";

fn id(n: u128) -> PrincipalId {
    PrincipalId::new(Uuid::from_u128(n))
}

fn person(role: Role, fresh: bool) -> Actor {
    Actor::Person(SignedIn { id: id(7), email: "anna@shop.example".parse().unwrap(), role, fresh })
}

/// To others, to oneself, and where one answers.
fn subjects(action: Action) -> [Subject; 3] {
    let request = |requester, answerable: &[PrincipalId]| Subject::Request {
        id: RequestId::new(Uuid::from_u128(1)),
        requester,
        answerable: answerable.to_vec(),
    };
    if matches!(action, Action::RequestRead | Action::RequestWithdraw | Action::RequestApprove | Action::RequestDeny) {
        // Whoever answers for the resource may be who asks for it.
        [request(id(8), &[id(9)]), request(id(7), &[id(7)]), request(id(8), &[id(9), id(7)])]
    } else {
        let of = |email: &str| Subject::Person(email.parse().unwrap());
        [of("ben@shop.example"), of("anna@shop.example"), of("ben@shop.example")]
    }
}

fn cell(actors: [&Actor; 2], action: Action) -> String {
    let [fresh, stale] = actors;
    let letter = |subject: &Subject| match (authorise(fresh, action, subject), authorise(stale, action, subject)) {
        (Decision::Allowed, Decision::Allowed) => '+',
        (Decision::Allowed, Decision::Denied(denial)) if denial.code == DenialCode::FreshFactorNeeded => 'f',
        (Decision::Denied(_), Decision::Denied(denial)) if denial.code == DenialCode::Refused => '.',
        other => panic!("{action:?} {subject}: {other:?}"),
    };
    subjects(action).iter().map(letter).collect()
}

fn matrix() -> String {
    let mut columns: Vec<(&str, [Actor; 2])> =
        Role::ALL.map(|role| (role.as_str(), [person(role, true), person(role, false)])).into();
    for (name, actor) in [
        ("local", Actor::LocalAdmin { uid: 0, name: None }),
        ("token", Actor::ApiToken { name: "ci".to_owned() }),
        ("source", Actor::Source { name: "okta".parse().unwrap() }),
        ("gateway", Actor::Gateway { name: "main".parse().unwrap() }),
        ("system", Actor::System),
    ] {
        columns.push((name, [actor.clone(), actor]));
    }
    let mut text = format!("{HEAD}\n{:26}", "");
    for (name, _) in &columns {
        let _ = write!(text, "{name:>10}");
    }
    for action in Action::ALL {
        let _ = write!(text, "\n{:26}", action.as_str());
        for (_, [fresh, stale]) in &columns {
            let _ = write!(text, "{:>10}", cell([fresh, stale], *action));
        }
    }
    text.push('\n');
    text
}

#[test]
fn every_role_may_what_the_reviewed_table_says() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/authz_matrix.txt");
    let matrix = matrix();
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(path, &matrix).unwrap();
    }
    assert_eq!(std::fs::read_to_string(path).unwrap(), matrix, "review the change, then run with UPDATE_SNAPSHOTS=1");
}
