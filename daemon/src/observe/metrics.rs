//! `/metrics`: OpenMetrics text, made from a [`Snapshot`] at each scrape. Nothing is counted twice, and nothing is kept here.

mod board;
mod engines;
mod surfaces;

use std::{fmt, time::Duration};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeCounterValue, EncodeMetric, text},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
    registry::Registry,
};

use super::{ModelSnapshot, PublishSnapshot, Snapshot, StageSummary, StepSnapshot, process::Process};
use crate::{
    analyse::RuleCounts,
    batch::Counts,
    status::{CameraState, CameraStatus},
    step::{SkipReason, StepCounts},
};

/// The type of the text that [`render`] makes.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

const STATES: [CameraState; 16] = [
    CameraState::Connecting,
    CameraState::Online,
    CameraState::NoData,
    CameraState::Frozen,
    CameraState::Black,
    CameraState::Blurred,
    CameraState::Moved,
    CameraState::AuthFailed,
    CameraState::NotFound,
    CameraState::Unreachable,
    CameraState::Tls,
    CameraState::UnsupportedCodec,
    CameraState::DecodeError,
    CameraState::Ended,
    CameraState::Disabled,
    CameraState::Offline,
];

/// The snapshot as OpenMetrics text.
///
/// # Errors
/// None in practice: formatting into memory.
pub fn render(snapshot: Snapshot) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Scrape { snapshot, process: Process::read() }));
    let mut out = String::new();
    text::encode(&mut out, &registry)?;
    Ok(out)
}

#[derive(Debug)]
struct Scrape {
    snapshot: Snapshot,
    process: Process,
}

impl Collector for Scrape {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut families = Families(encoder);
        self.build(&mut families)?;
        self.frames(&mut families)?;
        self.cameras(&mut families)?;
        self.engines(&mut families)?;
        self.steps(&mut families)?;
        self.tracking(&mut families)?;
        self.rules(&mut families)?;
        self.publish(&mut families)?;
        self.disk(&mut families)?;
        self.stages(&mut families)?;
        self.process(&mut families)?;
        engines::tell(&self.snapshot.engines, &mut families)?;
        surfaces::tell(&self.snapshot.cameras, self.snapshot.surfaces, &mut families)?;
        board::tell(self.snapshot.board.as_deref(), &mut families)
    }
}

type Labels<'a> = Vec<(&'static str, &'a str)>;

struct Families<'a>(DescriptorEncoder<'a>);

impl Families<'_> {
    /// Counters: the text adds `_total` to the name.
    fn counter<'a, N: EncodeCounterValue>(
        &mut self,
        name: &str,
        help: &str,
        rows: impl IntoIterator<Item = (Labels<'a>, N)>,
    ) -> fmt::Result {
        let rows = rows.into_iter().map(|(labels, value)| (labels, ConstCounter::new(value)));
        self.family(name, help, MetricType::Counter, rows)
    }

    fn gauge<'a>(&mut self, name: &str, help: &str, rows: impl IntoIterator<Item = (Labels<'a>, f64)>) -> fmt::Result {
        self.family(name, help, MetricType::Gauge, rows.into_iter().map(|(labels, value)| (labels, ConstGauge::new(value))))
    }

    /// Nothing at all for a family without rows.
    fn family<'a>(
        &mut self,
        name: &str,
        help: &str,
        kind: MetricType,
        rows: impl Iterator<Item = (Labels<'a>, impl EncodeMetric)>,
    ) -> fmt::Result {
        let mut rows = rows.peekable();
        if rows.peek().is_none() {
            return Ok(());
        }
        let mut family = self.0.encode_descriptor(name, help, None, kind)?;
        for (labels, metric) in rows {
            if labels.is_empty() {
                // The only row: without labels there is nothing to tell two apart.
                return metric.encode(family);
            }
            metric.encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

impl Scrape {
    fn build(&self, out: &mut Families<'_>) -> fmt::Result {
        let labels =
            vec![("version", env!("CARGO_PKG_VERSION")), ("arch", std::env::consts::ARCH), ("device", &*self.snapshot.device)];
        out.gauge("egret_build_info", "Which egret this is; always 1", [(labels, 1.0)])?;
        out.gauge("egret_uptime_seconds", "Since the line was started", [(vec![], self.snapshot.uptime.as_secs_f64())])
    }

    /// decoded = inferred + dropped + in flight, for each camera at every scrape.
    fn frames(&self, out: &mut Families<'_>) -> fmt::Result {
        let cameras = &self.snapshot.cameras;
        let each = |value: fn(&Counts) -> u64| {
            cameras.iter().map(move |c| (vec![("camera", c.name.as_str()), ("model", c.model.as_str())], value(&c.counts)))
        };
        out.counter("egret_frames_decoded", "Frames that the decoder handed out", each(|c| c.decoded))?;
        out.counter("egret_frames_inferred", "Frames that a network has looked at", each(|c| c.inferred))?;
        let dropped = cameras.iter().flat_map(|c| {
            let row =
                |(reason, count)| (vec![("camera", c.name.as_str()), ("model", c.model.as_str()), ("reason", reason)], count);
            c.counts.dropped.by_reason().map(row)
        });
        out.counter("egret_frames_dropped", "Decoded frames that no network looked at, by reason", dropped)?;
        let waiting = each(|c| c.in_flight).map(|(labels, n)| (labels, n as f64));
        out.gauge("egret_frames_in_flight", "Frames that wait for a network or are in it", waiting)
    }

    fn cameras(&self, out: &mut Families<'_>) -> fmt::Result {
        let cameras = &self.snapshot.cameras;
        let states = cameras.iter().flat_map(|c| {
            STATES.map(|state| {
                let labels = vec![("camera", c.name.as_str()), ("state", state.as_str())];
                (labels, f64::from(u8::from(c.status.state == state)))
            })
        });
        out.gauge("egret_camera_state", "1 for the state that the camera is in, 0 for the others", states)?;
        let each = |value: fn(&CameraStatus) -> u64| {
            cameras.iter().map(move |c| (vec![("camera", c.name.as_str()), ("source", c.source)], value(&c.status)))
        };
        out.counter("egret_camera_reconnects", "Sessions after the first one", each(|s| s.reconnects))?;
        out.counter("egret_camera_packets_lost", "RTP packets that never came", each(|s| s.packets_lost))?;
        out.counter("egret_camera_skipped_to_idr", "Access units skipped to the next IDR", each(|s| s.skipped_to_idr))?;
        out.counter(
            "egret_camera_decode_errors",
            "How often what came could not be decoded: pictures, or the packets that they come in",
            each(|s| s.decode_errors),
        )?;
        let faults = cameras.iter().flat_map(|c| {
            c.status.picture_faults.by_state().map(|(state, count)| (vec![("camera", c.name.as_str()), ("state", state)], count))
        });
        out.counter("egret_camera_picture_faults", "Times that a camera's pictures became what they should not be", faults)
    }

    fn engines(&self, out: &mut Families<'_>) -> fmt::Result {
        let models = &self.snapshot.models;
        let infos = models.iter().map(|m| &m.info).chain(self.snapshot.steps.iter().map(|s| &s.info));
        let info = infos.map(|info| {
            let labels = vec![
                ("model", &*info.name),
                ("runtime", &*info.runtime),
                ("precision", info.precision),
                ("sha256", &*info.sha256),
            ];
            (labels, 1.0)
        });
        out.gauge("egret_runtime_info", "What runs each network; always 1", info)?;
        let rows = |value: fn(&ModelSnapshot) -> u64| models.iter().map(move |m| (vec![("model", &*m.info.name)], value(m)));
        let workers = models.iter().map(|m| (vec![("model", &*m.info.name)], m.workers as f64));
        out.gauge("egret_workers", "Engine instances", workers)?;
        out.counter("egret_batches", "Batches that a network has looked at", rows(|m| m.batches))?;
        out.counter("egret_batched_frames", "Frames in those batches", rows(|m| m.batched_frames))?;
        let queues = &self.snapshot.queues;
        let length = queues.iter().map(|q| (vec![("queue", q.name)], q.length as f64));
        out.gauge("egret_queue_length", "Entries that wait between two stages", length)?;
        let capacity = queues.iter().map(|q| (vec![("queue", q.name)], q.capacity as f64));
        out.gauge("egret_queue_capacity", "Entries that fit between two stages", capacity)
    }

    /// Per step: rate of runs, how full its batches are, what was left out and why, and how long a look takes.
    fn steps(&self, out: &mut Families<'_>) -> fmt::Result {
        let steps = &self.snapshot.steps;
        let each = |value: fn(&StepCounts) -> u64| steps.iter().map(move |s| (vec![("step", &*s.info.name)], value(&s.counts)));
        let gauge =
            |value: fn(&StepSnapshot) -> usize| steps.iter().map(move |s| (vec![("step", &*s.info.name)], value(s) as f64));
        let seconds = |value: fn(&StepCounts) -> Duration| {
            steps.iter().map(move |s| (vec![("step", &*s.info.name)], value(&s.counts).as_secs_f64()))
        };
        out.counter("egret_step_runs", "Times that the step's network ran", each(|c| c.runs))?;
        out.counter("egret_step_looks", "Looks at a track or a frame that came back, failed ones included", each(|c| c.looks))?;
        out.counter("egret_step_pictures", "Pictures and clips in those runs", each(|c| c.pictures))?;
        out.counter("egret_step_failed", "Looks that failed", each(|c| c.failed))?;
        let skipped = steps.iter().flat_map(|s| {
            let row = |(reason, count): (SkipReason, u64)| (vec![("step", &*s.info.name), ("reason", reason.as_str())], count);
            SkipReason::ALL.into_iter().zip(s.counts.skipped).map(row)
        });
        out.counter("egret_step_skipped", "Looks that were left out, by reason", skipped)?;
        out.counter("egret_step_wait_seconds", "Time that looks waited for their batch, all together", seconds(|c| c.waited))?;
        out.counter("egret_step_run_seconds", "Time that the step's network took, all runs together", seconds(|c| c.ran))?;
        out.gauge("egret_step_max_batch", "Pictures and clips that fit into a run", gauge(|s| s.max_batch))?;
        out.gauge("egret_step_workers", "Engine instances", gauge(|s| s.workers))?;
        out.gauge("egret_step_queue_length", "Pictures and clips that wait", gauge(|s| s.waiting))?;
        out.gauge("egret_step_queue_capacity", "Pictures and clips that may wait", gauge(|s| s.capacity))
    }

    fn tracking(&self, out: &mut Families<'_>) -> fmt::Result {
        let counts = &self.snapshot.tracking;
        let each =
            |label, rows: &[(&'static str, u64)]| rows.iter().map(|(name, n)| (vec![(label, *name)], *n)).collect::<Vec<_>>();
        let tracks = [("new", counts.started), ("end", counts.ended), ("rename", counts.renamed)];
        out.counter("egret_tracks", "What tracks were told to do", each("phase", &tracks))?;
        let thrown = [
            ("no_box", counts.rejected),
            ("too_many", counts.excess),
            ("extras_invalid", counts.extras_rejected),
            ("extras_too_many", counts.extras_excess),
        ];
        out.counter(
            "egret_detections_rejected",
            "What a network said that makes no sense, or is too much",
            each("reason", &thrown),
        )?;
        let frames =
            [("followed", counts.frames), ("late", counts.late), ("missing", counts.skipped), ("resized", counts.resized)];
        out.counter(
            "egret_tracking_frames",
            "Frames as they came to tracking, and those of another size",
            each("kind", &frames),
        )?;
        let looks = [("found", counts.looks_found), ("refused", counts.looks_refused), ("unheard", counts.looks_unheard)];
        out.counter("egret_second_looks", "Second looks at new tracks, and what came of them", each("result", &looks))
    }

    fn rules(&self, out: &mut Families<'_>) -> fmt::Result {
        let rules = &self.snapshot.rules;
        let each = |value: fn(&RuleCounts) -> u64| {
            rules
                .iter()
                .map(move |r| (vec![("camera", r.camera.as_str()), ("rule", r.rule.as_str()), ("kind", r.kind)], value(r)))
        };
        out.counter("egret_rule_events", "Events that began or happened, and were told", each(|r| r.events))?;
        let suppressed = each(|r| r.suppressed);
        out.counter("egret_rule_suppressed", "Events that were not told, since the rule was cooling down", suppressed)?;
        let masked = self.snapshot.masked.iter().map(|(camera, count)| (vec![("camera", camera.as_str())], *count));
        out.counter("egret_detections_masked", "Detections that masks threw away", masked)
    }

    fn publish(&self, out: &mut Families<'_>) -> fmt::Result {
        let brokers = &self.snapshot.publish;
        let gauge =
            |value: fn(&PublishSnapshot) -> f64| brokers.iter().map(move |b| (vec![("broker", b.name.as_str())], value(b)));
        let connected = gauge(|b| f64::from(u8::from(b.connected)));
        out.gauge("egret_mqtt_connected", "1 while the broker has us", connected)?;
        let reconnects = brokers.iter().map(|b| (vec![("broker", b.name.as_str())], b.reconnects));
        out.counter("egret_mqtt_reconnects", "Sessions after the first one", reconnects)?;
        let failures = brokers.iter().flat_map(|b| {
            b.failures.iter().map(|(reason, count)| (vec![("broker", b.name.as_str()), ("reason", *reason)], *count))
        });
        out.counter("egret_mqtt_failures", "Connections that failed or broke, by reason", failures)?;
        let reasons = brokers.iter().flat_map(|b| {
            b.reasons
                .iter()
                .map(|r| (vec![("broker", b.name.as_str()), ("packet", r.packet), ("code", r.code.as_str())], r.count))
        });
        out.counter("egret_mqtt_reason_codes", "Reason codes that the broker gave, by packet", reasons)?;
        let kept = gauge(|b| b.kept.0 as f64);
        out.gauge("egret_mqtt_kept", "Messages on disk that the broker has not acknowledged", kept)?;
        let bytes = brokers.first().map(|b| (vec![], b.kept.1 as f64));
        out.gauge("egret_mqtt_kept_bytes", "Bytes of the queue's files", bytes)?;
        let families = || brokers.iter().flat_map(|b| b.families.iter().map(|f| (b.name.as_str(), f)));
        let published = families().map(|(broker, f)| (vec![("broker", broker), ("family", f.name)], f.published));
        out.counter("egret_mqtt_published", "Messages handed to the MQTT client", published)?;
        // The most common reason is always there, the others once they have happened.
        let dropped = families().flat_map(|(broker, f)| {
            let told = f.dropped.iter().filter(|(reason, count)| *count > 0 || *reason == "overflow");
            told.map(move |(reason, count)| (vec![("broker", broker), ("family", f.name), ("reason", *reason)], *count))
        });
        out.counter("egret_mqtt_dropped", "Messages dropped, by reason", dropped)?;
        let heard = brokers.iter().map(|b| (vec![("broker", b.name.as_str())], f64::from(u8::from(b.commands_heard))));
        out.gauge("egret_mqtt_commands_heard", "1 while the broker has the subscription to commands", heard)?;
        let commands = brokers.first().into_iter().flat_map(|b| &b.commands);
        let commands = commands.map(|(verb, outcome, n)| (vec![("verb", *verb), ("outcome", *outcome)], *n));
        out.counter("egret_mqtt_commands", "Commands by verb and what became of them", commands)
    }

    fn disk(&self, out: &mut Families<'_>) -> fmt::Result {
        let Some(disk) = &self.snapshot.disk else { return Ok(()) };
        let one = |value: f64| [(vec![], value)];
        let count = |value: u64| [(vec![], value)];
        out.gauge("egret_queue_disk_messages", "Messages on disk that a broker has not acknowledged", one(disk.waiting as f64))?;
        out.gauge("egret_queue_disk_bytes", "Bytes of the files of the queue on disk", one(disk.bytes as f64))?;
        out.gauge("egret_queue_disk_max_bytes", "Most bytes that they may have", one(disk.max_bytes as f64))?;
        let oldest = disk.oldest.unwrap_or_default().as_secs_f64();
        out.gauge("egret_queue_disk_oldest_seconds", "Age of the oldest message on disk; 0: there is none", one(oldest))?;
        out.counter("egret_queue_disk_taken", "Messages that the queue on disk has taken", count(disk.taken))?;
        out.counter("egret_queue_disk_lost", "Messages that it gave up or did not take", count(disk.lost))?;
        out.counter("egret_queue_disk_written_bytes", "Bytes written to its files", count(disk.written_bytes))?;
        out.counter("egret_queue_disk_syncs", "Times that one of its files was synced", count(disk.syncs))?;
        let (last, longest) = (disk.last_sync.as_secs_f64(), disk.longest_sync.as_secs_f64());
        out.gauge("egret_queue_disk_last_sync_seconds", "How long the last sync took", one(last))?;
        out.gauge("egret_queue_disk_longest_sync_seconds", "How long the longest sync took", one(longest))?;
        let stalled = f64::from(u8::from(disk.stalled));
        out.gauge("egret_queue_disk_stalled", "1 while the disk neither takes nor refuses what came seconds ago", one(stalled))
    }

    fn stages(&self, out: &mut Families<'_>) -> fmt::Result {
        let stages = &self.snapshot.stages;
        let each = |value: fn(&StageSummary) -> f64| stages.iter().map(move |s| (vec![("stage", s.name)], value(s)));
        out.gauge(
            "egret_stage_frames",
            "Frames in the stage times below, the last one or two minutes",
            each(|s| s.count as f64),
        )?;
        out.gauge(
            "egret_stage_mean_seconds",
            "Mean time in each stage; they add up to the total",
            each(|s| s.mean.as_secs_f64()),
        )?;
        out.gauge("egret_stage_p50_seconds", "Median time in each stage", each(|s| s.p50.as_secs_f64()))?;
        out.gauge("egret_stage_p99_seconds", "99th percentile of the time in each stage", each(|s| s.p99.as_secs_f64()))
    }

    fn process(&self, out: &mut Families<'_>) -> fmt::Result {
        let row = |value: Option<f64>| value.map(|value| (vec![], value));
        let Process { cpu, resident_bytes, threads, descriptors } = self.process;
        // The names that Prometheus' own client libraries use.
        let cpu = cpu.map(|cpu| (vec![], cpu.as_secs_f64()));
        out.counter("process_cpu_seconds", "User and system CPU time", cpu)?;
        out.gauge("process_resident_memory_bytes", "Resident memory", row(resident_bytes.map(|b| b as f64)))?;
        out.gauge("process_threads", "Threads", row(threads.map(|n| n as f64)))?;
        out.gauge("process_open_fds", "Open descriptors", row(descriptors.map(|n| n as f64)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::tests::snapshot;

    /// The value of the only row with this beginning.
    pub(super) fn value(text: &str, row: &str) -> f64 {
        let found: Vec<_> = text.lines().filter_map(|line| line.strip_prefix(row)).collect();
        assert_eq!(found.len(), 1, "{row} in\n{text}");
        found[0].trim().parse().expect("a number")
    }

    #[test]
    fn the_law_can_be_read_off() {
        let text = render(snapshot()).expect("text");
        for camera in ["door", "yard"] {
            let count = |name: &str| value(&text, &format!(r#"{name}{{camera="{camera}",model="yolox"}}"#));
            let dropped: f64 = ["replaced", "stale", "capped", "gated", "throttled", "engine_error", "removed"]
                .map(|reason| {
                    value(&text, &format!(r#"egret_frames_dropped_total{{camera="{camera}",model="yolox",reason="{reason}"}}"#))
                })
                .iter()
                .sum();
            let accounted = count("egret_frames_inferred_total") + dropped + count("egret_frames_in_flight");
            assert!((count("egret_frames_decoded_total") - accounted).abs() < f64::EPSILON);
        }
    }

    #[test]
    fn a_camera_is_in_exactly_one_state() {
        let text = render(snapshot()).expect("text");
        let state = |camera, state| value(&text, &format!(r#"egret_camera_state{{camera="{camera}",state="{state}"}}"#));
        let sum: f64 = STATES.map(|s| state("yard", s.as_str())).iter().sum();
        assert!((sum - 1.0).abs() < f64::EPSILON && state("yard", "auth_failed") > 0.5 && state("door", "online") > 0.5);
    }

    #[test]
    fn faults_of_pictures_are_counted() {
        let text = render(snapshot()).expect("text");
        for (state, count) in [("frozen", 0.0), ("black", 0.0), ("blurred", 3.0), ("moved", 0.0)] {
            let told = value(&text, &format!(r#"egret_camera_picture_faults_total{{camera="door",state="{state}"}}"#));
            assert!((told - count).abs() < f64::EPSILON, "{state}: {told}");
        }
    }

    #[test]
    fn the_runtime_and_the_stages_are_named() {
        let text = render(snapshot()).expect("text");
        assert!(
            text.contains(r#"egret_runtime_info{model="yolox",runtime="onnxruntime 1.31.1",precision="fp32",sha256="abc"} 1"#),
            "{text}"
        );
        let mean = |stage| value(&text, &format!(r#"egret_stage_mean_seconds{{stage="{stage}"}}"#));
        let sum: f64 = crate::timecard::STAGES.map(mean).iter().sum();
        assert!(sum > 0.0 && (sum - mean("total")).abs() < 1e-8, "{sum}");
        assert!(value(&text, r#"egret_mqtt_published_total{broker="mqtt",family="frame"}"#) > 0.0);
        let disk = |name: &str| (10.0 * value(&text, &format!("egret_queue_disk_{name}"))).round() as u64;
        assert_eq!(["messages", "bytes", "oldest_seconds", "lost_total"].map(disk), [30, 40_960, 15, 0]);
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn steps_have_their_rates() {
        let text = render(snapshot()).expect("text");
        for (name, expected) in [
            ("egret_step_runs_total", 20.0),
            ("egret_step_looks_total", 49.0),
            ("egret_step_pictures_total", 50.0),
            ("egret_step_failed_total", 1.0),
            ("egret_step_wait_seconds_total", 0.98),
            ("egret_step_run_seconds_total", 0.4),
            ("egret_step_max_batch", 8.0),
            ("egret_step_queue_length", 3.0),
            ("egret_step_queue_capacity", 16.0),
        ] {
            assert!((value(&text, &format!(r#"{name}{{step="reid"}}"#)) - expected).abs() < 1e-9, "{name}");
        }
        let skipped = |reason| value(&text, &format!(r#"egret_step_skipped_total{{step="reid",reason="{reason}"}}"#));
        assert!((skipped("rate") - 700.0).abs() < 1e-9 && (skipped("queue_full") - 2.0).abs() < 1e-9);
        assert!(text.contains(r#"egret_runtime_info{model="reid",runtime="",precision="int8",sha256=""} 1"#), "{text}");
    }

    #[test]
    fn tracking_has_its_counts() {
        let text = render(snapshot()).expect("text");
        for (row, expected) in [
            (r#"egret_tracks_total{phase="new"}"#, 7.0),
            (r#"egret_detections_rejected_total{reason="no_box"}"#, 4.0),
            (r#"egret_detections_rejected_total{reason="too_many"}"#, 0.0),
            (r#"egret_tracking_frames_total{kind="resized"}"#, 2.0),
        ] {
            assert!((value(&text, row) - expected).abs() < 1e-9, "{row}");
        }
    }

    #[test]
    fn rules_have_their_counts() {
        let text = render(snapshot()).expect("text");
        let rule = |name: &str| value(&text, &format!(r#"{name}{{camera="door",rule="gate",kind="line"}}"#));
        assert!((rule("egret_rule_events_total") - 12.0).abs() < 1e-9);
        assert!((rule("egret_rule_suppressed_total") - 3.0).abs() < 1e-9);
        assert!((value(&text, r#"egret_detections_masked_total{camera="door"}"#) - 5.0).abs() < 1e-9);
    }

    #[test]
    fn an_empty_line_is_valid_too() {
        let text = render(Snapshot::default()).expect("text");
        assert!(text.contains("\negret_uptime_seconds 0") && !text.contains("egret_camera_state"), "{text}");
    }

    #[test]
    fn every_family_has_a_help_and_a_type_once() {
        let text = render(snapshot()).expect("text");
        let types: Vec<_> = text.lines().filter_map(|l| l.strip_prefix("# TYPE ")).collect();
        let names: std::collections::BTreeSet<_> = types.iter().filter_map(|l| l.split(' ').next()).collect();
        assert_eq!(names.len(), types.len());
        assert_eq!(text.lines().filter(|l| l.starts_with("# HELP ")).count(), types.len());
    }
}
