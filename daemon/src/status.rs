//! What each camera is doing, as one board that sources write and that publishing, metrics and health read.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use tokio::sync::Notify;

use crate::{
    analyse::CameraRules,
    media::{Codec, StreamId},
};

/// The state of a camera, with the reason in its name. The words are those of the published status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CameraState {
    /// No session yet, or between two.
    Connecting,
    /// Frames arrive.
    Online,
    /// Connected, but no access unit for longer than the watchdog allows.
    NoData,
    /// Pictures arrive but never change.
    Frozen,
    /// Pictures arrive but are black.
    Black,
    /// Pictures arrive but are far less sharp than usual.
    Blurred,
    /// Pictures arrive, but the camera looks elsewhere than it used to.
    Moved,
    /// The camera refused the credentials, or asks for some (401, 403).
    AuthFailed,
    /// The camera knows no such path (404), or the file or device does not exist.
    NotFound,
    /// The host does not resolve, refuses, or does not answer in time.
    Unreachable,
    /// The TLS handshake or the certificate failed.
    Tls,
    /// No stream that egret can decode.
    UnsupportedCodec,
    /// Data arrives, but the decoder makes nothing of it.
    DecodeError,
    /// A file has been read to its end.
    Ended,
    /// Switched off by configuration.
    Disabled,
    /// egret was shut down in order, and does not look at the camera any more.
    Offline,
}

impl CameraState {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::Connecting,
        Self::Online,
        Self::NoData,
        Self::Frozen,
        Self::Black,
        Self::Blurred,
        Self::Moved,
        Self::AuthFailed,
        Self::NotFound,
        Self::Unreachable,
        Self::Tls,
        Self::UnsupportedCodec,
        Self::DecodeError,
        Self::Ended,
        Self::Disabled,
        Self::Offline,
    ];

    /// Whether pictures come, whatever is wrong with them.
    pub fn has_pictures(self) -> bool {
        matches!(self, Self::Online | Self::Frozen | Self::Black | Self::Blurred | Self::Moved)
    }

    /// The published word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Online => "online",
            Self::NoData => "no_data",
            Self::Frozen => "frozen",
            Self::Black => "black",
            Self::Blurred => "blurred",
            Self::Moved => "moved",
            Self::AuthFailed => "auth_failed",
            Self::NotFound => "not_found",
            Self::Unreachable => "unreachable",
            Self::Tls => "tls",
            Self::UnsupportedCodec => "unsupported_codec",
            Self::DecodeError => "decode_error",
            Self::Ended => "ended",
            Self::Disabled => "disabled",
            Self::Offline => "offline",
        }
    }
}

/// How often something was wrong with a camera's pictures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct PictureFaults {
    /// Times that they froze.
    pub frozen: u64,
    /// Times that they went black.
    pub black: u64,
    /// Times that they blurred.
    pub blurred: u64,
    /// Times that the camera was moved.
    pub moved: u64,
}

impl PictureFaults {
    /// Counts a state that was entered, if it is one of these.
    pub fn note(&mut self, state: CameraState) {
        match state {
            CameraState::Frozen => self.frozen += 1,
            CameraState::Black => self.black += 1,
            CameraState::Blurred => self.blurred += 1,
            CameraState::Moved => self.moved += 1,
            _ => {}
        }
    }

    /// The faults by the names of their states.
    pub fn by_state(&self) -> [(&'static str, u64); 4] {
        [("frozen", self.frozen), ("black", self.black), ("blurred", self.blurred), ("moved", self.moved)]
    }
}

/// What decodes a camera's pictures.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct Decoding {
    /// GStreamer's element; `null` until there is one, and where GStreamer chose it.
    pub element: Option<&'static str>,
    /// Whether the pictures stay in the memory of a device.
    pub on_device: bool,
    /// What was to decode instead and did not work, last; `null`: nothing.
    pub fallback: Option<Fallback>,
}

/// A decoder that did not work.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct Fallback {
    /// GStreamer's element.
    pub from: &'static str,
    /// Why.
    pub reason: String,
}

/// What is known of one camera.
#[derive(Clone, Debug, PartialEq)]
pub struct CameraStatus {
    /// Its state.
    pub state: CameraState,
    /// Since when.
    pub since: SystemTime,
    /// For people: the camera's own words, without credentials. Empty when online.
    pub detail: String,
    /// What it sends, once known.
    pub codec: Option<Codec>,
    /// Width and height of its pictures, once known.
    pub size: Option<(u32, u32)>,
    /// Sessions after the first one.
    pub reconnects: u64,
    /// RTP packets that never came.
    pub packets_lost: u64,
    /// Access units skipped while waiting for a random access point.
    pub skipped_to_idr: u64,
    /// How often what came could not be decoded: pictures, or the packets that they come in.
    pub decode_errors: u64,
    /// What was wrong with its pictures, and how often.
    pub picture_faults: PictureFaults,
    /// What decodes them.
    pub decoding: Decoding,
    /// What it is watched for.
    pub rules: Arc<CameraRules>,
}

impl CameraStatus {
    fn new(now: SystemTime) -> Self {
        Self {
            state: CameraState::Connecting,
            since: now,
            detail: String::new(),
            codec: None,
            size: None,
            reconnects: 0,
            packets_lost: 0,
            skipped_to_idr: 0,
            decode_errors: 0,
            picture_faults: PictureFaults::default(),
            decoding: Decoding::default(),
            rules: Arc::default(),
        }
    }
}

#[derive(Default)]
struct Inner {
    cameras: BTreeMap<StreamId, CameraStatus>,
    removed: Vec<StreamId>,
    dirty: Vec<StreamId>,
}

impl Inner {
    fn take_off(&mut self, stream: &StreamId) {
        self.cameras.remove(stream);
        self.dirty.retain(|known| known != stream);
        self.removed.push(stream.clone());
    }
}

/// What changed since the last [`StatusBoard::take_changes`].
#[derive(Debug, Default, PartialEq)]
pub struct Changes {
    /// Cameras whose state, codec, size, decoder or rules changed, with what they are now.
    pub changed: Vec<(StreamId, CameraStatus)>,
    /// Cameras that were removed.
    pub removed: Vec<StreamId>,
}

/// The board. One lock, held for moments.
#[derive(Default)]
pub struct StatusBoard {
    inner: Mutex<Inner>,
    changed: Notify,
}

impl StatusBoard {
    /// An empty board.
    pub fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a camera on the board, `connecting`.
    pub fn add(&self, stream: &StreamId) {
        self.put(stream, CameraState::Connecting, Arc::default(), None);
    }

    /// Puts a camera on the board, with its state and its rules. In place of another one it comes in the same moment as that goes, so that
    /// nobody sees the board without either.
    pub fn put(&self, stream: &StreamId, state: CameraState, rules: Arc<CameraRules>, in_place_of: Option<&StreamId>) {
        let mut inner = self.lock();
        if let Some(old) = in_place_of {
            inner.take_off(old);
        }
        inner.cameras.insert(stream.clone(), CameraStatus { state, rules, ..CameraStatus::new(SystemTime::now()) });
        inner.dirty.push(stream.clone());
        drop(inner);
        self.changed.notify_one();
    }

    /// Takes a camera off the board.
    pub fn remove(&self, stream: &StreamId) {
        self.lock().take_off(stream);
        self.changed.notify_one();
    }

    /// Sets a camera's state; `since` moves only when the state does. Unknown cameras are ignored.
    pub fn set(&self, stream: &StreamId, state: CameraState, detail: impl Into<String>) {
        let detail = detail.into();
        self.update(stream, |status| {
            if status.state != state {
                status.state = state;
                status.since = SystemTime::now();
            }
            status.detail = detail;
        });
    }

    /// egret shuts down: no camera is doing any more what it did. A file that has ended and a camera that is switched off stay so.
    pub fn shut_down(&self) {
        for (stream, status) in self.snapshot() {
            if !matches!(status.state, CameraState::Ended | CameraState::Disabled) {
                self.set(&stream, CameraState::Offline, "egret was shut down");
            }
        }
    }

    /// Changes a camera's entry. Publishing hears of it if state, detail, codec, size, decoder or rules changed; counters alone are silent.
    pub fn update(&self, stream: &StreamId, change: impl FnOnce(&mut CameraStatus)) {
        let mut inner = self.lock();
        let Some(status) = inner.cameras.get_mut(stream) else { return };
        let told = |s: &CameraStatus| (s.state, s.detail.clone(), s.codec, s.size, s.decoding.clone(), s.rules.clone());
        let before = told(status);
        change(status);
        let news = before != told(status);
        if news && !inner.dirty.contains(stream) {
            inner.dirty.push(stream.clone());
        }
        drop(inner);
        if news {
            self.changed.notify_one();
        }
    }

    /// A camera's entry.
    pub fn get(&self, stream: &StreamId) -> Option<CameraStatus> {
        self.lock().cameras.get(stream).cloned()
    }

    /// The whole board.
    pub fn snapshot(&self) -> Vec<(StreamId, CameraStatus)> {
        self.lock().cameras.iter().map(|(id, status)| (id.clone(), status.clone())).collect()
    }

    /// Waits until there is something for [`Self::take_changes`]. One waiter.
    pub async fn wait(&self) {
        self.changed.notified().await;
    }

    /// What changed since the last call.
    pub fn take_changes(&self) -> Changes {
        let mut inner = self.lock();
        let dirty = std::mem::take(&mut inner.dirty);
        let changed = dirty.into_iter().filter_map(|id| inner.cameras.get(&id).cloned().map(|status| (id, status))).collect();
        Changes { changed, removed: std::mem::take(&mut inner.removed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_told_once_and_counters_are_silent() {
        let board = StatusBoard::new();
        let door = StreamId::new(1, "door");
        board.add(&door);
        assert_eq!(board.take_changes().changed.len(), 1);
        board.update(&door, |s| s.packets_lost += 3);
        assert_eq!(board.take_changes(), Changes::default());
        let fallback = Fallback { from: "nvv4l2decoder", reason: "no picture".into() };
        board.update(&door, |s| s.decoding.fallback = Some(fallback.clone()));
        assert_eq!(board.take_changes().changed[0].1.decoding.fallback, Some(fallback));
        board.set(&door, CameraState::AuthFailed, "401 Unauthorized");
        let changes = board.take_changes();
        assert_eq!(changes.changed[0].1.state, CameraState::AuthFailed);
        assert_eq!(changes.changed[0].1.packets_lost, 3);
        let again = StreamId::new(2, "door");
        board.put(&again, CameraState::Disabled, Arc::default(), Some(&door));
        let changes = board.take_changes();
        assert_eq!((&changes.removed, changes.changed[0].1.state), (&vec![door], CameraState::Disabled), "in one step");
        board.remove(&again);
        assert_eq!(board.take_changes().removed, [again]);
    }

    #[test]
    fn after_a_shutdown_no_camera_claims_to_be_seen() {
        let board = StatusBoard::new();
        let streams =
            [(1, CameraState::Online), (2, CameraState::Unreachable), (3, CameraState::Ended), (4, CameraState::Disabled)];
        for (number, state) in streams {
            let stream = StreamId::new(number, state.as_str());
            board.add(&stream);
            board.set(&stream, state, "");
        }
        board.take_changes();
        board.shut_down();
        let changed = board.take_changes().changed;
        assert_eq!(changed.iter().map(|(stream, _)| stream.name()).collect::<Vec<_>>(), ["online", "unreachable"]);
        assert!(changed.iter().all(|(_, status)| status.state == CameraState::Offline && !status.detail.is_empty()));
    }

    #[test]
    fn since_moves_only_with_the_state() {
        let board = StatusBoard::new();
        let door = StreamId::new(1, "door");
        board.add(&door);
        board.set(&door, CameraState::Unreachable, "refused");
        let since = board.get(&door).map(|s| s.since);
        board.set(&door, CameraState::Unreachable, "no route");
        assert_eq!(board.get(&door).map(|s| s.since), since);
    }
}
