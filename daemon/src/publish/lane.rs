//! The way to one broker: what the writer puts down for it, and its task takes up.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;

use super::{commands::Reply, counters::Counters, outbox::Outbox, topics::Family};

/// One broker's outbox, shared by the writer and the broker's task.
pub(super) struct Lane {
    pub(super) counters: Arc<Counters>,
    outbox: Mutex<Outbox>,
    news: Notify,
}

impl Lane {
    pub(super) fn new(counters: Arc<Counters>) -> Self {
        Self { counters, outbox: Mutex::default(), news: Notify::new() }
    }

    /// Held for moments only, and by nobody who waits for anything.
    pub(super) fn outbox(&self) -> MutexGuard<'_, Outbox> {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a message in line. [`Self::wake`] tells the task of it.
    pub(super) fn push(&self, topic: &Arc<str>, payload: Bytes, family: Family) {
        self.outbox().push(topic, payload, family, &self.counters);
    }

    /// Puts the answer to a command in line.
    pub(super) fn reply(&self, reply: Reply) {
        self.outbox().push_reply(reply, &self.counters);
    }

    /// Something may be in line: once for all that was put there, so that it leaves in one write.
    pub(super) fn wake(&self) {
        let queued = self.outbox().len();
        self.counters.set_queued(queued);
        if queued > 0 {
            self.news.notify_one();
        }
    }

    /// Waits until something is in line. Safe to drop and call again.
    pub(super) async fn news(&self) {
        self.news.notified().await;
    }
}
