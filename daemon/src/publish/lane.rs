//! The way to one broker: what the writer puts down for it, and its task takes up.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;

use super::{commands::Reply, counters::BrokerCounters, outbox::Outbox, sort::Sort};
use crate::config::{BrokerConfig, FrameFormat, TopicFilter};

/// One broker's outbox, shared by the writer and the broker's task.
pub(super) struct Lane {
    pub(super) counters: Arc<BrokerCounters>,
    topics: TopicFilter,
    /// How it gets messages of frames, if it does.
    frames: Option<FrameFormat>,
    outbox: Mutex<Outbox>,
    news: Notify,
}

impl Lane {
    pub(super) fn new(config: &BrokerConfig, counters: Arc<BrokerCounters>) -> Self {
        let frames = config.publish_frames.then_some(config.frame_format);
        Self { counters, topics: config.topics.clone(), frames, outbox: Mutex::default(), news: Notify::new() }
    }

    /// Whether this broker gets what is said on a topic.
    pub(super) fn takes(&self, topic: &str) -> bool {
        self.topics.takes(topic)
    }

    /// Whether it gets messages of frames on this topic in this form.
    pub(super) fn takes_frames(&self, topic: &str, format: FrameFormat) -> bool {
        self.frames == Some(format) && self.takes(topic)
    }

    /// Held for moments only, and by nobody who waits for anything.
    pub(super) fn outbox(&self) -> MutexGuard<'_, Outbox> {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a message in line, whether the filter takes it or not. [`Self::wake`] tells the task of it.
    pub(super) fn push(&self, topic: &Arc<str>, payload: Bytes, sort: impl Into<Sort>) {
        self.outbox().push(topic, payload, sort, &self.counters);
    }

    /// The same, if the filter takes it.
    pub(super) fn offer(&self, topic: &Arc<str>, payload: Bytes, sort: impl Into<Sort>) {
        if self.takes(topic) {
            self.push(topic, payload, sort);
        }
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
