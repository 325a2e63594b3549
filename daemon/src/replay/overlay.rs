//! What is drawn over a picture: zones and lines, boxes with their tracks, the ways they came, and events.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use super::pen::{BLACK, CYAN, Color, GREY, Pen, RED, WHITE};
use crate::{
    analyse::{CameraRules, Event, EventPhase, RuleKind, Way, Zone, geometry::Point},
    media::Canvas,
    media::{BBox, Track, TrackId, TrackPhase, Tracked},
};

/// How long a track's way is drawn.
const TRAIL: Duration = Duration::from_secs(3);
/// How long an event is shown.
const SHOWN: Duration = Duration::from_secs(2);
/// Most points of one way.
const MAX_POINTS: usize = 512;
/// Most events that are shown at a time.
const MAX_EVENTS: usize = 6;

/// Colours of classes: none of those that zones and events have.
const CLASSES: [Color; 5] = [[149, 43, 21], [105, 212, 234], [226, 0, 149], [160, 40, 190], [125, 205, 75]];

fn paint(class: u16) -> Color {
    CLASSES[usize::from(class) % CLASSES.len()]
}

/// A zone's edge, a line or an arrow.
struct Outline {
    rule: String,
    /// Fractions of the picture.
    points: Vec<(f32, f32)>,
    closed: bool,
    /// Excluded parts and masks.
    minus: bool,
    arrow: bool,
}

/// The way that a track came: its foot points and when it was there.
struct Trail {
    color: Color,
    points: VecDeque<(Duration, (f32, f32))>,
}

/// An event that is shown.
struct Notice {
    since: Duration,
    rule: String,
    text: String,
    tracks: Vec<TrackId>,
}

/// Everything that is known of the recording so far.
pub(super) struct Overlay {
    outlines: Vec<Outline>,
    trails: BTreeMap<TrackId, Trail>,
    notices: VecDeque<Notice>,
}

impl Overlay {
    pub(super) fn new(rules: &CameraRules) -> Self {
        let mut outlines = Vec::new();
        for rule in &rules.rules {
            edges(&mut outlines, &rule.name, &rule.zone, false);
            let (points, arrow) = match &rule.kind {
                RuleKind::Line(line) | RuleKind::Tailgating { line, .. } => (line.line.points(), false),
                RuleKind::Heading(heading) => (&heading.arrow[..], true),
                _ => continue,
            };
            let (rule, points) = (rule.name.clone(), points.iter().map(place).collect());
            outlines.push(Outline { rule, points, closed: false, minus: false, arrow });
        }
        for mask in &rules.masks {
            edges(&mut outlines, &mask.name, &mask.zone, true);
        }
        Self { outlines, trails: BTreeMap::new(), notices: VecDeque::new() }
    }

    /// Takes a frame's story in; whether something has happened in it.
    pub(super) fn learn(&mut self, tracked: &Tracked, clock: Duration) -> bool {
        for rename in tracked.steps.iter().flat_map(|report| &report.renames) {
            if let Some(trail) = self.trails.remove(&rename.from) {
                self.trails.insert(rename.to, trail);
            }
        }
        for track in &tracked.tracks {
            if track.phase == TrackPhase::End {
                self.trails.remove(&track.id);
                continue;
            }
            let color = paint(track.class);
            let trail = self.trails.entry(track.id).or_insert_with(|| Trail { color, points: VecDeque::new() });
            trail.color = color;
            if trail.points.len() == MAX_POINTS {
                trail.points.pop_front();
            }
            trail.points.push_back((clock, (f32::midpoint(track.bbox.x1, track.bbox.x2), track.bbox.y2)));
        }
        let events = tracked.verdicts.as_ref().map_or(&[][..], |verdicts| &verdicts.events);
        for event in events {
            if self.notices.len() == MAX_EVENTS {
                self.notices.pop_front();
            }
            let tracks = event.objects.iter().map(|object| object.track).collect();
            self.notices.push_back(Notice { since: clock, rule: event.rule.to_string(), text: words(event), tracks });
        }
        !events.is_empty()
    }

    /// Draws what is known onto a frame's picture. `story`: the frame's own; `None`: nobody looked at it.
    pub(super) fn draw(&mut self, canvas: &mut Canvas, story: Option<&Tracked>, clock: Duration, number: u64) {
        self.forget(clock);
        let (width, height) = canvas.size();
        let size = (width as f32, height as f32);
        for outline in &self.outlines {
            self.outline(&mut Pen::new(canvas), outline, size);
        }
        for (id, trail) in &self.trails {
            let points: Vec<_> = trail.points.iter().map(|(_, at)| *at).collect();
            let color = if self.is_told_of(*id) { RED } else { trail.color };
            Pen::new(canvas).path(&points, false, 1, color);
        }
        if let Some(story) = story {
            for seen in story.detections.iter().filter(|seen| seen.track.is_none()) {
                canvas.outline(&seen.detection.bbox, GREY);
            }
            for track in story.tracks.iter().filter(|track| track.phase != TrackPhase::End) {
                self.track(canvas, track, story);
            }
        }
        self.captions(&mut Pen::new(canvas), story, clock, number, height);
    }

    fn forget(&mut self, clock: Duration) {
        while self.notices.front().is_some_and(|notice| clock.saturating_sub(notice.since) > SHOWN) {
            self.notices.pop_front();
        }
        self.trails.retain(|_, trail| {
            while trail.points.front().is_some_and(|(at, _)| clock.saturating_sub(*at) > TRAIL) {
                trail.points.pop_front();
            }
            !trail.points.is_empty()
        });
    }

    fn is_told_of(&self, track: TrackId) -> bool {
        self.notices.iter().any(|notice| notice.tracks.contains(&track))
    }

    fn outline(&self, pen: &mut Pen<'_>, outline: &Outline, (width, height): (f32, f32)) {
        let met = self.notices.iter().any(|notice| notice.rule == outline.rule);
        let color = if met {
            RED
        } else if outline.minus {
            GREY
        } else {
            CYAN
        };
        let points: Vec<_> = outline.points.iter().map(|(x, y)| (x * width, y * height)).collect();
        let thickness = if met { pen.thick() } else { 1 };
        pen.path(&points, outline.closed, thickness, color);
        if let (true, [from, to]) = (outline.arrow, points.as_slice()) {
            head(pen, *from, *to, thickness, color);
        }
        if let Some(first) = points.first() {
            pen.text(*first, &outline.rule, color, BLACK);
        }
    }

    fn track(&self, canvas: &mut Canvas, track: &Track, story: &Tracked) {
        let color = if self.is_told_of(track.id) { RED } else { paint(track.class) };
        canvas.outline(&track.bbox, color);
        let class = story.model.classes.get(usize::from(track.class)).map_or("?", String::as_str);
        // As the messages have it, without the leading zeros.
        let text = format!("#{:x} {class} {:.0}%", track.id.0, track.confidence * 100.0);
        let mut pen = Pen::new(canvas);
        let BBox { x1, y1, .. } = track.bbox;
        let above = (x1, y1 - pen.line_height() as f32);
        pen.text(above, &text, if color[0] > 140 { BLACK } else { WHITE }, color);
    }

    /// What happened, above; where we are, below.
    fn captions(&self, pen: &mut Pen<'_>, story: Option<&Tracked>, clock: Duration, number: u64, height: usize) {
        let mut y = 0.0;
        for notice in &self.notices {
            let text = format!("{:.2} s {}", notice.since.as_secs_f64(), notice.text);
            pen.text((0.0, y), &text, WHITE, RED);
            y += pen.line_height() as f32;
        }
        let what = match story {
            Some(story) => {
                let followed = story.tracks.iter().filter(|track| track.phase != TrackPhase::End).count();
                format!("{followed} of {} followed", story.detections.len())
            }
            None => "not looked at".to_owned(),
        };
        let text = format!("{:.3} s  frame {number}  {what}", clock.as_secs_f64());
        pen.text((0.0, height as f32), &text, WHITE, BLACK);
    }
}

fn place(point: &Point) -> (f32, f32) {
    (point.x() as f32, point.y() as f32)
}

fn edges(outlines: &mut Vec<Outline>, name: &str, zone: &Zone, mask: bool) {
    let parts = zone.include.iter().map(|polygon| (polygon, mask)).chain(zone.exclude.iter().map(|polygon| (polygon, !mask)));
    for (polygon, minus) in parts {
        let points = polygon.points().iter().map(place).collect();
        outlines.push(Outline { rule: name.to_owned(), points, closed: true, minus, arrow: false });
    }
}

/// The two strokes of an arrow's head.
fn head(pen: &mut Pen<'_>, from: (f32, f32), to: (f32, f32), thickness: i64, color: Color) {
    let (dx, dy) = ((from.0 - to.0) * 0.2, (from.1 - to.1) * 0.2);
    for side in [0.5, -0.5] {
        pen.line(to, (to.0 + dx - side * dy, to.1 + dy + side * dx), thickness, color);
    }
}

/// An event in a few words: rule, phase, who, how much.
fn words(event: &Event) -> String {
    let phase = match (event.phase, event.way) {
        (EventPhase::Start, _) => " start",
        (EventPhase::End, _) => " end",
        (EventPhase::Once, Some(Way::In)) => " in",
        (EventPhase::Once, Some(Way::Out)) => " out",
        (EventPhase::Once, None) => "",
    };
    let who = event.objects.first().map_or(String::new(), |object| format!(" #{:x}", object.track.0));
    let more = if event.objects.len() > 1 { format!("+{}", event.objects.len() - 1) } else { String::new() };
    let value = event.measure.map_or(String::new(), |measure| format!(" {:.1}", measure.value));
    format!("{}{phase}{who}{more}{value}", event.rule)
}
