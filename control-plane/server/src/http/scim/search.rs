//! `/.search`: users and groups in one list (RFC 7644, section 3.4.3).

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use doorward_domain::Source;
use serde_json::Value;

use super::document::{of_group, of_user};
use super::error::ScimError;
use super::query::Query;
use super::schema::Resource;
use super::{Body, answer, base, filter};
use crate::app::App;
use crate::app::directory::users::Lookup;
use crate::app::directory::{groups, users};

/// Searches everything. A filter on what only one of the two has finds that one alone.
pub(super) async fn all(
    State(app): State<App>,
    Extension(source): Extension<Source>,
    Body(body): Body,
) -> Result<Response, ScimError> {
    let query: Query = serde_json::from_value(body).map_err(|_| ScimError::syntax("this is no search request"))?;
    let base = base(&app);
    let (of_users, of_groups) = (query.filter(Resource::User), query.filter(Resource::Group));
    let mut found: Vec<(Resource, Value)> = Vec::new();
    match (of_users, of_groups) {
        (Err(error), Err(_)) => return Err(error),
        (of_users, of_groups) => {
            if let Ok(filter) = of_users {
                let views = users::find(&app, &source, Lookup::All).await?;
                let documents = views.iter().map(|view| of_user(view, &base));
                found.extend(matching(Resource::User, filter.as_ref(), documents));
            }
            if let Ok(filter) = of_groups {
                let views = groups::list(&app, &source).await?;
                let documents = views.iter().map(|view| of_group(view, &base));
                found.extend(matching(Resource::Group, filter.as_ref(), documents));
            }
        }
    }
    answer(StatusCode::OK, &query.page_of(found)?, None)
}

fn matching(
    resource: Resource,
    filter: Option<&scim_v2::filter::Filter>,
    documents: impl Iterator<Item = Value>,
) -> Vec<(Resource, Value)> {
    let is_meant = |it: &Value| filter.is_none_or(|filter| filter::matches(resource, filter, it));
    documents.filter(is_meant).map(|it| (resource, it)).collect()
}
