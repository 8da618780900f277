//! Reverse proxies in front of the server: whom they speak for.
//!
//! `X-Forwarded-For` grows at its end: each proxy adds whom it was asked by. So it is read from the end, as long as a proxy
//! that the owner trusts wrote it; what stands before that, anybody could have made up.

use std::net::{IpAddr, SocketAddr};

use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::middleware::Next;
use axum::response::Response;
use ipnet::IpNet;

use crate::app::App;
use crate::net::Peer;

const HEADER: &str = "x-forwarded-for";
/// Entries looked at: more proxies than that stand in no row.
const HOPS_MAX: usize = 16;

/// Puts who asked a trusted proxy in the place of the proxy.
pub(crate) async fn behind_proxies(State(app): State<App>, mut request: Request, next: Next) -> Response {
    if let Some(Peer::Https { source }) = request.extensions().get::<Peer>()
        && let Some(asked) = spoken_for(&app.trusted_proxies, source.ip(), request.headers())
    {
        request.extensions_mut().insert(Peer::Https { source: SocketAddr::new(asked, 0) });
    }
    next.run(request).await
}

/// Returns whom the proxy at the other end speaks for; nobody where it is none that is trusted, or says nothing of use.
fn spoken_for(trusted: &[IpNet], peer: IpAddr, headers: &HeaderMap) -> Option<IpAddr> {
    let trusts = |address: IpAddr| trusted.iter().any(|prefix| prefix.contains(&address.to_canonical()));
    if !trusts(peer) {
        return None;
    }
    let lines: Vec<&str> = headers.get_all(HEADER).iter().filter_map(|value| value.to_str().ok()).collect();
    let mut last = None;
    for entry in lines.iter().rev().flat_map(|line| line.rsplit(',')).take(HOPS_MAX) {
        let Some(address) = address(entry.trim()) else { break };
        last = Some(address);
        if !trusts(address) {
            break;
        }
    }
    last
}

/// Reads an address, with a port or without.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn asked(peer: &str, lines: &[&str]) -> Option<String> {
        let trusted: Vec<IpNet> = ["10.0.5.0/24", "fd00::/64"].map(|prefix| prefix.parse().unwrap()).into();
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(HEADER, HeaderValue::from_str(line).unwrap());
        }
        spoken_for(&trusted, peer.parse().unwrap(), &headers).map(|address| address.to_string())
    }

    #[test]
    fn a_trusted_proxy_says_who_asks() {
        assert_eq!(asked("10.0.5.4", &["192.0.2.7"]).as_deref(), Some("192.0.2.7"));
        assert_eq!(asked("::ffff:10.0.5.4", &["[2001:db8::7]:4711"]).as_deref(), Some("2001:db8::7"));
        assert_eq!(asked("fd00::4", &["192.0.2.7:4711"]).as_deref(), Some("192.0.2.7"));
        // Two proxies in a row, in one line and in two.
        assert_eq!(asked("10.0.5.4", &["192.0.2.7, 10.0.5.9"]).as_deref(), Some("192.0.2.7"));
        assert_eq!(asked("10.0.5.4", &["192.0.2.7", "10.0.5.9"]).as_deref(), Some("192.0.2.7"));
    }

    #[test]
    fn what_somebody_made_up_counts_for_nothing() {
        assert_eq!(asked("192.0.2.66", &["192.0.2.7"]), None, "no proxy of ours");
        assert_eq!(asked("10.0.5.4", &["198.51.100.1, 192.0.2.66"]).as_deref(), Some("192.0.2.66"));
        assert_eq!(asked("10.0.5.4", &["10.0.5.8, 192.0.2.66, 10.0.5.9"]).as_deref(), Some("192.0.2.66"));
        assert_eq!(asked("10.0.5.4", &["192.0.2.7, nonsense"]), None);
        assert_eq!(asked("10.0.5.4", &[]), None);
    }
}
