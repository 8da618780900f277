//! Coming in through a link: the first owner, and invited people.

use askama::Template;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse as _, Response};
use doorward_domain::{InvitationKind, Role};
use doorward_model::{Email, PersonName};
use serde::Deserialize;

use super::super::{Page, Shown, show};
use super::{Next, Seed, mistake, provider_is_alone, provider_name, show_codes, with_status};
use crate::app::accounts::join::{self as joining, Joining, NewPassword};
use crate::app::accounts::passkeys::{Finished, Started};
use crate::app::accounts::{Policy, Visitor};
use crate::app::{App, Refusal};
use crate::http::ApiJson;
use crate::http::web::{PageForm, away_secret, keep};

#[derive(Template)]
#[template(path = "account/join.html")]
struct JoinPage<'a> {
    page: Page,
    setup: bool,
    /// The way of this link, for forms and the module.
    here: String,
    email: String,
    name: String,
    again: bool,
    policy: &'a Policy,
    seed: Seed,
    error: Option<String>,
    provider: Option<String>,
    /// There is no other way than the provider.
    alone: bool,
    /// Browsers warn of the certificate, and may refuse passkeys for it.
    own_certificate: bool,
}

/// What the form sends, and what the module sends at the begin and the end of a ceremony.
#[derive(Deserialize)]
pub(super) struct Filled {
    #[serde(default)]
    email: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    accepts: Option<String>,
    #[serde(default)]
    password: String,
    #[serde(default)]
    repeated: String,
    #[serde(default)]
    sealed: String,
    #[serde(default)]
    code: String,
}

/// The end of a ceremony with the form around it.
#[derive(Deserialize)]
pub(super) struct FilledCredential {
    #[serde(flatten)]
    filled: Filled,
    #[serde(flatten)]
    finished: Finished,
}

impl Filled {
    fn joining(&self, kind: InvitationKind, secret: &str) -> Result<Joining, Refusal> {
        let who = match kind {
            InvitationKind::Join => None,
            InvitationKind::Setup => Some(self.who()?),
        };
        Ok(Joining { secret: secret.to_owned(), kind, who, accepts: self.accepts.clone() })
    }

    fn who(&self) -> Result<(Email, PersonName), Refusal> {
        let email = self.email.trim().parse().map_err(|error: doorward_model::EmailError| invalid(error))?;
        let name = self.name.trim().parse().map_err(invalid)?;
        Ok((email, name))
    }
}

fn invalid(error: impl std::fmt::Display) -> Refusal {
    Refusal::Invalid(error.to_string())
}

fn way(kind: InvitationKind, secret: &str) -> String {
    match kind {
        InvitationKind::Setup => format!("/setup/{secret}"),
        InvitationKind::Join => format!("/join/{secret}"),
    }
}

const fn onward(kind: InvitationKind) -> &'static str {
    match kind {
        InvitationKind::Setup => "/admin",
        InvitationKind::Join => "/devices/new",
    }
}

pub(super) async fn setup_page(State(app): State<App>, Path(secret): Path<String>) -> Shown {
    page(&app, InvitationKind::Setup, &secret, None).await
}

pub(super) async fn join_page(State(app): State<App>, Path(secret): Path<String>) -> Shown {
    page(&app, InvitationKind::Join, &secret, None).await
}

async fn page(app: &App, kind: InvitationKind, secret: &str, sent: Option<(&Filled, &Refusal)>) -> Shown {
    let link = joining::open(app, kind, secret).await?;
    let sealed = sent.map(|(filled, _)| filled.sealed.as_str());
    let seed = Seed::of(joining::seed(app, &link, sealed)?)?;
    let (email, name) = match (&link.person, sent) {
        (Some(person), _) => (person.email.to_string(), person.name.to_string()),
        (None, Some((filled, _))) => (filled.email.clone(), filled.name.clone()),
        (None, None) => (String::new(), String::new()),
    };
    show(&JoinPage {
        page: Page::new(None, "/join").narrow(),
        setup: kind == InvitationKind::Setup,
        here: way(kind, secret),
        email,
        name,
        again: link.person.as_ref().is_some_and(|person| person.signed_in_at.is_some()),
        policy: &app.accounts.policy,
        seed,
        error: sent.and_then(|(_, refusal)| mistake(refusal)),
        provider: provider_name(app).filter(|_| kind == InvitationKind::Join),
        alone: kind == InvitationKind::Join
            && provider_is_alone(app)
            && link.person.as_ref().is_none_or(|person| person.role != Role::Owner),
        own_certificate: !app.certificates.is_trusted(),
    })
}

pub(super) async fn setup(
    State(app): State<App>,
    visitor: Visitor,
    Path(secret): Path<String>,
    PageForm(filled): PageForm<Filled>,
) -> Shown {
    with_password(&app, &visitor, InvitationKind::Setup, &secret, filled).await
}

pub(super) async fn join(
    State(app): State<App>,
    visitor: Visitor,
    Path(secret): Path<String>,
    PageForm(filled): PageForm<Filled>,
) -> Shown {
    with_password(&app, &visitor, InvitationKind::Join, &secret, filled).await
}

async fn with_password(app: &App, visitor: &Visitor, kind: InvitationKind, secret: &str, filled: Filled) -> Shown {
    let new = NewPassword {
        password: filled.password.clone().into(),
        repeated: filled.repeated.clone().into(),
        sealed: filled.sealed.clone(),
        code: filled.code.clone(),
    };
    let joined = async { joining::with_password(app, visitor, filled.joining(kind, secret)?, new).await };
    match joined.await {
        Ok(joined) => {
            let mut response = show_codes(None, "/join", joined.codes, onward(kind))?;
            keep(&joined.begun, &mut response)?;
            Ok(response)
        }
        // A link that does not count, or a defect, has a page of its own; the rest is said on the form.
        Err(refusal) if mistake(&refusal).is_some() => {
            with_status(page(app, kind, secret, Some((&filled, &refusal))).await, &refusal)
        }
        Err(refusal) => Err(refusal),
    }
}

pub(super) async fn setup_passkey_start(
    State(app): State<App>,
    visitor: Visitor,
    Path(secret): Path<String>,
    ApiJson(filled): ApiJson<Filled>,
) -> Result<Json<Started>, Refusal> {
    let joining = filled.joining(InvitationKind::Setup, &secret)?;
    joining::passkey_begin(&app, &visitor, &joining).await.map(Json)
}

pub(super) async fn join_passkey_start(
    State(app): State<App>,
    visitor: Visitor,
    Path(secret): Path<String>,
    ApiJson(filled): ApiJson<Filled>,
) -> Result<Json<Started>, Refusal> {
    let joining = filled.joining(InvitationKind::Join, &secret)?;
    joining::passkey_begin(&app, &visitor, &joining).await.map(Json)
}

pub(super) async fn setup_passkey_finish(
    State(app): State<App>,
    visitor: Visitor,
    Path(secret): Path<String>,
    ApiJson(sent): ApiJson<FilledCredential>,
) -> Result<Response, Refusal> {
    finish(&app, &visitor, InvitationKind::Setup, &secret, sent, None).await
}

pub(super) async fn join_passkey_finish(
    State(app): State<App>,
    visitor: Visitor,
    headers: HeaderMap,
    Path(secret): Path<String>,
    ApiJson(sent): ApiJson<FilledCredential>,
) -> Result<Response, Refusal> {
    finish(&app, &visitor, InvitationKind::Join, &secret, sent, away_secret(&headers)).await
}

async fn finish(
    app: &App,
    visitor: &Visitor,
    kind: InvitationKind,
    secret: &str,
    sent: FilledCredential,
    provider: Option<&str>,
) -> Result<Response, Refusal> {
    let FilledCredential { filled, finished } = sent;
    let joining = filled.joining(kind, secret)?;
    let joined = joining::passkey_finish(app, visitor, &joining, finished, provider).await?;
    let mut response = Json(Next { next: onward(kind).to_owned() }).into_response();
    keep(&joined.begun, &mut response)?;
    Ok(response)
}
