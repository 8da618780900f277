//! Fresh databases for tests: an SQLite file in a folder of its own, or a database on a real PostgreSQL.
//!
//! The PostgreSQL is the one that `DOORWARD_TEST_POSTGRES` names (a `postgres://` URL of a superuser), else a private
//! one that is started once for each test process, on a Unix socket in a temporary folder, and that ends and cleans up
//! when that process does, however it does: its keeper waits for the end of a pipe.

use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _};
use tempfile::TempDir;
use uuid::Uuid;

use crate::{Store, StoreError};

/// Longest wait for the private server: `initdb` alone takes seconds on a busy machine.
const START_WAIT_MAX: Duration = Duration::from_secs(90);

/// Why there is no database to test on.
#[derive(Debug, thiserror::Error)]
pub enum TestSupportError {
    /// No server programs.
    #[error(
        "these tests need a real PostgreSQL and found none: run `apt install postgresql`, or set DOORWARD_TEST_POSTGRES to a superuser's URL"
    )]
    NoPostgres,
    /// The private server did not come up.
    #[error("the private PostgreSQL did not start: {log}")]
    Start {
        /// What it said.
        log: String,
    },
    /// A file, folder or process.
    #[error("preparing the test database failed: {what}")]
    Io {
        /// What failed.
        what: &'static str,
        /// Why.
        source: std::io::Error,
    },
    /// The server refused.
    #[error("the test server refused")]
    Sql(#[from] sqlx::Error),
}

fn io(what: &'static str) -> impl FnOnce(std::io::Error) -> TestSupportError {
    move |source| TestSupportError::Io { what, source }
}

/// A database of its own for one test, with a data folder; it goes when this is dropped.
#[derive(Debug)]
pub struct TestDatabase {
    url: String,
    data_dir: TempDir,
    /// The server's URL and the database's name, where it has to be dropped on somebody's server.
    to_drop: Option<(String, String)>,
}

impl TestDatabase {
    /// Makes an SQLite database.
    ///
    /// # Errors
    /// Where no folder can be made.
    pub async fn sqlite() -> Result<Self, TestSupportError> {
        Ok(Self { url: "sqlite:doorward.db".to_owned(), data_dir: data_dir()?, to_drop: None })
    }

    /// Makes a PostgreSQL database.
    ///
    /// # Errors
    /// Where there is no PostgreSQL, with what to install; or it did not start.
    pub async fn postgres() -> Result<Self, TestSupportError> {
        let given = std::env::var("DOORWARD_TEST_POSTGRES").ok();
        let server = match &given {
            Some(url) => url.clone(),
            None => tokio::task::spawn_blocking(private_server).await.map_err(|_| TestSupportError::NoPostgres)??,
        };
        let name = format!("doorward_test_{}", Uuid::now_v7().simple());
        sql(&server, format!("CREATE DATABASE {name} TEMPLATE template0")).await?;
        let url = with_database(&server, &name);
        Ok(Self { url, data_dir: data_dir()?, to_drop: given.map(|server| (server, name)) })
    }

    /// The `database` setting for it.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The data folder beside it.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        self.data_dir.path()
    }

    /// Runs statements at the server, beside the database; on PostgreSQL alone.
    ///
    /// # Errors
    /// Where the server refuses.
    pub async fn at_server(&self, statements: &[&str]) -> Result<(), TestSupportError> {
        for statement in statements {
            sql(&with_database(&self.url, "postgres"), statement.replace("{name}", self.name())).await?;
        }
        Ok(())
    }

    /// The database's name at its server.
    #[must_use]
    pub fn name(&self) -> &str {
        let path = self.url.split('?').next().unwrap_or_default();
        path.rsplit('/').next().unwrap_or_default()
    }

    /// Opens it; twice for two replicas.
    ///
    /// # Errors
    /// Any [`StoreError`] of opening.
    pub async fn open(&self) -> Result<Store, StoreError> {
        Store::open(&self.url, self.data_dir()).await
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let Some((server, name)) = self.to_drop.take() else { return };
        // A thread with a runtime of its own, because a runtime cannot be entered from within another.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime
                .map(|runtime| runtime.block_on(sql(&server, format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"))))
        });
        if !matches!(dropping.join(), Ok(Ok(Ok(())))) {
            tracing::warn!("a test database was left behind");
        }
    }
}

fn data_dir() -> Result<TempDir, TestSupportError> {
    tempfile::Builder::new().prefix("doorward-store-").tempdir().map_err(io("a temporary folder"))
}

async fn sql(server: &str, statement: String) -> Result<(), TestSupportError> {
    let mut connection = server.parse::<PgConnectOptions>()?.connect().await?;
    sqlx::query(AssertSqlSafe(statement)).execute(&mut connection).await?;
    connection.close().await?;
    Ok(())
}

fn with_database(server: &str, name: &str) -> String {
    let (base, parameters) =
        server.split_once('?').map_or((server, String::new()), |(base, p)| (base, format!("?{p}")));
    let authority_start = base.find("://").map_or(0, |at| at.saturating_add(3));
    let (scheme, rest) = base.split_at(authority_start);
    let authority = rest.split_once('/').map_or(rest, |(authority, _)| authority);
    format!("{scheme}{authority}/{name}{parameters}")
}

/// The private server: its URL and its keeper, whose standard input stays open for as long as this process lives.
struct PrivateServer {
    url: String,
    _keeper: Child,
}

static PRIVATE_SERVER: Mutex<Option<PrivateServer>> = Mutex::new(None);

/// Runs as an unprivileged user (`initdb` refuses root) in a session of its own: makes a cluster, serves it, and at the
/// end of its input stops it and removes the folder.
const KEEPER: &str = r#"
cd "$1" || exit 1
"$2/initdb" -D "$1/data" -A trust -U doorward_test -E UTF8 --locale=C --no-sync >"$1/log" 2>&1 && {
    "$2/postgres" -D "$1/data" -k "$1" -c listen_addresses= -c fsync=off -c max_connections=200 >>"$1/log" 2>&1 &
    server=$!
}
cat >/dev/null
[ -n "$server" ] && kill -INT "$server" && wait "$server"
cd / && rm -rf "$1"
"#;

fn private_server() -> Result<String, TestSupportError> {
    let mut server = PRIVATE_SERVER.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(server) = server.as_ref() {
        return Ok(server.url.clone());
    }
    let programs = postgres_programs()?;
    // Not in TMPDIR: a Unix socket's path has 107 bytes at most, and another user has to get there.
    let folder =
        tempfile::Builder::new().prefix("doorward-pg-").tempdir_in("/tmp").map_err(io("a folder in /tmp"))?.keep();
    let mut command = Command::new("setsid");
    if id_of(&["-u"])? == 0 {
        let user = if id_of(&["-u", "postgres"]).is_ok() { "postgres" } else { "nobody" };
        let (uid, gid) = (id_of(&["-u", user])?, id_of(&["-g", user])?);
        chown(&folder, Some(uid), Some(gid)).map_err(io("the folder's owner"))?;
        command.args(["setpriv", &format!("--reuid={uid}"), &format!("--regid={gid}"), "--clear-groups"]);
    }
    command.args(["sh", "-c", KEEPER, "doorward-test-postgres"]).arg(&folder).arg(&programs);
    let keeper =
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().map_err(io("setsid"))?;
    // Where this fails, the keeper is dropped and its input with it: the folder goes.
    wait_until_ready(&folder, &programs)?;
    let url = format!("postgres://doorward_test@{}/postgres", folder.display().to_string().replace('/', "%2F"));
    *server = Some(PrivateServer { url: url.clone(), _keeper: keeper });
    Ok(url)
}

fn wait_until_ready(folder: &Path, programs: &Path) -> Result<(), TestSupportError> {
    let begun = Instant::now();
    while begun.elapsed() < START_WAIT_MAX {
        let ready = Command::new(programs.join("pg_isready"))
            .arg("-q")
            .arg("-h")
            .arg(folder)
            .status()
            .map_err(io("pg_isready"))?;
        if ready.success() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Err(TestSupportError::Start { log: std::fs::read_to_string(folder.join("log")).unwrap_or_default() })
}

fn id_of(arguments: &[&str]) -> Result<u32, TestSupportError> {
    let output = Command::new("id").args(arguments).output().map_err(io("id"))?;
    String::from_utf8_lossy(&output.stdout).trim().parse().map_err(|_| TestSupportError::Io {
        what: "a user id",
        source: std::io::Error::from(std::io::ErrorKind::NotFound),
    })
}

/// The newest version that Debian's packages installed, or the one in `PATH`.
fn postgres_programs() -> Result<PathBuf, TestSupportError> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let installed = versions.map(|version| version.path().join("bin")).filter(|bin| bin.join("initdb").exists());
    let newest = installed.max_by_key(|bin| {
        let version = bin.parent().and_then(Path::file_name).and_then(|name| name.to_str());
        version.and_then(|name| name.parse::<u32>().ok()).unwrap_or(0)
    });
    let path = std::env::var_os("PATH").unwrap_or_default();
    let in_path = || std::env::split_paths(&path).find(|bin| bin.join("initdb").exists());
    newest.or_else(in_path).ok_or(TestSupportError::NoPostgres)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_takes_the_place_of_the_one_in_the_url() {
        for server in ["postgres://a:b@db:5432/postgres", "postgres://a:b@db:5432"] {
            assert_eq!(with_database(server, "x"), "postgres://a:b@db:5432/x");
        }
        assert_eq!(with_database("postgres://a@db/p?sslmode=require", "x"), "postgres://a@db/x?sslmode=require");
    }
}
