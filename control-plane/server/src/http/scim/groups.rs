//! `/Groups`.

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use doorward_domain::Source;
use doorward_model::GroupId;

use super::document::{of_group, to_group, version};
use super::error::ScimError;
use super::patch::{apply, canonical, is_of_entra};
use super::query::{Query, has_version, require_version};
use super::schema::Resource;
use super::{Body, Search, answer, base, filter, id, not_modified, object};
use crate::app::App;
use crate::app::directory::groups::{self, View};
use crate::http::ApiPath;

const GROUP: Resource = Resource::Group;

/// Lists groups.
pub(super) async fn list(
    State(app): State<App>,
    Extension(source): Extension<Source>,
    Search(query): Search,
) -> Result<Response, ScimError> {
    found(&app, &source, &query).await
}

/// Lists groups, as a POST.
pub(super) async fn search(
    State(app): State<App>,
    Extension(source): Extension<Source>,
    Body(body): Body,
) -> Result<Response, ScimError> {
    let query = serde_json::from_value(body).map_err(|_| ScimError::syntax("this is no search request"))?;
    found(&app, &source, &query).await
}

async fn found(app: &App, source: &Source, query: &Query) -> Result<Response, ScimError> {
    let filter = query.filter(GROUP)?;
    let base = base(app);
    let views = groups::list(app, source).await?;
    let documents = views.iter().map(|view| of_group(view, &base));
    let documents = documents.filter(|it| filter.as_ref().is_none_or(|filter| filter::matches(GROUP, filter, it)));
    answer(StatusCode::OK, &query.page(GROUP, documents.collect())?, None)
}

/// Adds a group.
pub(super) async fn add(
    State(app): State<App>,
    Extension(source): Extension<Source>,
    Search(query): Search,
    Body(body): Body,
) -> Result<Response, ScimError> {
    let wanted = to_group(&canonical(GROUP, object(&body)?)?)?;
    let view = groups::add(&app, &source, wanted).await?;
    shown(&app, &query, &view, StatusCode::CREATED)
}

/// Shows a group.
pub(super) async fn show(
    State(app): State<App>,
    Extension(source): Extension<Source>,
    ApiPath(text): ApiPath<String>,
    Search(query): Search,
    headers: HeaderMap,
) -> Result<Response, ScimError> {
    let view = groups::show(&app, &source, id(&text)?).await?;
    let document = of_group(&view, &base(&app));
    if has_version(&headers, version(&document)) {
        return Ok(not_modified(&document));
    }
    shown(&app, &query, &view, StatusCode::OK)
}

fn shown(app: &App, query: &Query, view: &View, status: StatusCode) -> Result<Response, ScimError> {
    let document = of_group(view, &base(app));
    answer(status, &query.projected(GROUP, document.clone()), Some(&document))
}

/// Replaces a group with its members.
pub(super) async fn replace(
    State(app): State<App>,
    Extension(source): Extension<Source>,
    ApiPath(text): ApiPath<String>,
    Search(query): Search,
    headers: HeaderMap,
    Body(body): Body,
) -> Result<Response, ScimError> {
    let wanted = to_group(&canonical(GROUP, object(&body)?)?)?;
    let base = base(&app);
    let view = groups::change::<ScimError>(&app, &source, id::<GroupId>(&text)?, |view| {
        require_version(&headers, version(&of_group(view, &base)))?;
        Ok(wanted)
    });
    shown(&app, &query, &view.await?, StatusCode::OK)
}

/// Changes parts of a group. The answer is the group (RFC 7644, section 3.5.2), but for Entra, which asks for none: a group
/// may have thousands of members.
pub(super) async fn patch(
    State(app): State<App>,
    Extension(source): Extension<Source>,
    ApiPath(text): ApiPath<String>,
    Search(query): Search,
    headers: HeaderMap,
    Body(body): Body,
) -> Result<Response, ScimError> {
    let base = base(&app);
    let view = groups::change::<ScimError>(&app, &source, id::<GroupId>(&text)?, |view| {
        let before = of_group(view, &base);
        require_version(&headers, version(&before))?;
        let mut document = canonical(GROUP, object(&before)?)?;
        apply(GROUP, &mut document, &body)?;
        to_group(&document)
    });
    let view = view.await?;
    if is_of_entra(&body) && !query.names_attributes() {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    shown(&app, &query, &view, StatusCode::OK)
}

/// Deletes a group.
pub(super) async fn remove(
    State(app): State<App>,
    Extension(source): Extension<Source>,
    ApiPath(text): ApiPath<String>,
    headers: HeaderMap,
) -> Result<StatusCode, ScimError> {
    let base = base(&app);
    let check = |view: &View| require_version(&headers, version(&of_group(view, &base)));
    groups::remove::<ScimError>(&app, &source, id(&text)?, check).await?;
    Ok(StatusCode::NO_CONTENT)
}
