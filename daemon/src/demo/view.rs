//! What a subscriber knows, drawn as text: for each camera its state, its rate, its latency and a plan of the boxes in its picture.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt::Write as _,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::status::CameraState;

/// Columns and rows of one camera's plan.
const PLAN: (usize, usize) = (46, 11);
/// Lines of the list of latest tracks.
const TRACK_LINES: usize = 6;
/// Frame rates are counted over this long.
const RATE_WINDOW: Duration = Duration::from_secs(3);

#[derive(Default)]
struct CameraView {
    state: String,
    objects: Vec<Object>,
    latency_ms: f64,
    arrivals: VecDeque<Instant>,
    frames: u64,
    detections: u64,
}

struct Object {
    class: String,
    confidence: f64,
    /// Normalised corners.
    corners: [f64; 4],
}

/// Gathers messages; draws them.
#[derive(Default)]
pub struct View {
    cameras: BTreeMap<String, CameraView>,
    tracks: VecDeque<String>,
    messages: u64,
}

impl View {
    /// Takes one message as it came from the broker. `topic` is what follows `<base>/<device>/`.
    pub fn take(&mut self, topic: &str, payload: &Value, now: Instant) {
        self.messages += 1;
        let levels: Vec<&str> = topic.split('/').collect();
        match levels.as_slice() {
            ["cam", camera, "status"] => {
                let (camera, state) = (self.camera(camera), text(&payload["state"]));
                // The daemon's farewell says nothing of how the camera was doing.
                if state != CameraState::Offline.as_str() || camera.state.is_empty() {
                    camera.state = state;
                }
            }
            ["cam", camera, "frame"] => self.frame(camera, payload, now),
            ["cam", camera, "track", phase @ ("new" | "end")] => {
                let line = format!(
                    "{camera:<8} {phase:<4} {:<8} {}  confidence {:.2}",
                    text(&payload["class"]),
                    text(&payload["track"]),
                    number(&payload["confidence"])
                );
                self.tracks.push_front(line);
                self.tracks.truncate(TRACK_LINES);
            }
            _ => {}
        }
    }

    fn camera(&mut self, name: &str) -> &mut CameraView {
        self.cameras.entry(name.to_owned()).or_default()
    }

    fn frame(&mut self, camera: &str, payload: &Value, now: Instant) {
        let view = self.camera(camera);
        view.latency_ms = number(&payload["latency_ms"]);
        view.frames += 1;
        view.arrivals.push_back(now);
        while view.arrivals.front().is_some_and(|at| now.duration_since(*at) > RATE_WINDOW) {
            view.arrivals.pop_front();
        }
        view.objects.clear();
        for object in payload["objects"].as_array().into_iter().flatten() {
            let corners = std::array::from_fn(|edge| number(&object["box_norm"][edge]));
            view.objects.push(Object { class: text(&object["class"]), confidence: number(&object["confidence"]), corners });
        }
        view.detections += view.objects.len() as u64;
    }

    /// Names of the cameras of which frames with detections have been seen, and of all that are known.
    pub fn seen(&self) -> (usize, usize) {
        (self.cameras.values().filter(|c| c.frames > 0 && c.detections > 0).count(), self.cameras.len())
    }

    /// One line per camera.
    pub fn summary(&self) -> String {
        let mut out = String::new();
        for (name, camera) in &self.cameras {
            let _ = writeln!(
                out,
                "{name:<8} {:<10} {:>6} frames {:>7} detections  last latency {:>6.1} ms",
                camera.state, camera.frames, camera.detections, camera.latency_ms
            );
        }
        out
    }

    /// The whole picture, two cameras side by side.
    pub fn draw(&self, color: bool) -> String {
        let mut out = String::new();
        let panes: Vec<Vec<String>> = self.cameras.iter().map(|(name, camera)| pane(name, camera, color)).collect();
        for pair in panes.chunks(2) {
            for row in 0..pair[0].len() {
                let line: Vec<&str> = pair.iter().map(|pane| pane[row].as_str()).collect();
                let _ = writeln!(out, "{}", line.join("  "));
            }
        }
        let _ = writeln!(out, "tracks ({} MQTT messages so far)", self.messages);
        for line in &self.tracks {
            let _ = writeln!(out, "  {line}");
        }
        out
    }
}

fn pane(name: &str, camera: &CameraView, color: bool) -> Vec<String> {
    let (columns, rows) = PLAN;
    let rate = camera.arrivals.len() as f64 / RATE_WINDOW.as_secs_f64();
    let title = format!("{name} · {} · {rate:.0} fps · {:.0} ms", camera.state, camera.latency_ms);
    let mut lines = vec![format!("{title:<width$.width$}", width = columns + 2)];
    lines.push(format!("┌{}┐", "─".repeat(columns)));
    let plan = plan(&camera.objects);
    for row in plan.chunks(columns).take(rows) {
        let mut line = String::from("│");
        for (character, class) in row {
            match (color, class) {
                (true, Some(class)) => {
                    let _ = write!(line, "\x1b[{}m{character}\x1b[0m", paint(class));
                }
                _ => line.push(*character),
            }
        }
        line.push('│');
        lines.push(line);
    }
    lines.push(format!("└{}┘", "─".repeat(columns)));
    lines
}

/// The boxes as outlines on a grid, the class's first letter in the upper left corner.
fn plan(objects: &[Object]) -> Vec<(char, Option<&str>)> {
    let (columns, rows) = PLAN;
    let mut cells = vec![(' ', None); columns * rows];
    for object in objects {
        let cell = |value: f64, count: usize| ((value * count as f64) as usize).min(count - 1);
        let [x1, y1, x2, y2] = object.corners;
        let (left, right) = (cell(x1, columns), cell(x2, columns));
        let (top, bottom) = (cell(y1, rows), cell(y2, rows));
        for y in top..=bottom {
            for x in left..=right {
                let (vertical, horizontal) = (x == left || x == right, y == top || y == bottom);
                if vertical || horizontal {
                    let character = if horizontal { '·' } else { '│' };
                    cells[y * columns + x] = (character, Some(object.class.as_str()));
                }
            }
        }
        let label = format!("{}{:.0}", object.class, object.confidence * 100.0);
        for (i, character) in label.chars().take(columns - left).enumerate() {
            cells[top * columns + left + i] = (character, Some(object.class.as_str()));
        }
    }
    cells
}

fn paint(class: &str) -> u8 {
    match class {
        "person" => 32,
        "bicycle" => 36,
        "car" => 33,
        _ => 35,
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_drawn_where_its_boxes_are() {
        let mut view = View::default();
        let now = Instant::now();
        view.take("cam/door/status", &serde_json::json!({"state": "online"}), now);
        assert_eq!(view.seen(), (0, 1), "a status alone is no detection");
        view.take("cam/door/status", &serde_json::json!({"state": "offline"}), now);
        assert!(view.summary().contains("online") && !view.summary().contains("offline"), "{}", view.summary());
        let frame = serde_json::json!({
            "latency_ms": 41.5,
            "objects": [{"class": "person", "confidence": 0.91, "box_norm": [0.5, 0.0, 0.9, 0.99]}],
        });
        view.take("cam/door/frame", &frame, now);
        assert_eq!(view.seen(), (1, 1));
        let drawn = view.draw(false);
        let first_row = drawn.lines().nth(2).expect("a row of the plan");
        let column = first_row.chars().position(|c| c == 'p').expect("the label");
        assert_eq!(column, PLAN.0 / 2 + 1, "{drawn}");
        assert!(drawn.contains("door · online"), "{drawn}");
        assert!(drawn.contains("person91"), "{drawn}");
    }

    #[test]
    fn tracks_are_listed_newest_first_and_bounded() {
        let mut view = View::default();
        for i in 0..20 {
            let track = serde_json::json!({"track": format!("{i:016x}"), "class": "car", "confidence": 0.5});
            view.take("cam/a/track/new", &track, Instant::now());
        }
        let drawn = view.draw(false);
        assert!(drawn.contains("0000000000000013"), "{drawn}");
        assert_eq!(drawn.lines().filter(|line| line.contains("car")).count(), TRACK_LINES);
    }
}
