//! Parts of the picture that do not exist for egret. They act before tracking: what is there has no identity either.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

use super::{
    counters::Counters,
    geometry::{Point, Rect},
    place::Anchor,
    rule::MaskConfig,
    runner::{Timetable, resolve},
};
use crate::media::{BBox, Detection, ModelInfo};

/// The masks of one camera.
pub struct Masks {
    all: Vec<(MaskConfig, Timetable)>,
    wanted: Vec<Option<Box<[bool]>>>,
    model: Option<Arc<ModelInfo>>,
    counter: Arc<AtomicU64>,
}

impl Masks {
    /// The masks of a camera; `None`: it has none.
    pub fn new(camera: &str, masks: &[MaskConfig], counters: &Counters) -> Option<Self> {
        (!masks.is_empty()).then(|| Self {
            all: masks.iter().map(|mask| (mask.clone(), Timetable::default())).collect(),
            wanted: vec![None; masks.len()],
            model: None,
            counter: counters.mask(camera),
        })
    }

    /// What hides in a frame taken at a time. `size`: its width and height in pixels.
    pub fn at(&mut self, size: (u32, u32), wall: SystemTime, model: &Arc<ModelInfo>) -> Hidden<'_> {
        if !self.model.as_ref().is_some_and(|known| Arc::ptr_eq(known, model)) {
            self.wanted = self.all.iter().map(|(mask, _)| resolve(mask.classes.as_deref(), &model.classes)).collect();
            self.model = Some(model.clone());
        }
        let mut masks = Vec::with_capacity(self.all.len());
        for ((mask, timetable), wanted) in self.all.iter_mut().zip(&self.wanted) {
            if timetable.holds(mask.schedule.as_ref(), wall) {
                masks.push((&*mask, wanted.as_deref()));
            }
        }
        Hidden { masks, size, counter: &self.counter }
    }
}

/// The masks in force for one frame.
pub struct Hidden<'a> {
    masks: Vec<(&'a MaskConfig, Option<&'a [bool]>)>,
    size: (u32, u32),
    counter: &'a AtomicU64,
}

impl Hidden<'_> {
    /// Whether a detection lies in one of them. Those that do are counted.
    pub fn holds(&self, detection: &Detection) -> bool {
        let concerns =
            |wanted: Option<&[bool]>| wanted.is_none_or(|wanted| wanted.get(usize::from(detection.class)) == Some(&true));
        let hidden = self.masks.iter().any(|(mask, wanted)| concerns(*wanted) && hides(mask, &detection.bbox, self.size));
        self.counter.fetch_add(u64::from(hidden), Ordering::Relaxed);
        hidden
    }
}

/// Whether a box is where a mask wants it to be.
fn hides(mask: &MaskConfig, bbox: &BBox, (width, height): (u32, u32)) -> bool {
    let (w, h) = (f64::from(width.max(1)), f64::from(height.max(1)));
    let [x1, y1, x2, y2] = [f64::from(bbox.x1) / w, f64::from(bbox.y1) / h, f64::from(bbox.x2) / w, f64::from(bbox.y2) / h];
    let middle = f64::midpoint(x1, x2);
    match mask.anchor {
        // A box that reaches beyond the picture's lower edge stands at it.
        Anchor::Foot => mask.zone.contains(Point::new(middle, y2.min(1.0))),
        Anchor::Centre => mask.zone.contains(Point::new(middle, f64::midpoint(y1, y2))),
        Anchor::Overlap => {
            let rect = Rect::new(Point::new(x1, y1), Point::new(x2, y2));
            mask.zone.include.iter().any(|polygon| polygon.meets(&rect))
                && !mask.zone.exclude.iter().any(|polygon| polygon.covers(&rect))
        }
    }
}
