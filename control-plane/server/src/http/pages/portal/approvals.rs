//! Answering requests of others: those who answer for the resource or the person, and those whose role it is.

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect};
use doorward_model::RequestId;
use serde::Deserialize;

use super::super::forms::{Unit, moment, reason, span};
use super::super::{Notice, Page, Shown, filters, show};
use super::requests::answered_before;
use crate::api::{Request, RequestApproval};
use crate::app::{App, Caller, requests};
use crate::http::{ApiPath, ApiQuery, PageForm};

#[derive(Template)]
#[template(path = "portal/approvals.html")]
struct ApprovalsPage {
    page: Page,
    /// Those that this person may answer.
    requests: Vec<Request>,
    /// Others that wait, for those who see them.
    others: Vec<Request>,
}

/// What the page is told.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Ask {
    #[serde(default)]
    done: String,
}

/// Lists requests that wait.
pub(crate) async fn list(State(app): State<App>, caller: Caller, ApiQuery(ask): ApiQuery<Ask>) -> Shown {
    let waiting = requests::list(&app, &caller.0, None, false).await?;
    let (requests, others) = waiting.into_iter().partition(|request| request.may_answer);
    let done = match ask.done.as_str() {
        "approved" => Some("Approved. Their devices have it at once."),
        "denied" => Some("Denied. They see your answer at their requests."),
        _ => None,
    };
    let notice = done.map(|text| Notice { tone: "good", text: text.to_owned() });
    show(&ApprovalsPage { page: Page::new(Some(&caller), "/approvals").telling(notice), requests, others })
}

/// An answer.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AnswerForm {
    #[serde(default)]
    amount: String,
    #[serde(default)]
    unit: Unit,
    #[serde(default)]
    until: String,
    #[serde(default)]
    reason: String,
}

/// Approves, for the time that was asked for or less.
pub(crate) async fn approve(
    State(app): State<App>,
    caller: Caller,
    ApiPath(id): ApiPath<RequestId>,
    PageForm(form): PageForm<AnswerForm>,
) -> Shown {
    let approval = RequestApproval {
        valid_for: span("For", &form.amount, form.unit)?,
        until: moment("Until", &form.until)?,
        reason: reason(form.reason),
    };
    match requests::approve(&app, &caller.0, id, approval).await {
        Ok(_) => Ok(Redirect::to("/approvals?done=approved").into_response()),
        Err(refusal) => answered_before(&app, &caller, id, refusal, "/approvals").await,
    }
}

/// Denies.
pub(crate) async fn deny(
    State(app): State<App>,
    caller: Caller,
    ApiPath(id): ApiPath<RequestId>,
    PageForm(form): PageForm<AnswerForm>,
) -> Shown {
    match requests::deny(&app, &caller.0, id, reason(form.reason)).await {
        Ok(_) => Ok(Redirect::to("/approvals?done=denied").into_response()),
        Err(refusal) => answered_before(&app, &caller, id, refusal, "/approvals").await,
    }
}
