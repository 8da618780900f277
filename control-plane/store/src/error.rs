//! What can go wrong with the database, in words for whoever runs it.

use doorward_domain::EnrolmentRefusal;

/// Why the store could not do it. Nothing was changed when one of these comes back.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The `database` setting cannot be read.
    #[error("`{url}` is no database: write sqlite:FILE (relative to the data folder) or postgres://USER@HOST/NAME")]
    Url {
        /// The setting, without its password.
        url: String,
    },
    /// The database could not be opened.
    #[error(
        "cannot open the database {database}: check that the path or the server exists and that this user may use it"
    )]
    Open {
        /// Which one, without a password.
        database: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A newer program wrote it.
    #[error(
        "the database has schema version {found}, and this program knows versions up to {known}: run the newer doorward"
    )]
    NewerSchema {
        /// The version found.
        found: i64,
        /// The newest version this program knows.
        known: i64,
    },
    /// A migration failed; the database is as it was before it.
    #[error(
        "bringing the database to this program's schema failed: keep a copy of it and run the doorward that wrote it"
    )]
    Migrate(#[source] Box<sqlx::migrate::MigrateError>),
    /// No space left.
    #[error("the disk of the database is full, so nothing was changed: free some space and try again")]
    Full(#[source] sqlx::Error),
    /// Writing is not allowed.
    #[error(
        "the database cannot be written: check the rights of its file and folder, or that the server is no standby"
    )]
    ReadOnly(#[source] sqlx::Error),
    /// Somebody else holds it for too long.
    #[error(
        "the database is busy, so nothing was changed: try again, and look for another program that holds it if this goes on"
    )]
    Busy(#[source] sqlx::Error),
    /// The server does not answer.
    #[error("the database does not answer, so nothing was changed: check that it runs and can be reached")]
    Unreachable(#[source] sqlx::Error),
    /// The server did not answer in time.
    #[error("the database did not answer in time: look whether it was done before you try again")]
    Silent,
    /// Decisions wait to be written first.
    #[error(
        "revocations that were decided while the database did not answer are being written first: try again in a moment, and \
         see `doorward status` if this goes on"
    )]
    HeldBack,
    /// It exists already, or its state excludes this.
    #[error("{what}")]
    Conflict {
        /// A sentence that names it and says what to do.
        what: String,
    },
    /// It does not exist.
    #[error("{what}")]
    NotFound {
        /// A sentence that names it and says what to do.
        what: String,
    },
    /// Every address is taken or resting.
    #[error(
        "all {slots} addresses of `[network]` are taken or resting ({resting} rest for 24 h after a revocation): \
         revoke devices, wait, or choose a larger network"
    )]
    PoolFull {
        /// How many there are.
        slots: u32,
        /// How many of them rest.
        resting: u64,
    },
    /// Every service address is taken or resting.
    #[error(
        "all {slots} service addresses of `[network]` are taken or resting ({resting} rest for 24 h after their resource \
         was removed): remove resources, wait, or choose a larger network"
    )]
    ServicePoolFull {
        /// How many there are.
        slots: u32,
        /// How many of them rest.
        resting: u64,
    },
    /// A gateway may not enrol.
    #[error(transparent)]
    Enrolment(#[from] EnrolmentRefusal),
    /// What was read is not what was written: a bug, or somebody edited the database by hand.
    #[error(
        "the database holds a {column} that cannot be read: restore it from a copy, and report this if nobody edited it by hand"
    )]
    Corrupt {
        /// Which column.
        column: &'static str,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Anything else.
    #[error("a database query failed, and nothing was changed")]
    Query(#[source] sqlx::Error),
}

impl StoreError {
    /// A conflict, with its sentence.
    pub(crate) fn conflict(what: impl Into<String>) -> Self {
        Self::Conflict { what: what.into() }
    }

    /// Something that does not exist, with its sentence.
    pub(crate) fn not_found(what: impl Into<String>) -> Self {
        Self::NotFound { what: what.into() }
    }

    /// A value that cannot be read back.
    pub(crate) fn corrupt(column: &'static str, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Corrupt { column, source: Box::new(source) }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        if let sqlx::Error::Database(database) = &error {
            let code = database.code().unwrap_or_default().into_owned();
            if database.is_unique_violation() {
                return Self::conflict(format!(
                    "this exists already ({}): look at the list and choose another name or key",
                    database.message()
                ));
            }
            return match class_of(&code) {
                Class::Full => Self::Full(error),
                Class::ReadOnly => Self::ReadOnly(error),
                Class::Busy => Self::Busy(error),
                Class::Unreachable => Self::Unreachable(error),
                Class::Other => Self::Query(error),
            };
        }
        if matches!(error, sqlx::Error::PoolTimedOut) {
            return Self::Busy(error);
        }
        if matches!(
            error,
            sqlx::Error::Io(_)
                | sqlx::Error::Tls(_)
                | sqlx::Error::PoolClosed
                | sqlx::Error::WorkerCrashed
                | sqlx::Error::BeginFailed
        ) {
            return Self::Unreachable(error);
        }
        Self::Query(error)
    }
}

enum Class {
    Full,
    ReadOnly,
    Busy,
    Unreachable,
    Other,
}

/// Sorts SQLite's extended result codes (decimal; the primary code is the low byte) and PostgreSQL's SQLSTATEs (five
/// characters, <https://www.postgresql.org/docs/current/errcodes-appendix.html>).
fn class_of(code: &str) -> Class {
    if code.len() == 5 {
        return match code {
            "53100" | "53200" => Class::Full,
            "25006" | "42501" => Class::ReadOnly,
            "55P03" | "40001" | "40P01" | "53300" | "57014" => Class::Busy,
            // 55000: the database takes no connections.
            _ if code.starts_with("08") || code.starts_with("57P") || code == "55000" => Class::Unreachable,
            _ => Class::Other,
        };
    }
    match code.parse::<u32>().map(|code| code & 0xff) {
        Ok(13) => Class::Full,
        Ok(8 | 3 | 23) => Class::ReadOnly,
        Ok(5 | 6) => Class::Busy,
        // An I/O error or a file that cannot be opened.
        Ok(10 | 14) => Class::Unreachable,
        Ok(_) | Err(_) => Class::Other,
    }
}
