//! The pages from outside: what they load, what they forbid, and what a refusal looks like.

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::UnixStream;

use crate::world::{PATIENCE, World, on_both, request};

/// Asks for a page as a local administrator.
async fn page(world: &World, path: &str) -> Response<Incoming> {
    let io = UnixStream::connect(world.socket("admin.sock")).await.unwrap();
    request(io, Method::GET, path, None, Value::Null).await
}

async fn text(response: Response<Incoming>) -> String {
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

/// Asks for a page and returns its text.
pub(crate) async fn get(world: &World, path: &str) -> String {
    let response = page(world, path).await;
    let status = response.status();
    let shown = text(response).await;
    assert_eq!(status, StatusCode::OK, "{path}: {shown}");
    shown
}

/// Sends a form as a local administrator; returns the status, where it leads, and the page.
pub(crate) async fn form(world: &World, path: &str, body: &str) -> (StatusCode, Option<String>, String) {
    let io = UnixStream::connect(world.socket("admin.sock")).await.unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(io)).await.unwrap();
    tokio::spawn(connection);
    let request = Request::builder().method(Method::POST).uri(path).header("host", "localhost");
    let request = request.header("content-type", "application/x-www-form-urlencoded");
    let body = Full::new(Bytes::from(body.to_owned()));
    let sent = sender.send_request(request.body(body).unwrap());
    let response = tokio::time::timeout(PATIENCE, sent).await.unwrap().unwrap();
    let location = response.headers().get("location").map(|value| value.to_str().unwrap().to_owned());
    (response.status(), location, text(response).await)
}

/// What a page loads.
fn loaded(page: &str) -> Vec<String> {
    let quoted = |attribute: &'static str| {
        page.split(attribute).skip(1).filter_map(|rest| rest.split('"').next()).map(ToOwned::to_owned)
    };
    quoted("src=\"").chain(quoted("href=\"/assets").map(|rest| format!("/assets{rest}"))).collect()
}

on_both!(a_page_loads_its_own_files_alone_and_browsers_keep_them, |world: World| async move {
    let response = page(&world, "/admin").await;
    assert_eq!(response.status(), StatusCode::OK);
    let headers = response.headers().clone();
    let policy = headers["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self'"), "{policy}");
    assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"), "{policy}");
    assert_eq!(headers["cache-control"], "no-store");
    assert_eq!(headers["x-content-type-options"], "nosniff");
    assert_eq!(headers["content-type"], "text/html; charset=utf-8");
    let page_text = text(response).await;
    assert!(!page_text.contains("<style") && !page_text.contains(" style=") && !page_text.contains("onclick"));
    let files = loaded(&page_text);
    assert!(files.len() >= 3, "{files:?}");
    for file in files {
        let response = page(&world, &file).await;
        assert_eq!(response.status(), StatusCode::OK, "{file}");
        assert!(response.headers()["cache-control"].to_str().unwrap().contains("immutable"), "{file}");
        // The name holds the digest, so another version is another name, and is never answered with this one.
        let other = file.replacen(file.split('/').nth(2).unwrap(), "0000000000000000", 1);
        assert_eq!(page(&world, &other).await.status(), StatusCode::NOT_FOUND, "{other}");
    }
});

on_both!(a_refusal_is_a_page_with_its_sentence, |world: World| async move {
    let response = page(&world, "/nowhere").await;
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
    assert_eq!(response.headers()["content-type"], "text/html; charset=utf-8");
    let shown = text(response).await;
    assert!(shown.contains("There is no such page") && shown.contains("<h1>Not found</h1>"), "{shown}");
    // The API goes on answering in its own shape.
    let (status, answer) = world.call(Method::GET, "/api/v1/nowhere", Value::Null).await;
    assert_eq!((status, answer["error"]["code"].as_str()), (StatusCode::NOT_FOUND, Some("not_found")));
});

on_both!(who_did_not_sign_in_is_led_to_the_sign_in_and_back, |world: World| async move {
    let response = request(world.tls().await, Method::GET, "/admin?x=1", None, Value::Null).await;
    assert_eq!(response.status(), StatusCode::SEE_OTHER);
    assert_eq!(response.headers()["location"], "/sign-in?next=%2Fadmin%3Fx%3D1");
    assert_eq!(response.headers()["cache-control"], "no-store");
});
