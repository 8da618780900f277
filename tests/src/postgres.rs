//! A PostgreSQL of a scenario's own, which can be killed, frozen and started again.

use std::net::IpAddr;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::netns::Namespace;
use crate::process::children;
use crate::wait::wait_until;

/// How long `initdb` and a recovery may take on a busy machine.
const START: Duration = Duration::from_secs(60);

/// The server, on a Unix socket in a folder of its own.
#[derive(Debug)]
pub struct Postgres {
    server: Option<Child>,
    programs: PathBuf,
    folder: TempDir,
    /// Where it answers over TCP.
    over_tcp: Option<(Namespace, IpAddr)>,
}

impl Postgres {
    /// Makes a cluster and serves it.
    ///
    /// # Panics
    /// Where PostgreSQL is not installed.
    #[must_use]
    pub fn start() -> Self {
        Self::made(None)
    }

    /// Makes a cluster that answers over TCP as well, at an address of a namespace, to anybody who gets there.
    #[must_use]
    pub fn start_in(machine: &Namespace, address: IpAddr) -> Self {
        Self::made(Some((Namespace::of(machine.name().to_owned()), address)))
    }

    fn made(over_tcp: Option<(Namespace, IpAddr)>) -> Self {
        let versions = std::fs::read_dir("/usr/lib/postgresql").expect("PostgreSQL: apt install postgresql");
        let programs =
            versions.flatten().map(|version| version.path().join("bin")).find(|bin| bin.join("initdb").exists());
        let programs = programs.expect("PostgreSQL: apt install postgresql");
        // Not in TMPDIR: a Unix socket's path has 107 bytes at most, and another user has to get there.
        let folder = tempfile::Builder::new().prefix("doorward-pg-").tempdir_in("/tmp").expect("a folder in /tmp");
        let mut postgres = Self { server: None, programs, folder, over_tcp };
        chown(postgres.path(), Some(id("-u")), Some(id("-g"))).expect("giving a folder away");
        let made = postgres
            .command("initdb")
            .args(["-A", "trust", "-U", "doorward", "-E", "UTF8", "--locale=C", "--no-sync"])
            .stdout(Stdio::null())
            .status();
        assert!(made.expect("initdb").success());
        if postgres.over_tcp.is_some() {
            let file = postgres.path().join("data/pg_hba.conf");
            let rules = std::fs::read_to_string(&file).expect("a cluster has rules");
            std::fs::write(&file, format!("{rules}\nhost all all all trust\n")).expect("writing rules");
        }
        postgres.serve();
        postgres
    }

    /// `[server] database` for it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("postgres://doorward@{}/postgres", self.path().display().to_string().replace('/', "%2F"))
    }

    /// Serves again after [`Postgres::kill`], and waits until it answers.
    pub fn serve(&mut self) {
        let socket = self.path().to_str().expect("a path in /tmp is UTF-8").to_owned();
        let server = self
            .command("postgres")
            .args(["-k", &socket, "-c", &format!("listen_addresses={}", self.listens())])
            // Shared memory in files of the cluster: a killed server leaves none of the machine's behind.
            .args(["-c", "fsync=off", "-c", "dynamic_shared_memory_type=mmap"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("postgres");
        self.server = Some(server);
        let ready = || {
            let asked = Command::new(self.programs.join("pg_isready")).args(["-q", "-h", &socket]).status();
            asked.is_ok_and(|status| status.success())
        };
        wait_until("PostgreSQL to answer", START, ready);
    }

    fn listens(&self) -> String {
        self.over_tcp.as_ref().map_or_else(String::new, |(_, address)| address.to_string())
    }

    /// Asks as a program on this machine does, and returns the answer's only value.
    #[must_use]
    pub fn asked(&self, question: &str) -> String {
        let socket = self.path().display().to_string();
        let asked = ["-h", &socket, "-U", "doorward", "-d", "postgres", "-A", "-t", "-c", question];
        let answer = Command::new(self.programs.join("psql")).args(asked).current_dir("/").output().expect("psql");
        assert!(answer.status.success(), "{question}: {}", String::from_utf8_lossy(&answer.stderr));
        String::from_utf8_lossy(&answer.stdout).trim().to_owned()
    }

    /// Kills it, keeps what it has, and serves again.
    pub fn keep(&mut self) {
        self.kill();
        self.copy("data", "kept");
        self.serve();
    }

    /// Puts back what was kept, as a fail-over to an older standby does. It is to be killed before, and served after.
    pub fn put_back(&self) {
        std::fs::remove_dir_all(self.path().join("data")).expect("removing a cluster");
        self.copy("kept", "data");
    }

    fn copy(&self, from: &str, to: &str) {
        let copied = Command::new("cp").arg("-a").args([self.path().join(from), self.path().join(to)]).status();
        assert!(copied.expect("cp").success());
    }

    /// Kills all of it (`kill -9`).
    pub fn kill(&mut self) {
        if let Some(mut server) = self.server.take() {
            // Each backend has a session of its own; they end when nobody looks after them any more.
            let _ = server.kill();
            let _ = server.wait();
            // What a killed server leaves says that it runs.
            let _ = std::fs::remove_file(self.path().join("data/postmaster.pid"));
        }
    }

    /// Stops all of it where it stands, connections and all.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let server = self.server.as_ref().expect("a server that runs");
        // The one that starts the others comes first, so that none is started in between.
        let backends = || children(server.id()).into_iter().map(|(pid, _)| pid);
        for pid in std::iter::once(server.id()).chain(backends()) {
            let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a process id");
            let _ = kill_process(pid, signal);
        }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A program of PostgreSQL's, as a user who is not root, on the cluster's folder.
    fn command(&self, program: &str) -> Command {
        let mut command = match &self.over_tcp {
            Some((machine, _)) => machine.command("setpriv"),
            None => Command::new("setpriv"),
        };
        let (user, group) = (format!("--reuid={}", id("-u")), format!("--regid={}", id("-g")));
        command.args(["--pdeathsig", "KILL", &user, &group, "--clear-groups"]);
        command.arg(self.programs.join(program)).arg("-D").arg(self.path().join("data")).current_dir("/");
        command
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if self.server.is_some() {
            self.thaw();
        }
        self.kill();
    }
}

fn id(which: &str) -> u32 {
    let output = Command::new("id").args([which, "postgres"]).output().expect("id");
    String::from_utf8_lossy(&output.stdout).trim().parse().expect("a user named postgres: apt install postgresql")
}
