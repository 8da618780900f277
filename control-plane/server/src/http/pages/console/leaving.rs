//! Putting out several people at once: who is chosen, what they have, and then what ended.

use askama::Template;
use axum::extract::State;
use doorward_domain::{Action, Actor, Subject};
use doorward_model::Email;

use super::super::forms::{needed, reason};
use super::super::words::Worded as _;
use super::super::{Page, Shown, filters, show};
use crate::api::{EndOutcome, Person, PersonOffboard};
use crate::app::sponsors::{self, Charge};
use crate::app::{App, Caller, Refusal, allow, people};
use crate::http::PageForm;

/// People at most: two pages of the list.
const PEOPLE_MAX: usize = 100;

/// What a form with repeated fields sends.
type Fields = Vec<(String, String)>;

#[derive(Template)]
#[template(path = "console/leaving.html")]
struct LeavingPage {
    page: Page,
    rows: Vec<Leaving>,
}

/// Somebody who was chosen.
struct Leaving {
    person: Person,
    charge: Charge,
}

impl Leaving {
    fn devices(&self) -> usize {
        self.person.devices.iter().filter(|device| device.state.is_live()).count()
    }

    fn grants(&self) -> usize {
        self.person.grants.iter().filter(|grant| grant.state.is_live()).count()
    }
}

/// Shows who was chosen and what they have, before anything is done.
pub(crate) async fn look(State(app): State<App>, caller: Caller, PageForm(form): PageForm<Fields>) -> Shown {
    allow(&caller.0, Action::PersonSuspend, &Subject::Everything)?;
    let mut rows = Vec::new();
    for email in chosen(&form)? {
        let person = people::show(&app, &caller.0, &email).await?;
        rows.push(Leaving { person, charge: sponsors::charge(&app, &caller.0, &email).await? });
    }
    show(&LeavingPage { page: Page::new(Some(&caller), "/admin/people"), rows })
}

#[derive(Template)]
#[template(path = "console/left.html")]
struct LeftPage {
    page: Page,
    title: &'static str,
    rows: Vec<Left>,
}

/// What became of one of them.
struct Left {
    email: Email,
    outcome: Result<EndOutcome, String>,
}

impl Left {
    fn is_whole(&self) -> bool {
        let whole = |outcome: &EndOutcome| {
            outcome.receipts.iter().all(|receipt| receipt.enforced_after_ms.is_some() || !receipt.connected)
        };
        self.outcome.as_ref().is_ok_and(whole)
    }

    fn slowest_ms(&self) -> Option<u64> {
        self.outcome.as_ref().ok()?.receipts.iter().filter_map(|receipt| receipt.enforced_after_ms).max()
    }
}

impl LeftPage {
    fn failed(&self) -> usize {
        self.rows.iter().filter(|row| row.outcome.is_err()).count()
    }

    fn is_whole(&self) -> bool {
        self.rows.iter().all(Left::is_whole)
    }

    fn slowest_ms(&self) -> Option<u64> {
        self.rows.iter().filter_map(Left::slowest_ms).max()
    }
}

/// Puts them out for good.
pub(crate) async fn offboard(State(app): State<App>, caller: Caller, PageForm(form): PageForm<Fields>) -> Shown {
    let rows = each(&app, &caller, &form, Action::PersonOffboard).await?;
    left(&caller, "They are out", rows)
}

/// Suspends them.
pub(crate) async fn suspend(State(app): State<App>, caller: Caller, PageForm(form): PageForm<Fields>) -> Shown {
    let rows = each(&app, &caller, &form, Action::PersonSuspend).await?;
    left(&caller, "They are suspended", rows)
}

/// All at the same time, and to the end even where the browser goes. One that fails holds up nobody else.
async fn each(app: &App, caller: &Caller, form: &Fields, action: Action) -> Result<Vec<Left>, Refusal> {
    allow(&caller.0, action, &Subject::Everything)?;
    let why = why(form);
    let begin = |email: Email| {
        let ending = end(app.clone(), caller.0.clone(), (action, why.clone()), email.clone());
        (email, app.workers.spawn(ending))
    };
    let begun: Vec<_> = chosen(form)?.into_iter().map(begin).collect();
    let mut rows = Vec::with_capacity(begun.len());
    for (email, ending) in begun {
        let outcome = ending.await.unwrap_or_else(|_| Err("this ended in a defect: do it again".to_owned()));
        rows.push(Left { email, outcome });
    }
    Ok(rows)
}

async fn end(
    app: App,
    actor: Actor,
    (action, reason): (Action, Option<String>),
    email: Email,
) -> Result<EndOutcome, String> {
    let ended = if action == Action::PersonSuspend {
        people::suspend(&app, &actor, &email, reason).await
    } else {
        people::offboard(&app, &actor, &email, PersonOffboard { reason, hand_over_to: None }).await
    };
    ended.map_err(|refusal| refusal.into_parts().1)
}

fn left(caller: &Caller, title: &'static str, rows: Vec<Left>) -> Shown {
    show(&LeftPage { page: Page::new(Some(caller), "/admin/people"), title, rows })
}

fn chosen(form: &Fields) -> Result<Vec<Email>, Refusal> {
    let emails = form.iter().filter(|(name, _)| name == "email");
    let mut emails: Vec<Email> = emails.map(|(_, value)| needed("Email", value)).collect::<Result<_, _>>()?;
    emails.sort_unstable();
    emails.dedup();
    match emails.len() {
        0 => Err(Refusal::Invalid("nobody was chosen: tick the boxes beside their names first".to_owned())),
        1..=PEOPLE_MAX => Ok(emails),
        _ => {
            Err(Refusal::Invalid(format!("more than {PEOPLE_MAX} people at once: choose fewer, or use a spreadsheet")))
        }
    }
}

fn why(form: &Fields) -> Option<String> {
    let given = form.iter().find(|(name, _)| name == "reason");
    reason(given.map(|(_, value)| value.clone()).unwrap_or_default())
}
