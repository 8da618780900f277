//! People: who there is, what one of them has, and putting somebody out.

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect};
use doorward_domain::PrincipalState;
use doorward_model::Email;
use doorward_store::PersonRow;
use serde::Deserialize;

use super::super::forms::{ReasonForm, needed, optional, reason};
use super::super::receipt::show_receipt;
use super::super::words::Worded as _;
use super::super::{Notice, Page, Shown, filters, show};
use super::list::{Ask, List};
use crate::api::{
    DeviceState, GrantState, InvitationMade, Person, PersonEnding, PersonKind, PersonNew, PersonOffboard, PersonRole,
    PersonState, Resource,
};
use crate::app::accounts::{invite, session};
use crate::app::sponsors::{self, Charge};
use crate::app::{App, Caller, Was, browse, endings, people, resources};
use crate::http::{ApiPath, ApiQuery, PageForm};

#[derive(Template)]
#[template(path = "console/people.html")]
struct PeoplePage {
    page: Page,
    list: List<PersonRow>,
}

/// Lists people.
pub(crate) async fn list(State(app): State<App>, caller: Caller, ApiQuery(ask): ApiQuery<Ask>) -> Shown {
    let state = match ask.state.as_str() {
        "all" => None,
        "suspended" => Some(PrincipalState::Suspended),
        "departed" => Some(PrincipalState::Departed),
        _ => Some(PrincipalState::Active),
    };
    let found = browse::people(&app, &caller.0, state, &ask.search()).await?;
    show(&PeoplePage { page: Page::new(Some(&caller), "/admin/people"), list: List::new(found, &ask) })
}

/// The form for a person.
#[derive(Debug, Deserialize)]
pub(crate) struct PersonForm {
    email: String,
    name: String,
    kind: PersonKind,
    #[serde(default)]
    sponsor: String,
    #[serde(default)]
    until: String,
}

/// Adds a person and shows them.
pub(crate) async fn add(State(app): State<App>, caller: Caller, PageForm(form): PageForm<PersonForm>) -> Shown {
    let new = PersonNew {
        email: needed("Email", &form.email)?,
        name: needed("Name", &form.name)?,
        kind: form.kind,
        sponsor: optional("Sponsor", &form.sponsor)?,
        until: optional("Until", &form.until)?,
    };
    let person = people::add(&app, &caller.0, new).await?;
    Ok(to_person(&person.email, "added").into_response())
}

/// Leads to a person's page with a word about what was done.
pub(crate) fn to_person(email: &Email, done: &str) -> Redirect {
    Redirect::to(&format!("/admin/people/{}?done={done}", filters::segment(email.as_str())))
}

#[derive(Template)]
#[template(path = "console/person.html")]
struct PersonPage {
    page: Page,
    person: Person,
    uses: browse::LastUses,
    resources: Vec<Resource>,
    charge: Charge,
    /// What ended, where they have no access at this moment; the latest first.
    endings: Vec<PersonEnding>,
    /// A link that was just made; it is shown this once.
    invitation: Option<InvitationMade>,
    path: String,
}

/// Shows a person with what they have.
pub(crate) async fn show_person(
    State(app): State<App>,
    caller: Caller,
    ApiPath(email): ApiPath<Email>,
    ApiQuery(ask): ApiQuery<Ask>,
) -> Shown {
    show_one(&app, &caller, &email, done(&ask.done), None).await
}

async fn show_one(
    app: &App,
    caller: &Caller,
    email: &Email,
    notice: Option<Notice>,
    invitation: Option<InvitationMade>,
) -> Shown {
    let mut person = people::show(app, &caller.0, email).await?;
    person.grants.sort_by_key(|grant| (grant.state != GrantState::Active, std::cmp::Reverse(grant.until)));
    person.devices.sort_by_key(|device| (device.state != DeviceState::Active, std::cmp::Reverse(device.created_at)));
    let uses = browse::last_uses(app, person.devices.iter().map(|device| device.id));
    let resources = resources::list(app, &caller.0).await?;
    let charge = sponsors::charge(app, &caller.0, email).await?;
    let endings = match person.state {
        PersonState::Active => Vec::new(),
        PersonState::Suspended | PersonState::Departed => endings::list(app, &caller.0, email).await?,
    };
    let path = format!("/admin/people/{}", filters::segment(email.as_str()));
    let page = Page::new(Some(caller), "/admin/people").telling(notice);
    show(&PersonPage { page, person, uses, resources, charge, endings, invitation, path })
}

fn done(word: &str) -> Option<Notice> {
    let text = match word {
        "added" => "Added. Invite them, so that they can sign in and add a device; and give them access.",
        "signed-out" => "Signed out everywhere. Their devices reach nothing until they sign in again.",
        "role" => "Changed. It holds from this moment on.",
        "sponsor" => "Changed. They are told nothing; tell them who answers for them.",
        "restored" => "Taken back. What was revoked stays revoked: give access again where it is needed.",
        "granted" => "Access given. Their devices have it at once.",
        _ => return None,
    };
    Some(Notice { tone: "good", text: text.to_owned() })
}

/// Makes a link with which a person joins, or gets in again, and shows it, this once.
pub(crate) async fn invite(State(app): State<App>, caller: Caller, ApiPath(email): ApiPath<Email>) -> Shown {
    let made = invite::person(&app, &caller.0, &email).await?;
    show_one(&app, &caller, &email, None, Some(made)).await
}

/// Ends all of a person's sessions, and shuts their devices' window.
pub(crate) async fn sign_out(State(app): State<App>, caller: Caller, ApiPath(email): ApiPath<Email>) -> Shown {
    session::end_all(&app, &caller.0, &email).await?;
    Ok(to_person(&email, "signed-out").into_response())
}

/// A change of role, with the one that the form showed.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RoleForm {
    to: PersonRole,
    was: PersonRole,
}

/// Says what a person may do for others.
pub(crate) async fn set_role(
    State(app): State<App>,
    caller: Caller,
    ApiPath(email): ApiPath<Email>,
    PageForm(form): PageForm<RoleForm>,
) -> Shown {
    people::set_role(&app, &caller.0, &email, form.to.into(), Was::Seen(form.was.into())).await?;
    Ok(to_person(&email, "role").into_response())
}

/// A change of sponsor, with the one that the form showed.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SponsorForm {
    to: String,
    #[serde(default)]
    was: String,
}

/// Says who answers for a contractor.
pub(crate) async fn set_sponsor(
    State(app): State<App>,
    caller: Caller,
    ApiPath(email): ApiPath<Email>,
    PageForm(form): PageForm<SponsorForm>,
) -> Shown {
    let (to, was) = (needed("Sponsor", &form.to)?, optional("Was", &form.was)?);
    sponsors::set(&app, &caller.0, &email, &to, Was::Seen(was)).await?;
    Ok(to_person(&email, "sponsor").into_response())
}

/// How a person is put out.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct OffboardForm {
    #[serde(default)]
    reason: String,
    /// Who takes over whom and what they answered for.
    #[serde(default)]
    hand_over_to: String,
}

/// Puts a person out for good and shows the receipt.
pub(crate) async fn offboard(
    State(app): State<App>,
    caller: Caller,
    ApiPath(email): ApiPath<Email>,
    PageForm(form): PageForm<OffboardForm>,
) -> Shown {
    let hand_over_to = optional("Hand over to", &form.hand_over_to)?;
    let offboard = PersonOffboard { reason: reason(form.reason), hand_over_to };
    let outcome = people::offboard(&app, &caller.0, &email, offboard).await?;
    show_receipt(&caller, "/admin/people", format!("{email} is out"), outcome)
}

/// Suspends a person and shows the receipt.
pub(crate) async fn suspend(
    State(app): State<App>,
    caller: Caller,
    ApiPath(email): ApiPath<Email>,
    PageForm(form): PageForm<ReasonForm>,
) -> Shown {
    let outcome = people::suspend(&app, &caller.0, &email, reason(form.reason)).await?;
    show_receipt(&caller, "/admin/people", format!("{email} is suspended"), outcome)
}

/// Takes a person back.
pub(crate) async fn restore(
    State(app): State<App>,
    caller: Caller,
    ApiPath(email): ApiPath<Email>,
    PageForm(form): PageForm<ReasonForm>,
) -> Shown {
    people::restore(&app, &caller.0, &email, reason(form.reason)).await?;
    Ok(to_person(&email, "restored").into_response())
}
