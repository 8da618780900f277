//! What goes up to the control plane beside pings: receipts, which are kept until they are taken, and notices.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::StatusCode;
use tokio::sync::{Notify, watch};
use uuid::Uuid;

use crate::enrol::chain;
use crate::http::Poster;

/// How long to wait before something that was not taken is offered again.
const RETRY_AFTER: Duration = Duration::from_millis(200);

/// A bounded queue between the task that hears the packet thread and the one that posts. When it is full the oldest
/// goes: a receipt of a later revision covers those before it, and an old notice is worth less than a fresh one.
pub(crate) struct Outbox<T> {
    queue: Mutex<VecDeque<T>>,
    filled: Notify,
    len_max: usize,
}

impl<T> Outbox<T> {
    /// Makes an empty queue.
    pub(crate) fn new(len_max: usize) -> Self {
        Self { queue: Mutex::new(VecDeque::new()), filled: Notify::new(), len_max }
    }

    /// Puts something in; says whether something older had to go.
    pub(crate) fn push(&self, item: T) -> bool {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let full = queue.len() >= self.len_max;
        if full {
            queue.pop_front();
        }
        queue.push_back(item);
        drop(queue);
        self.filled.notify_one();
        full
    }

    /// Takes up to so many, waiting for the first.
    pub(crate) async fn take(&self, count_max: usize) -> Vec<T> {
        loop {
            {
                let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
                if !queue.is_empty() {
                    let count = queue.len().min(count_max);
                    return queue.drain(..count).collect();
                }
            }
            // A notification between the look and the wait is kept by Notify.
            self.filled.notified().await;
        }
    }
}

/// The session of the moment, and the way to end it.
#[derive(Clone)]
pub(crate) struct SessionSlot {
    current: Arc<watch::Sender<Option<Uuid>>>,
}

impl SessionSlot {
    /// Makes a slot without a session.
    pub(crate) fn new() -> Self {
        Self { current: Arc::new(watch::Sender::new(None)) }
    }

    /// Begins a session.
    pub(crate) fn begin(&self, session: Uuid) {
        self.current.send_replace(Some(session));
    }

    /// Ends a session, if it is the one of the moment.
    pub(crate) fn end(&self, session: Uuid) {
        self.current.send_if_modified(|current| {
            let ends = *current == Some(session);
            if ends {
                *current = None;
            }
            ends
        });
    }

    /// Ends whatever session there is.
    pub(crate) fn end_any(&self) {
        self.current.send_replace(None);
    }

    /// Waits until that session is over.
    pub(crate) async fn ended(&self, session: Uuid) {
        let mut current = self.current.subscribe();
        // The sender lives in this slot, so waiting cannot fail.
        let _over = current.wait_for(|current| *current != Some(session)).await;
    }

    /// Waits for a session.
    pub(crate) async fn wait(&self) -> Option<Uuid> {
        let mut current = self.current.subscribe();
        let session = current.wait_for(Option::is_some).await.ok()?;
        *session
    }
}

/// Posts one body until it is taken: across sessions, and for ever.
///
/// `body` makes the JSON for a session. A body that the control plane calls wrong is dropped with a warning.
pub(crate) async fn post_until_taken(
    poster: &mut Poster,
    slot: &SessionSlot,
    path: &str,
    body: impl Fn(Uuid) -> Result<Vec<u8>, serde_json::Error>,
) {
    loop {
        let Some(session) = slot.wait().await else { return };
        let body = match body(session) {
            Ok(body) => body,
            Err(error) => return tracing::error!(path, %error, "cannot write a message for the control plane"),
        };
        match poster.post(path, body).await {
            Ok(answer) if answer.status.is_success() => return,
            Ok(answer) if answer.status == StatusCode::NOT_FOUND => slot.end(session),
            Ok(answer) if answer.status.is_client_error() => {
                return tracing::warn!(path, complaint = answer.complaint(), "the control plane refused a message");
            }
            Ok(answer) => {
                tracing::debug!(path, complaint = answer.complaint(), "the control plane cannot take a message yet")
            }
            Err(error) => tracing::debug!(path, error = chain(&error), "cannot reach the control plane with a message"),
        }
        tokio::time::sleep(RETRY_AFTER).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_full_outbox_loses_the_oldest_and_keeps_the_order() {
        let outbox = Outbox::new(3);
        let lost: Vec<bool> = (0..5).map(|n| outbox.push(n)).collect();
        assert_eq!(lost, [false, false, false, true, true]);
        assert_eq!(outbox.take(2).await, [2, 3]);
        assert_eq!(outbox.take(2).await, [4]);
    }

    #[tokio::test]
    async fn an_old_sessions_end_does_not_end_the_next_one() {
        let slot = SessionSlot::new();
        let (old, next) = (Uuid::from_u128(1), Uuid::from_u128(2));
        slot.begin(old);
        slot.begin(next);
        slot.ended(old).await;
        slot.end(old);
        assert_eq!(slot.wait().await, Some(next));
        slot.end(next);
        slot.ended(next).await;
    }
}
