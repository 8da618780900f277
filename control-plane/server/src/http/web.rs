//! Browsers: the session's cookie, and what tells our own pages from foreign ones.
//!
//! A cookie goes with whatever a browser sends here, whoever made it send that. So whatever may change something has to
//! come from our own origin, and a browser that was led here under a name that is none of ours is answered nothing.

use std::net::{IpAddr, SocketAddr};

use axum::Form;
use axum::extract::rejection::FormRejection;
use axum::extract::{FromRequest, FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use doorward_domain::{SignedIn, WebSession};
use serde::de::DeserializeOwned;

use crate::app::accounts::{Visitor, session};
use crate::app::{App, Refusal};
use crate::net::Peer;

/// The cookie. Its prefix makes browsers insist on HTTPS, on the whole site, and on this one host (RFC 6265bis, section
/// 4.1.3.2).
const COOKIE: &str = "__Host-doorward";
/// Longest name of a browser that is read.
const AGENT_BYTES_MAX: usize = 512;

/// Returns the session's secret that a request carries.
pub(crate) fn session_secret(headers: &HeaderMap) -> Option<&str> {
    cookie(headers, COOKIE)
}

fn cookie<'a>(headers: &'a HeaderMap, wanted: &str) -> Option<&'a str> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let pairs = cookies.flat_map(|text| text.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.filter(|(name, _)| *name == wanted).map(|(_, value)| value).next()
}

/// Says whether a person makes the request, or a page that they left open: its module says so of itself.
pub(crate) fn use_of(headers: &HeaderMap) -> session::Use {
    if headers.contains_key("x-doorward-background") { session::Use::Page } else { session::Use::Person }
}

/// Hands a session to the browser. `Lax`, so that a link in a mail finds its reader signed in.
pub(crate) fn keep(begun: &session::Begun, response: &mut Response) -> Result<(), Refusal> {
    let text = format!("{COOKIE}={}; Path=/; Secure; HttpOnly; SameSite=Lax", begun.secret.as_str());
    let mut value = HeaderValue::try_from(text)
        .map_err(|error| Refusal::Internal(format!("the session's cookie could not be written: {error}")))?;
    value.set_sensitive(true);
    response.headers_mut().append(header::SET_COOKIE, value);
    Ok(())
}

/// Takes the session from the browser, and whatever it stored of this site.
pub(crate) fn forget(response: &mut Response) {
    let gone = HeaderValue::from_static("__Host-doorward=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0");
    response.headers_mut().append(header::SET_COOKIE, gone);
    response.headers_mut().insert("clear-site-data", HeaderValue::from_static("\"cache\", \"storage\""));
}

/// The cookie of somebody who is at the identity provider, or who still has to show a passkey.
const AWAY_COOKIE: &str = "__Host-doorward-provider";

/// Returns the secret of somebody who comes back from the identity provider.
pub(crate) fn away_secret(headers: &HeaderMap) -> Option<&str> {
    cookie(headers, AWAY_COOKIE)
}

/// Hands that secret to the browser, for ten minutes.
pub(crate) fn keep_away(secret: &str, response: &mut Response) -> Result<(), Refusal> {
    let text = format!("{AWAY_COOKIE}={secret}; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=600");
    let mut value = HeaderValue::try_from(text)
        .map_err(|error| Refusal::Internal(format!("a cookie could not be written: {error}")))?;
    value.set_sensitive(true);
    response.headers_mut().append(header::SET_COOKIE, value);
    Ok(())
}

/// Somebody with a session in their browser.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    /// Who.
    pub(crate) person: SignedIn,
    /// Which session.
    pub(crate) session: WebSession,
}

impl FromRequestParts<App> for Session {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Refusal> {
        let AnySession(session) = AnySession::from_request_parts(parts, app).await?;
        if session.session.policy_pending {
            return Err(Refusal::Unauthenticated("accept the access policy first, then try again".to_owned()));
        }
        Ok(session)
    }
}

/// A session in which the access policy may still have to be accepted: for that, and for nothing else.
#[derive(Debug, Clone)]
pub(crate) struct AnySession(pub(crate) Session);

impl FromRequestParts<App> for AnySession {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Refusal> {
        let missing = || Refusal::Unauthenticated("sign in first, then try again".to_owned());
        // On the admin socket there is no browser, so that no cookie counts there.
        let (Some(Peer::Https { .. }), Some(secret)) = (parts.extensions.get::<Peer>(), session_secret(&parts.headers))
        else {
            return Err(missing());
        };
        let found = session::holder_of_any(app, secret, use_of(&parts.headers)).await?;
        let (person, session) = found.ok_or_else(missing)?;
        Ok(Self(Session { person, session }))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Visitor {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Refusal> {
        let source = match parts.extensions.get::<Peer>() {
            Some(Peer::Https { source } | Peer::FeedTls { source, .. }) => source.ip(),
            Some(Peer::Admin { .. } | Peer::FeedSocket) | None => SocketAddr::from(([127, 0, 0, 1], 0)).ip(),
        };
        let agent = parts.headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or("");
        let agent: String = agent.chars().take(AGENT_BYTES_MAX).collect();
        Ok(Self { source, agent, host: host(&parts.headers).unwrap_or_default().to_owned() })
    }
}

/// A form of a page.
#[derive(Debug, Clone)]
pub(crate) struct PageForm<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for PageForm<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let read: Result<Form<T>, FormRejection> = Form::from_request(request, state).await;
        read.map(|Form(value)| Self(value))
            .map_err(|_| Refusal::Invalid("this form could not be read: load the page again".to_owned()))
    }
}

/// Lets nothing through that a foreign page made a browser send, and no browser that was led here under a foreign name;
/// and no more of one source, before anybody is known, than a person would send.
pub(crate) async fn guard(State(app): State<App>, request: Request, next: Next) -> Response {
    if let Some(Peer::Https { source }) = request.extensions().get::<Peer>()
        && let Err(response) = admitted(&app, &request, source.ip())
    {
        return *response;
    }
    next.run(request).await
}

fn admitted(app: &App, request: &Request, source: IpAddr) -> Result<(), Box<Response>> {
    let (headers, path) = (request.headers(), request.uri().path());
    // No page can make a browser send a token of ours along (Fetch, section 4.8: it would ask first, and hear no).
    let with_token = headers.contains_key(header::AUTHORIZATION);
    let has_session = session_secret(headers).is_some();
    let is_page = !["/api/", "/scim/", "/oidc/"].iter().any(|start| path.starts_with(start))
        && !matches!(path, "/healthz" | "/readyz");
    let safe = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    if !with_token && (is_page || has_session) {
        if !host(headers).is_some_and(|host| app.accounts.site.answers_to(host)) {
            let own = app.accounts.site.link("/");
            let sentence = format!("This server has another name. Open {own} instead.");
            return Err(refuse(StatusCode::MISDIRECTED_REQUEST, &sentence));
        }
        if !safe && !same_origin(headers) {
            let sentence = "This came from another site and was not done. Open the page here and use its buttons.";
            return Err(refuse(StatusCode::FORBIDDEN, sentence));
        }
    }
    // Whoever goes to the identity provider leaves a row behind, with a link as with a form.
    let costly = is_page && !has_session && (!safe || path == "/sign-in/provider");
    if costly && !app.visits.admit(source) {
        let sentence = "Too many requests from your network. Wait a minute and try again.";
        let mut response = refuse(StatusCode::TOO_MANY_REQUESTS, sentence);
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("60"));
        return Err(response);
    }
    Ok(())
}

fn refuse(status: StatusCode, sentence: &str) -> Box<Response> {
    let code = if status == StatusCode::TOO_MANY_REQUESTS { "unavailable" } else { "refused" };
    // Both a page's script and a person can read this; there is no frame around it, because nobody is known yet.
    let body = serde_json::json!({ "error": { "code": code, "message": sentence } });
    Box::new((status, axum::Json(body)).into_response())
}

/// Returns the host that was asked for, without the port; of two, none (RFC 9112, section 3.2).
fn host(headers: &HeaderMap) -> Option<&str> {
    let mut named = headers.get_all(header::HOST).iter();
    let (Some(authority), None) = (named.next(), named.next()) else { return None };
    let authority = authority.to_str().ok()?;
    match authority.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map(|(address, _)| address),
        None => Some(authority.split_once(':').map_or(authority, |(host, _)| host)),
    }
}

/// Says whether a page of this very origin made the request: browsers say so in two headers that scripts cannot write
/// (Fetch Metadata, section 2; Fetch, section 3.2). One that says neither is no browser of this decade.
fn same_origin(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let site = text("sec-fetch-site").map(|site| site == "same-origin");
    let origin = text("origin").map(|origin| {
        let own = headers.get(header::HOST).and_then(|value| value.to_str().ok());
        let plain = host(headers).is_some_and(|host| host.eq_ignore_ascii_case("localhost"));
        let rest = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://").filter(|_| plain));
        rest.is_some() && rest == own
    });
    match (site, origin) {
        (None, None) => false,
        (site, origin) => site.unwrap_or(true) && origin.unwrap_or(true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    #[test]
    fn only_our_own_origin_is_ours() {
        let own = |pairs: &[(&'static str, &str)]| {
            let mut all = vec![("host", "door.shop.example:8443")];
            all.extend_from_slice(pairs);
            same_origin(&headers(&all))
        };
        assert!(own(&[("origin", "https://door.shop.example:8443")]));
        assert!(own(&[("sec-fetch-site", "same-origin")]));
        assert!(own(&[("origin", "https://door.shop.example:8443"), ("sec-fetch-site", "same-origin")]));
        for foreign in [
            &[("origin", "https://evil.example")][..],
            &[("origin", "null")],
            &[("origin", "https://door.shop.example")],
            &[("origin", "http://door.shop.example:8443")],
            &[("origin", "https://door.shop.example:8443.evil.example")],
            &[("sec-fetch-site", "same-site")],
            &[("sec-fetch-site", "cross-site")],
            &[("sec-fetch-site", "none")],
            &[("origin", "https://door.shop.example:8443"), ("sec-fetch-site", "cross-site")],
            &[("origin", "https://evil.example"), ("sec-fetch-site", "same-origin")],
            &[],
        ] {
            assert!(!own(foreign), "{foreign:?}");
        }
    }

    #[test]
    fn plain_http_is_ours_on_localhost_alone() {
        assert!(same_origin(&headers(&[("host", "localhost:8480"), ("origin", "http://localhost:8480")])));
        assert!(!same_origin(&headers(&[("host", "192.0.2.1:8443"), ("origin", "http://192.0.2.1:8443")])));
    }

    #[test]
    fn the_cookie_is_found_among_others_and_no_other_is_taken_for_it() {
        let found = |text: &str| session_secret(&headers(&[("cookie", text)])).map(ToOwned::to_owned);
        assert_eq!(found("a=b; __Host-doorward=secret; c=d").as_deref(), Some("secret"));
        assert_eq!(found("doorward=secret; __Host-doorward2=x"), None);
    }

    #[test]
    fn a_host_is_read_without_its_port() {
        for (text, expected) in [
            ("door.shop.example:8443", "door.shop.example"),
            ("door.shop.example", "door.shop.example"),
            ("[2001:db8::1]:8443", "2001:db8::1"),
            ("192.0.2.1", "192.0.2.1"),
        ] {
            assert_eq!(host(&headers(&[("host", text)])), Some(expected));
        }
    }
}
