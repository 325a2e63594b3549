//! The messages about one frame.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use base64::{Engine, engine::general_purpose::STANDARD};

use super::{
    compose::Now,
    message::{
        self, BestShot, CountMessage, EventMessage, FrameMessage, Identity, Kind, Model, Objects, RenameMessage, Rounded, SCHEMA,
        Stamp, SummaryMessage, TrackMessage,
    },
    shape::Shape,
    told::{self, Steps},
    trail::Trail,
    verdict,
};
use crate::{
    analyse::{Count, Event, Summary},
    media::{Extra, Mark, Rename, TimeBasis, Track, TrackPhase, Tracked},
};

/// Milliseconds with microseconds behind the point.
fn ms(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1000.0
}

/// Milliseconds from one wall-clock time to another; the clocks may disagree, so it may be negative.
pub(super) fn wall_ms(from: SystemTime, to: SystemTime) -> f64 {
    to.duration_since(from).map_or_else(|back| -ms(back.duration()), ms)
}

/// When a frame was taken and how long ago that is.
pub(super) struct Times {
    latency_ms: Option<f64>,
    since_arrival_ms: Option<f64>,
}

impl Times {
    pub(super) fn of(tracked: &Tracked, now: Now) -> Self {
        let arrived = tracked.times.at(Mark::Received);
        let since_arrival_ms = arrived.map(|at| ms(now.steady.saturating_duration_since(at)));
        let latency_ms = match tracked.capture.basis {
            TimeBasis::Arrival => since_arrival_ms,
            TimeBasis::SenderReport => since_arrival_ms.map(|_| wall_ms(tracked.capture.wall, now.wall)),
        };
        Self { latency_ms, since_arrival_ms }
    }
}

/// A frame and all that its messages have in common.
pub(super) struct Scene<'a> {
    pub(super) device: &'a str,
    pub(super) boot_id: &'a str,
    pub(super) name: &'a str,
    pub(super) tracked: &'a Tracked,
    pub(super) times: Times,
    pub(super) now: Now,
}

impl<'a> Scene<'a> {
    fn size(&self) -> [u32; 2] {
        [self.tracked.size.0, self.tracked.size.1]
    }

    fn model(&self) -> Model<'a> {
        Model::from(&*self.tracked.model)
    }

    pub(super) fn frame(&self, seq: u64) -> FrameMessage<'a> {
        let tracked = self.tracked;
        FrameMessage {
            schema: SCHEMA,
            kind: Kind::Frame,
            device: self.device,
            camera: self.name,
            boot_id: self.boot_id,
            seq,
            frame: tracked.frame_seq,
            pts_ms: ms(tracked.pts),
            captured_at: Stamp(tracked.capture.wall),
            basis: tracked.capture.basis,
            uncertainty_ms: tracked.times.uncertainty().map(ms),
            published_at: Stamp(self.now.wall),
            latency_ms: self.times.latency_ms,
            since_arrival_ms: self.times.since_arrival_ms,
            size: self.size(),
            model: self.model(),
            objects: Objects {
                detections: &tracked.detections,
                extras: &tracked.extras,
                classes: &tracked.model.classes,
                size: tracked.size,
                steps: tracked.steps.as_deref(),
            },
            closing: tracked.closing,
            steps: tracked.steps.as_deref().filter(|report| !report.states.is_empty()).map(|report| Steps(&report.states)),
            findings: told::of_frame(tracked.steps.as_deref(), tracked.size),
        }
    }

    /// What belongs to the detection that a track was matched with, if any was.
    fn extra_of(&self, track: &Track) -> Option<&'a Extra> {
        let Tracked { detections, extras, .. } = self.tracked;
        if extras.is_empty() || track.phase == TrackPhase::End {
            return None;
        }
        extras.get(detections.iter().position(|seen| seen.track == Some(track.id))?)
    }

    pub(super) fn event(&self, event: &'a Event, seq: u64) -> EventMessage<'a> {
        let tracked = self.tracked;
        EventMessage {
            schema: SCHEMA,
            kind: Kind::Event,
            phase: event.phase,
            device: self.device,
            camera: self.name,
            boot_id: self.boot_id,
            seq,
            event: verdict::EventIdentity(event.id),
            rule: &event.rule,
            rule_kind: event.kind,
            started_at: Stamp(event.started),
            objects: verdict::objects(event, &tracked.model.classes, tracked.size),
            direction: event.way,
            value: event.measure.map(|measure| Rounded(measure.value as f32)),
            threshold: event.measure.and_then(|measure| measure.threshold).map(|threshold| Rounded(threshold as f32)),
            unit: event.measure.map(|measure| measure.unit),
            frame: tracked.frame_seq,
            pts_ms: ms(tracked.pts),
            captured_at: Stamp(tracked.capture.wall),
            basis: tracked.capture.basis,
            uncertainty_ms: tracked.times.uncertainty().map(ms),
            published_at: Stamp(self.now.wall),
            latency_ms: self.times.latency_ms,
            since_arrival_ms: self.times.since_arrival_ms,
            size: self.size(),
            model: self.model(),
            ended: None,
            of_boot: None,
            delayed: false,
        }
    }

    pub(super) fn count(&self, count: &'a Count, seq: u64) -> CountMessage<'a> {
        let (total, classes) = verdict::counts(count, &self.tracked.model.classes);
        CountMessage {
            schema: SCHEMA,
            kind: Kind::Count,
            device: self.device,
            camera: self.name,
            boot_id: self.boot_id,
            seq,
            rule: &count.rule,
            rule_kind: count.kind,
            since: Stamp(count.since),
            total,
            classes,
            frame: self.tracked.frame_seq,
            captured_at: Stamp(self.tracked.capture.wall),
            published_at: Stamp(self.now.wall),
        }
    }

    pub(super) fn summary(&self, summary: &'a Summary, seq: u64) -> SummaryMessage<'a> {
        let (heat, paths) = verdict::heat_and_paths(summary);
        let mut objects = BTreeMap::<&str, u64>::new();
        for (class, count) in &summary.objects {
            *objects.entry(message::class_name(&self.tracked.model.classes, *class)).or_default() += count;
        }
        SummaryMessage {
            schema: SCHEMA,
            kind: Kind::Summary,
            device: self.device,
            camera: self.name,
            boot_id: self.boot_id,
            seq,
            rule: &summary.rule,
            from: Stamp(summary.from),
            to: Stamp(summary.to),
            complete: summary.complete,
            objects,
            heat,
            paths,
            published_at: Stamp(self.now.wall),
        }
    }

    pub(super) fn rename(&self, rename: &'a Rename, seq: u64) -> RenameMessage<'a> {
        let tracked = self.tracked;
        RenameMessage {
            schema: SCHEMA,
            kind: Kind::Rename,
            device: self.device,
            camera: self.name,
            boot_id: self.boot_id,
            seq,
            track: Identity(rename.to),
            was: Identity(rename.from),
            class: message::class_name(&tracked.model.classes, rename.class),
            similarity: Rounded(1.0 - rename.distance),
            unseen_ms: ms(rename.unseen),
            by: &rename.by.name,
            frame: tracked.frame_seq,
            pts_ms: ms(tracked.pts),
            captured_at: Stamp(tracked.capture.wall),
            basis: tracked.capture.basis,
            published_at: Stamp(self.now.wall),
            latency_ms: self.times.latency_ms,
            since_arrival_ms: self.times.since_arrival_ms,
            model: self.model(),
            delayed: false,
        }
    }

    /// What a track looked like at its best. Asked for only when its end is told: it costs a JPEG.
    pub(super) fn best_shot(&self, track: &Track) -> Option<BestShot> {
        let Tracked { shots, size, .. } = self.tracked;
        let (_, shot) = shots.iter().find(|(of, _)| *of == track.id)?;
        let bbox = message::within(&shot.bbox, *size);
        let (width, height) = shot.canvas.size();
        Some(BestShot {
            captured_at: Stamp(shot.captured),
            confidence: Rounded(shot.confidence),
            bbox: message::pixels(&bbox),
            box_norm: message::normalised(&bbox, *size),
            size: [width as u32, height as u32],
            jpeg: STANDARD.encode(shot.jpeg()?),
        })
    }

    /// `trail`: where it was, of one that ends.
    pub(super) fn track(&self, track: &Track, trail: Option<&Trail>, seq: u64) -> TrackMessage<'a> {
        let tracked = self.tracked;
        let bbox = message::within(&track.bbox, tracked.size);
        let Shape { angle, corners, keypoints, mask } = Shape::of(self.extra_of(track), true);
        TrackMessage {
            schema: SCHEMA,
            kind: Kind::Track,
            phase: track.phase,
            device: self.device,
            camera: self.name,
            boot_id: self.boot_id,
            seq,
            track: Identity(track.id),
            class: message::class_name(&tracked.model.classes, track.class),
            confidence: Rounded(track.confidence),
            bbox: message::pixels(&bbox),
            box_norm: message::normalised(&bbox, tracked.size),
            angle,
            corners,
            keypoints,
            mask,
            velocity: [Rounded(track.velocity.0), Rounded(track.velocity.1)],
            stationary: track.stationary.then_some(true),
            first_seen: Stamp(track.first_seen),
            last_seen: Stamp(track.last_seen),
            hits: track.hits,
            frame: tracked.frame_seq,
            pts_ms: ms(tracked.pts),
            captured_at: Stamp(tracked.capture.wall),
            basis: tracked.capture.basis,
            uncertainty_ms: tracked.times.uncertainty().map(ms),
            published_at: Stamp(self.now.wall),
            latency_ms: self.times.latency_ms,
            since_arrival_ms: self.times.since_arrival_ms,
            size: self.size(),
            model: self.model(),
            path: trail.map(Trail::path),
            dwell: trail.map(|trail| trail.dwell(track.last_seen)).unwrap_or_default(),
            best_shot: None,
            findings: told::of_track(tracked.steps.as_deref(), track.id, tracked.size, true),
            ended: None,
            of_boot: None,
            delayed: false,
        }
    }
}
