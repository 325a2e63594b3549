//! The live pipeline as a Graphviz graph: the line of ARCHITECTURE.md with its rates, queues and drops.

use std::{
    fmt::{self, Write},
    time::Duration,
};

use super::{CameraSnapshot, ModelSnapshot, PublishSnapshot, Snapshot, StepSnapshot};
use crate::status::CameraState;

/// Two looks at the line and the time between them: rates are differences.
pub(super) struct Rates<'a> {
    pub(super) before: &'a Snapshot,
    pub(super) now: &'a Snapshot,
    pub(super) window: Duration,
}

/// Draws the line. `gst` holds cameras' GStreamer graphs by camera name, as GStreamer wrote them.
pub(super) fn line(rates: &Rates<'_>, gst: &[(String, String)]) -> String {
    let mut out = String::new();
    // Writing into a string cannot fail.
    let _ = draw(&mut out, rates, gst);
    out
}

fn draw(out: &mut String, rates: &Rates<'_>, gst: &[(String, String)]) -> fmt::Result {
    let now = rates.now;
    writeln!(out, "digraph egret {{")?;
    writeln!(out, "  rankdir=LR; fontname=\"sans\"; nodesep=.25; ranksep=.7; labelloc=t;")?;
    let title = format!("{} · up {}", now.device, clock(now.uptime));
    writeln!(out, "  label={};", quoted(&title))?;
    writeln!(out, "  node [shape=box, style=\"filled,rounded\", fillcolor=\"#eceff1\", fontname=\"sans\", fontsize=10];")?;
    writeln!(out, "  edge [fontname=\"sans\", fontsize=9];")?;
    for (i, camera) in now.cameras.iter().enumerate() {
        rates.camera(out, camera)?;
        if let Some((_, dot)) = gst.iter().find(|(name, _)| *name == camera.name) {
            embed(out, i, camera, dot)?;
        }
    }
    for model in &now.models {
        rates.model(out, model)?;
    }
    for step in &now.steps {
        rates.step(out, step)?;
    }
    if !now.models.is_empty() {
        writeln!(out, "  \"track\" [label={}];", quoted(&format!("track{}", stage(now, "track"))))?;
        writeln!(out, "  \"track\" -> \"publish\"{};", queue(now, "track_to_publish"))?;
    }
    writeln!(out, "  \"publish\" [label={}];", quoted(&rates.publish()))?;
    for publish in &now.publish {
        let colour = if publish.connected { "#c8e6c9" } else { "#ffcdd2" };
        let state = if publish.connected { "connected" } else { "not connected" };
        let label = quoted(&format!("{}\n{state}", publish.broker));
        // Of several, each has its name.
        let node = if now.publish.len() == 1 { quoted("broker") } else { quoted(&node("broker", &publish.name)) };
        writeln!(out, "  {node} [label={label}, shape=cylinder, style=filled, fillcolor=\"{colour}\"];")?;
        writeln!(out, "  \"publish\" -> {node}{};", queue(now, "publish_to_broker"))?;
    }
    writeln!(out, "}}")
}

impl Rates<'_> {
    /// Events per second between the two looks.
    fn per_second(&self, now: u64, before: u64) -> f64 {
        now.saturating_sub(before) as f64 / self.window.as_secs_f64().max(1e-3)
    }

    fn camera(&self, out: &mut String, camera: &CameraSnapshot) -> fmt::Result {
        let (status, counts) = (&camera.status, &camera.counts);
        let before = self.before.cameras.iter().find(|c| c.name == camera.name).map_or_else(Default::default, |c| c.counts);
        let mut label = format!("{}\n{} · {}", camera.name, camera.source, status.state.as_str());
        if !status.detail.is_empty() {
            write!(label, "\n{}", shortened(&status.detail))?;
        }
        if let Some((width, height)) = status.size {
            let codec = status.codec.map(|codec| format!("{codec:?} ").to_lowercase()).unwrap_or_default();
            write!(label, "\n{codec}{width}×{height}")?;
        }
        write!(label, "\n{:.1} fps decoded", self.per_second(counts.decoded, before.decoded))?;
        for (count, what) in [
            (status.reconnects, "reconnects"),
            (status.packets_lost, "packets lost"),
            (status.skipped_to_idr, "skipped to IDR"),
            (status.decode_errors, "decode errors"),
        ] {
            if count > 0 {
                write!(label, "\n{count} {what}")?;
            }
        }
        let colour = colour(status.state);
        writeln!(out, "  {} [label={}, fillcolor=\"{colour}\"];", quoted(&node("camera", &camera.name)), quoted(&label))?;

        let mut edge = format!("{:.1} fps inferred", self.per_second(counts.inferred, before.inferred));
        for ((reason, total), (_, earlier)) in counts.dropped.by_reason().into_iter().zip(before.dropped.by_reason()) {
            if total > 0 {
                write!(edge, "\n{reason} {:.1}/s ({total})", self.per_second(total, earlier))?;
            }
        }
        let (from, to) = (quoted(&node("camera", &camera.name)), quoted(&node("batch", &camera.model)));
        writeln!(out, "  {from} -> {to} [label={}];", quoted(&edge))
    }

    fn model(&self, out: &mut String, model: &ModelSnapshot) -> fmt::Result {
        let name = &model.info.name;
        let sum = |snapshot: &Snapshot, value: fn(&CameraSnapshot) -> u64| -> u64 {
            snapshot.cameras.iter().filter(|c| c.model == *name).map(value).sum()
        };
        let rate = |value| self.per_second(sum(self.now, value), sum(self.before, value));
        let batch = format!(
            "batch\n{:.1} fps in, {:.1} fps out\n{} in flight{}",
            rate(|c| c.counts.decoded),
            rate(|c| c.counts.inferred),
            sum(self.now, |c| c.counts.in_flight),
            stage(self.now, "batch_wait"),
        );
        let (batcher, engine) = (quoted(&node("batch", name)), quoted(&node("engine", name)));
        writeln!(out, "  {batcher} [label={}];", quoted(&batch))?;
        let before = self.before.models.iter().find(|m| m.info.name == *name);
        let label = format!(
            "{name}\n{}\n{} × batch ≤ {}\n{:.1} batches/s of {:.1} frames{}",
            model.info.runtime,
            model.workers,
            model.max_batch,
            self.per_second(model.batches, before.map_or(0, |m| m.batches)),
            model.mean_batch(),
            stage(self.now, "infer"),
        );
        writeln!(out, "  {engine} [label={}, fillcolor=\"#bbdefb\"];", quoted(&label))?;
        writeln!(out, "  {batcher} -> {engine};")?;
        writeln!(out, "  {engine} -> \"track\"{};", queue(self.now, "infer_to_track"))?;
        writeln!(out, "  \"track\" -> {batcher} [style=dashed, constraint=false, label=\"second looks, activity\"];")
    }

    fn step(&self, out: &mut String, step: &StepSnapshot) -> fmt::Result {
        let name = &step.info.name;
        let before = self.before.steps.iter().find(|s| s.info.name == *name).map(|s| s.counts).unwrap_or_default();
        let (runs, skipped) = (step.counts.runs, step.counts.skipped.iter().sum::<u64>());
        let label = format!(
            "{name}\n{}\n{} × batch ≤ {}\n{:.1} runs/s of {:.1} pictures\n{:.1} looks/s left out",
            step.info.runtime,
            step.workers,
            step.max_batch,
            self.per_second(runs, before.runs),
            step.mean_batch(),
            self.per_second(skipped, before.skipped.iter().sum()),
        );
        let node = quoted(&node("step", name));
        writeln!(out, "  {node} [label={}, fillcolor=\"#d1c4e9\"];", quoted(&label))?;
        writeln!(out, "  \"track\" -> {node} [style=dashed, constraint=false, label=\"{}/{}\"];", step.waiting, step.capacity)?;
        writeln!(out, "  {node} -> \"track\" [style=dashed, constraint=false];")
    }

    fn publish(&self) -> String {
        if self.now.publish.is_empty() {
            return "publish\nno broker is configured".into();
        }
        let of = |brokers: &[PublishSnapshot], name: &str| {
            let families = brokers.iter().flat_map(|broker| &broker.families).filter(|family| family.name == name);
            families.fold((0, 0), |(published, lost), family| (published + family.published, lost + family.lost()))
        };
        let mut label = "publish".to_owned();
        for family in self.now.publish.first().iter().flat_map(|broker| &broker.families) {
            let (now, before) = (of(&self.now.publish, family.name), of(&self.before.publish, family.name));
            let _ = write!(label, "\n{} {:.1}/s", family.name, self.per_second(now.0, before.0));
            if now.1 > 0 {
                let _ = write!(label, ", dropped {:.1}/s ({})", self.per_second(now.1, before.1), now.1);
            }
        }
        label + &stage(self.now, "publish")
    }
}

fn colour(state: CameraState) -> &'static str {
    match state {
        CameraState::Online => "#c8e6c9",
        CameraState::Connecting | CameraState::Ended | CameraState::Disabled | CameraState::Offline => "#eceff1",
        CameraState::NoData | CameraState::Frozen | CameraState::Black | CameraState::Blurred | CameraState::Moved => "#ffe0b2",
        CameraState::AuthFailed
        | CameraState::NotFound
        | CameraState::Unreachable
        | CameraState::Tls
        | CameraState::UnsupportedCodec
        | CameraState::DecodeError => "#ffcdd2",
    }
}

fn node(kind: &str, name: &str) -> String {
    format!("{kind}/{name}")
}

/// Mean and p99 of a stage, on a line of its own; nothing before the first frame.
fn stage(snapshot: &Snapshot, name: &str) -> String {
    match snapshot.stages.iter().find(|s| s.name == name) {
        Some(s) if s.count > 0 => format!("\nmean {}, p99 {}", short(s.mean), short(s.p99)),
        _ => String::new(),
    }
}

fn queue(snapshot: &Snapshot, name: &str) -> String {
    let queue = snapshot.queues.iter().find(|q| q.name == name);
    queue.map(|q| format!(" [label=\"{}/{}\"]", q.length, q.capacity)).unwrap_or_default()
}

fn short(span: Duration) -> String {
    let us = span.as_secs_f64() * 1e6;
    if us < 1000.0 { format!("{us:.0} µs") } else { format!("{:.1} ms", us / 1000.0) }
}

fn clock(span: Duration) -> String {
    let seconds = span.as_secs();
    format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

fn shortened(detail: &str) -> String {
    let short: String = detail.chars().take(60).collect();
    if short.len() < detail.len() { short + "…" } else { short }
}

/// A Graphviz string: whatever a camera says stays inside the quotes.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A camera's GStreamer graph as a cluster beside the camera. Elements carry their address in their names, so graphs do not mix;
/// the legend that each graph repeats is left out.
fn embed(out: &mut String, number: usize, camera: &CameraSnapshot, dot: &str) -> fmt::Result {
    let Some(body) = body(dot) else {
        tracing::debug!(camera = camera.name, "its GStreamer graph has an unknown form");
        return Ok(());
    };
    writeln!(out, "  subgraph cluster_gst_{number} {{")?;
    let mut legend = false;
    for line in body.lines() {
        let text = line.trim();
        legend |= text.starts_with("legend [");
        if !legend && !text.is_empty() && !text.starts_with("rankdir=") && !text.starts_with("label=\"<") {
            writeln!(out, "    {}", scrubbed(line))?;
        }
        legend &= text != "];";
    }
    writeln!(out, "    label={}; labelloc=t; style=rounded; color=\"#90a4ae\";", quoted(&format!("{}: GStreamer", camera.name)))?;
    writeln!(out, "  }}")
}

/// What stands between the outermost braces, if they are balanced.
fn body(dot: &str) -> Option<&str> {
    let inner = dot.trim().strip_prefix("digraph")?.split_once('{')?.1.strip_suffix('}')?;
    let (mut depth, mut string, mut escaped) = (0_usize, false, false);
    for c in inner.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' if string => escaped = true,
            '"' => string = !string,
            '{' if !string => depth += 1,
            '}' if !string => depth = depth.checked_sub(1)?,
            _ => {}
        }
    }
    (depth == 0 && !string).then_some(inner)
}

/// The camera's own graph, for `egret graph --camera`.
pub(super) fn camera(dot: &str) -> String {
    dot.lines().fold(String::with_capacity(dot.len()), |out, line| out + &scrubbed(line) + "\n")
}

/// Properties that may hold credentials never leave, whichever way the graph was written.
const SECRET: [&str; 6] = ["user-pw", "user-id", "password", "passwd", "proxy-pw", "proxy-id"];

/// A line of a GStreamer graph, with the values of properties that may hold credentials replaced.
fn scrubbed(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    // Properties are written `\nname=value`, with a literal backslash and n.
    for (i, part) in line.split("\\n").enumerate() {
        if i > 0 {
            out.push_str("\\n");
        }
        match part.split_once('=') {
            Some((name, value)) if SECRET.contains(&name.trim_start_matches('"')) => {
                // The string ends at the first quote that is not escaped; keep what follows it.
                let end = end_of_string(value).map_or("", |end| &value[end..]);
                let _ = write!(out, "{name}=***{end}");
            }
            _ => out.push_str(&without_userinfo(part)),
        }
    }
    out
}

/// `rtsp://user:password@host` becomes `rtsp://***@host`.
fn without_userinfo(text: &str) -> String {
    let mut parts = text.split("://");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        out.push_str("://");
        let authority = part.find(['/', ' ', '"', '?']).unwrap_or(part.len());
        match part[..authority].rfind('@') {
            Some(at) => out.extend(["***", &part[at..]]),
            None => out.push_str(part),
        }
    }
    out
}

fn end_of_string(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.char_indices().find_map(|(i, c)| {
        let end = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        end.then_some(i)
    })
}

#[cfg(test)]
mod tests {
    use std::{
        io::Write as _,
        process::{Command, Stdio},
    };

    use gstreamer::prelude::*;

    use super::*;
    use crate::observe::tests::snapshot;

    /// What Graphviz says of a graph; `None` where it is not installed.
    fn graphviz(dot: &str) -> Option<String> {
        let child = Command::new("dot").arg("-Tsvg").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let Ok(mut child) = child else {
            eprintln!("SKIPPED: Graphviz is not installed: the graph is not rendered");
            return None;
        };
        let mut input = child.stdin.take().expect("piped");
        let text = dot.to_owned();
        let writer = std::thread::spawn(move || input.write_all(text.as_bytes()));
        let output = child.wait_with_output().expect("dot ends");
        writer.join().expect("no panic").expect("dot reads it all");
        assert!(output.status.success(), "{}\n{dot}", String::from_utf8_lossy(&output.stderr));
        assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
        Some(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn rates<'a>(before: &'a Snapshot, now: &'a Snapshot) -> Rates<'a> {
        Rates { before, now, window: Duration::from_secs(2) }
    }

    /// A real pipeline's own drawing, with everything that GStreamer knows of it.
    fn gstreamer_graph(launch: &str) -> String {
        gstreamer::init().expect("GStreamer");
        let pipeline = gstreamer::parse::launch(launch).expect("a pipeline");
        let pipeline = pipeline.downcast::<gstreamer::Pipeline>().expect("a pipeline");
        pipeline.debug_to_dot_data(gstreamer::DebugGraphDetails::all()).to_string()
    }

    #[test]
    fn rates_queues_drops_and_states_are_shown() {
        let before = snapshot();
        let mut now = snapshot();
        now.cameras[0].counts.decoded += 50;
        now.cameras[0].counts.inferred += 30;
        now.cameras[0].counts.dropped.replaced += 20;
        now.models[0].batches += 15;
        let dot = line(&rates(&before, &now), &[]);
        for words in [
            "25.0 fps decoded",
            "15.0 fps inferred",
            "replaced 10.0/s (1020)",
            "7.5 batches/s",
            "auth_failed\\n401 Unauthorized",
            "h264 1920×1080",
            "1/16",
            "localhost:1883\\nconnected",
            "onnxruntime 1.31.1",
        ] {
            assert!(dot.contains(words), "{words} in\n{dot}");
        }
        graphviz(&dot);
    }

    #[test]
    fn whatever_a_camera_says_stays_inside_its_quotes() {
        let mut now = snapshot();
        now.cameras[1].status.detail = "\"]; evil [label=\"\\\"x\u{7} {".into();
        let svg = graphviz(&line(&rates(&now, &now), &[]));
        assert!(svg.is_none_or(|svg| !svg.contains("<title>evil</title>")));
    }

    #[test]
    fn a_real_gstreamer_graph_becomes_a_cluster() {
        let now = snapshot();
        let gst = gstreamer_graph("videotestsrc name=pattern ! videoconvert ! fakesink");
        let dot = line(&rates(&now, &now), &[("door".into(), gst.clone()), ("yard".into(), gst)]);
        assert!(dot.contains("GstVideoTestSrc") && dot.contains("door: GStreamer"), "{dot}");
        assert!(!dot.contains("Element-States"), "no legends: {dot}");
        graphviz(&dot);
    }

    #[test]
    fn credentials_in_a_gstreamer_graph_are_not_shown() {
        let gst = gstreamer_graph("rtspsrc location=rtsp://admin:hunter2@camera/1 user-id=admin user-pw=hun\\\"ter3 ! fakesink");
        assert!(gst.contains("hunter2") && gst.contains("ter3"), "the test shows something: {gst}");
        let now = snapshot();
        for shown in [camera(&gst), line(&rates(&now, &now), &[("door".into(), gst.clone())])] {
            assert!(!shown.contains("hunter2") && !shown.contains("ter3"), "{shown}");
            assert!(shown.contains("://***@camera/1") && shown.contains("user-pw=***"), "{shown}");
            graphviz(&shown);
        }
    }

    #[test]
    fn a_broken_gstreamer_graph_does_not_break_the_line() {
        let now = snapshot();
        for broken in ["", "digraph", "digraph x {", "digraph x { } }", "digraph x { a [label=\"} ]; }", "graph y {}"] {
            let dot = line(&rates(&now, &now), &[("door".into(), broken.into())]);
            assert!(!dot.contains("cluster_gst"), "{broken}");
            graphviz(&dot);
        }
    }

    #[test]
    fn an_empty_line_is_a_graph_too() {
        let empty = Snapshot::default();
        graphviz(&line(&rates(&empty, &empty), &[]));
    }
}
