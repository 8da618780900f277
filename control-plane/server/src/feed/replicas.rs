//! This control plane among others on the same database: what it hands on to them, and what it takes from them.
//!
//! A gateway has one stream, at one replica. The others know of it by rows that are refreshed each second and when a
//! stream comes or goes, so that whoever revokes waits for the receipts of all gateways, wherever they are heard. On SQLite
//! all of this is idle.

use std::collections::HashSet;

use doorward_model::{GatewayName, Receipt, Timestamp};
use doorward_store::{Confirmed, Replica};
use tokio::sync::{Mutex, mpsc};
use uuid::Uuid;

use crate::app::{App, Refusal};

/// Confirmations on their way to the database at most; beyond it the oldest waiters learn of the receipt by a later one.
const QUEUE_MAX: usize = 10_000;
/// Confirmations written at once at most.
const BATCH_MAX: usize = 500;

/// See the module.
#[derive(Debug)]
pub(crate) struct Replicas {
    me: Replica,
    to_others: mpsc::Sender<Confirmed>,
    queue: Mutex<mpsc::Receiver<Confirmed>>,
    /// Streams here that others were told of.
    said: Mutex<HashSet<Uuid>>,
    /// How far confirmations were read; `None` before the first look.
    read_to: Mutex<Option<i64>>,
}

impl Replicas {
    /// Begins a run under a name, or this machine's.
    pub(crate) fn new(name: Option<&str>, now: Timestamp) -> Self {
        let machine = || rustix::system::uname().nodename().to_string_lossy().into_owned();
        let name = doorward_model::repeatable(&name.map_or_else(machine, str::to_owned), 64);
        let (to_others, queue) = mpsc::channel(QUEUE_MAX);
        let version = env!("CARGO_PKG_VERSION").to_owned();
        Self {
            me: Replica { id: Uuid::now_v7(), name, version, started_at: now },
            to_others,
            queue: Mutex::new(queue),
            said: Mutex::default(),
            read_to: Mutex::default(),
        }
    }

    /// Returns what people call this one.
    pub(crate) fn name(&self) -> &str {
        &self.me.name
    }

    /// Renders a receipt for the other replicas.
    pub(crate) fn for_others(&self, gateway: &GatewayName, receipt: &Receipt, now: Timestamp) -> Confirmed {
        Confirmed {
            gateway: gateway.clone(),
            revision: receipt.revision,
            heard_at: now,
            enforced_after_micros: receipt.enforced_after_micros,
            ended: receipt.ended.clone(),
        }
    }

    /// Hands on what was heard here.
    pub(crate) fn hand_on(&self, confirmed: Confirmed) {
        if self.to_others.try_send(confirmed).is_err() {
            tracing::debug!("a receipt was not handed on: the database is behind");
        }
    }

    /// Writes down what was heard here, for ever.
    pub(crate) async fn relay(&self, app: &App, pause: std::time::Duration) {
        let mut queue = self.queue.lock().await;
        let mut batch = Vec::new();
        loop {
            if batch.is_empty() && queue.recv_many(&mut batch, BATCH_MAX).await == 0 {
                return;
            }
            if !app.store.is_shared() {
                batch.clear();
                continue;
            }
            match app.store.confirmations_relay(&self.me, &batch).await {
                Ok(()) => batch.clear(),
                Err(error) => {
                    tracing::debug!(error = &error as &dyn std::error::Error, "receipts wait to be handed on");
                    tokio::time::sleep(pause).await;
                }
            }
        }
    }

    /// Takes in what other replicas heard since the last time.
    pub(crate) async fn take_confirmations(&self, app: &App) -> Result<(), Refusal> {
        let mut read_to = self.read_to.lock().await;
        let since = match *read_to {
            Some(read_to) => read_to,
            None => app.store.confirmations_end().await?,
        };
        let elsewhere = app.store.confirmations_elsewhere(&self.me, since).await?;
        *read_to = Some(elsewhere.read_to);
        app.hub.heard_elsewhere(elsewhere.confirmed);
        Ok(())
    }

    /// Whether a gateway whose stream here is over has one at another replica. A replica that was frozen for a while has yet to
    /// hear of it.
    pub(crate) async fn is_elsewhere(&self, app: &App, gateway: &GatewayName) -> bool {
        app.store.is_shared() && self.exchange_streams(app).await.is_ok() && app.hub.state(gateway).connected
    }

    /// Tells others of the streams here, and takes in theirs.
    pub(crate) async fn exchange_streams(&self, app: &App) -> Result<(), Refusal> {
        let mut said = self.said.lock().await;
        let open = app.hub.streams();
        let opened: Vec<_> = open.iter().filter(|stream| !said.contains(&stream.session)).cloned().collect();
        let everywhere = app.store.presence(&self.me, &opened, &open).await?;
        *said = open.iter().map(|stream| stream.session).collect();
        app.hub.heard_streams(everywhere, self.me.id, &said);
        Ok(())
    }
}
