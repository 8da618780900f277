//! The pages on which people come in, sign in, and look after what they sign in with.

mod join;
mod login;
mod provider;
mod security;
mod sign_in;
mod step_up;

use askama::Template;
use axum::Router;
use axum::response::Response;
use axum::routing::{get, post};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fast_qr::convert::Builder as _;
use fast_qr::convert::svg::SvgBuilder;
use fast_qr::qr::QRBuilder;
use serde::Serialize;

use super::frame::is_local;
use super::{Page, Shown, show};
use crate::app::accounts::NewTotp;
use crate::app::{App, Caller, Refusal};

/// Pages, inside the frame.
pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/setup/{secret}", get(join::setup_page).post(join::setup))
        .route("/join/{secret}", get(join::join_page).post(join::join))
        .route("/sign-in", get(sign_in::page).post(sign_in::password))
        .route("/sign-in/provider", get(provider::begin))
        .route("/sign-in/provider/callback", get(provider::arrive))
        .route("/sign-in/provider/passkey", get(provider::passkey_page))
        .route("/join/{secret}/provider", post(provider::begin_join))
        .route("/login", get(login::page).post(login::approve))
        .route("/login/device", get(login::device_page).post(login::device_approve))
        .route("/sign-out", post(sign_in::sign_out))
        .route("/step-up", get(step_up::page).post(step_up::code))
        .route("/security", get(security::page))
        .route("/security/passkeys/remove", post(security::passkey_remove))
        .route("/security/password", post(security::password))
        .route("/security/totp", post(security::totp))
        .route("/security/recovery-codes", post(security::recovery_codes))
        .route("/security/sessions/end", post(security::session_end))
        .route("/security/sessions/end-all", post(security::session_end_all))
}

/// What the pages' module and `doorward login` ask for; it answers in JSON, refusals too.
pub(crate) fn ceremonies() -> Router<App> {
    Router::new()
        .route("/setup/{secret}/passkey/start", post(join::setup_passkey_start))
        .route("/setup/{secret}/passkey/finish", post(join::setup_passkey_finish))
        .route("/join/{secret}/passkey/start", post(join::join_passkey_start))
        .route("/join/{secret}/passkey/finish", post(join::join_passkey_finish))
        .route("/sign-in/passkey/start", post(sign_in::passkey_start))
        .route("/sign-in/passkey/finish", post(sign_in::passkey_finish))
        .route("/sign-in/provider/passkey/start", post(provider::passkey_start))
        .route("/sign-in/provider/passkey/finish", post(provider::passkey_finish))
        .route("/login/redeem", post(login::redeem))
        .route("/login/wait", post(login::device))
        .route("/login/poll", post(login::poll))
        .route("/step-up/passkey/start", post(step_up::passkey_start))
        .route("/step-up/passkey/finish", post(step_up::passkey_finish))
        .route("/security/passkeys/start", post(security::passkey_start))
        .route("/security/passkeys/finish", post(security::passkey_finish))
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

/// What people call the identity provider, where there is one.
fn provider_name(app: &App) -> Option<String> {
    app.accounts.provider.as_ref().map(|provider| provider.name().to_owned())
}

/// What a form says about its mistake; a defect or a database that is gone is for the frame to tell.
fn mistake(refusal: &Refusal) -> Option<String> {
    match refusal {
        Refusal::Invalid(sentence)
        | Refusal::Conflict(sentence)
        | Refusal::Refused(sentence)
        | Refusal::Unauthenticated(sentence) => Some(super::frame::capitalised(sentence.clone())),
        Refusal::NotFound(_) | Refusal::FreshFactorNeeded(_) | Refusal::Unavailable(_) | Refusal::Internal(_) => None,
    }
}
