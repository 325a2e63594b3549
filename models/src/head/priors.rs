//! The default boxes of SSD.

use super::Priors;

/// A default box: centre x, centre y, width, height, 0..1 of the input's.
pub(super) type Prior = [f32; 4];

const MAX_GRIDS: usize = 16;
/// Of all grids together.
const MAX_CELLS: usize = 1 << 17;
const MAX_RATIOS: usize = 16;

/// All boxes in the order of the network's outputs; `None` where it has decoded them itself.
pub(super) fn lay(priors: &Priors, (width, height): (usize, usize)) -> Result<Option<Vec<Prior>>, String> {
    if width != height && !matches!(priors, Priors::Decoded {}) {
        return Err(format!("default boxes are laid on square inputs, not on {width}x{height}: export with decoded boxes"));
    }
    match priors {
        Priors::Decoded {} => Ok(None),
        Priors::Paper { grids, steps, scales, aspect_ratios, shape_major } => {
            check(grids, aspect_ratios.iter().map(Vec::as_slice))?;
            let enough = scales.len() == grids.len() + 1 && aspect_ratios.len() == grids.len();
            if !enough || !(steps.is_empty() || steps.len() == grids.len()) {
                return Err(format!(
                    "{} grids take {} scales, {0} lists of aspect ratios, and {0} steps or none",
                    grids.len(),
                    grids.len() + 1
                ));
            }
            if !steps.iter().chain(scales).all(|value| value.is_finite() && *value > 0.0) {
                return Err("steps and scales are numbers above 0".into());
            }
            let mut all = Vec::new();
            for (i, cells) in grids.iter().enumerate() {
                let pitch = steps.get(i).map_or(1.0 / *cells as f32, |step| step / width as f32);
                place(*cells, pitch, &paper_shapes(scales[i], scales[i + 1], &aspect_ratios[i]), *shape_major, &mut all);
            }
            Ok(Some(all))
        }
        Priors::TensorFlow { grids, min_scale, max_scale, aspect_ratios, reduce_lowest } => {
            check(grids, std::iter::once(aspect_ratios.as_slice()))?;
            if !(*min_scale > 0.0 && *max_scale >= *min_scale && *max_scale <= 1.0) || aspect_ratios.is_empty() {
                return Err("scales are 0..1, the first not above the last, and there is an aspect ratio".into());
            }
            let mut all = Vec::new();
            for (i, cells) in grids.iter().enumerate() {
                let shapes = tensorflow_shapes(i, grids.len(), (*min_scale, *max_scale), aspect_ratios, *reduce_lowest);
                place(*cells, 1.0 / *cells as f32, &shapes, false, &mut all);
            }
            Ok(Some(all))
        }
    }
}

fn check<'a>(grids: &[usize], ratios: impl IntoIterator<Item = &'a [f32]>) -> Result<(), String> {
    let cells = grids.iter().map(|side| side.saturating_mul(*side)).fold(0, usize::saturating_add);
    if !(1..=MAX_GRIDS).contains(&grids.len()) || grids.contains(&0) || cells > MAX_CELLS {
        return Err(format!("1 to {MAX_GRIDS} grids with cells along their sides, {MAX_CELLS} cells in all, not {grids:?}"));
    }
    let sound = |ratios: &[f32]| ratios.len() <= MAX_RATIOS && ratios.iter().all(|ratio| ratio.is_finite() && *ratio > 0.0);
    if !ratios.into_iter().all(sound) {
        return Err(format!("at most {MAX_RATIOS} aspect ratios above 0 for a grid"));
    }
    Ok(())
}

/// Widths and heights on one grid (Liu et al. 2016, section 2.2).
fn paper_shapes(scale: f32, next: f32, ratios: &[f32]) -> Vec<[f32; 2]> {
    let mut shapes = vec![[scale; 2], [(scale * next).sqrt(); 2]];
    for ratio in ratios.iter().map(|ratio| ratio.sqrt()) {
        shapes.extend([[scale * ratio, scale / ratio], [scale / ratio, scale * ratio]]);
    }
    shapes.iter().map(|shape| shape.map(|side| side.min(1.0))).collect()
}

/// Widths and heights on grid `i` of `grids`, as the API's SSD anchor generator has them.
fn tensorflow_shapes(
    i: usize,
    grids: usize,
    (min_scale, max_scale): (f32, f32),
    ratios: &[f32],
    reduce_lowest: bool,
) -> Vec<[f32; 2]> {
    let scale =
        |i: usize| if i == grids { 1.0 } else { min_scale + (max_scale - min_scale) * i as f32 / (grids.max(2) - 1) as f32 };
    let shape = |scale: f32, ratio: f32| [scale * ratio.sqrt(), scale / ratio.sqrt()];
    let own = scale(i);
    if i == 0 && reduce_lowest {
        return vec![shape(0.1, 1.0), shape(own, 2.0), shape(own, 0.5)];
    }
    let between = (own * scale(i + 1)).sqrt();
    ratios.iter().map(|ratio| shape(own, *ratio)).chain([shape(between, 1.0)]).collect()
}

/// Puts each shape on the middle of each cell.
fn place(cells: usize, pitch: f32, shapes: &[[f32; 2]], shape_major: bool, all: &mut Vec<Prior>) {
    let at = |cell: usize, [w, h]: [f32; 2]| {
        let middle = |i: usize| (i as f32 + 0.5) * pitch;
        [middle(cell % cells), middle(cell / cells), w, h]
    };
    if shape_major {
        all.extend(shapes.iter().flat_map(|shape| (0..cells * cells).map(move |cell| at(cell, *shape))));
    } else {
        all.extend((0..cells * cells).flat_map(|cell| shapes.iter().map(move |shape| at(cell, *shape))));
    }
}

#[cfg(test)]
mod tests {
    use super::{super::HeadSpec, *};

    fn priors(toml: serde_json::Value) -> Vec<Prior> {
        let priors: Priors = serde_json::from_value(toml).unwrap();
        lay(&priors, (300, 300)).unwrap().unwrap()
    }

    fn near(a: &[f32], b: &[f32]) -> bool {
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-6)
    }

    #[test]
    fn the_published_numbers_of_boxes() {
        assert_eq!(priors(serde_json::json!({ "style": "paper" })).len(), 8732);
        let tensorflow = priors(serde_json::json!({ "style": "tensorflow" }));
        assert_eq!(tensorflow.len(), 1917);
        assert!(near(&tensorflow[0], &[0.5 / 19.0, 0.5 / 19.0, 0.1, 0.1]));
        // torchvision's SSDlite: no steps, six shapes on each grid.
        let lite = serde_json::json!({ "style": "paper", "grids": [20, 10, 5, 3, 2, 1], "steps": [],
            "scales": [0.2, 0.35, 0.5, 0.65, 0.8, 0.95, 1.0], "aspect_ratios": [[2, 3], [2, 3], [2, 3], [2, 3], [2, 3], [2, 3]] });
        assert_eq!(priors(lite).len(), 3234);
        assert!(matches!(HeadSpec::published("ssd"), Some(HeadSpec::Ssd { background: true, .. })));
    }

    #[test]
    fn shapes_or_cells_come_first() {
        let cells = priors(serde_json::json!({ "style": "paper" }));
        let shapes = priors(serde_json::json!({ "style": "paper", "shape_major": true }));
        assert_eq!(cells.len(), shapes.len());
        assert!(near(&cells[1][..2], &cells[0][..2]));
        assert!(near(&shapes[1][2..], &shapes[0][2..]));
        assert!(near(&shapes[38 * 38], &cells[1]));
    }

    #[test]
    fn contradictions_are_refused() {
        for bad in [
            serde_json::json!({ "style": "paper", "grids": [38] }),
            serde_json::json!({ "style": "paper", "grids": [] }),
            serde_json::json!({ "style": "paper", "steps": [8, 16, 32, 64, 100, 0] }),
            serde_json::json!({ "style": "tensorflow", "grids": [1_000_000] }),
            serde_json::json!({ "style": "tensorflow", "min_scale": 0.9, "max_scale": 0.2 }),
            serde_json::json!({ "style": "tensorflow", "aspect_ratios": [0] }),
        ] {
            let priors: Priors = serde_json::from_value(bad.clone()).unwrap();
            assert!(lay(&priors, (300, 300)).is_err(), "{bad}");
        }
    }
}
