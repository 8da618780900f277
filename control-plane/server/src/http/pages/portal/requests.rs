//! Asking for access: what may be asked for, and what came of it.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use doorward_model::{GrantId, RequestId, ResourceName};
use serde::Deserialize;

use super::super::account::mistake;
use super::super::forms::{Unit, moment, needed, span};
use super::super::words::Worded as _;
use super::super::{Notice, Page, Shown, filters, show};
use crate::api::{Request, RequestNew, RequestState};
use crate::app::home::signed_in;
use crate::app::offers::{self, Offer, Renewal};
use crate::app::{App, Caller, Refusal, requests};
use crate::http::{ApiPath, ApiQuery, PageForm};

#[derive(Template)]
#[template(path = "portal/requests.html")]
struct RequestsPage {
    page: Page,
    requests: Vec<Request>,
    /// Requests of others that wait for this person's answer.
    waiting: usize,
}

/// What a page is told.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Ask {
    #[serde(default)]
    done: String,
}

/// Lists a person's own requests.
pub(crate) async fn list(State(app): State<App>, caller: Caller, ApiQuery(ask): ApiQuery<Ask>) -> Shown {
    let person = signed_in(&caller.0)?;
    let (own, waiting) = requests::desk(&app, person).await?;
    let done = match ask.done.as_str() {
        "asked" => Some("Asked. Whoever answers for it sees it at once; the answer will stand here."),
        "withdrawn" => Some("Withdrawn. You can ask again at any time."),
        _ => None,
    };
    let notice = done.map(|text| Notice { tone: "good", text: text.to_owned() });
    show(&RequestsPage { page: Page::new(Some(&caller), "/requests").telling(notice), requests: own, waiting })
}

#[derive(Template)]
#[template(path = "portal/request_new.html")]
struct FormPage {
    page: Page,
    offers: Vec<Offer>,
    renewal: Option<Renewal>,
    filled: RequestForm,
    error: Option<String>,
}

/// For what the form is opened.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Wanted {
    #[serde(default)]
    resource: String,
    #[serde(default)]
    renews: String,
}

/// Shows the form.
pub(crate) async fn show_form(State(app): State<App>, caller: Caller, ApiQuery(wanted): ApiQuery<Wanted>) -> Shown {
    let filled = RequestForm { resource: wanted.resource, renews: wanted.renews, ..RequestForm::default() };
    form(&app, &caller, filled, None).await
}

async fn form(app: &App, caller: &Caller, filled: RequestForm, error: Option<String>) -> Shown {
    let (offers, renewal) = if filled.renews.is_empty() {
        (offers::list(app, &caller.0).await?, None)
    } else {
        (Vec::new(), Some(offers::renewal(app, &caller.0, needed::<GrantId>("Access", &filled.renews)?).await?))
    };
    let page = Page::new(Some(caller), "/requests/new").narrow();
    show(&FormPage { page, offers, renewal, filled, error })
}

/// What the form sends.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RequestForm {
    #[serde(default)]
    resource: String,
    #[serde(default)]
    amount: String,
    #[serde(default)]
    unit: Unit,
    #[serde(default)]
    until: String,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    renews: String,
}

impl RequestForm {
    fn in_days(&self) -> bool {
        self.unit == Unit::Days
    }

    fn parsed(&self, renewal: Option<&Renewal>) -> Result<RequestNew, Refusal> {
        let resource = match renewal {
            Some(renewal) => renewal.offer.name.clone(),
            None => needed::<ResourceName>("What", &self.resource)?,
        };
        let (valid_for, until) = (span("How long", &self.amount, self.unit)?, moment("Until", &self.until)?);
        if valid_for.is_some() == until.is_some() {
            let sentence = "say how long, or until when: one of the two";
            return Err(Refusal::Invalid(sentence.to_owned()));
        }
        let renews = renewal.map(|renewal| renewal.grant);
        Ok(RequestNew { resource, valid_for, until, from: None, reason: self.reason.clone(), email: None, renews })
    }
}

/// Asks; a mistake is told on the form, which keeps what was typed.
pub(crate) async fn add(State(app): State<App>, caller: Caller, PageForm(filled): PageForm<RequestForm>) -> Shown {
    let asked = async {
        let renewal = match filled.renews.as_str() {
            "" => None,
            id => Some(offers::renewal(&app, &caller.0, needed::<GrantId>("Access", id)?).await?),
        };
        requests::add(&app, &caller.0, filled.parsed(renewal.as_ref())?).await
    };
    match asked.await {
        Ok(_) => Ok(Redirect::to("/requests?done=asked").into_response()),
        Err(refusal @ Refusal::Conflict(_)) => {
            let sentence = "You have asked for this already, and it waits for an answer: see your requests. \
                            Withdraw that one to ask for something else.";
            again(&app, &caller, filled, &refusal, sentence.to_owned()).await
        }
        Err(refusal) => match mistake(&refusal) {
            Some(sentence) => again(&app, &caller, filled, &refusal, sentence).await,
            None => Err(refusal),
        },
    }
}

async fn again(app: &App, caller: &Caller, filled: RequestForm, refusal: &Refusal, sentence: String) -> Shown {
    // Who may not ask at all gets no form either.
    signed_in(&caller.0)?;
    let mut response: Response = form(app, caller, filled, Some(sentence)).await?;
    *response.status_mut() = refusal.clone().into_parts().0.status();
    Ok(response)
}

/// Takes a request back.
pub(crate) async fn withdraw(State(app): State<App>, caller: Caller, ApiPath(id): ApiPath<RequestId>) -> Shown {
    match requests::withdraw(&app, &caller.0, id, None).await {
        Ok(_) => Ok(Redirect::to("/requests?done=withdrawn").into_response()),
        Err(refusal) => answered_before(&app, &caller, id, refusal, "/requests").await,
    }
}

#[derive(Template)]
#[template(path = "portal/request_answered.html")]
struct AnsweredPage {
    page: Page,
    request: Request,
    back: &'static str,
}

/// Says kindly what became of a request that somebody wanted to decide: another one was faster, or time was.
pub(super) async fn answered_before(
    app: &App,
    caller: &Caller,
    id: RequestId,
    refusal: Refusal,
    back: &'static str,
) -> Shown {
    let Ok(request) = requests::show(app, &caller.0, id).await else { return Err(refusal) };
    let too_late = matches!(refusal, Refusal::Refused(_)) && request.state == RequestState::Expired;
    if !too_late && !matches!(refusal, Refusal::Conflict(_)) {
        return Err(refusal);
    }
    let page = Page::new(Some(caller), back).narrow();
    let mut response = show(&AnsweredPage { page, request, back })?;
    *response.status_mut() = StatusCode::CONFLICT;
    Ok(response)
}
