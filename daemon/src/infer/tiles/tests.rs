//! A detector that sees perfectly what its tile shows.

use proptest::prelude::*;

use super::*;
use crate::{
    infer::tests::frame,
    media::{Detection, Extra, Pixels, StreamId, Turned},
};

/// Sees each object where it is, cut by the borders of the region; nothing smaller than a tenth of it.
struct Perfect {
    info: Arc<ModelInfo>,
    objects: Vec<(u16, BBox)>,
    views: Vec<usize>,
}

impl Detector for Perfect {
    fn spec(&self) -> &Arc<ModelInfo> {
        &self.info
    }

    fn max_batch(&self) -> usize {
        4
    }

    fn detect(&mut self, views: &[View<'_>]) -> Result<Output, DetectError> {
        self.views.push(views.len());
        let see = |view: &View<'_>| {
            let (width, height) = view.frame.pixels.size();
            let all = BBox::new(0.0, 0.0, width as f32, height as f32);
            let region = view.region.unwrap_or(all);
            let objects = self.objects.iter().enumerate().filter_map(|(i, (class, b))| {
                let bbox = BBox::new(b.x1.max(region.x1), b.y1.max(region.y1), b.x2.min(region.x2), b.y2.min(region.y2));
                let seen = bbox.area() / b.area();
                // Whole views are surer, and the earlier object too.
                let confidence = 0.5 + 0.4 * seen - 0.001 * i as f32;
                (bbox.x2 > bbox.x1 && bbox.y2 > bbox.y1 && seen > 0.1).then_some(Detection { class: *class, confidence, bbox })
            });
            objects.collect()
        };
        Ok(Output {
            detections: views.iter().map(see).collect(),
            extras: Vec::new(),
            readings: Vec::new(),
            prepared: Instant::now(),
            device: None,
        })
    }
}

fn look(objects: &[(u16, BBox)], grid: TilesConfig) -> (Vec<Detection>, usize) {
    let info = ModelInfo { name: "perfect".into(), classes: vec!["a".into(), "b".into()], ..ModelInfo::default() };
    let inner = Perfect { info: Arc::new(info), objects: objects.to_vec(), views: Vec::new() };
    let merging = Merging { iou: 0.45, class_agnostic: false, detections: 300 };
    let mut tiled = Tiled::new(Box::new(inner), grid, merging);
    let frame = frame(0, Pixels::None { width: 1920, height: 1080 });
    let output = tiled.detect(&[View::whole(&frame), View::whole(&frame)]).unwrap();
    assert_eq!(output.detections[0], output.detections[1]);
    let tiles = tiled.regions(&frame).len();
    (output.detections[0].clone(), tiles)
}

fn grid(columns: usize, rows: usize, overlap: f32, whole: bool) -> TilesConfig {
    TilesConfig { columns, rows, overlap, whole }
}

#[test]
fn tiles_cover_the_frame_and_overlap_as_asked() {
    let all = tiles(&grid(3, 2, 0.2, true), (1920, 1080));
    assert_eq!(all.len(), 6);
    assert_eq!((all[0].x1, all[0].y1, all[5].x2, all[5].y2), (0.0, 0.0, 1920.0, 1080.0));
    let common = all[0].x2 - all[1].x1;
    assert!((common / all[0].width() - 0.2).abs() < 0.005, "{all:?}");
    assert_eq!(tiles(&grid(2, 1, 0.0, false), (7, 5))[1], BBox::new(3.0, 0.0, 7.0, 5.0));
}

#[test]
fn an_object_is_told_once_whatever_cuts_it() {
    for (name, bbox) in [
        ("in one tile", BBox::new(100.0, 100.0, 200.0, 300.0)),
        ("whole in two tiles", BBox::new(690.0, 100.0, 740.0, 200.0)),
        ("cut in one, whole in the other", BBox::new(700.0, 100.0, 900.0, 200.0)),
        ("cut in both", BBox::new(500.0, 100.0, 1000.0, 300.0)),
        ("over three tiles", BBox::new(300.0, 100.0, 1700.0, 300.0)),
        ("over all corners", BBox::new(300.0, 200.0, 1700.0, 900.0)),
        ("nearly all of the frame", BBox::new(3.0, 3.0, 1915.0, 1070.0)),
    ] {
        for whole in [false, true] {
            let (found, _) = look(&[(0, bbox)], grid(3, 2, 0.2, whole));
            assert_eq!(found.len(), 1, "{name}: {found:?}");
            assert!(found[0].bbox.iou(&bbox) > 0.99, "{name}: {found:?}");
        }
    }
}

#[test]
fn neighbours_and_other_classes_stay() {
    let side_by_side = [(0, BBox::new(600.0, 100.0, 700.0, 300.0)), (0, BBox::new(705.0, 100.0, 800.0, 300.0))];
    assert_eq!(look(&side_by_side, grid(3, 2, 0.2, true)).0.len(), 2);
    let same_place = [(0, BBox::new(600.0, 100.0, 800.0, 300.0)), (1, BBox::new(600.0, 100.0, 800.0, 300.0))];
    assert_eq!(look(&same_place, grid(3, 2, 0.2, true)).0.len(), 2);
}

#[test]
fn batches_stay_within_what_the_network_takes() {
    let info = Arc::new(ModelInfo::default());
    let inner = Box::new(Perfect { info, objects: Vec::new(), views: Vec::new() });
    let mut tiled = Tiled::new(inner, grid(3, 2, 0.2, true), Merging { iou: 0.45, class_agnostic: false, detections: 300 });
    let mut frame = frame(0, Pixels::None { width: 640, height: 480 });
    frame.stream = StreamId::new(7, "yard");
    let region = View { frame: &frame, region: Some(BBox::new(0.0, 0.0, 9.0, 9.0)) };
    let output = tiled.detect(&[View::whole(&frame), region]).unwrap();
    assert_eq!(output.detections.len(), 2);
}

proptest! {
    /// Objects far enough from each other: each is found once, and well.
    #[test]
    fn nothing_is_doubled_and_nothing_lost(columns in 1..5_usize, rows in 1..5_usize, overlap in 0.05..0.45_f32, whole in any::<bool>(),
                                           x in 0.0..1400.0_f32, y in 0.0..700.0_f32, w in 12.0..500.0_f32, h in 12.0..370.0_f32) {
        prop_assume!(columns * rows > 1);
        let bbox = BBox::new(x, y, x + w, y + h);
        let (found, tiles) = look(&[(0, bbox)], grid(columns, rows, overlap, whole));
        prop_assert_eq!(tiles, columns * rows + usize::from(whole));
        prop_assert_eq!(found.len(), 1, "{:?} of {:?}", found, bbox);
        prop_assert!(found[0].bbox.iou(&bbox) > 0.9, "{:?} of {:?}", found, bbox);
    }
}

/// Sees the same things as [`Perfect`], and what belongs to them as far as a region shows it.
struct Shapes {
    perfect: Perfect,
    /// What belongs to an object; of key points only those in the region are seen well.
    extras: Vec<Extra>,
}

impl Detector for Shapes {
    fn spec(&self) -> &Arc<ModelInfo> {
        self.perfect.spec()
    }

    fn max_batch(&self) -> usize {
        self.perfect.max_batch()
    }

    fn detect(&mut self, views: &[View<'_>]) -> Result<Output, DetectError> {
        let mut output = self.perfect.detect(views)?;
        for (view, found) in views.iter().zip(&output.detections) {
            let mut extras = Extras::default();
            for (i, detection) in found.iter().enumerate() {
                let mut extra = self.extras[usize::from(detection.class)].clone();
                if let (Extra::Keypoints(points), Some(region)) = (&mut extra, view.region) {
                    for [x, y, visibility] in points.iter_mut() {
                        let inside = (region.x1..=region.x2).contains(x) && (region.y1..=region.y2).contains(y);
                        if !inside {
                            (*x, *y, *visibility) = (region.x1, region.y1, 0.1);
                        }
                    }
                }
                extras.set(i, extra);
            }
            output.extras.push(extras);
        }
        Ok(output)
    }
}

fn look_for_shapes(objects: &[(BBox, Extra)], grid: TilesConfig) -> Boxes {
    let classes = (0..objects.len()).map(|i| i.to_string()).collect();
    let info = Arc::new(ModelInfo { name: "shapes".into(), classes, ..ModelInfo::default() });
    let perfect = Perfect {
        info,
        objects: objects.iter().enumerate().map(|(i, (bbox, _))| (i as u16, *bbox)).collect(),
        views: Vec::new(),
    };
    let inner = Shapes { perfect, extras: objects.iter().map(|(_, extra)| extra.clone()).collect() };
    let mut tiled = Tiled::new(Box::new(inner), grid, Merging { iou: 0.45, class_agnostic: true, detections: 300 });
    let frame = frame(0, Pixels::None { width: 1920, height: 1080 });
    let mut output = tiled.detect(&[View::whole(&frame)]).unwrap();
    Boxes { detections: output.detections.remove(0), extras: output.extras.remove(0) }
}

#[test]
fn key_points_of_an_object_in_several_tiles_are_the_surest_of_each() {
    let points = [[310.0, 110.0, 0.9], [1690.0, 120.0, 0.8], [1000.0, 280.0, 0.7]];
    let bbox = BBox::new(300.0, 100.0, 1700.0, 300.0);
    for whole in [false, true] {
        let boxes = look_for_shapes(&[(bbox, Extra::Keypoints(points.into()))], grid(3, 2, 0.2, whole));
        assert_eq!(boxes.detections.len(), 1);
        assert_eq!(boxes.extras.get(0), Some(&Extra::Keypoints(points.into())), "whole: {whole}");
    }
}

/// A bar at 45°, this far from the middle of the frame across its length.
fn bar(across: f32) -> (BBox, Extra) {
    let (cx, cy) = (960.0 - across, 540.0 + across);
    let corner = |along: f32, beside: f32| [cx + along - beside, cy + along + beside];
    let corners = [corner(-100.0, -7.0), corner(100.0, -7.0), corner(100.0, 7.0), corner(-100.0, 7.0)];
    let bbox = BBox::new(cx - 107.0, cy - 107.0, cx + 107.0, cy + 107.0);
    (bbox, Extra::Turned(Turned { angle: std::f32::consts::FRAC_PI_4, corners }))
}

#[test]
fn turned_boxes_side_by_side_stay_though_the_boxes_around_them_overlap() {
    let bars = [bar(0.0), bar(20.0)];
    assert!(bars[0].0.iou(&bars[1].0) > 0.6);
    let boxes = look_for_shapes(&bars, grid(1, 2, 0.5, true));
    assert_eq!(boxes.detections.len(), 2, "{boxes:?}");
    for (i, detection) in boxes.detections.iter().enumerate() {
        assert_eq!(boxes.extras.get(i), Some(&bars[usize::from(detection.class)].1));
    }
}

#[test]
fn no_tile_knows_how_what_it_shows_a_part_of_is_turned() {
    let (_, turned) = bar(0.0);
    let wide = BBox::new(300.0, 100.0, 1700.0, 300.0);
    let of = |whole| look_for_shapes(&[(wide, turned.clone())], grid(3, 2, 0.2, whole));
    assert_eq!((of(false).detections.len(), of(false).extras.get(0)), (1, None));
    assert_eq!(of(true).extras.get(0), Some(&turned), "the look at the whole frame does");
}
