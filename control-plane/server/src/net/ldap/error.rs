//! Why a round has no answer.

use std::io;
use std::path::PathBuf;

use doorward_model::repeatable;

/// Longest sentence of a directory that is repeated, in characters.
const TEXT_CHARS_MAX: usize = 200;

/// Why a directory could not be read to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LdapError {
    /// Nobody listens there, or nobody can be reached.
    #[error("{place} cannot be reached")]
    Reach {
        /// Host and port.
        place: String,
        /// What the system said.
        source: io::Error,
    },
    /// Its certificate is not trusted, or it speaks no TLS.
    #[error("{place} cannot be trusted: check `ca_file`, and that its certificate has the name in `url`")]
    Untrusted {
        /// Host and port.
        place: String,
        /// What TLS said.
        source: io::Error,
    },
    /// It does not go over to TLS.
    #[error("the directory refuses StartTLS: write `url = \"ldaps://…\"`")]
    StartTls,
    /// The file with the password cannot be read, or is empty.
    #[error("{}: the password cannot be read", path.display())]
    Password {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It does not take the account.
    #[error("the directory refuses {dn}: check `bind_dn` and the password ({said})")]
    Bind {
        /// Who asked.
        dn: String,
        /// Code and text.
        said: String,
        /// The code.
        code: u32,
    },
    /// The search did not end in success.
    #[error("the search at {base} did not end well: {said}{hint}")]
    Search {
        /// Where.
        base: String,
        /// Code and text.
        said: String,
        /// What to do.
        hint: &'static str,
        /// The code.
        code: u32,
    },
    /// It sent more than is read.
    #[error("the directory sent {0}: narrow `base` or `filter`")]
    TooMuch(String),
    /// What it sent is no LDAP.
    #[error("the directory sent {0}")]
    Unreadable(String),
    /// It took too long.
    #[error("the directory was not read to its end within {0} s")]
    Slow(u64),
    /// It hung up.
    #[error("the directory closed the connection")]
    Closed,
    /// The connection broke.
    #[error("the connection broke")]
    Io(#[source] io::Error),
    /// The library could not go on.
    #[error("the connection broke")]
    Library(#[source] ldap3::LdapError),
    /// An address of ours.
    #[error("the connection broke")]
    Url(#[from] url::ParseError),
}

/// RFC 4511, section 4.1.9, as far as a search or a bind ends with them.
const CODES: &[(u32, &str)] = &[
    (1, "operationsError"),
    (2, "protocolError"),
    (3, "timeLimitExceeded"),
    (4, "sizeLimitExceeded"),
    (8, "strongerAuthRequired"),
    (10, "referral"),
    (11, "adminLimitExceeded"),
    (13, "confidentialityRequired"),
    (32, "noSuchObject"),
    (34, "invalidDNSyntax"),
    (48, "inappropriateAuthentication"),
    (49, "invalidCredentials"),
    (50, "insufficientAccessRights"),
    (51, "busy"),
    (52, "unavailable"),
    (53, "unwillingToPerform"),
];

/// Codes that another time may do without.
const PASSING: [u32; 4] = [3, 51, 52, 80];

fn said(code: u32, text: &str) -> String {
    let name =
        CODES.iter().find(|(known, _)| *known == code).map_or_else(|| code.to_string(), |(_, name)| (*name).into());
    let text = repeatable(text, TEXT_CHARS_MAX);
    if text.is_empty() { name } else { format!("{name}, {text}") }
}

impl From<ldap3::LdapError> for LdapError {
    fn from(error: ldap3::LdapError) -> Self {
        use ldap3::LdapError::{EndOfStream, IdScrubSend, OpSend, ResultRecv};
        // The library's end of the connection is gone, because the other one is.
        if matches!(error, EndOfStream | IdScrubSend { .. } | OpSend { .. } | ResultRecv { .. }) {
            Self::Closed
        } else {
            Self::Library(error)
        }
    }
}

impl LdapError {
    pub(super) fn bind(dn: &str, code: u32, text: &str) -> Self {
        Self::Bind { dn: dn.to_owned(), said: said(code, text), code }
    }

    pub(super) fn search(base: &str, code: u32, text: &str) -> Self {
        let hint = match code {
            1 | 50 => ": let the account of `bind_dn` read there",
            4 | 11 => ": let the account of `bind_dn` read without a limit, or narrow `filter`",
            10 | 32 => ": check `base`",
            _ => "",
        };
        Self::Search { base: base.to_owned(), said: said(code, text), hint, code }
    }

    /// Says whether waiting does not mend it.
    pub(crate) fn needs_a_person(&self) -> bool {
        match self {
            Self::Untrusted { .. } | Self::StartTls | Self::Password { .. } | Self::TooMuch(_) => true,
            Self::Bind { code, .. } | Self::Search { code, .. } => !PASSING.contains(code),
            Self::Reach { .. }
            | Self::Unreadable(_)
            | Self::Slow(_)
            | Self::Closed
            | Self::Io(_)
            | Self::Library(_)
            | Self::Url(_) => false,
        }
    }

    /// Says why in one line, with what lies behind it.
    pub(crate) fn reason(&self) -> String {
        let mut text = self.to_string();
        if let Some(source) = std::error::Error::source(self) {
            text.push_str(&format!(": {source}"));
        }
        repeatable(&text, 2 * TEXT_CHARS_MAX)
    }
}
