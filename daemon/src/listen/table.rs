//! What has come as a table, and latencies as bars.

use std::{
    fmt::Write as _,
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;

use super::{
    tally::{Camera, Tally},
    text::printable,
};

/// Upper edges of the bars, in milliseconds; the last bar has none.
const EDGES_MS: [u64; 11] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000];
/// Columns of the longest bar.
const BAR: u64 = 40;
/// Rows that fit a screen.
const ROWS: usize = 40;

fn ms(histogram: &Histogram<u32>, quantile: f64) -> String {
    let us = histogram.value_at_quantile(quantile);
    if histogram.is_empty() { "–".to_owned() } else { format!("{:.1}", us as f64 / 1000.0) }
}

impl Tally {
    /// One row per camera. `now`: with rates; else it is over.
    pub fn table(&self, since: Duration, now: Option<Instant>) -> String {
        let mut out = String::new();
        let width = self.cameras().map(|(name, _)| printable(name).chars().count()).max().unwrap_or(0).clamp(6, 48);
        let rate = if now.is_some() { "  frames/s" } else { "" };
        // Writing to a string cannot fail.
        let _ = writeln!(
            out,
            "{:width$}  {:14}{rate}    frames  objects    tracks    events  missing  again   p50 ms   p99 ms",
            "camera", "state"
        );
        for (name, camera) in self.cameras().take(ROWS) {
            row(&mut out, name, camera, width, now);
        }
        let more = self.cameras().count().saturating_sub(ROWS);
        if more > 0 {
            let _ = writeln!(out, "and {more} more");
        }
        let Self { messages, bytes, unread, .. } = self;
        let seconds = since.as_secs_f64().max(0.001);
        let _ = writeln!(
            out,
            "{messages} messages ({:.0} a second, {:.1} kB a second), {unread} of them could not be read",
            *messages as f64 / seconds,
            *bytes as f64 / seconds / 1000.0
        );
        out
    }

    /// How long it took from capture to publishing, and to here, over all cameras.
    pub fn latencies(&self) -> String {
        let mut out = String::new();
        for (title, pick) in [
            ("from capture to publishing, as the messages say", (|camera| &camera.published) as fn(&Camera) -> &Histogram<u32>),
            ("from capture to here, by the two clocks", |camera| &camera.arrived),
        ] {
            bars(&mut out, title, self.cameras().map(|(_, camera)| pick(camera)));
        }
        out
    }
}

fn row(out: &mut String, name: &str, camera: &Camera, width: usize, now: Option<Instant>) {
    let Camera { state, frames, tracks, events, objects, missing, again, published, .. } = camera;
    let rate = now.map_or_else(String::new, |now| format!("{:10.1}", camera.rate(now)));
    let fit = |text: &str, width: usize| printable(text).chars().take(width).collect::<String>();
    let _ = writeln!(
        out,
        "{:width$}  {:14}{rate}{frames:10}{objects:9}{tracks:10}{events:10}{missing:9}{again:7}{:>9}{:>9}",
        fit(name, width),
        fit(state, 14),
        ms(published, 0.5),
        ms(published, 0.99)
    );
}

fn bars<'a>(out: &mut String, title: &str, histograms: impl Iterator<Item = &'a Histogram<u32>>) {
    let mut counts = [0u64; EDGES_MS.len() + 1];
    for value in histograms.flat_map(Histogram::iter_recorded) {
        let us = value.value_iterated_to();
        let bar = EDGES_MS.iter().position(|edge| us <= edge * 1000).unwrap_or(EDGES_MS.len());
        counts[bar] += u64::from(value.count_at_value());
    }
    let most = counts.into_iter().max().unwrap_or(0);
    if most == 0 {
        return;
    }
    let _ = writeln!(out, "{title}:");
    for (bar, count) in counts.into_iter().enumerate() {
        let label = EDGES_MS.get(bar).map_or_else(|| "longer".to_owned(), |edge| format!("≤ {edge} ms"));
        let columns = (count * BAR).div_ceil(most) as usize;
        let _ = writeln!(out, "{label:>10} {count:9} {}", "█".repeat(columns));
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use serde_json::json;

    use super::*;

    #[test]
    fn a_table_has_a_row_per_camera_and_bars_hold_every_frame() {
        let (mut tally, now) = (Tally::default(), Instant::now());
        for (camera, latency) in [("door", 3.0), ("door", 4.0), ("yard", 30_000.0), ("\x1b[2J", 3.0)] {
            let frame =
                json!({ "kind": "frame", "device": "box1", "camera": camera, "boot_id": "a", "seq": 1, "latency_ms": latency });
            tally.take(&frame, 10, false, now, SystemTime::now());
        }
        let table = tally.table(Duration::from_secs(2), Some(now));
        assert_eq!(table.lines().count(), 1 + 3 + 1, "{table}");
        assert!(table.contains("box1/door") && table.contains("4 messages (2 a second") && !table.contains('\x1b'), "{table}");
        let bars = tally.latencies();
        assert!(bars.contains("≤ 5 ms         3 ") && bars.contains("longer         1 "), "{bars}");
        assert!(!bars.contains("to here"), "{bars}");
        assert_eq!(Tally::default().latencies(), "");
    }

    #[test]
    fn a_thousand_cameras_fit_a_screen() {
        let (mut tally, now) = (Tally::default(), Instant::now());
        for camera in 0..1000 {
            tally.take(
                &json!({ "kind": "frame", "device": camera.to_string(), "camera": "x" }),
                1,
                false,
                now,
                SystemTime::now(),
            );
        }
        assert!(tally.table(Duration::ZERO, None).lines().count() <= ROWS + 3);
    }
}
