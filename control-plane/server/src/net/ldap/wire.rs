//! The connection to a directory: TLS before anything is said, and bounds for what is heard.
//!
//! The library reads messages of any size and depth, recursively, into a queue without an end. What it reads has gone through
//! [`hear`], which lets whole messages pass that are small and flat enough, and only so many bytes in all.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::LdapError;

/// How long connecting may take, TLS included.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// Largest message: an entry with the attributes that are asked for has a few hundred bytes.
const MESSAGE_BYTES_MAX: usize = 1024 * 1024;
/// Most that is heard in one round.
const BYTES_MAX: usize = 128 * 1024 * 1024;
/// Elements within elements: an entry has six.
const DEPTH_MAX: usize = 12;
/// An LDAP message begins as a sequence (RFC 4511, section 4.1.1).
const SEQUENCE: u8 = 0x30;
/// The bit of an element's first byte that says that there are elements in it.
const CONSTRUCTED: u8 = 0x20;
/// The request to go over to TLS (RFC 4511, section 4.14), as message 1.
const START_TLS: &[u8] = b"\x30\x1d\x02\x01\x01\x77\x18\x80\x161.3.6.1.4.1.1466.20037";
/// How an answer to message 1 begins, an extended response, and a result that is success.
const MESSAGE_1: &[u8] = &[0x02, 0x01, 0x01];
const EXTENDED_RESPONSE: u8 = 0x78;
const SUCCESS: &[u8] = &[0x0a, 0x01, 0x00];

/// Anything LDAP is spoken over.
pub(super) trait Io: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

/// When a connection becomes TLS.
#[derive(Debug)]
pub(super) enum Safety {
    /// At once (`ldaps://`).
    Tls(Arc<ClientConfig>),
    /// Before anything else is said.
    StartTls(Arc<ClientConfig>),
    /// Never: it does not leave this machine.
    Loopback,
}

/// Where a directory is.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) name: ServerName<'static>,
    pub(super) safety: Safety,
}

impl Place {
    pub(super) async fn connect(&self) -> Result<Box<dyn Io>, LdapError> {
        let reach = |source| LdapError::Reach { place: self.spelled(), source };
        let connected = tokio::time::timeout(CONNECT_MAX, self.greet()).await;
        connected.unwrap_or_else(|_| Err(reach(io::Error::from(io::ErrorKind::TimedOut))))
    }

    async fn greet(&self) -> Result<Box<dyn Io>, LdapError> {
        let reach = |source| LdapError::Reach { place: self.spelled(), source };
        let mut tcp = TcpStream::connect((self.host.as_str(), self.port)).await.map_err(reach)?;
        let config = match &self.safety {
            Safety::Loopback => return Ok(Box::new(tcp)),
            Safety::Tls(config) => config,
            Safety::StartTls(config) => {
                tcp.write_all(START_TLS).await.map_err(reach)?;
                let mut budget = MESSAGE_BYTES_MAX;
                // No byte more than the answer is read: what came unprotected after it must not count as said under TLS.
                let answer = message(&mut tcp, &mut budget).await?;
                if !says_started(&answer) {
                    return Err(LdapError::StartTls);
                }
                config
            }
        };
        let greeted = TlsConnector::from(Arc::clone(config)).connect(self.name.clone(), tcp).await;
        // What TLS refuses comes as data that is not as it should be; anything else is the network's.
        greeted.map(|tls| Box::new(tls) as Box<dyn Io>).map_err(|source| {
            let place = self.spelled();
            if source.kind() == io::ErrorKind::InvalidData {
                LdapError::Untrusted { place, source }
            } else {
                LdapError::Reach { place, source }
            }
        })
    }

    fn spelled(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

/// Says whether a directory goes over to TLS.
fn says_started(answer: &[u8]) -> bool {
    let body = answer.get(header_at(answer, 0)..).unwrap_or_default();
    let response = body.strip_prefix(MESSAGE_1).filter(|response| response.first() == Some(&EXTENDED_RESPONSE));
    response
        .and_then(|response| response.get(header_at(response, 0)..))
        .is_some_and(|result| result.starts_with(SUCCESS))
}

/// Hands on whole messages that keep within the bounds; returns when one does not, or the connection ends.
pub(super) async fn hear(from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) -> LdapError {
    let mut from = BufReader::new(from);
    let mut budget = BYTES_MAX;
    loop {
        let heard = match message(&mut from, &mut budget).await {
            Ok(heard) => heard,
            Err(error) => return error,
        };
        if let Err(error) = check_shape(&heard) {
            return error;
        }
        if let Err(error) = to.write_all(&heard).await {
            return LdapError::Io(error);
        }
    }
}

/// Reads one message, and takes its length from the budget before it is read.
async fn message(from: &mut (impl AsyncRead + Unpin), budget: &mut usize) -> Result<Vec<u8>, LdapError> {
    let ended = |error: io::Error| {
        if error.kind() == io::ErrorKind::UnexpectedEof { LdapError::Closed } else { LdapError::Io(error) }
    };
    let mut head = [0_u8; 6];
    from.read_exact(&mut head[..2]).await.map_err(ended)?;
    let [tag, first, ..] = head;
    if tag != SEQUENCE {
        return Err(LdapError::Unreadable("something that is no LDAP".to_owned()));
    }
    let more = if first < 0x80 { 0 } else { usize::from(first & 0x7f) };
    let Some(rest) = head.get_mut(2..more.saturating_add(2)).filter(|_| first != 0x80) else {
        return Err(too_large());
    };
    from.read_exact(rest).await.map_err(ended)?;
    let length = if first < 0x80 {
        usize::from(first)
    } else {
        rest.iter().fold(0, |sum, byte| (sum << 8) | usize::from(*byte))
    };
    if length > MESSAGE_BYTES_MAX {
        return Err(too_large());
    }
    let spent = budget.checked_sub(length.saturating_add(head.len()));
    *budget = spent.ok_or_else(|| LdapError::TooMuch(format!("more than {} MiB", BYTES_MAX / (1024 * 1024))))?;
    let begins = more.saturating_add(2);
    let mut whole = head.get(..begins).unwrap_or_default().to_vec();
    whole.resize(begins.saturating_add(length), 0);
    from.read_exact(whole.get_mut(begins..).unwrap_or_default()).await.map_err(ended)?;
    Ok(whole)
}

fn too_large() -> LdapError {
    LdapError::TooMuch(format!("a message of more than {MESSAGE_BYTES_MAX} bytes"))
}

/// Refuses elements that are nested too deep, or are longer than what they stand in.
pub(super) fn check_shape(bytes: &[u8]) -> Result<(), LdapError> {
    let wrong = || LdapError::Unreadable("a message that is no LDAP".to_owned());
    let (mut at, mut ends) = (0, vec![bytes.len()]);
    while let Some(end) = ends.last().copied() {
        if at == end {
            ends.pop();
            continue;
        }
        let tag = *bytes.get(at).ok_or_else(wrong)?;
        let begins = header_at(bytes, at);
        let after = length_at(bytes, at).and_then(|length| begins.checked_add(length)).ok_or_else(wrong)?;
        if begins > end || after > end || ends.len() > DEPTH_MAX {
            return Err(wrong());
        }
        if tag & CONSTRUCTED == 0 {
            at = after;
        } else {
            at = begins;
            ends.push(after);
        }
    }
    Ok(())
}

/// How long the content of the element at a place is; `None` for what cannot be read.
fn length_at(bytes: &[u8], at: usize) -> Option<usize> {
    let first = *bytes.get(at.checked_add(1)?)?;
    if first < 0x80 {
        return Some(usize::from(first));
    }
    let digits = bytes.get(at.checked_add(2)?..header_at(bytes, at))?;
    if !(1..=4).contains(&digits.len()) {
        return None;
    }
    Some(digits.iter().fold(0, |sum, byte| (sum << 8) | usize::from(*byte)))
}

/// Where the content of the element at a place begins.
fn header_at(bytes: &[u8], at: usize) -> usize {
    let first = bytes.get(at.saturating_add(1)).copied().unwrap_or_default();
    let more = if first < 0x80 { 0 } else { usize::from(first & 0x7f) };
    at.saturating_add(2).saturating_add(more)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// An element with a content; the length in its shortest form.
    fn element(tag: u8, content: &[u8]) -> Vec<u8> {
        let length = content.len();
        let mut bytes = vec![tag];
        if length < 0x80 {
            bytes.push(u8::try_from(length).unwrap());
        } else {
            bytes.push(0x84);
            bytes.extend(u32::try_from(length).unwrap().to_be_bytes());
        }
        bytes.extend(content);
        bytes
    }

    fn nested(depth: usize) -> Vec<u8> {
        (0..depth).fold(Vec::new(), |inner, _| element(SEQUENCE, &inner))
    }

    async fn heard(bytes: &[u8]) -> (usize, LdapError) {
        let mut passed = Vec::new();
        let why = hear(bytes, &mut passed).await;
        (passed.len(), why)
    }

    #[tokio::test]
    async fn whole_messages_pass_and_a_large_or_deep_one_ends_the_round_before_it() {
        let good = element(SEQUENCE, &element(0x04, &[7; 300]));
        let (passed, why) = heard(&good.repeat(3)).await;
        assert!(matches!(why, LdapError::Closed) && passed == 3 * good.len(), "{why}");
        let (passed, why) = heard(&nested(DEPTH_MAX)).await;
        assert!(matches!(why, LdapError::Closed) && passed > 0, "{why}");
        for (bad, word) in [
            (nested(DEPTH_MAX + 1), "no LDAP"),
            (nested(5_000), "no LDAP"),
            (vec![SEQUENCE, 0x84, 0x7f, 0xff, 0xff, 0xff], "1048576 bytes"),
            (vec![SEQUENCE, 0x80, 0, 0], "1048576 bytes"),
            (vec![SEQUENCE, 0x89, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0], "1048576 bytes"),
            (element(SEQUENCE, &[0x04, 0x05, 0x00]), "no LDAP"),
            (element(SEQUENCE, &[0x04, 0x80, 0x00]), "no LDAP"),
            (b"HTTP/1.1 400 Bad Request\r\n".to_vec(), "no LDAP"),
        ] {
            let (passed, why) = heard(&[good.clone(), bad].concat()).await;
            assert!(passed == good.len() && why.to_string().contains(word), "{why}");
        }
        let (_, why) = heard(&good[..9]).await;
        assert!(matches!(why, LdapError::Closed), "{why}");
    }

    #[tokio::test]
    async fn only_so_much_is_heard_in_one_round() {
        let good = element(SEQUENCE, &[0x04; 1]);
        let mut budget = 2 * (good.len() + 4);
        let bytes = good.repeat(3);
        let mut from = bytes.as_slice();
        for _ in 0..2 {
            message(&mut from, &mut budget).await.unwrap();
        }
        let why = message(&mut from, &mut budget).await.unwrap_err();
        assert!(matches!(why, LdapError::TooMuch(_)), "{why}");
    }

    #[test]
    fn only_a_yes_to_the_first_message_starts_tls() {
        let answer = |id: u8, tag: u8, code: u8| {
            let result = [vec![0x0a, 0x01, code], vec![0x04, 0x00, 0x04, 0x00]].concat();
            element(SEQUENCE, &[vec![0x02, 0x01, id], element(tag, &result)].concat())
        };
        assert!(says_started(&answer(1, 0x78, 0)));
        for no in [answer(2, 0x78, 0), answer(1, 0x61, 0), answer(1, 0x78, 2), vec![SEQUENCE, 0], Vec::new()] {
            assert!(!says_started(&no));
        }
    }

    proptest! {
        #[test]
        fn whatever_bytes_come_they_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = check_shape(&bytes);
            says_started(&bytes);
        }
    }
}
