//! What the gate and the calm interval save and what that costs: cameras in virtual time through the daemon's own watch, batcher,
//! tracker and rules, the same frames and detections four ways.

use std::{sync::Arc, time::Duration};

use crate::{
    batch::Counts,
    config::GateConfig,
    media::{Detection, ModelInfo, Pixels},
    trackeval::{Hota, Truth},
};

mod arm;
#[cfg(feature = "sim")]
mod load;
#[cfg(feature = "sim")]
mod scenes;
mod score;
mod sequence;
mod sitting;
mod video;

#[cfg(feature = "sim")]
pub use load::{Load, LoadReport, load};
#[cfg(feature = "sim")]
pub use scenes::{Scenes, scenes};
pub use sequence::sequences;
pub use video::video;

/// How the cameras are configured where they are not looked at in every frame.
#[derive(Clone, Copy, Debug)]
pub struct GateOptions {
    /// The gate.
    pub gate: GateConfig,
    /// As the camera's key.
    pub calm_interval: Duration,
}

/// Which frames are inferred.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// All.
    Every,
    /// Those that the gate lets through.
    Gate,
    /// Those that the calm interval asks for.
    Calm,
    /// Both of these.
    Both,
}

impl Way {
    /// All of them; the first one is what the others are held against.
    pub const ALL: [Self; 4] = [Self::Every, Self::Gate, Self::Calm, Self::Both];

    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Self::Every => "every frame",
            Self::Gate => "gate",
            Self::Calm => "calm interval",
            Self::Both => "gate, calm interval",
        }
    }

    fn gated(self) -> bool {
        matches!(self, Self::Gate | Self::Both)
    }

    fn calm(self) -> bool {
        matches!(self, Self::Calm | Self::Both)
    }
}

/// What came of one way.
#[derive(Clone, Debug, Default)]
pub struct WayReport {
    /// Where the frames went.
    pub counts: Counts,
    /// The tracks of all frames against the truth; between two looks they go on as they went, and stand in still pictures.
    pub hota: Hota,
    /// Events of the rules when every frame is inferred.
    pub events: u64,
    /// Those of them that this way did not tell within a second.
    pub events_missed: u64,
    /// Events that it told besides.
    pub events_more: u64,
    /// Objects that moved and were in view for a second or longer.
    pub objects: u64,
    /// Those of which no frame of their first second was looked at.
    pub missed: u64,
    /// The longest that one of the others waited for its first look.
    pub longest_wait: Duration,
}

impl WayReport {
    /// Share of the frames that no network had to look at.
    pub fn saved(&self) -> f64 {
        1.0 - self.counts.inferred as f64 / self.counts.decoded.max(1) as f64
    }

    fn add(&mut self, other: &Self) {
        self.counts += other.counts;
        self.hota.add(&other.hota);
        self.events += other.events;
        self.events_missed += other.events_missed;
        self.events_more += other.events_more;
        self.objects += other.objects;
        self.missed += other.missed;
        self.longest_wait = self.longest_wait.max(other.longest_wait);
    }
}

/// What came of a camera, or of several.
#[derive(Clone, Debug, Default)]
pub struct GateReport {
    /// Which.
    pub name: String,
    /// Frames.
    pub frames: u64,
    /// Those of them in which nothing moves, by the truth: what could be saved.
    pub idle: u64,
    /// CPU time of all looks at luma planes.
    pub looking: Duration,
    /// In the order of [`Way::ALL`].
    pub ways: [WayReport; 4],
}

impl GateReport {
    /// Nothing yet.
    pub fn named(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    /// Adds another camera's.
    pub fn add(&mut self, other: &Self) {
        self.frames += other.frames;
        self.idle += other.idle;
        self.looking += other.looking;
        self.ways.iter_mut().zip(&other.ways).for_each(|(way, other)| way.add(other));
    }

    /// HOTA that a way has lost against looking at every frame, in points.
    pub fn lost(&self, way: Way) -> f64 {
        100.0 * (self.ways[Way::Every as usize].hota.hota() - self.ways[way as usize].hota.hota())
    }
}

/// A frame, and what is in it.
struct Shot {
    pixels: Pixels,
    at: Duration,
    detections: Vec<Detection>,
    /// `None`: what looking at every frame tells is the truth.
    truth: Option<Vec<Truth>>,
}

/// Takes a camera's frames all ways.
fn judge(
    options: &GateOptions,
    model: &Arc<ModelInfo>,
    shots: impl Iterator<Item = Result<Shot, String>>,
) -> Result<GateReport, String> {
    let stands = sitting::stands(model)?;
    let mut sitting = sitting::Sitting::new(options, model, &stands);
    for shot in shots {
        sitting.take(shot?);
    }
    Ok(sitting.report())
}
