//! The producer's side of one stream.

use std::{
    fmt,
    sync::{Arc, Condvar},
};

use super::Batcher;
use crate::media::{Frame, StreamId};

/// Where the decoder of one stream puts its frames. Dropping it removes the stream: what waits of a live camera is dropped (reason
/// `removed`), what waits of an every-frame stream is still inferred.
pub struct Slot {
    batcher: Arc<Batcher>,
    stream: StreamId,
    room: Arc<Condvar>,
}

impl Slot {
    pub(super) fn new(batcher: Arc<Batcher>, stream: StreamId, room: Arc<Condvar>) -> Self {
        Self { batcher, stream, room }
    }

    /// Whose it is.
    pub fn stream(&self) -> &StreamId {
        &self.stream
    }

    /// Offers a decoded frame and gives it its `seq`. Never blocks for a live camera; waits for room where every frame counts.
    ///
    /// `false`: the batcher is closed or the slot interrupted, the frame is dropped (reason `removed`), and so will be all that follow.
    pub fn offer(&self, frame: Frame) -> bool {
        self.offer_seen(frame, false)
    }

    /// The same for a frame that somebody has looked at already. `still`: nothing moves in it; it may be left out (reason `gated`).
    pub fn offer_seen(&self, frame: Frame, still: bool) -> bool {
        self.batcher.offer(self.stream.number(), frame, still, &self.room)
    }

    /// Ends the waiting of [`Self::offer`], now and for ever: an offer that finds no room is refused.
    pub fn interrupt(&self) {
        self.batcher.interrupt(self.stream.number());
        self.room.notify_all();
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.batcher.leave(self.stream.number());
        self.room.notify_all();
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Slot({:?})", self.stream)
    }
}
