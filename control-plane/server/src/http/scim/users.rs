//! `/Users`.

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use doorward_domain::Source;
use doorward_model::AccountId;
use serde_json::Value;

use super::document::{of_user, to_user, version};
use super::error::ScimError;
use super::patch::{apply, canonical};
use super::query::{Query, has_version, require_version};
use super::schema::Resource;
use super::{Body, Search, answer, base, filter, id, not_modified, object};
use crate::app::App;
use crate::app::directory::users::{self, Lookup, View};
use crate::http::ApiPath;

const USER: Resource = Resource::User;

/// Lists users.
pub(super) async fn list(
    State(app): State<App>,
    Extension(source): Extension<Source>,
    Search(query): Search,
) -> Result<Response, ScimError> {
    found(&app, &source, &query).await
}

/// Lists users, as a POST whose addresses do not end up in logs.
pub(super) async fn search(
    State(app): State<App>,
    Extension(source): Extension<Source>,
    Body(body): Body,
) -> Result<Response, ScimError> {
    let query = serde_json::from_value(body).map_err(|_| ScimError::syntax("this is no search request"))?;
    found(&app, &source, &query).await
}

async fn found(app: &App, source: &Source, query: &Query) -> Result<Response, ScimError> {
    let filter = query.filter(USER)?;
    let lookup = match filter.as_ref().and_then(|filter| filter::equality(USER, filter)) {
        Some(("userName", name)) => Lookup::UserName(name.to_owned()),
        Some(("externalId", id)) => Lookup::ExternalId(id.to_owned()),
        Some(("id", id)) => match id.parse() {
            Ok(id) => Lookup::Id(id),
            Err(_) => return answer(StatusCode::OK, &query.page(USER, Vec::new())?, None),
        },
        Some(_) | None => Lookup::All,
    };
    let base = base(app);
    let views = users::find(app, source, lookup).await?;
    let documents = views.iter().map(|view| of_user(view, &base));
    let documents = documents.filter(|it| filter.as_ref().is_none_or(|filter| filter::matches(USER, filter, it)));
    answer(StatusCode::OK, &query.page(USER, documents.collect())?, None)
}

/// Adds a user.
pub(super) async fn add(
    State(app): State<App>,
    Extension(source): Extension<Source>,
    Search(query): Search,
    Body(body): Body,
) -> Result<Response, ScimError> {
    let wanted = to_user(&canonical(USER, object(&body)?)?)?;
    let view = users::add(&app, &source, wanted).await?;
    shown(&app, &query, &view, StatusCode::CREATED)
}

/// Shows a user.
pub(super) async fn show(
    State(app): State<App>,
    Extension(source): Extension<Source>,
    ApiPath(text): ApiPath<String>,
    Search(query): Search,
    headers: HeaderMap,
) -> Result<Response, ScimError> {
    let view = users::show(&app, &source, id(&text)?).await?;
    let document = of_user(&view, &base(&app));
    if has_version(&headers, version(&document)) {
        return Ok(not_modified(&document));
    }
    shown(&app, &query, &view, StatusCode::OK)
}

fn shown(app: &App, query: &Query, view: &View, status: StatusCode) -> Result<Response, ScimError> {
    let document = of_user(view, &base(app));
    answer(status, &query.projected(USER, document.clone()), Some(&document))
}

/// Replaces a user. What is left out is taken out, but for `active`: nobody comes back because a client forgot it.
pub(super) async fn replace(
    State(app): State<App>,
    Extension(source): Extension<Source>,
    ApiPath(text): ApiPath<String>,
    Search(query): Search,
    headers: HeaderMap,
    Body(body): Body,
) -> Result<Response, ScimError> {
    let wanted = to_user(&canonical(USER, object(&body)?)?)?;
    let base = base(&app);
    let view = users::change::<ScimError>(&app, &source, id::<AccountId>(&text)?, |view| {
        require_version(&headers, version(&of_user(view, &base)))?;
        Ok(wanted.clone())
    });
    shown(&app, &query, &view.await?, StatusCode::OK)
}

/// Changes parts of a user.
pub(super) async fn patch(
    State(app): State<App>,
    Extension(source): Extension<Source>,
    ApiPath(text): ApiPath<String>,
    Search(query): Search,
    headers: HeaderMap,
    Body(body): Body,
) -> Result<Response, ScimError> {
    let base = base(&app);
    let view = users::change::<ScimError>(&app, &source, id::<AccountId>(&text)?, |view| {
        let before = of_user(view, &base);
        require_version(&headers, version(&before))?;
        let mut document = canonical(USER, object(&before)?)?;
        // What nobody says anything about stays as it is, whoever decided it.
        document.remove("active");
        apply(USER, &mut document, &body)?;
        to_user(&document)
    });
    shown(&app, &query, &view.await?, StatusCode::OK)
}

/// Deletes a user: the person departs.
pub(super) async fn remove(
    State(app): State<App>,
    Extension(source): Extension<Source>,
    ApiPath(text): ApiPath<String>,
    headers: HeaderMap,
) -> Result<StatusCode, ScimError> {
    let base = base(&app);
    let check = |view: &View| {
        let document: Value = of_user(view, &base);
        require_version(&headers, version(&document))
    };
    users::remove::<ScimError>(&app, &source, id(&text)?, check).await?;
    Ok(StatusCode::NO_CONTENT)
}
