use super::*;

#[test]
fn a_gateway_can_do_nothing_but_speak_for_itself() {
    let gateway = |name: &str| Actor::Gateway { name: name.parse().unwrap() };
    let subject = Subject::Gateway("main".parse().unwrap());
    for action in Action::ALL {
        let own = matches!(action, Action::GatewayEnrol | Action::GatewayHello);
        assert_eq!(authorise(&gateway("main"), *action, &subject) == Decision::Allowed, own, "{action:?}");
        assert!(authorise(&gateway("other"), *action, &subject).require().is_err(), "{action:?}");
    }
}

#[test]
fn what_time_brings_about_cannot_be_forged() {
    let admin = Actor::LocalAdmin { uid: 0, name: Some("root".to_owned()) };
    for action in [Action::PersonEnd, Action::GrantEnd, Action::DeviceEnd, Action::ReceiptRecord] {
        assert!(authorise(&admin, action, &Subject::Everything).require().is_err());
        assert!(authorise(&Actor::System, action, &Subject::Everything).require().is_ok());
    }
    assert!(authorise(&admin, Action::PersonOffboard, &Subject::Everything).require().is_ok());
}

#[test]
fn a_directory_manages_people_and_groups_and_gives_nothing() {
    let source = Actor::Source { name: "okta".parse().unwrap() };
    let may = |action: &&Action| authorise(&source, **action, &Subject::Everything) == Decision::Allowed;
    for action in Action::ALL.iter().filter(may) {
        let word = action.as_str();
        assert!(word.starts_with("person.") || word.starts_with("group.") || word == "source.update", "{word}");
    }
    for action in [Action::PersonRole, Action::GrantAdd, Action::DeviceAdd, Action::Read, Action::PersonInvite] {
        assert!(authorise(&source, action, &Subject::Everything).require().is_err(), "{action:?}");
    }
    assert_eq!(source.to_string(), "source:okta");
}

fn person(role: Role, fresh: bool) -> Actor {
    let id = PrincipalId::new(uuid::Uuid::from_u128(7));
    Actor::Person(SignedIn { id, email: "anna@shop.example".parse().unwrap(), role, fresh })
}

#[test]
fn a_member_reads_and_enrols_for_themselves_alone() {
    let (own, other) = ("anna@shop.example".parse().unwrap(), "ben@shop.example".parse().unwrap());
    let allowed = |subject: &Subject| -> Vec<Action> {
        let may = |action: &&Action| authorise(&person(Role::Member, true), **action, subject) == Decision::Allowed;
        Action::ALL.iter().filter(may).copied().collect()
    };
    let own = allowed(&Subject::Person(own));
    let of_oneself = [
        Action::Read,
        Action::GroupLeave,
        Action::RequestRead,
        Action::RequestAdd,
        Action::RequestWithdraw,
        Action::DeviceAdd,
        Action::DevicePresharedKey,
        Action::DeviceReportLost,
        Action::OwnerSetup,
        Action::PersonJoin,
        Action::SignIn,
        Action::StepUp,
        Action::SignOut,
        Action::SessionEnd,
        Action::CredentialAdd,
        Action::CredentialRemove,
        Action::PolicyAccept,
        Action::LoginAdd,
        Action::IdentityLink,
    ];
    assert_eq!(own, of_oneself);
    assert_eq!(allowed(&Subject::Person(other)), []);
    assert_eq!(allowed(&Subject::Everything), []);
}

#[test]
fn an_auditor_reads_all_and_changes_nothing() {
    for action in Action::ALL {
        let may = authorise(&person(Role::Auditor, true), *action, &Subject::Everything) == Decision::Allowed;
        assert_eq!(may, matches!(action, Action::Read | Action::AuditRead | Action::RequestRead), "{action:?}");
    }
}

#[test]
fn an_admin_gives_with_a_fresh_factor_takes_at_once_and_gives_themselves_nothing() {
    let other = Subject::Person("ben@shop.example".parse().unwrap());
    let stale = authorise(&person(Role::Admin, false), Action::GrantAdd, &other).require().unwrap_err();
    assert_eq!(stale.code, crate::DenialCode::FreshFactorNeeded);
    assert_eq!(authorise(&person(Role::Admin, true), Action::GrantAdd, &other), Decision::Allowed);
    for revocation in [Action::PersonOffboard, Action::PersonSuspend, Action::GrantRevoke, Action::LockdownOn] {
        assert_eq!(authorise(&person(Role::Admin, false), revocation, &other), Decision::Allowed);
    }
    let own = Subject::Person("anna@shop.example".parse().unwrap());
    for role in Role::ALL {
        assert!(authorise(&person(role, true), Action::GrantAdd, &own).require().is_err(), "{role}");
    }
}

#[test]
fn the_way_back_in_is_root_on_the_machine_alone() {
    let token = Actor::ApiToken { name: "ci".to_owned() };
    for actor in [token, person(Role::Owner, true), Actor::System] {
        assert!(authorise(&actor, Action::OwnerLink, &Subject::Everything).require().is_err(), "{actor}");
    }
    let root = Actor::LocalAdmin { uid: 0, name: None };
    assert_eq!(authorise(&root, Action::OwnerLink, &Subject::Everything), Decision::Allowed);
}

#[test]
fn nobody_touches_the_credentials_of_another() {
    let other = Subject::Person("ben@shop.example".parse().unwrap());
    let actors = [
        person(Role::Owner, true),
        Actor::LocalAdmin { uid: 0, name: None },
        Actor::ApiToken { name: "ci".to_owned() },
    ];
    for actor in &actors {
        for action in [Action::CredentialAdd, Action::CredentialRemove, Action::SignIn, Action::LoginAdd] {
            assert!(authorise(actor, action, &other).require().is_err(), "{actor} {action:?}");
        }
    }
    let own = Subject::Person("anna@shop.example".parse().unwrap());
    let stale = authorise(&person(Role::Member, false), Action::CredentialAdd, &own).require().unwrap_err();
    assert_eq!(stale.code, crate::DenialCode::FreshFactorNeeded);
}

#[test]
fn words_in_the_audit_are_unique() {
    let mut words: Vec<_> = Action::ALL.iter().map(|action| action.as_str()).collect();
    words.sort_unstable();
    words.dedup();
    assert_eq!(words.len(), Action::ALL.len());
}

#[test]
fn a_name_cannot_break_a_line_of_the_audit() {
    assert_eq!(Actor::ApiToken { name: "a\nb".to_owned() }.to_string(), "token:a\\nb");
}
