//! A detector that sees nothing, or boxes that it makes up: what remains is the cost of the line itself.

use std::{sync::Arc, time::Instant};

use super::{DetectError, Detector, Output, View};
use crate::media::{BBox, Detection, ModelInfo};

/// Takes no time. With `objects`, each frame shows that many boxes that drift from frame to frame as real ones do, none of which
/// overlap, so that a tracker has its usual work.
pub struct Null {
    info: Arc<ModelInfo>,
    max_batch: usize,
    objects: usize,
}

impl Null {
    /// A detector for batches of up to `max_batch` frames.
    pub fn new(name: &str, classes: Vec<String>, max_batch: usize, objects: usize) -> Self {
        let info = ModelInfo { name: name.into(), classes, runtime: "null".into(), ..ModelInfo::default() };
        Self { info: Arc::new(info), max_batch: max_batch.max(1), objects }
    }
}

/// The boxes of a frame: a grid of cells, one object in each, moving within it on a triangle wave.
fn boxes(objects: usize, seq: u64, (width, height): (u32, u32)) -> Vec<Detection> {
    let columns = (objects as f64).sqrt().ceil().max(1.0) as usize;
    let (cell_width, cell_height) = (width as f32 / columns as f32, height as f32 / objects.div_ceil(columns).max(1) as f32);
    (0..objects)
        .map(|i| {
            let wave = |period: u64| {
                let at = (seq + 7 * i as u64) % (2 * period);
                at.min(2 * period - at) as f32 / period as f32
            };
            let (x, y) = ((i % columns) as f32, (i / columns) as f32);
            let x1 = (x + 0.1 + 0.3 * wave(100)) * cell_width;
            let y1 = (y + 0.1 + 0.3 * wave(71)) * cell_height;
            let bbox = BBox::new(x1, y1, x1 + 0.5 * cell_width, y1 + 0.5 * cell_height);
            Detection { class: 0, confidence: 0.9 - 0.2 * (i as f32 / objects as f32), bbox }
        })
        .collect()
}

impl Detector for Null {
    fn spec(&self) -> &Arc<ModelInfo> {
        &self.info
    }

    fn max_batch(&self) -> usize {
        self.max_batch
    }

    fn detect(&mut self, views: &[View<'_>]) -> Result<Output, DetectError> {
        let prepared = Instant::now();
        let detections = views.iter().map(|view| boxes(self.objects, view.frame.seq, view.frame.pixels.size())).collect();
        Ok(Output { detections, extras: Vec::new(), readings: Vec::new(), prepared, device: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_up_boxes_move_a_little_and_stay_inside() {
        for objects in [0, 1, 10, 50] {
            for seq in 0..300 {
                let now = boxes(objects, seq, (1920, 1080));
                assert_eq!(now.len(), objects);
                for (i, (a, b)) in now.iter().zip(boxes(objects, seq + 1, (1920, 1080))).enumerate() {
                    assert!(a.bbox.iou(&b.bbox) > 0.9, "{seq} {i}");
                    assert!(a.bbox.x1 >= 0.0 && a.bbox.x2 <= 1920.0 && a.bbox.y1 >= 0.0 && a.bbox.y2 <= 1080.0);
                    assert!(now[i + 1..].iter().all(|c| a.bbox.iou(&c.bbox) == 0.0));
                }
            }
        }
    }
}
