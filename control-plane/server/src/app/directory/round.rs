//! What a directory's answer leads to: compared with who is here, and then done, one person a transaction.

use std::collections::{HashMap, HashSet};

use doorward_domain::{
    Absence, Account, Action, AlertKind, EndedBy, Reason, Role, RoundAnswer, RoundDoubt, RoundPerson, RoundPlan,
    Source, Subject, Word,
};
use doorward_model::{Email, PrincipalId};
use serde_json::json;

use super::said::{Became, first_word, say_if};
use super::{Work, raise};
use crate::app::{App, Refusal};

/// People who are noted in one transaction.
const NOTED_AT_ONCE: usize = 500;

/// A comparison, with the accounts as they were when it was made.
pub(super) struct Compared {
    pub(super) plan: RoundPlan,
    accounts: HashMap<Email, Account>,
}

/// Compares an answer with who is here.
pub(super) async fn compare(
    app: &App,
    source: Option<&Source>,
    answer: &RoundAnswer,
) -> Result<Result<Compared, RoundDoubt>, Refusal> {
    let mut read = app.store.read().await?;
    let (mut accounts, mut once) = (HashMap::new(), HashSet::<PrincipalId>::new());
    if let Some(source) = source {
        accounts
            .extend(read.accounts_all(source.id).await?.into_iter().map(|(account, _)| (account.principal, account)));
        once.extend(read.accounts_once(source.id).await?);
    }
    let people = read.people().await?.into_iter().map(|person| RoundPerson {
        account: accounts.remove(&person.id),
        kept: once.contains(&person.id),
        person,
    });
    let people: Vec<RoundPerson> = people.collect();
    let plan = match RoundPlan::new(answer, &people) {
        Ok(plan) => plan,
        Err(doubt) => return Ok(Err(doubt)),
    };
    let accounts = people.into_iter().filter_map(|it| Some((it.person.email, it.account?))).collect();
    Ok(Ok(Compared { plan, accounts }))
}

/// Does what the comparison says. Whoever was changed meanwhile is left to the next round.
pub(super) async fn perform(app: &App, source: &Source, compared: &Compared) -> Result<(), Refusal> {
    let Compared { plan, accounts } = compared;
    for emails in plan.first_seen.chunks(NOTED_AT_ONCE) {
        note(app, source, emails).await?;
    }
    for (email, absence) in &plan.off {
        let known = accounts.get(email);
        let why = reason(*absence)?;
        let (became, detail) = say_if(app, source, email, Word::Suspended, Some(&why), |it| it == known).await?;
        tracing::debug!(source = %source.name, ?became, ?detail, "somebody is missing in a directory");
    }
    for (email, absence) in &plan.owners {
        if let Some(account) = accounts.get(email) {
            let_go(app, source, email, account, *absence).await?;
        }
    }
    for email in &plan.back {
        let known = accounts.get(email);
        let (became, detail) = say_if(app, source, email, Word::Active, None, |it| it == known).await?;
        if became == Became::Refused {
            tracing::info!(source = %source.name, ?detail, "somebody is in the directory again, and cannot be taken back");
        }
    }
    Ok(())
}

fn reason(absence: Absence) -> Result<Reason, Refusal> {
    absence.sentence().parse().map_err(|error: doorward_domain::ReasonError| Refusal::Internal(error.to_string()))
}

/// Notes who is in the directory for the first time.
async fn note(app: &App, source: &Source, emails: &[Email]) -> Result<(), Refusal> {
    let mut work = Work::begin(app, source).await?;
    let mut noted = Vec::new();
    for email in emails {
        let Some(person) = work.tx.person_by_email(email).await? else { continue };
        let is_known = work.tx.accounts_of(person.id).await?.iter().any(|account| account.source == source.id);
        if !is_known {
            first_word(&mut work.tx, &work.source, &person, work.now).await?;
            noted.push(email);
        }
    }
    if noted.is_empty() {
        return Ok(());
    }
    let detail = json!({ "first_seen": noted });
    work.commit(Action::SourceUpdate, Subject::Source(source.name.clone()), detail, Vec::new()).await
}

/// Ends the account of an owner who is missing: it is told once, and a person decides.
async fn let_go(app: &App, source: &Source, email: &Email, known: &Account, absence: Absence) -> Result<(), Refusal> {
    let mut work = Work::begin(app, source).await?;
    let Some(person) = work.tx.person_by_email(email).await? else { return Ok(()) };
    let accounts = work.tx.accounts_of(person.id).await?;
    if person.role != Role::Owner || !accounts.contains(known) {
        return Ok(());
    }
    work.tx.account_end(known.id, EndedBy::Source, work.now).await?;
    let why = absence.sentence();
    work.commit(Action::SourceUpdate, Subject::Person(email.clone()), json!({ "owner": why }), Vec::new()).await?;
    let message = format!(
        "{email} is {why} ({}), and is an owner: owners are put out by hand, with `doorward person offboard {email}`",
        source.name
    );
    raise(app, AlertKind::DirectoryUnreadable, message).await;
    Ok(())
}
