//! Parts of a picture that nobody is to see, as pixels: those whose centres lie in a zone.

use std::ops::Range;

use super::{geometry::Polygon, place::Zone};
use crate::media::{Canvas, HostPicture, Layout, PictureBytes, Plane};

/// Calls with each run of pixels that lie in a zone: the row, and the columns. Zones that overlap give runs that do.
pub(crate) fn runs(zone: &Zone, (width, height): (usize, usize), mut each: impl FnMut(usize, Range<usize>)) {
    let mut row = vec![false; width];
    for y in 0..height {
        row.fill(zone.include.is_empty());
        let at = (y as f64 + 0.5) / height as f64;
        zone.include.iter().for_each(|polygon| fill(&mut row, polygon, at, true));
        zone.exclude.iter().for_each(|polygon| fill(&mut row, polygon, at, false));
        let mut x = 0;
        for run in row.chunk_by(|a, b| a == b) {
            if run[0] {
                each(y, x..x + run.len());
            }
            x += run.len();
        }
    }
}

/// Marks the pixels of a row whose centres lie in a polygon.
fn fill(row: &mut [bool], polygon: &Polygon, y: f64, mark: bool) {
    let points = polygon.points();
    let edges = points.iter().zip(points.iter().cycle().skip(1));
    let cut = edges.filter(|(a, b)| (a.y() > y) != (b.y() > y));
    let mut cuts: Vec<f64> = cut.map(|(a, b)| a.x() + (y - a.y()) / (b.y() - a.y()) * (b.x() - a.x())).collect();
    cuts.sort_by(f64::total_cmp);
    let width = row.len() as f64;
    for pair in cuts.as_chunks::<2>().0 {
        let [from, to] = pair.map(|x| x * width - 0.5);
        // `as` takes what lies to the left of the picture for its first column.
        let (from, to) = (from.ceil() as usize, ((to + 1.0).floor() as usize).min(row.len()));
        if from < to {
            row[from..to].fill(mark);
        }
    }
}

/// Blackens what of a zone is in a canvas, which may be a part of the picture.
pub(crate) fn cover(canvas: &mut Canvas, zone: &Zone) {
    runs(zone, canvas.extent(), |y, columns| canvas.blacken(y, &columns));
}

/// A copy of a picture in which these zones are black. `None`: there are none.
pub(crate) fn covered(picture: &HostPicture, zones: &[Zone]) -> Option<HostPicture> {
    if zones.is_empty() {
        return None;
    }
    let (mut bytes, mut planes) = (Vec::new(), [Plane::default(); 3]);
    for (i, plane) in planes.iter_mut().enumerate().take(picture.plane_count()) {
        let ((samples, from), (stride, rows)) = (picture.plane(i), picture.plane_size(i));
        *plane = Plane { offset: bytes.len(), stride };
        (0..rows).for_each(|row| bytes.extend_from_slice(&samples[row * from..][..stride]));
    }
    let black = if picture.color().full_range { 0 } else { 16 };
    let size = (picture.width() as usize, picture.height() as usize);
    for zone in zones {
        runs(zone, size, |y, columns| {
            let row = |plane: usize, y: usize, columns: Range<usize>| {
                let Plane { offset, stride } = planes[plane];
                offset + y * stride + columns.start..offset + y * stride + columns.end
            };
            // A sample of colour belongs to four pixels; one of them hides it.
            let colours = columns.start / 2..columns.end.div_ceil(2);
            bytes[row(0, y, columns)].fill(black);
            match picture.layout() {
                Layout::I420 => (1..3).for_each(|plane| bytes[row(plane, y / 2, colours.clone())].fill(128)),
                Layout::Nv12 => bytes[row(1, y / 2, colours.start * 2..colours.end * 2)].fill(128),
            }
        });
    }
    let bytes = PictureBytes::Owned(bytes.into());
    HostPicture::new(picture.layout(), (picture.width(), picture.height()), picture.color(), planes, bytes).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{analyse::geometry::Point, media::Color};

    fn polygon(corners: &[(f64, f64)]) -> Polygon {
        Polygon::new(corners.iter().map(|(x, y)| Point::new(*x, *y)).collect()).expect("a polygon")
    }

    /// All samples are 200.
    fn picture(layout: Layout, (width, height): (u32, u32), padding: usize, full_range: bool) -> HostPicture {
        let (w, h) = (width as usize, height as usize);
        let (half, rows) = (w.div_ceil(2), h.div_ceil(2));
        let stride = if layout == Layout::I420 { half } else { half * 2 } + padding;
        let planes = [
            Plane { offset: 3, stride: w + padding },
            Plane { offset: 3 + h * (w + padding), stride },
            Plane { offset: 3 + h * (w + padding) + rows * stride, stride },
        ];
        let bytes = vec![200; 3 + h * (w + padding) + 2 * rows * stride];
        let color = Color { full_range, ..Color::default() };
        HostPicture::new(layout, (width, height), color, planes, PictureBytes::Owned(bytes.into())).expect("a picture")
    }

    fn samples(picture: &HostPicture, plane: usize, y: usize) -> &[u8] {
        let ((samples, stride), (length, _)) = (picture.plane(plane), picture.plane_size(plane));
        &samples[y * stride..][..length]
    }

    #[test]
    fn what_is_covered_is_black_in_every_plane_and_nothing_else_is() {
        let hole = polygon(&[(0.0, 0.0), (0.2, 0.0), (0.2, 1.0), (0.0, 1.0)]);
        let zone = Zone { include: vec![polygon(&[(0.0, 0.0), (0.6, 0.0), (0.6, 0.5), (0.0, 0.5)])], exclude: vec![hole] };
        // Odd sizes: the last sample of colour belongs to one column and one row.
        for (layout, black, padding) in [(Layout::I420, 16, 0), (Layout::Nv12, 16, 5), (Layout::I420, 0, 7)] {
            let before = picture(layout, (11, 7), padding, black == 0);
            let after = covered(&before, std::slice::from_ref(&zone)).expect("covered");
            assert_eq!((after.width(), after.height(), after.layout(), after.color()), (11, 7, layout, before.color()));
            // 0.2 to 0.6 of 11 columns: the centres of 2 to 6. 0.5 of seven rows: the centre of the fourth is on the edge.
            let row = [[200; 2].as_slice(), &[black; 5], &[200; 4]].concat();
            assert_eq!(samples(&after, 0, 0), row);
            assert_eq!(samples(&after, 0, 2), row);
            assert_eq!(samples(&after, 0, 4), [200; 11]);
            let chroma = samples(&after, 1, 0);
            match layout {
                Layout::I420 => assert_eq!(chroma, [200, 128, 128, 128, 200, 200]),
                Layout::Nv12 => assert_eq!(chroma, [200, 200, 128, 128, 128, 128, 128, 128, 200, 200, 200, 200]),
            }
            assert_eq!(samples(&after, 1, 3), vec![200; chroma.len()]);
        }
        assert!(covered(&picture(Layout::I420, (4, 4), 0, false), &[]).is_none());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_pixel_is_covered_where_its_centre_lies_in_the_zone(
            corners in prop::collection::vec((-0.5..1.5_f64, -0.5..1.5_f64), 3..7),
            width in 1_usize..40,
            height in 1_usize..40,
        ) {
            let points = corners.iter().map(|(x, y)| Point::new(*x, *y)).collect();
            let Ok(polygon) = Polygon::new(points) else { return Ok(()) };
            let zone = Zone { include: vec![polygon], exclude: Vec::new() };
            let mut seen = vec![false; width * height];
            runs(&zone, (width, height), |y, columns| columns.for_each(|x| seen[y * width + x] = true));
            for (i, seen) in seen.iter().enumerate() {
                let centre = |i: usize, of: usize| (i as f64 + 0.5) / of as f64;
                let (x, y) = (centre(i % width, width), centre(i / width, height));
                // On the edge itself, either will do.
                let near = [-1e-6, 1e-6].map(|by| zone.contains(Point::new(x + by, y)));
                prop_assert!(near.contains(seen), "{x} {y}");
            }
        }
    }
}
