//! The page that stands in for a resource while a device is in quarantine: it says so, and where to sign in.
//!
//! The core leads plain HTTP here; who asks, and for what, is not looked at and not noted.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr, TcpListener as StdTcpListener};
use std::sync::Arc;
use std::time::Duration;

use doorward_model::TunnelNetwork;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CACHE_CONTROL, CONNECTION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, LOCATION};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::Type;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::error::GatewayError;
use crate::inward::{Places, bound};

/// The port of plain HTTP.
pub(crate) const PORT: u16 = 80;
/// Connections at a time, from everybody.
const CONNECTIONS_MAX: usize = 128;
/// The same from one device: what a browser opens to one host.
const CONNECTIONS_PER_DEVICE_MAX: usize = 8;
/// How long one may last.
const CONNECTION_MAX: Duration = Duration::from_secs(10);
/// Connections that wait to be accepted.
const BACKLOG: i32 = 64;

/// The bound sockets, one of each family that the tunnel has.
pub(crate) struct LandingSockets(Vec<StdTcpListener>);

impl LandingSockets {
    /// Binds to the tunnel addresses.
    ///
    /// # Errors
    /// What the kernel says, such as that a web server on this machine has port 80 of all addresses.
    pub(crate) fn bind(interface: &str, network: &TunnelNetwork, has_v6: bool) -> std::io::Result<Self> {
        let v4 = IpAddr::V4(network.gateway_v4());
        let v6 = has_v6.then_some(IpAddr::V6(network.gateway_v6()));
        let addresses = [Some(v4), v6].into_iter().flatten();
        let listeners = addresses.map(|address| {
            let socket = bound(interface, SocketAddr::new(address, PORT), Type::STREAM)?;
            socket.listen(BACKLOG)?;
            Ok(socket.into())
        });
        listeners.collect::<std::io::Result<_>>().map(Self)
    }

    /// Serves until dropped; `portal` is where people sign in, once that is known.
    ///
    /// # Errors
    /// [`GatewayError::Runtime`] when the runtime does not take the sockets.
    pub(crate) fn serve(
        self,
        portal: &watch::Receiver<Option<String>>,
        tasks: &mut JoinSet<()>,
    ) -> Result<(), GatewayError> {
        let places = Arc::new(Places::new(CONNECTIONS_MAX, CONNECTIONS_PER_DEVICE_MAX));
        for listener in self.0 {
            let listener = TcpListener::from_std(listener).map_err(|source| GatewayError::Runtime { source })?;
            tasks.spawn(accept(listener, Arc::clone(&places), portal.clone()));
        }
        Ok(())
    }
}

async fn accept(listener: TcpListener, places: Arc<Places>, portal: watch::Receiver<Option<String>>) {
    loop {
        let (stream, from) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::debug!(%error, "cannot accept a connection to the page for quarantine");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let Some(place) = Places::take(&places, from.ip()) else { continue };
        let portal = portal.borrow().clone();
        tokio::spawn(async move {
            let service = service_fn(|request: Request<Incoming>| {
                let response = page(request.method(), portal.as_deref());
                async move { Ok::<_, Infallible>(response) }
            });
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(CONNECTION_MAX)
                .keep_alive(false)
                .max_buf_size(16 * 1024)
                .serve_connection(TokioIo::new(stream), service);
            // A client that goes away or dawdles concerns nobody.
            let _ended = tokio::time::timeout(CONNECTION_MAX, connection).await;
            drop(place);
        });
    }
}

/// Leads whoever looks at a page to the portal; to a program that sends something it says that it must sign in first
/// (RFC 6585 section 6).
fn page(method: &Method, portal: Option<&str>) -> Response<Full<Bytes>> {
    let sign_in = portal.map(|portal| format!("{}/sign-in?lapsed=1", portal.trim_end_matches('/')));
    let what_to_do = sign_in.as_deref().map_or_else(
        || "Open the portal of your company's Doorward and sign in there.".to_owned(),
        |url| format!("<a href=\"{0}\">Sign in</a> at {0}.", escaped(url)),
    );
    let body = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Sign in again</title>\
         <meta name=\"viewport\" content=\"width=device-width\"></head><body><h1>Your sign-in has lapsed</h1>\
         <p>The tunnel works, and what is behind it waits until you sign in again. {what_to_do} \
         Afterwards everything works as before; nothing has to be set up again.</p></body></html>\n"
    );
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = StatusCode::NETWORK_AUTHENTICATION_REQUIRED;
    let location = sign_in.and_then(|url| HeaderValue::from_str(&url).ok());
    if let Some(location) = location.filter(|_| matches!(*method, Method::GET | Method::HEAD)) {
        *response.status_mut() = StatusCode::FOUND;
        response.headers_mut().insert(LOCATION, location);
    }
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    // A browser must not keep it in the resource's place.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'"));
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

/// The address comes from the control plane's configuration, and is text in HTML all the same.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    async fn text(response: Response<Full<Bytes>>) -> String {
        String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
    }

    #[tokio::test]
    async fn a_browser_is_led_to_the_portal_and_told_why() {
        let response = page(&Method::GET, Some("https://door.shop.example:8443/"));
        assert_eq!(response.status(), StatusCode::FOUND);
        assert_eq!(response.headers()[LOCATION], "https://door.shop.example:8443/sign-in?lapsed=1");
        assert_eq!(response.headers()[CACHE_CONTROL], "no-store");
        assert!(text(response).await.contains("Your sign-in has lapsed"));
    }

    #[tokio::test]
    async fn a_program_that_sends_something_hears_that_it_must_sign_in() {
        let response = page(&Method::POST, Some("https://door.shop.example:8443"));
        assert_eq!(response.status(), StatusCode::NETWORK_AUTHENTICATION_REQUIRED);
        assert!(response.headers().get(LOCATION).is_none());
    }

    #[tokio::test]
    async fn without_an_address_it_says_so_and_an_address_is_no_markup() {
        let response = page(&Method::GET, None);
        assert_eq!(response.status(), StatusCode::NETWORK_AUTHENTICATION_REQUIRED);
        let markup = text(page(&Method::GET, Some("https://x/\"><script>"))).await;
        assert!(!markup.contains("<script>"), "{markup}");
    }
}
