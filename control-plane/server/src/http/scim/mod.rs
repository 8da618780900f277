//! SCIM 2.0 (RFC 7643, RFC 7644) at `/scim/v2`, as Okta and Entra really send it.
//!
//! Handlers parse, call one use case of `app::directory` and render. The routes are outside of the API's description:
//! their shapes are the standard's, and `/Schemas` describes them. A directory's token opens these and nothing else.
//!
//! Architecture invariant: no SQL and no rule about people lives here, and no actor but a directory comes through.

mod document;
mod error;
mod filter;
mod groups;
mod patch;
mod query;
mod rate;
mod schema;
mod search;
mod users;

use std::str::FromStr;

use axum::extract::{FromRequest, FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{any, get, post};
use axum::{Extension, Router};
use doorward_domain::{AlertKind, Source, TokenHash};
use serde_json::{Map, Value, json};

use self::error::{CONTENT_TYPE, ScimError};
pub(crate) use self::rate::SourceRate;
use self::schema::{resource_types, schemas, service_provider};
use crate::app::directory::{raise, tokens};
use crate::app::{App, Refusal};
use crate::http::ApiPath;

/// Where it is.
const ROOT: &str = "/scim/v2";

/// The routes, for the router of the web.
pub(crate) fn router(app: &App) -> Router<App> {
    let routes = Router::new()
        .route("/Users", get(users::list).post(users::add))
        .route("/Users/.search", post(users::search))
        .route("/Users/{id}", get(users::show).put(users::replace).patch(users::patch).delete(users::remove))
        .route("/Groups", get(groups::list).post(groups::add))
        .route("/Groups/.search", post(groups::search))
        .route("/Groups/{id}", get(groups::show).put(groups::replace).patch(groups::patch).delete(groups::remove))
        .route("/.search", post(search::all))
        .route("/ServiceProviderConfig", get(provider))
        .route("/ResourceTypes", get(types))
        .route("/ResourceTypes/{id}", get(one_type))
        .route("/Schemas", get(all_schemas))
        .route("/Schemas/{id}", get(one_schema))
        .route("/Me", any(no_self))
        .route("/Bulk", any(no_bulk))
        .fallback(nothing)
        .method_not_allowed_fallback(no_method)
        .layer(middleware::from_fn_with_state(app.clone(), authenticate));
    Router::new().nest(ROOT, routes)
}

/// Lets a directory through, in its measure; and tells the admins where it said something that cannot be read about who is
/// active.
async fn authenticate(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let (source, token) = match holder(&app, request.headers()).await {
        Ok(found) => found,
        Err(error) => return error.into_response(),
    };
    if !app.source_rate.admit(token) {
        return ScimError::too_many().into_response();
    }
    let name = source.name.clone();
    request.extensions_mut().insert(source);
    let response = next.run(request).await;
    if response.extensions().get::<Alarming>().is_some() {
        let message = format!(
            "{name} said something about who is active that cannot be read, and was refused: somebody may have left whose \
             access goes on; look at its provisioning log"
        );
        raise(&app, AlertKind::DirectoryUnreadable, message).await;
    }
    response
}

/// Marks an answer of which the admins have to hear.
#[derive(Debug, Clone, Copy)]
struct Alarming;

async fn holder(app: &App, headers: &HeaderMap) -> Result<(Source, TokenHash), ScimError> {
    let unknown = || {
        let sentence = "a directory's token is needed: an admin makes one with `doorward scim token add NAME`";
        ScimError::from(Refusal::Unauthenticated(sentence.to_owned()))
    };
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let (scheme, token) = given.and_then(|text| text.split_once(' ')).ok_or_else(unknown)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(unknown());
    }
    tokens::holder(app, token.trim()).await?.ok_or_else(unknown)
}

/// A JSON body, whatever its content type says.
struct Body(Value);

impl<S: Send + Sync> FromRequest<S> for Body {
    type Rejection = ScimError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ScimError> {
        let bytes = axum::body::Bytes::from_request(request, state).await.map_err(|rejection| {
            let status = rejection.status();
            ScimError { status, ..ScimError::syntax(rejection.body_text()) }
        })?;
        serde_json::from_slice(&bytes).map(Self).map_err(|_| ScimError::syntax("the body is no JSON"))
    }
}

/// What a query asks for.
struct Search(query::Query);

impl<S: Send + Sync> FromRequestParts<S> for Search {
    type Rejection = ScimError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ScimError> {
        let read = axum::extract::Query::try_from_uri(&parts.uri);
        read.map(|axum::extract::Query(query)| Self(query)).map_err(|_| ScimError::value("this query cannot be read"))
    }
}

fn base(app: &App) -> String {
    app.accounts.site.link(ROOT)
}

/// Reads an id; what is none names nothing.
fn id<T: FromStr>(text: &str) -> Result<T, ScimError> {
    text.parse().map_err(|_| ScimError::not_found("there is nothing with this id"))
}

fn object(value: &Value) -> Result<&Map<String, Value>, ScimError> {
    value.as_object().ok_or_else(|| ScimError::syntax("a resource is an object"))
}

/// Renders an answer; `of` is the resource that it is about, whose version and place go into the headers.
fn answer(status: StatusCode, body: &Value, of: Option<&Value>) -> Result<Response, ScimError> {
    let mut response = (status, [(header::CONTENT_TYPE, CONTENT_TYPE)], body.to_string()).into_response();
    if let Some(of) = of {
        tag(&mut response, of);
        if let Ok(place) = HeaderValue::try_from(document::location(of)) {
            response.headers_mut().insert(header::LOCATION, place);
        }
    }
    Ok(response)
}

fn tag(response: &mut Response, of: &Value) {
    if let Ok(version) = HeaderValue::try_from(document::version(of)) {
        response.headers_mut().insert(header::ETAG, version);
    }
}

fn not_modified(document: &Value) -> Response {
    let mut response = StatusCode::NOT_MODIFIED.into_response();
    tag(&mut response, document);
    response
}

fn listed(found: &[Value]) -> Result<Response, ScimError> {
    let body = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:ListResponse"],
        "totalResults": found.len(), "startIndex": 1, "itemsPerPage": found.len(), "Resources": found,
    });
    answer(StatusCode::OK, &body, None)
}

fn one_of(found: Vec<Value>, wanted: &str) -> Result<Response, ScimError> {
    let is_wanted = |it: &Value| it.get("id").and_then(Value::as_str).is_some_and(|id| id.eq_ignore_ascii_case(wanted));
    let found =
        found.into_iter().find(is_wanted).ok_or_else(|| ScimError::not_found("there is nothing with this id"))?;
    answer(StatusCode::OK, &found, None)
}

async fn provider(State(app): State<App>) -> Result<Response, ScimError> {
    answer(StatusCode::OK, &service_provider(&base(&app)), None)
}

async fn types(State(app): State<App>) -> Result<Response, ScimError> {
    listed(&resource_types(&base(&app)))
}

async fn one_type(State(app): State<App>, ApiPath(id): ApiPath<String>) -> Result<Response, ScimError> {
    one_of(resource_types(&base(&app)), &id)
}

async fn all_schemas(State(app): State<App>) -> Result<Response, ScimError> {
    listed(&schemas(&base(&app)))
}

async fn one_schema(State(app): State<App>, ApiPath(id): ApiPath<String>) -> Result<Response, ScimError> {
    one_of(schemas(&base(&app)), &id)
}

async fn no_self(_: Extension<Source>) -> ScimError {
    ScimError::not_implemented("a directory is nobody in particular: there is no /Me")
}

async fn no_bulk(_: Extension<Source>) -> ScimError {
    ScimError::not_implemented("send one change a request: there is no /Bulk, as /ServiceProviderConfig says")
}

async fn nothing() -> ScimError {
    ScimError::not_found("there is no such endpoint: /ResourceTypes lists them")
}

async fn no_method() -> ScimError {
    ScimError::method()
}
