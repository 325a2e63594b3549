//! Looking on from the side: logs, metrics, health, graph. Nothing here can slow the line.

mod client;
pub(crate) mod glyphs;
mod graph;
mod http;
pub mod log;
mod metrics;
mod process;
mod snapshot;
mod stages;
mod status;
pub mod still;

pub use client::{GetError, Reply, get};
pub use http::{AskStill, HttpError, Panel, Server};
pub use metrics::{CONTENT_TYPE as METRICS_CONTENT_TYPE, render as render_metrics};
pub use process::Process;
pub use snapshot::{
    CameraGraph, CameraSnapshot, FamilySnapshot, ModelSnapshot, PublishSnapshot, QueueSnapshot, ReasonSnapshot, Snapshot,
    StepSnapshot, View,
};
pub use stages::{StageSummary, StageTimes};

#[cfg(test)]
mod tests {
    use std::{
        sync::Arc,
        time::{Duration, Instant, SystemTime},
    };

    use super::*;
    use crate::{
        analyse::RuleCounts,
        batch::{Counts, Dropped},
        media::{Codec, Downloaded, ModelInfo, TimeCard},
        publish::{DiskQueue, DropReason},
        status::{CameraState, CameraStatus, PictureFaults},
        step::StepCounts,
        track,
    };

    /// A line with a camera that works and one that does not.
    pub(super) fn snapshot() -> Snapshot {
        let status = |state, detail: &str| CameraStatus {
            state,
            since: SystemTime::now(),
            detail: detail.into(),
            codec: Some(Codec::H264),
            size: Some((1920, 1080)),
            reconnects: 2,
            packets_lost: 17,
            skipped_to_idr: 3,
            decode_errors: 1,
            picture_faults: PictureFaults { blurred: 3, ..PictureFaults::default() },
            decoding: crate::status::Decoding::default(),
            rules: Arc::default(),
        };
        let counts = |decoded, inferred, in_flight, replaced, stale| Counts {
            decoded,
            inferred,
            in_flight,
            dropped: Dropped { replaced, stale, ..Dropped::default() },
        };
        let camera = |name: &str, status, counts| CameraSnapshot {
            name: name.into(),
            source: "rtsp",
            model: "yolox".into(),
            status,
            counts,
            downloaded: Downloaded { pictures: 9, rows: 400 },
        };
        let info = ModelInfo {
            name: "yolox".into(),
            classes: vec!["person".into()],
            runtime: "onnxruntime 1.31.1".into(),
            sha256: "abc".into(),
            precision: "fp32",
        };
        let stages = StageTimes::new();
        let mut card = TimeCard::default();
        for (i, mark) in super::stages::tests::ALL.into_iter().enumerate() {
            card.stamp(mark, Instant::now() + Duration::from_millis(i as u64 * 3));
        }
        stages.record([card].iter());
        Snapshot {
            device: "test-box".into(),
            uptime: Duration::from_secs(100),
            cameras: vec![
                camera("door", status(CameraState::Online, ""), counts(2500, 1480, 2, 1000, 18)),
                camera("yard", status(CameraState::AuthFailed, "401 Unauthorized"), Counts::default()),
            ],
            models: vec![ModelSnapshot { info: Arc::new(info), max_batch: 8, workers: 2, batches: 740, batched_frames: 1480 }],
            tracking: track::Counts { started: 7, rejected: 4, resized: 2, ..track::Counts::default() },
            rules: vec![RuleCounts { camera: "door".into(), rule: "gate".into(), kind: "line", events: 12, suppressed: 3 }],
            masked: vec![("door".into(), 5)],
            steps: vec![StepSnapshot {
                info: Arc::new(ModelInfo { name: "reid".into(), precision: "int8", ..ModelInfo::default() }),
                of: "yolox".into(),
                max_batch: 8,
                workers: 1,
                waiting: 3,
                capacity: 16,
                counts: StepCounts {
                    runs: 20,
                    looks: 49,
                    pictures: 50,
                    failed: 1,
                    skipped: [700, 5, 2, 0, 9, 0],
                    waited: Duration::from_millis(980),
                    ran: Duration::from_millis(400),
                },
            }],
            queues: vec![QueueSnapshot { name: "track_to_publish", length: 1, capacity: 16 }],
            publish: vec![PublishSnapshot {
                name: "mqtt".into(),
                broker: "localhost:1883".into(),
                connected: true,
                families: vec![FamilySnapshot {
                    name: "frame",
                    published: 1480,
                    dropped: DropReason::ALL.map(|reason| (reason.as_str(), 0)),
                }],
                kept: (3, 4096),
                commands: vec![("reload", "not_allowed", 2)],
                commands_heard: true,
                ..PublishSnapshot::default()
            }],
            disk: Some(DiskQueue { waiting: 3, bytes: 4096, oldest: Some(Duration::from_millis(1500)), ..DiskQueue::default() }),
            stages: stages.snapshot(),
            ..Snapshot::default()
        }
    }
}
