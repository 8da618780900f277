//! Where people's devices dial: a host and a UDP port.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// Longest DNS name, in characters (RFC 1035 section 2.3.4, without the root's dot).
const NAME_CHARS_MAX: usize = 253;

/// The text is no endpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is no endpoint: expected HOST:PORT such as 203.0.113.2:51820, [2001:db8::2]:51820 or vpn.shop.example:51820"
)]
pub struct EndpointError {
    text: String,
}

/// `host:port`; the host is an IPv4 address, an IPv6 address in brackets or a DNS name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    host: Host,
    port: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Host {
    Address(IpAddr),
    Name(String),
}

impl Endpoint {
    /// Returns the UDP port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let wrong = || EndpointError { text: doorward_model::repeatable(text, 64) };
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let port = match port.parse::<u16>() {
            Ok(number) if number != 0 && port.bytes().all(|b| b.is_ascii_digit()) => number,
            Ok(_) | Err(_) => return Err(wrong()),
        };
        let bracketed = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let host = match (bracketed, host.parse::<IpAddr>()) {
            (Some(inner), _) => match inner.parse::<IpAddr>() {
                Ok(address @ IpAddr::V6(_)) => Host::Address(address),
                Ok(IpAddr::V4(_)) | Err(_) => return Err(wrong()),
            },
            (None, Ok(address @ IpAddr::V4(_))) => Host::Address(address),
            (None, Ok(IpAddr::V6(_))) => return Err(wrong()),
            (None, Err(_)) if is_dns_name(host) => Host::Name(host.to_owned()),
            (None, Err(_)) => return Err(wrong()),
        };
        Ok(Self { host, port })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Address(IpAddr::V6(address)) => write!(f, "[{address}]:{}", self.port),
            Host::Address(address @ IpAddr::V4(_)) => write!(f, "{address}:{}", self.port),
            Host::Name(name) => write!(f, "{name}:{}", self.port),
        }
    }
}

/// Letters, digits and hyphens, with at least one letter in the last label: `10.0.0` is a slip, not a name.
fn is_dns_name(text: &str) -> bool {
    let label_fits = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    text.len() <= NAME_CHARS_MAX
        && text.split('.').all(label_fits)
        && text.rsplit('.').next().is_some_and(|last| last.bytes().any(|b| b.is_ascii_alphabetic()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_names_are_read_and_written_alike() {
        for text in ["203.0.113.2:51820", "[2001:db8::2]:51820", "vpn.shop.example:443", "localhost:1"] {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_could_inject_a_line_or_mean_nothing_is_refused() {
        for wrong in [
            "",
            "host",
            "host:",
            "host:0",
            "host:70000",
            "host:+1",
            ":51820",
            "2001:db8::2:51820",
            "[10.0.0.1]:1",
            "10.0.0:1",
            "a b:1",
            "a\nPostUp=x:1",
            "host:1\nPostUp = x",
            "-a.example:1",
            "a..b:1",
        ] {
            assert!(wrong.parse::<Endpoint>().is_err(), "{wrong:?}");
        }
    }
}
