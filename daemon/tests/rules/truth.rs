//! What truly happens in a scene, from its continuous trajectories: sampled far more often than any camera looks, in plain floating
//! point. Nothing here knows the rules' own geometry or their states.

use std::collections::BTreeMap;

use egret::sim::scene::{Class, Outline, Scene};

/// Samples per second.
const RATE: f64 = 50.0;
/// Unseen or elsewhere for less than this, somebody is still there; for more, no longer. In between is nobody's mistake.
const BRIDGED_S: f64 = 1.0;
const DOUBTFUL_S: [f64; 2] = [0.5, 1.6];

/// One object at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    pub(crate) t: f64,
    /// The middle of the lower edge of the box in the picture, in fractions of it.
    pub(crate) foot: [f64; 2],
    /// Whether a camera can see it: most of it in the picture, and not hidden.
    pub(crate) seen: bool,
}

/// One object's way.
pub(crate) struct Way {
    pub(crate) class: Class,
    pub(crate) samples: Vec<Sample>,
}

/// Everybody's ways.
pub(crate) struct Ways {
    pub(crate) all: BTreeMap<u64, Way>,
    pub(crate) seconds: f64,
}

/// The part of an object's box that lies in the picture, x1, y1, x2, y2 in pixels.
pub(crate) fn clipped(outline: &Outline, [w, h]: [f32; 2]) -> [f32; 4] {
    let [x1, y1, x2, y2] = outline.bbox;
    [x1.clamp(0.0, w), y1.clamp(0.0, h), x2.clamp(0.0, w), y2.clamp(0.0, h)]
}

/// Whether a camera can see it: most of it in the picture, at least a third of that not hidden, and not tiny.
pub(crate) fn is_seen(outline: &Outline, size: [f32; 2]) -> bool {
    let [_, y1, _, y2] = clipped(outline, size);
    outline.inside >= 0.6 && outline.visible >= 0.33 && y2 - y1 >= 14.0
}

impl Ways {
    pub(crate) fn of(scene: &mut Scene, seconds: f64) -> Self {
        let size = [scene.config().width as f32, scene.config().height as f32];
        let mut all: BTreeMap<u64, Way> = BTreeMap::new();
        for i in 0..(seconds * RATE) as u32 {
            let t = f64::from(i) / RATE;
            for outline in scene.outlines(t) {
                let [x1, _, x2, y2] = clipped(&outline, size).map(f64::from);
                let foot = [f64::midpoint(x1, x2) / f64::from(size[0]), y2 / f64::from(size[1])];
                let way = all.entry(outline.id).or_insert_with(|| Way { class: outline.class, samples: Vec::new() });
                way.samples.push(Sample { t, foot, seen: is_seen(&outline, size) });
            }
        }
        Self { all, seconds }
    }
}

impl Way {
    /// Where it is at a time, if it is there at all.
    pub(crate) fn foot_at(&self, t: f64) -> Option<[f64; 2]> {
        let at = self.samples.partition_point(|sample| sample.t < t);
        let near = self.samples.get(at).or(self.samples.last())?;
        ((near.t - t).abs() <= 2.0 / RATE).then_some(near.foot)
    }

    /// For how long it is seen within a span.
    fn seen_s(&self, from: f64, to: f64) -> f64 {
        self.samples.iter().filter(|s| s.seen && s.t >= from && s.t <= to).count() as f64 / RATE
    }

    /// Pieces of its way without a hole.
    fn steps(&self) -> impl Iterator<Item = (Sample, Sample)> {
        self.samples.windows(2).map(|pair| (pair[0], pair[1])).filter(|(a, b)| b.t - a.t < 1.5 / RATE)
    }
}

/// Something that happens, to be found by a rule.
#[derive(Clone, Debug)]
pub(crate) struct Fact {
    /// Who; nobody for what is about a zone as a whole.
    pub(crate) id: Option<u64>,
    pub(crate) from: f64,
    pub(crate) to: f64,
    /// Lines: from left to right.
    pub(crate) inward: bool,
    /// Whether it has to be found. What is on the verge of being so may be found or not.
    pub(crate) binding: bool,
}

fn side(a: [f64; 2], b: [f64; 2], p: [f64; 2]) -> f64 {
    (b[0] - a[0]) * (p[1] - a[1]) - (b[1] - a[1]) * (p[0] - a[0])
}

/// Crossings of a straight line.
pub(crate) fn crossings(ways: &Ways, [a, b]: [[f64; 2]; 2]) -> Vec<Fact> {
    let mut facts = Vec::new();
    for (&id, way) in &ways.all {
        let mut own: Vec<Fact> = Vec::new();
        for (p, q) in way.steps() {
            let (before, after) = (side(a, b, p.foot), side(a, b, q.foot));
            if (before < 0.0) == (after < 0.0) {
                continue;
            }
            // Where on the line. Near its ends a way that is cut short between two frames may miss it or meet it.
            let at = side(p.foot, q.foot, a) / (side(p.foot, q.foot, a) - side(p.foot, q.foot, b));
            let margin = 0.04 / (b[0] - a[0]).hypot(b[1] - a[1]);
            if !(-margin..=1.0 + margin).contains(&at) {
                continue;
            }
            let clear_of_ends = (margin..=1.0 - margin).contains(&at);
            let observed = way.seen_s(p.t - 1.2, p.t) >= 0.5 && way.seen_s(q.t, q.t + 1.2) >= 0.5;
            let binding = clear_of_ends && observed;
            own.push(Fact { id: Some(id), from: p.t, to: p.t, inward: before < 0.0, binding });
        }
        // To and fro within moments.
        for i in 1..own.len() {
            if own[i].from - own[i - 1].from < 1.5 {
                (own[i - 1].binding, own[i].binding) = (false, false);
            }
        }
        facts.extend(own);
    }
    facts
}

/// Even-odd.
fn is_in(zone: &[[f64; 2]], [x, y]: [f64; 2]) -> bool {
    let mut inside = false;
    for i in 0..zone.len() {
        let (a, b) = (zone[i], zone[(i + 1) % zone.len()]);
        if (a[1] > y) != (b[1] > y) && x < a[0] + (y - a[1]) / (b[1] - a[1]) * (b[0] - a[0]) {
            inside = !inside;
        }
    }
    inside
}

/// Stays in a zone; those with a doubtful gap, or begun before the scene or over after it, bind nobody.
fn stays(ways: &Ways, zone: &[[f64; 2]]) -> Vec<Fact> {
    let mut facts: Vec<Fact> = Vec::new();
    for (&id, way) in &ways.all {
        let mut own: Vec<Fact> = Vec::new();
        for sample in way.samples.iter().filter(|sample| sample.seen && is_in(zone, sample.foot)) {
            match own.last_mut() {
                Some(last) if sample.t - last.to <= BRIDGED_S => {
                    last.binding &= sample.t - last.to < DOUBTFUL_S[0];
                    last.to = sample.t;
                }
                Some(last) if sample.t - last.to <= DOUBTFUL_S[1] => {
                    last.binding = false;
                    own.push(Fact { id: Some(id), from: sample.t, to: sample.t, inward: true, binding: false });
                }
                _ => own.push(Fact { id: Some(id), from: sample.t, to: sample.t, inward: true, binding: true }),
            }
        }
        facts.extend(own);
    }
    for fact in &mut facts {
        fact.binding &= fact.from > 1.0 && fact.to < ways.seconds - 2.0;
    }
    facts
}

/// Stays of at least so many seconds.
pub(crate) fn dwells(ways: &Ways, zone: &[[f64; 2]], time: f64) -> Vec<Fact> {
    let mut facts = stays(ways, zone);
    facts.retain(|fact| fact.to - fact.from >= time - 0.7);
    for fact in &mut facts {
        fact.binding &= fact.to - fact.from >= time + 0.7;
    }
    facts
}

/// Spans in which at least so many are in a zone, for at least so long.
pub(crate) fn crowded(ways: &Ways, zone: &[[f64; 2]], count: usize, time: f64) -> Vec<Fact> {
    let stays = stays(ways, zone);
    let mut spans: Vec<Fact> = Vec::new();
    for i in 0..(ways.seconds * RATE) as u32 {
        let t = f64::from(i) / RATE;
        if stays.iter().filter(|stay| (stay.from..=stay.to).contains(&t)).count() < count {
            continue;
        }
        match spans.last_mut() {
            Some(last) if t - last.to <= BRIDGED_S => {
                last.binding &= t - last.to < DOUBTFUL_S[0];
                last.to = t;
            }
            Some(last) if t - last.to <= DOUBTFUL_S[1] => {
                last.binding = false;
                spans.push(Fact { id: None, from: t, to: t, inward: true, binding: false });
            }
            _ => spans.push(Fact { id: None, from: t, to: t, inward: true, binding: true }),
        }
    }
    // What holds for the inertia alone after a moment may count or not.
    for span in &mut spans {
        span.binding &= span.from > 1.0 && span.to < ways.seconds - 2.0 && span.to - span.from >= time + 0.7;
    }
    spans
}
