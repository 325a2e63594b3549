//! A video's frames, decoded by the daemon's own file source: every frame, in order, with its media time.

use std::{path::PathBuf, sync::Arc, time::Duration};

use tokio::{
    runtime::{Builder, Runtime},
    sync::mpsc,
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use super::ReplayError;
use crate::{
    config::{CameraConfig, FileConfig, SourceConfig},
    decode::FrameSink,
    media::{Frame, StreamId},
    source::{self, Context},
    status::{CameraState, StatusBoard},
};

/// Frames that are decoded ahead. They hold surfaces of the decoder.
const AHEAD: usize = 4;
/// A decoder that gives no first picture for so long gives none.
const PATIENCE: Duration = Duration::from_mins(1);

enum Item {
    Frame(Box<Frame>),
    /// `Some`: it broke, in these words.
    End(Option<String>),
}

/// A video that is being decoded.
pub(super) struct Film {
    file: PathBuf,
    items: mpsc::Receiver<Item>,
    stop: CancellationToken,
    running: Option<(Runtime, JoinHandle<()>)>,
    frames: u64,
}

impl Film {
    /// Starts decoding. `camera` is the one whose recording it is.
    pub(super) fn open(file: &std::path::Path, camera: &CameraConfig, stream: &StreamId) -> Result<Self, ReplayError> {
        crate::file::regular(file).map_err(|source| ReplayError::Read { file: file.to_owned(), source })?;
        let source = FileConfig { path: file.to_owned(), repeat: false, realtime: false, every_frame: true };
        let camera = CameraConfig {
            source: SourceConfig::File(source),
            enabled: true,
            no_data_timeout: PATIENCE,
            // Whether pictures change is a matter of this machine's clock here.
            frozen_timeout: Duration::ZERO,
            ..camera.clone()
        };
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().map_err(ReplayError::Runtime)?;
        let (sender, items) = mpsc::channel(AHEAD);
        let offer = sender.clone();
        // Whoever waits for room is let go when the receiver closes.
        let sink = FrameSink::new(move |frame| offer.blocking_send(Item::Frame(Box::new(frame))).is_ok(), || ());
        let (stop, board) = (CancellationToken::new(), StatusBoard::new());
        board.add(stream);
        let (asked, stream) = (stop.clone(), stream.clone());
        let task = runtime.spawn(async move {
            let playing = source::start(&camera, stream.clone(), sink, Arc::clone(&board), Context::default());
            let end = tokio::select! {
                () = asked.cancelled() => None,
                () = playing.ended() => told(&board, &stream),
                () = fails(&board, &stream) => told(&board, &stream),
            };
            // Nobody may listen any more.
            let _ = sender.send(Item::End(end)).await;
            playing.stop().await;
        });
        Ok(Self { file: file.to_owned(), items, stop, running: Some((runtime, task)), frames: 0 })
    }

    /// The next frame; `None` after the last one.
    pub(super) fn next(&mut self) -> Result<Option<Frame>, ReplayError> {
        match self.items.blocking_recv() {
            Some(Item::Frame(frame)) => {
                self.frames += 1;
                Ok(Some(*frame))
            }
            Some(Item::End(Some(reason))) if self.frames > 0 => {
                Err(ReplayError::BreaksOff { file: self.file.clone(), frames: self.frames, reason })
            }
            Some(Item::End(Some(reason))) => Err(ReplayError::Film { file: self.file.clone(), reason }),
            Some(Item::End(None)) | None => Ok(None),
        }
    }
}

/// What the board says of an end that is none.
fn told(board: &StatusBoard, stream: &StreamId) -> Option<String> {
    let status = board.get(stream)?;
    let broke = is_failure(status.state);
    broke.then(|| if status.detail.is_empty() { status.state.as_str().to_owned() } else { status.detail })
}

fn is_failure(state: CameraState) -> bool {
    !matches!(state, CameraState::Connecting | CameraState::Online | CameraState::Frozen | CameraState::Ended)
}

/// A camera is tried again and again; a recording is not.
async fn fails(board: &StatusBoard, stream: &StreamId) {
    while !board.get(stream).is_some_and(|status| is_failure(status.state)) {
        board.wait().await;
        board.take_changes();
    }
}

impl Drop for Film {
    fn drop(&mut self) {
        self.items.close();
        self.stop.cancel();
        // Frames that were under way go first: they hold surfaces.
        while self.items.try_recv().is_ok() {}
        if let Some((runtime, task)) = self.running.take()
            && runtime.block_on(task).is_err()
        {
            tracing::error!(file = %self.file.display(), "decoding ended in a panic");
        }
    }
}
