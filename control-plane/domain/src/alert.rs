//! What a person should look at.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use doorward_model::{DeviceId, Email, GatewayEvent, GatewayEventKind, GatewayName, Timestamp};
use serde::{Deserialize, Serialize};

use crate::Denial;

/// What kind of alert it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertKind {
    /// A gateway saw it.
    Gateway(GatewayEventKind),
    /// A connected gateway did not confirm a revocation in time.
    ReceiptMissing,
    /// A gateway stopped asking for heartbeats.
    GatewayLost,
    /// The control plane's clock jumped.
    ServerClockJumped,
    /// A passkey's counter went back, which means that there is a copy of it.
    PasskeyCopied,
    /// An account or a source was locked after too many wrong attempts.
    SignInLocked,
    /// Somebody who can sign in already was given a link that replaces what they sign in with.
    InvitedAgain,
    /// The database is an older copy than what was seen before.
    DatabaseOlder,
    /// The database took no revocation, so it was kept on the control plane's own disk.
    RevocationJournalled,
    /// What was kept so is written to the database.
    JournalWritten,
    /// The portal's certificate ends soon, and no other has come.
    CertificateEnds,
    /// Somebody was suspended because nobody saw them for long, or so many would have been that somebody has to look first.
    Disuse,
    /// A directory disabled or took back more people at once than it may.
    DirectoryBrake,
    /// A directory said something about who is active that cannot be read.
    DirectoryUnreadable,
    /// A directory that is asked for its people does not answer, or not so that it can be believed; or it does again.
    DirectorySilent,
}

/// The kinds with their words; a gateway's kinds are written as the feed writes them.
const WORDS: &[(AlertKind, &str)] = &[
    (AlertKind::Gateway(GatewayEventKind::RevokedKeyKnocked), "revoked_key_knocked"),
    (AlertKind::Gateway(GatewayEventKind::Denied), "denied"),
    (AlertKind::Gateway(GatewayEventKind::SpoofedSource), "spoofed_source"),
    (AlertKind::Gateway(GatewayEventKind::EndpointMoved), "endpoint_moved"),
    (AlertKind::Gateway(GatewayEventKind::KeyUsedTwice), "key_used_twice"),
    (AlertKind::Gateway(GatewayEventKind::Connected), "connected"),
    (AlertKind::Gateway(GatewayEventKind::AuthorityLost), "authority_lost"),
    (AlertKind::Gateway(GatewayEventKind::AuthorityRegained), "authority_regained"),
    (AlertKind::Gateway(GatewayEventKind::ClockJumped), "clock_jumped"),
    (AlertKind::ReceiptMissing, "receipt_missing"),
    (AlertKind::GatewayLost, "gateway_lost"),
    (AlertKind::ServerClockJumped, "server_clock_jumped"),
    (AlertKind::PasskeyCopied, "passkey_copied"),
    (AlertKind::SignInLocked, "sign_in_locked"),
    (AlertKind::InvitedAgain, "invited_again"),
    (AlertKind::DatabaseOlder, "database_older"),
    (AlertKind::RevocationJournalled, "revocation_journalled"),
    (AlertKind::JournalWritten, "journal_written"),
    (AlertKind::CertificateEnds, "certificate_ends"),
    (AlertKind::Disuse, "disuse"),
    (AlertKind::DirectoryBrake, "directory_brake"),
    (AlertKind::DirectoryUnreadable, "directory_unreadable"),
    (AlertKind::DirectorySilent, "directory_silent"),
];

impl AlertKind {
    /// Returns the word for it, as the API and the store write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        WORDS.iter().find(|(kind, _)| *kind == self).map_or("unknown", |(_, word)| word)
    }

    /// Says whether somebody should look soon; the rest is the record of an ordinary day.
    #[must_use]
    pub const fn is_urgent(self) -> bool {
        match self {
            Self::Gateway(
                GatewayEventKind::RevokedKeyKnocked
                | GatewayEventKind::SpoofedSource
                | GatewayEventKind::KeyUsedTwice
                | GatewayEventKind::AuthorityLost
                | GatewayEventKind::ClockJumped,
            )
            | Self::ReceiptMissing
            | Self::GatewayLost
            | Self::ServerClockJumped
            | Self::PasskeyCopied
            | Self::SignInLocked
            | Self::InvitedAgain
            | Self::DatabaseOlder
            | Self::RevocationJournalled
            | Self::JournalWritten
            | Self::CertificateEnds
            | Self::Disuse
            | Self::DirectoryBrake
            | Self::DirectoryUnreadable
            | Self::DirectorySilent => true,
            Self::Gateway(
                GatewayEventKind::Denied
                | GatewayEventKind::EndpointMoved
                | GatewayEventKind::Connected
                | GatewayEventKind::AuthorityRegained,
            ) => false,
        }
    }
}

impl fmt::Display for AlertKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for AlertKind {
    type Err = Denial;

    fn from_str(text: &str) -> Result<Self, Denial> {
        let found = WORDS.iter().find(|(_, word)| *word == text).map(|(kind, _)| *kind);
        found.ok_or_else(|| Denial::invalid("this is no kind of alert: see the API's documentation for the list"))
    }
}

/// One alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    /// When, on the clock of whoever saw it.
    pub at: Timestamp,
    /// What kind.
    pub kind: AlertKind,
    /// Which gateway, where one is concerned.
    pub gateway: Option<GatewayName>,
    /// Which device, where one is known.
    pub device: Option<DeviceId>,
    /// Whose, where it is known.
    pub email: Option<Email>,
    /// From where, on the outside.
    pub source: Option<SocketAddr>,
    /// One sentence with the names in it.
    pub message: String,
    /// How often, at least 1.
    pub count: u64,
}

/// Longest alert message kept, in characters: a gateway could be compromised, and a row stays a row.
const MESSAGE_CHARS_MAX: usize = 500;

impl Alert {
    /// Takes over what a gateway reported, with its message cut to one short line.
    #[must_use]
    pub fn from_gateway(gateway: &GatewayName, event: GatewayEvent) -> Self {
        let GatewayEvent { at, kind, device, email, source, message, count } = event;
        let message = doorward_model::repeatable(&message, MESSAGE_CHARS_MAX);
        Self {
            at,
            kind: AlertKind::Gateway(kind),
            gateway: Some(gateway.clone()),
            device,
            email,
            source,
            message,
            count: count.max(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateways_kinds_have_the_words_of_the_feed_and_each_reads_back() {
        for (kind, word) in WORDS {
            assert_eq!(word.parse::<AlertKind>(), Ok(*kind));
            if let AlertKind::Gateway(kind) = kind {
                assert_eq!(serde_json::to_string(kind).unwrap(), format!("\"{word}\""));
            }
        }
        assert!("unknown".parse::<AlertKind>().is_err());
    }

    #[test]
    fn a_gateway_cannot_send_a_line_break_or_a_novel() {
        let event = GatewayEvent {
            at: Timestamp::UNIX_EPOCH,
            kind: GatewayEventKind::Denied,
            device: None,
            email: None,
            source: None,
            message: format!("a\n{}", "b".repeat(2000)),
            count: 0,
        };
        let alert = Alert::from_gateway(&"main".parse().unwrap(), event);
        assert_eq!((alert.message.chars().count(), alert.count), (500, 1));
        assert!(!alert.message.contains('\n'));
    }
}
