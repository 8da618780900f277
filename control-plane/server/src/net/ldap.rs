//! A directory that is asked for its people over LDAP (RFC 4511), page by page (RFC 2696).
//!
//! `wire.rs` has the connection, TLS and the bounds of what is read, `entry.rs` what an entry says of somebody. Nothing of ours
//! goes into a filter. A search that does not end in success, or whose last page did not come, is no answer.

mod entry;
mod error;
mod settings;
mod wire;

use std::future::pending;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use doorward_domain::RoundAnswer;
use doorward_model::{SourceName, Timestamp};
use ldap3::controls::{Control, ControlType, PagedResults};
use ldap3::{LdapConnAsync, LdapConnSettings, LdapResult, Scope, SearchEntry, SearchOptions, StdStream};
use tokio::io::{copy, split};
use tokio::net::UnixStream;
use tokio::sync::Mutex;
use tokio_util::task::AbortOnDropHandle;
use url::Url;

pub(crate) use self::error::LdapError;
use self::settings::Secret;
use self::wire::{Place, check_shape};

/// How long reading a directory may take. Past a minute the turn would be another replica's.
const READ_MAX: Duration = Duration::from_secs(50);
/// Entries asked for at a time: directories give 1,000 at most unless somebody set more.
const PAGE_ENTRIES: i32 = 500;
/// Entries read in one round.
const ENTRIES_MAX: usize = 200_000;

/// The configured directory.
#[derive(Debug)]
pub(crate) struct Ldap {
    /// The source's name.
    pub(crate) name: SourceName,
    /// How often it is asked.
    pub(crate) every: Duration,
    /// Where it is, as it was written.
    pub(crate) url: String,
    /// A digest of what is asked and how.
    pub(crate) settings: Vec<u8>,
    /// Held while a round goes on: in one process there is one at a time.
    pub(crate) round: Mutex<()>,
    asked: Arc<Asked>,
}

/// What is asked, and of whom.
#[derive(Debug)]
struct Asked {
    place: Place,
    bind: Option<(String, Secret)>,
    base: String,
    filter: String,
    email: Vec<String>,
}

impl Ldap {
    /// Reads everybody. What is read belongs to the moment when the reading began.
    pub(crate) async fn read(&self, now: Timestamp) -> Result<RoundAnswer, LdapError> {
        let asked = Arc::clone(&self.asked);
        // A task of its own: the library panics at some messages that make no sense, and that is the end of one round.
        let reading = AbortOnDropHandle::new(tokio::spawn(async move { asked.read(now).await }));
        match tokio::time::timeout(READ_MAX, reading).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(LdapError::Unreadable("a message that makes no sense".to_owned())),
            Err(_) => Err(LdapError::Slow(READ_MAX.as_secs())),
        }
    }
}

impl Asked {
    async fn read(&self, now: Timestamp) -> Result<RoundAnswer, LdapError> {
        let stream = self.place.connect().await?;
        let pair = StdUnixStream::pair().and_then(|(ours, theirs)| {
            ours.set_nonblocking(true)?;
            Ok((UnixStream::from_std(ours)?, theirs))
        });
        let (ours, theirs) = pair.map_err(LdapError::Io)?;
        let settings = LdapConnSettings::new().set_std_stream(StdStream::Unix(theirs));
        let (connection, ldap) = LdapConnAsync::from_url_with_settings(settings, &Url::parse("ldapi:///")?).await?;
        let (mut from, mut to) = split(stream);
        let (mut asking, mut heard) = ours.into_split();
        // Where the connection ends, what came before is still read: a directory may say why and hang up. The library's end of it
        // ends with that, and `ask` hears so.
        let hearing = async {
            let why = wire::hear(&mut from, &mut heard).await;
            if !matches!(why, LdapError::Closed | LdapError::Io(_)) {
                return why;
            }
            drop(heard);
            pending().await
        };
        let carrying = async {
            let _ = copy(&mut asking, &mut to).await;
            pending::<()>().await;
        };
        let driving = async {
            let _ = connection.drive().await;
            pending::<()>().await;
        };
        tokio::select! {
            answer = self.ask(ldap, now) => answer,
            refused = hearing => Err(refused),
            () = carrying => Err(LdapError::Closed),
            () = driving => Err(LdapError::Closed),
        }
    }

    async fn ask(&self, mut ldap: ldap3::Ldap, now: Timestamp) -> Result<RoundAnswer, LdapError> {
        if let Some((dn, secret)) = &self.bind {
            let password = secret.read()?;
            let LdapResult { rc, text, .. } = ldap.simple_bind(dn, &password).await?;
            if rc != 0 {
                return Err(LdapError::bind(dn, rc, &text));
            }
        }
        let mut answer = RoundAnswer::default();
        let (mut cookie, mut entries) = (Vec::new(), 0_usize);
        loop {
            let page = PagedResults { size: PAGE_ENTRIES, cookie };
            let limit = i32::try_from(READ_MAX.as_secs()).unwrap_or(i32::MAX);
            ldap.with_controls(page).with_search_options(SearchOptions::new().timelimit(limit));
            let mut found =
                ldap.streaming_search(&self.base, Scope::Subtree, &self.filter, entry::attributes(&self.email)).await?;
            while let Some(item) = found.next().await? {
                // Where the rest of the tree is kept is not followed: it is asked there, as a base of its own.
                if item.is_ref() || item.is_intermediate() {
                    continue;
                }
                entries = entries.saturating_add(1);
                if entries > ENTRIES_MAX {
                    return Err(LdapError::TooMuch(format!("more than {ENTRIES_MAX} entries")));
                }
                let entry = entry::Entry::read(SearchEntry::construct(item), &self.email, now);
                entry.emails.into_iter().for_each(|email| answer.add(email, entry.enabled));
            }
            let ended = found.finish().await;
            if ended.rc != 0 {
                return Err(LdapError::search(&self.base, ended.rc, &ended.text));
            }
            cookie = next_page(&ended)?;
            if cookie.is_empty() {
                return Ok(answer);
            }
        }
    }
}

/// Returns what the next page is asked for with: nothing after the last one, and where the directory knows no pages.
fn next_page(ended: &LdapResult) -> Result<Vec<u8>, LdapError> {
    let of_pages = |control: &&Control| matches!(control.0, Some(ControlType::PagedResults));
    let Some(Control(_, control)) = ended.ctrls.iter().find(of_pages) else { return Ok(Vec::new()) };
    check_shape(control.val.as_deref().unwrap_or_default())?;
    Ok(control.parse::<PagedResults>().cookie)
}

/// Says why a file that `[ldap]` names cannot be used.
fn file(key: &str, path: &Path, why: &dyn std::fmt::Display) -> String {
    format!("`{key}`: {} cannot be used ({why})", path.display())
}
