//! Runs a tracker over a sequence, with the daemon's own code.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use super::scene::{Named, Rect};
use crate::{
    media::{BBox, Detection},
    track::associate::{Associator, Kind, Params, Row},
};

/// What a tracker told of a sequence, and what it cost.
#[derive(Debug)]
pub(super) struct Followed {
    /// Frame by frame.
    pub(super) tracks: Vec<Vec<Named>>,
    /// CPU time of the tracker alone.
    pub(super) cpu: Duration,
}

/// A tracker's parameters. `as_published`: whether those of others count frames, as their authors' programs do, and not time.
pub(super) fn params(kind: Kind, as_published: bool) -> Params {
    let mut params = kind.params();
    if as_published {
        match &mut params {
            Params::Sort(params) => params.frame_rate = 0.0,
            Params::ByteTrack(params) => params.frame_rate = 0.0,
            Params::OcSort(params) => params.frame_rate = 0.0,
            Params::Egret(_) => {}
        }
    }
    params
}

/// Gives a tracker one frame after the other, `step` apart.
pub(super) fn follow(params: &Params, frames: &[Vec<Detection>], step: Duration) -> Followed {
    let mut tracker = Associator::new(params);
    let (mut told, mut ends, mut rows) = (Vec::new(), Vec::with_capacity(frames.len()), Vec::new());
    let before = cpu();
    for (frame, detections) in (0u32..).zip(frames) {
        tracker.update(step * frame, detections, &mut rows);
        told.extend_from_slice(&rows);
        ends.push(told.len());
    }
    let cpu = cpu().saturating_sub(before);
    let mut start = 0;
    let tracks = ends
        .into_iter()
        .map(|end| {
            let rows: &[Row] = &told[start..end];
            start = end;
            rows.iter().filter(|row| row.confirmed).map(named).collect()
        })
        .collect();
    Followed { tracks, cpu }
}

/// CPU time of this thread.
fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Identities count from 1 in MOTChallenge's files, and places are to a hundredth of a pixel: what is judged is what is written.
fn named(row: &Row) -> Named {
    let BBox { x1, y1, x2, y2 } = row.bbox;
    let [x1, y1, x2, y2] = [x1, y1, x2, y2].map(f64::from);
    let [left, top, width, height] = [x1, y1, (x2 - x1).max(0.0), (y2 - y1).max(0.0)].map(|v| (100.0 * v).round() / 100.0);
    Named { id: u64::from(row.track) + 1, bbox: Rect { left, top, width, height } }
}
