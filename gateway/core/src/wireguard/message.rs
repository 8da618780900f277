//! The four messages, told apart by type and length (WireGuard whitepaper, section 5.4).

/// Handshake initiation, section 5.4.2.
pub const INITIATION_LEN: usize = 148;
/// Handshake response, section 5.4.3.
pub const RESPONSE_LEN: usize = 92;
/// Cookie reply, section 5.4.7.
pub const COOKIE_REPLY_LEN: usize = 64;
/// Transport data without its payload, section 5.4.6: header 16, tag 16. A keepalive is just this.
pub const DATA_OVERHEAD: usize = 32;
/// First message counter that is refused: `REJECT_AFTER_MESSAGES`, 2^64 − 2^13 − 1 (section 6.1). boringtun does not check it.
pub(crate) const COUNTER_END: u64 = u64::MAX - (1 << 13);

/// A message's kind and what it is addressed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Message {
    Initiation,
    Response { receiver: Receiver },
    CookieReply { receiver: Receiver },
    Data { receiver: Receiver, counter: u64 },
}

impl Message {
    /// Returns whom it is addressed to; an initiation names nobody.
    pub(crate) fn receiver(self) -> Option<Receiver> {
        match self {
            Self::Initiation => None,
            Self::Response { receiver } | Self::CookieReply { receiver } | Self::Data { receiver, .. } => {
                Some(receiver)
            }
        }
    }
}

/// A receiver index as this gateway gave it out: 24 bits name the tunnel, 8 bits the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Receiver(pub(crate) u32);

impl Receiver {
    /// The tunnel's part.
    pub(crate) fn tunnel(self) -> u32 {
        self.0 >> 8
    }
}

/// Tells a datagram's kind; `None` for what is no WireGuard message.
pub(crate) fn classify(datagram: &[u8]) -> Option<Message> {
    // Type and three reserved zero bytes, read as one little-endian word.
    let kind = word(datagram, 0)?;
    match (kind, datagram.len()) {
        (1, INITIATION_LEN) => Some(Message::Initiation),
        (2, RESPONSE_LEN) => Some(Message::Response { receiver: Receiver(word(datagram, 8)?) }),
        (3, COOKIE_REPLY_LEN) => Some(Message::CookieReply { receiver: Receiver(word(datagram, 4)?) }),
        (4, DATA_OVERHEAD..) => {
            let (low, high) = (word(datagram, 8)?, word(datagram, 12)?);
            Some(Message::Data {
                receiver: Receiver(word(datagram, 4)?),
                counter: u64::from(high) << 32 | u64::from(low),
            })
        }
        _ => None,
    }
}

/// Returns the sender index of a handshake message.
pub(crate) fn sender(datagram: &[u8]) -> Option<Receiver> {
    word(datagram, 4).map(Receiver)
}

fn word(datagram: &[u8], at: usize) -> Option<u32> {
    datagram.get(at..)?.first_chunk::<4>().map(|bytes| u32::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn type_and_length_must_agree() {
        for (kind, len) in [(1, INITIATION_LEN), (2, RESPONSE_LEN), (3, COOKIE_REPLY_LEN)] {
            let mut datagram = vec![0; len];
            datagram[0] = kind;
            assert!(classify(&datagram).is_some());
            datagram.push(0);
            assert_eq!(classify(&datagram), None);
        }
        let mut reserved = vec![0; INITIATION_LEN];
        (reserved[0], reserved[3]) = (1, 1);
        assert_eq!(classify(&reserved), None);
        assert_eq!(classify(&[4, 0, 0, 0]), None);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(datagram in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = classify(&datagram);
            let _ = sender(&datagram);
        }
    }
}
