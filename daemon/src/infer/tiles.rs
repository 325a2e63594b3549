//! Large frames in overlapping tiles: all tiles of a frame go through the network, and what is seen in several is told once.
//!
//! A tile's border cuts objects. A piece counts for nothing beside a box that shows the object whole (from the neighbour that
//! overlaps it, or from the look at the whole frame); two pieces that meet at facing borders become one box.

mod merge;

use std::{sync::Arc, time::Instant};

use self::merge::{Piece, merge};
use super::{Clip, DetectError, Detector, Output, View};
use crate::{
    batch::Place,
    config::TilesConfig,
    media::{BBox, Boxes, Extras, Frame, ModelInfo},
};

/// What counts as one object when tiles are merged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Merging {
    /// Of two boxes with a larger IoU the lesser is dropped.
    pub(super) iou: f32,
    /// Whether boxes of different classes suppress each other.
    pub(super) class_agnostic: bool,
    /// At most so many boxes of a frame remain.
    pub(super) detections: usize,
}

/// A detector that looks at frames in tiles.
pub(super) struct Tiled {
    inner: Box<dyn Detector>,
    grid: TilesConfig,
    merging: Merging,
    pieces: Vec<Piece>,
    /// What belongs to the pieces, by the numbers that they have of it.
    extras: Extras,
}

impl Tiled {
    pub(super) fn new(inner: Box<dyn Detector>, grid: TilesConfig, merging: Merging) -> Self {
        Self { inner, grid, merging, pieces: Vec::new(), extras: Extras::default() }
    }

    /// The regions of a frame that are looked at; `None` is the whole of it.
    fn regions(&self, frame: &Frame) -> Vec<Option<BBox>> {
        let mut regions: Vec<_> = tiles(&self.grid, frame.pixels.size()).into_iter().map(Some).collect();
        if self.grid.whole {
            regions.push(None);
        }
        regions
    }

    /// What is in a frame, from what was seen in its tiles.
    fn put_together(&mut self, frame: &Frame, seen: impl Iterator<Item = (Option<BBox>, Boxes)>) -> Boxes {
        self.pieces.clear();
        self.extras = Extras::default();
        for (tile, mut boxes) in seen {
            for (i, detection) in boxes.detections.into_iter().enumerate() {
                let number = self.pieces.len();
                if let Some(extra) = boxes.extras.take(i) {
                    self.extras.set(number, extra);
                }
                self.pieces.push(Piece::new(detection, number, tile, frame.pixels.size()));
            }
        }
        merge(&mut self.pieces, &mut self.extras, self.merging)
    }
}

/// The tiles of a frame, row by row, in whole pixels.
fn tiles(grid: &TilesConfig, (width, height): (u32, u32)) -> Vec<BBox> {
    let spans = |count: usize, side: u32| -> Vec<(f32, f32)> {
        let (count, side, overlap) = (count as f64, f64::from(side), f64::from(grid.overlap));
        // n tiles of t with n-1 overlaps: n·t - (n-1)·o·t = side.
        let tile = side / (count - (count - 1.0) * overlap);
        let starts = (0..count as usize).map(|i| i as f64 * tile * (1.0 - overlap));
        starts.map(|start| (start.floor() as f32, (start + tile).ceil().min(side) as f32)).collect()
    };
    let (columns, rows) = (spans(grid.columns, width), spans(grid.rows, height));
    let row = |(top, bottom): &(f32, f32)| {
        let (top, bottom) = (*top, *bottom);
        columns.iter().map(move |(left, right)| BBox::new(*left, top, *right, bottom)).collect::<Vec<_>>()
    };
    rows.iter().flat_map(row).collect()
}

impl Detector for Tiled {
    fn spec(&self) -> &Arc<ModelInfo> {
        self.inner.spec()
    }

    fn max_batch(&self) -> usize {
        self.inner.max_batch()
    }

    fn reads_device(&self) -> bool {
        self.inner.reads_device()
    }

    fn is_spent(&self) -> bool {
        self.inner.is_spent()
    }

    fn place(&self) -> Place {
        self.inner.place()
    }

    /// Whole frames are looked at in tiles, regions as they are.
    fn detect(&mut self, views: &[View<'_>]) -> Result<Output, DetectError> {
        let mut all: Vec<View<'_>> = Vec::new();
        let mut parts: Vec<usize> = Vec::with_capacity(views.len());
        for view in views {
            let before = all.len();
            match view.region {
                Some(_) => all.push(*view),
                None => all.extend(self.regions(view.frame).into_iter().map(|region| View { frame: view.frame, region })),
            }
            parts.push(all.len() - before);
        }
        let mut prepared = Instant::now();
        let mut device = None;
        let mut seen: Vec<Boxes> = Vec::with_capacity(all.len());
        for (i, views) in all.chunks(self.inner.max_batch().max(1)).enumerate() {
            let output = self.inner.detect(views)?;
            if i == 0 {
                prepared = output.prepared;
            }
            device = output.device.map(|took| device.unwrap_or_default() + took);
            let mut extras = output.extras.into_iter();
            let boxes = |detections| Boxes { detections, extras: extras.next().unwrap_or_default() };
            seen.extend(output.detections.into_iter().map(boxes));
        }
        if seen.len() != all.len() {
            let reason = format!("{} answers for {} tiles: tiles are for detectors", seen.len(), all.len());
            return Err(DetectError::Output { model: self.spec().name.clone(), reason });
        }
        let mut seen = all.iter().zip(seen);
        let (mut detections, mut extras) = (Vec::with_capacity(views.len()), Vec::with_capacity(views.len()));
        for (view, parts) in views.iter().zip(parts) {
            let boxes = if parts == 1 {
                seen.next().map(|(_, boxes)| boxes).unwrap_or_default()
            } else {
                self.put_together(view.frame, seen.by_ref().take(parts).map(|(tile, boxes)| (tile.region, boxes)))
            };
            detections.push(boxes.detections);
            extras.push(boxes.extras);
        }
        Ok(Output { detections, extras, readings: Vec::new(), prepared, device })
    }

    fn watch(&mut self, clips: &[&Clip]) -> Result<Output, DetectError> {
        self.inner.watch(clips)
    }
}

#[cfg(test)]
mod tests;
