//! The pages on which people come in, sign in, and look after what they sign in with.

mod join;
mod login;
mod policy;
mod provider;
mod security;
mod sign_in;
mod step_up;

use askama::Template;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fast_qr::convert::Builder as _;
use fast_qr::convert::svg::SvgBuilder;
use fast_qr::qr::QRBuilder;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;

use super::frame::is_local;
use super::routes::Routes;
use super::{Page, Shown, show};
use crate::app::accounts::NewTotp;
use crate::app::accounts::session::Begun;
use crate::app::{App, Caller, Refusal};

/// Pages, inside the frame.
pub(crate) fn routes() -> Routes {
    Routes::default()
        .get("/setup/{secret}", join::setup_page)
        .post("/setup/{secret}", join::setup)
        .get("/join/{secret}", join::join_page)
        .post("/join/{secret}", join::join)
        .post("/join/{secret}/provider", provider::begin_join)
        .get("/sign-in", sign_in::page)
        .post("/sign-in", sign_in::password)
        .get("/sign-in/provider", provider::begin)
        .get("/sign-in/provider/callback", provider::arrive)
        .get("/sign-in/provider/passkey", provider::passkey_page)
        .post("/sign-out", sign_in::sign_out)
        .get("/login", login::page)
        .post("/login", login::approve)
        .get("/login/device", login::device_page)
        .post("/login/device", login::device_approve)
        .get("/policy", policy::page)
        .post("/policy", policy::accept)
        .get("/step-up", step_up::page)
        .post("/step-up", step_up::code)
        .get("/security", security::page)
        .post("/security/passkeys/remove", security::passkey_remove)
        .post("/security/password", security::password)
        .post("/security/totp", security::totp)
        .post("/security/recovery-codes", security::recovery_codes)
        .post("/security/sessions/end", security::session_end)
        .post("/security/sessions/end-all", security::session_end_all)
}

/// What the pages' module and `doorward login` ask for; it answers in JSON, refusals too.
pub(crate) fn ceremonies() -> Routes {
    Routes::default()
        .post("/setup/{secret}/passkey/start", join::setup_passkey_start)
        .post("/setup/{secret}/passkey/finish", join::setup_passkey_finish)
        .post("/join/{secret}/passkey/start", join::join_passkey_start)
        .post("/join/{secret}/passkey/finish", join::join_passkey_finish)
        .post("/sign-in/passkey/start", sign_in::passkey_start)
        .post("/sign-in/passkey/finish", sign_in::passkey_finish)
        .post("/sign-in/provider/passkey/start", provider::passkey_start)
        .post("/sign-in/provider/passkey/finish", provider::passkey_finish)
        .post("/login/redeem", login::redeem)
        .post("/login/wait", login::device)
        .post("/login/poll", login::poll)
        .post("/step-up/passkey/start", step_up::passkey_start)
        .post("/step-up/passkey/finish", step_up::passkey_finish)
        .post("/security/passkeys/start", security::passkey_start)
        .post("/security/passkeys/finish", security::passkey_finish)
}

/// Where the browser goes after a ceremony.
#[derive(Debug, Serialize)]
struct Next {
    next: String,
}

/// Where to go next: what was asked for, if it is a page of ours.
fn next_or<'a>(asked: Option<&'a str>, otherwise: &'a str) -> &'a str {
    asked.filter(|next| !next.is_empty() && is_local(next)).unwrap_or(otherwise)
}

/// Where somebody goes who just signed in: to the access policy first, where its text has changed.
fn after_sign_in(begun: &Begun, next: &str) -> String {
    if begun.policy_pending { policy_first(next) } else { next.to_owned() }
}

fn policy_first(next: &str) -> String {
    format!("/policy?next={}", utf8_percent_encode(next, NON_ALPHANUMERIC))
}

/// Recovery codes, shown once.
#[derive(Template)]
#[template(path = "account/codes.html")]
struct CodesPage {
    page: Page,
    codes: Vec<String>,
    next: String,
}

fn show_codes(caller: Option<&Caller>, here: &str, codes: Vec<String>, next: &str) -> Shown {
    show(&CodesPage { page: Page::new(caller, here).narrow(), codes, next: next.to_owned() })
}

/// A seed as the page shows it.
struct Seed {
    secret: String,
    uri: String,
    sealed: String,
    picture: String,
}

impl Seed {
    fn of(totp: NewTotp) -> Result<Self, Refusal> {
        let NewTotp { secret, uri, sealed } = totp;
        let code = QRBuilder::new(uri.as_str())
            .build()
            .map_err(|error| Refusal::Internal(format!("the QR code could not be drawn: {error:?}")))?;
        let svg = SvgBuilder::default().margin(2).to_str(&code);
        let picture = format!("data:image/svg+xml;base64,{}", STANDARD.encode(svg));
        let groups: Vec<String> =
            secret.as_bytes().chunks(4).map(|chunk| String::from_utf8_lossy(chunk).into_owned()).collect();
        Ok(Self { secret: groups.join(" "), uri, sealed, picture })
    }
}

/// Says an error of the form on the form's own page, with the status that fits.
fn with_status(shown: Shown, refusal: &Refusal) -> Shown {
    let mut response: Response = shown?;
    *response.status_mut() = refusal.clone().into_parts().0.status();
    Ok(response)
}

/// Whether everybody but owners signs in through the identity provider alone.
fn provider_is_alone(app: &App) -> bool {
    app.accounts.provider.as_ref().is_some_and(|provider| provider.is_alone())
}

/// What people call the identity provider, where there is one.
fn provider_name(app: &App) -> Option<String> {
    app.accounts.provider.as_ref().map(|provider| provider.name().to_owned())
}

/// What a form says about its mistake; a defect or a database that is gone is for the frame to tell.
pub(super) fn mistake(refusal: &Refusal) -> Option<String> {
    match refusal {
        Refusal::Invalid(sentence)
        | Refusal::Conflict(sentence)
        | Refusal::Refused(sentence)
        | Refusal::Unauthenticated(sentence) => Some(super::frame::capitalised(sentence.clone())),
        Refusal::NotFound(_) | Refusal::FreshFactorNeeded(_) | Refusal::Unavailable(_) | Refusal::Internal(_) => None,
    }
}
