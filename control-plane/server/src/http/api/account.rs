//! The routes of links.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use doorward_model::Email;

use super::Refusals;
use crate::api::{InvitationMade, LogoutRequest, OwnerLinkMade, OwnerLinkNew, shapes};
use crate::app::{Answer, App, Caller, Refusal, accounts};
use crate::http::{ApiJson, ApiPath, bearer};

/// Makes the link with which an owner gets in; on the admin socket alone.
#[utoipa::path(post, path = "/api/v1/owner/link", tag = "people", request_body = OwnerLinkNew,
    responses((status = 201, body = OwnerLinkMade), Refusals))]
pub(crate) async fn owner_link(
    State(app): State<App>,
    caller: Caller,
    ApiJson(new): ApiJson<OwnerLinkNew>,
) -> Answer<OwnerLinkMade, StatusCode> {
    let made = accounts::invite::owner_link(&app, &caller.0, new.first_run).await?;
    Ok((StatusCode::CREATED, axum::Json(made)))
}

/// Makes a person's link to join, or to get in again.
#[utoipa::path(post, path = "/api/v1/people/{email}/invitation", tag = "people",
    params(("email" = shapes::Email, Path)), responses((status = 201, body = InvitationMade), Refusals))]
pub(crate) async fn invite(
    State(app): State<App>,
    caller: Caller,
    ApiPath(email): ApiPath<Email>,
) -> Answer<InvitationMade, StatusCode> {
    let made = accounts::invite::person(&app, &caller.0, &email).await?;
    Ok((StatusCode::CREATED, axum::Json(made)))
}

/// Ends the token of `doorward login` that the request comes with.
#[utoipa::path(post, path = "/api/v1/logout", tag = "people", responses((status = 204), Refusals))]
pub(crate) async fn log_out(
    State(app): State<App>,
    caller: Caller,
    headers: HeaderMap,
    ApiJson(LogoutRequest {}): ApiJson<LogoutRequest>,
) -> Result<StatusCode, Refusal> {
    accounts::session::log_out(&app, &caller.0, bearer(&headers)).await?;
    Ok(StatusCode::NO_CONTENT)
}
