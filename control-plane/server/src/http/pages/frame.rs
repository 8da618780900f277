//! What every page has around it: who calls, the headers, and refusals as pages.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Redirect, Response};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::page::{Link, Page, RefusalPage, show};
use crate::api::ErrorCode;
use crate::app::{App, Caller, Refusal};
use crate::http::auth::actor_of;
use crate::net::Peer;

/// Pages load what this server serves and nothing else, and run nothing that stands in their own text.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                      form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// Finds out who calls, lets the page answer, and puts headers around it. A refusal becomes a page with its sentence, a
/// missing sign-in leads to the sign-in, a factor that is not fresh to the step-up; both come back to where they began.
pub(crate) async fn frame(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let asked = Asked::of(request.method(), request.uri(), request.headers());
    let found = actor_of(&app, request.extensions().get::<Peer>(), request.headers()).await;
    let (caller, response) = match found.map(Caller) {
        Ok(caller) => {
            request.extensions_mut().insert(caller.clone());
            (Some(caller), next.run(request).await)
        }
        Err(Refusal::Unauthenticated(_)) => (None, next.run(request).await),
        Err(refusal) => (None, refusal.into_response()),
    };
    let mut response = match response.extensions().get::<Refusal>() {
        Some(refusal) => asked.refused(caller.as_ref(), refusal.clone()),
        None => response,
    };
    guard(response.headers_mut());
    response
}

fn guard(headers: &mut HeaderMap) {
    let fixed = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        // With `no-referrer` browsers send `Origin: null` with a form (Fetch, section 3.1), and the origin is what tells
        // our own forms from foreign ones.
        (header::REFERRER_POLICY, "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=()"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

/// What was asked for, as far as the way back to it needs it.
struct Asked {
    path: String,
    /// The page to come back to: the page itself, or the one that held the form.
    back: Option<String>,
}

impl Asked {
    fn of(method: &Method, uri: &Uri, headers: &HeaderMap) -> Self {
        let here = uri.path_and_query().map(PathAndQuery::as_str).filter(|_| method == Method::GET);
        let back = here.map(ToOwned::to_owned).or_else(|| form_page(headers));
        Self { path: uri.path().to_owned(), back: back.filter(|back| is_local(back)) }
    }

    fn refused(&self, caller: Option<&Caller>, refusal: Refusal) -> Response {
        let (code, sentence) = refusal.clone().into_parts();
        match code {
            ErrorCode::Unauthenticated => return self.by_way_of("/sign-in"),
            ErrorCode::FreshFactorNeeded => return self.by_way_of("/step-up"),
            ErrorCode::NotFound
            | ErrorCode::Invalid
            | ErrorCode::Conflict
            | ErrorCode::Refused
            | ErrorCode::Unavailable
            | ErrorCode::Internal => {}
        }
        let heading = match code {
            ErrorCode::NotFound => "Not found",
            ErrorCode::Invalid | ErrorCode::Conflict => "That did not work",
            ErrorCode::Refused | ErrorCode::FreshFactorNeeded | ErrorCode::Unauthenticated => "Not allowed",
            ErrorCode::Unavailable => "Not available at the moment",
            ErrorCode::Internal => "Something went wrong here",
        };
        let way_on = match &self.back {
            Some(back) if *back != self.path => Link { href: back.clone().into(), label: "Back to the form" },
            Some(_) | None => Link { href: "/".into(), label: "Go to the start page" },
        };
        let page = Page::new(caller, &self.path).narrow();
        match show(&RefusalPage { page, heading, sentence: capitalised(sentence), way_on }) {
            Ok(shown) => (code.status(), shown).into_response(),
            Err(_) => (code.status(), Body::from("This page could not be shown.")).into_response(),
        }
    }

    fn by_way_of(&self, page: &str) -> Response {
        let next = self.back.as_deref().filter(|back| *back != "/");
        let query = next.map(|back| format!("?next={}", utf8_percent_encode(back, NON_ALPHANUMERIC)));
        Redirect::to(&format!("{page}{}", query.unwrap_or_default())).into_response()
    }
}

/// The page that a form was on, from the `Referer` that browsers send within one origin.
fn form_page(headers: &HeaderMap) -> Option<String> {
    let referer: Uri = headers.get(header::REFERER)?.to_str().ok()?.parse().ok()?;
    let host = headers.get(header::HOST)?.to_str().ok()?;
    (referer.authority()?.as_str() == host).then(|| referer.path_and_query().map(|path| path.as_str().to_owned()))?
}

/// Says whether a path stays on this server: `//host` and `/\host` lead away.
pub(crate) fn is_local(path: &str) -> bool {
    path.starts_with('/') && !path[1..].starts_with(['/', '\\']) && !path.chars().any(char::is_control)
}

/// Begins a sentence as pages do; those of the API begin small, because a command's name stands before them.
pub(super) fn capitalised(sentence: String) -> String {
    let mut letters = sentence.chars();
    match letters.next() {
        Some(first) if first.is_lowercase() => first.to_uppercase().chain(letters).collect(),
        Some(_) | None => sentence,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_back_never_leads_away() {
        for local in ["/", "/admin/people?q=a%20b", "/devices/new"] {
            assert!(is_local(local), "{local}");
        }
        for foreign in ["", "//evil.example", "/\\evil.example", "https://evil.example/", "admin", "/a\r\nb"] {
            assert!(!is_local(foreign), "{foreign:?}");
        }
    }

    #[test]
    fn a_form_of_another_origin_is_no_place_to_come_back_to() {
        let headers = |referer: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_static("door.shop.example:8443"));
            headers.insert(header::REFERER, HeaderValue::from_str(referer).unwrap());
            headers
        };
        let own = headers("https://door.shop.example:8443/admin/people?q=a");
        assert_eq!(form_page(&own).as_deref(), Some("/admin/people?q=a"));
        assert_eq!(form_page(&headers("https://evil.example/admin")), None);
        assert_eq!(form_page(&headers("nonsense")), None);
    }
}
