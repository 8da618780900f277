//! What sources' messages need to be understood while the database cannot be read: whose token or secret counts, who is
//! behind a directory's id, and whom no source puts out.
//!
//! It is read at the start, after each change of a token, a secret or a role here, and every five minutes; what a directory
//! does here is in it at once. What another replica changed since then is not. Nothing can be done by it but taking access
//! away, into the journal, and everything of that can be taken back.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use doorward_domain::{DeliveryId, Role, Source, SourceKind, TokenHash};
use doorward_model::{AccountId, Email, SourceId, SourceName};
use tokio::sync::Notify;

use super::hooks::{self, HookKey};
use super::users::{Lookup, View, all};
use crate::app::{App, Refusal};

/// Accounts at most: some 20 MiB. Of the directories of larger companies nothing is known here.
const ACCOUNTS_MAX: usize = 10_000;
/// Messages at most that were heard while the database took nothing.
const HEARD_MAX: usize = 10_000;

/// See the module.
#[derive(Default)]
pub(crate) struct KnownSources {
    read: Mutex<Read>,
    heard: Mutex<HashSet<(SourceId, [u8; 32])>>,
    stale: Notify,
}

#[derive(Default)]
struct Read {
    tokens: HashMap<TokenHash, Source>,
    hooks: HashMap<SourceName, (Source, Vec<HookKey>)>,
    owners: HashSet<Email>,
    accounts: HashMap<AccountId, View>,
}

impl KnownSources {
    /// Whose token it is.
    pub(super) fn holder(&self, token: &TokenHash) -> Option<Source> {
        self.read().tokens.get(token).cloned()
    }

    /// A webhook, with the secrets that count.
    pub(super) fn hook(&self, name: &SourceName) -> Option<(Source, Vec<HookKey>)> {
        self.read().hooks.get(name).cloned()
    }

    /// Says whether somebody is an owner.
    pub(super) fn is_owner(&self, email: &Email) -> bool {
        self.read().owners.contains(email)
    }

    /// Finds one account of a source. `None` says nothing: it may be one that is not known here.
    pub(super) fn account(&self, source: SourceId, lookup: &Lookup) -> Option<View> {
        let read = self.read();
        let found = match lookup {
            Lookup::All => None,
            Lookup::Id(id) => read.accounts.get(id),
            Lookup::UserName(name) => {
                let name = name.to_lowercase();
                read.accounts
                    .values()
                    .find(|view| view.account.source == source && view.account.user_name.to_lowercase() == name)
            }
            Lookup::ExternalId(id) => read
                .accounts
                .values()
                .find(|view| view.account.source == source && view.account.external_id.as_ref() == Some(id)),
        };
        found.filter(|view| view.account.source == source && view.account.deleted_at.is_none()).cloned()
    }

    /// A directory's account is like this now.
    pub(super) fn put(&self, view: &View) {
        let mut read = self.read();
        if read.accounts.len() < ACCOUNTS_MAX || read.accounts.contains_key(&view.account.id) {
            read.accounts.insert(view.account.id, view.clone());
        }
    }

    /// A directory has no such account any more.
    pub(super) fn forget_account(&self, id: AccountId) {
        self.read().accounts.remove(&id);
    }

    /// Says whether a message was not heard before, and that it is heard now.
    pub(super) fn hear(&self, source: SourceId, delivery: &DeliveryId) -> bool {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        if heard.len() >= HEARD_MAX {
            // Each is good for a few minutes, and only takes away.
            heard.clear();
        }
        heard.insert((source, delivery.0))
    }

    /// What was heard was not done: it may be said again.
    pub(super) fn unhear(&self, source: SourceId, delivery: &DeliveryId) {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).remove(&(source, delivery.0));
    }

    /// A token or a secret ends: none is known until the database was read again.
    pub(crate) fn forget(&self) {
        let mut read = self.read();
        read.tokens.clear();
        read.hooks.clear();
        drop(read);
        self.reread();
    }

    /// Something changed that is to be read again.
    pub(crate) fn reread(&self) {
        self.stale.notify_one();
    }

    /// Waits until something is to be read again.
    pub(crate) async fn stale(&self) {
        self.stale.notified().await;
    }

    fn read(&self) -> MutexGuard<'_, Read> {
        // Each change above leaves it whole.
        self.read.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads all of it.
pub(crate) async fn refresh(app: &App) -> Result<(), Refusal> {
    let mut known = Read::default();
    let mut read = app.store.read().await?;
    known.tokens = read.source_tokens_all().await?.into_iter().collect();
    for source in read.sources().await? {
        match source.kind {
            SourceKind::Scim => {
                let views = all(&mut read, &source).await?;
                if known.accounts.len().saturating_add(views.len()) <= ACCOUNTS_MAX {
                    known.accounts.extend(views.into_iter().map(|view| (view.account.id, view)));
                }
            }
            SourceKind::Hook => {
                let keys = hooks::keys(app, &mut read, &source).await?;
                known.hooks.insert(source.name.clone(), (source, keys));
            }
            SourceKind::File | SourceKind::Ldap => {}
        }
    }
    let owners = read.people_of_role(Role::Owner).await?;
    known.owners = owners.into_iter().map(|owner| owner.email).collect();
    drop(read);
    *app.sources.read() = known;
    Ok(())
}
