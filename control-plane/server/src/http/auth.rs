//! Who calls: the kernel says so on the admin socket; a token does over HTTPS, or a browser's session.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use doorward_domain::Actor;

use crate::app::accounts::session;
use crate::app::{App, Caller, Refusal, tokens};
use crate::http::web::{session_secret, use_of};
use crate::net::Peer;

/// Lets a request through with its caller, or answers 401.
pub(crate) async fn authenticate(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let actor = actor_of(&app, request.extensions().get::<Peer>(), request.headers()).await;
    if let (Err(Refusal::Unauthenticated(_)), Some(Peer::Https { source })) =
        (&actor, request.extensions().get::<Peer>())
    {
        tracing::info!(%source, "a request without a valid token was turned away");
    }
    match actor {
        Ok(actor) => {
            request.extensions_mut().insert(Caller(actor));
            next.run(request).await
        }
        Err(refusal) => {
            let mut response = refusal.into_response();
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            response
        }
    }
}

/// Finds who calls, for the API and for pages alike.
pub(crate) async fn actor_of(app: &App, peer: Option<&Peer>, headers: &HeaderMap) -> Result<Actor, Refusal> {
    match peer {
        Some(Peer::Admin { uid, name }) => Ok(Actor::LocalAdmin { uid: *uid, name: name.clone() }),
        Some(Peer::Https { .. }) => match session_secret(headers) {
            // A program's token comes before a browser's cookie: whoever sends both means the token.
            Some(secret) if !headers.contains_key(header::AUTHORIZATION) => {
                let found = session::holder(app, secret, use_of(headers)).await?;
                found.map(|(person, _)| Actor::Person(person)).ok_or_else(unauthenticated)
            }
            Some(_) | None => by_token(app, headers).await,
        },
        // The feed's peers have no business here, and neither has a connection of which nothing is known.
        Some(Peer::FeedSocket | Peer::FeedTls { .. }) | None => Err(unauthenticated()),
    }
}

/// Returns the token that a request comes with.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let (scheme, token) = given.and_then(|text| text.split_once(' '))?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

async fn by_token(app: &App, headers: &HeaderMap) -> Result<Actor, Refusal> {
    let token = bearer(headers).ok_or_else(unauthenticated)?;
    let found = if token.starts_with(session::LOGIN_PREFIX) {
        session::login_holder(app, token).await?
    } else {
        tokens::holder(app, token).await?
    };
    found.ok_or_else(unauthenticated)
}

fn unauthenticated() -> Refusal {
    Refusal::Unauthenticated(
        "a valid token is needed: run `doorward login`, or make one with `doorward token add NAME` and set DOORWARD_TOKEN".to_owned(),
    )
}
