use proptest::prelude::*;

use super::*;

fn point() -> impl Strategy<Value = Point> {
    // Coarse, so that points fall on lines and on each other; on the grid exactly.
    (0i32..=32, 0i32..=32).prop_map(|(x, y)| Point::new(f64::from(x) / 32.0, f64::from(y) / 32.0))
}

fn fine() -> impl Strategy<Value = Point> {
    (0.0..1.0f64, 0.0..1.0f64).prop_map(|(x, y)| Point::new(x, y))
}

fn line() -> impl Strategy<Value = Line> {
    prop::collection::vec(point(), 2..6).prop_filter_map("a line", |points| Line::new(points).ok())
}

/// A star around the middle is always simple.
fn polygon() -> impl Strategy<Value = Vec<[f64; 2]>> {
    prop::collection::vec(0.05..0.45f64, 3..24).prop_map(|radii| {
        let step = std::f64::consts::TAU / radii.len() as f64;
        radii.iter().enumerate().map(|(i, r)| [0.5 + r * (i as f64 * step).cos(), 0.5 + r * (i as f64 * step).sin()]).collect()
    })
}

fn of(points: &[[f64; 2]]) -> Polygon {
    Polygon::new(points.iter().map(|p| Point::new(p[0], p[1])).collect()).expect("a star is simple")
}

/// Distance from a polygon's border in floating point.
fn from_border(points: &[[f64; 2]], p: [f64; 2]) -> f64 {
    let closed: Vec<Point> = points.iter().chain(points.first()).map(|p| Point::new(p[0], p[1])).collect();
    Line { points: closed }.distance(Point::new(p[0], p[1]), 1.0)
}

proptest! {
    #[test]
    fn a_crossing_is_the_same_seen_from_either_end(line in line(), a in point(), b in point()) {
        let there = line.crossings(a, b);
        prop_assert_eq!(there, -line.crossings(b, a), "the way back");
        let mut points = line.points().to_vec();
        points.reverse();
        let turned = Line { points };
        prop_assert_eq!(there, -turned.crossings(a, b), "the line reversed");
        prop_assert_eq!(there, turned.crossings(b, a), "both reversed");
    }

    #[test]
    fn a_way_in_pieces_crosses_as_often_as_the_whole(line in line(), a in point(), step in (-3i32..=3, -3i32..=3), n in 1i32..6) {
        // Stops on the way that are exactly in line, also on the line that is crossed.
        let at = |i: i32| Point::new(a.x() + f64::from(step.0 * i) / 32.0, a.y() + f64::from(step.1 * i) / 32.0);
        let pieces: i32 = (0..n).map(|i| line.crossings(at(i), at(i + 1))).sum();
        prop_assert_eq!(pieces, line.crossings(at(0), at(n)));
    }

    #[test]
    fn a_closed_way_around_a_closed_line_comes_out_even(points in polygon(), way in prop::collection::vec(fine(), 2..12)) {
        let mut closed: Vec<Point> = points.iter().map(|p| Point::new(p[0], p[1])).collect();
        closed.push(closed[0]);
        let line = Line::new(closed).expect("a line");
        let sum: i32 = (0..way.len()).map(|i| line.crossings(way[i], way[(i + 1) % way.len()])).sum();
        prop_assert_eq!(sum, 0);
    }

    #[test]
    fn crossing_a_border_changes_membership(points in polygon(), a in fine(), b in fine()) {
        let polygon = of(&points);
        let mut closed = polygon.points().to_vec();
        closed.push(closed[0]);
        let crossed = Line::new(closed).expect("a line").crossings(a, b);
        let (before, after) = (i32::from(polygon.contains(a)), i32::from(polygon.contains(b)));
        // The star runs clockwise in the picture: its inside is to the right hand.
        if [a, b].iter().all(|p| from_border(&points, [p.x(), p.y()]) > 1e-6) {
            prop_assert_eq!(crossed, CROSSING * (after - before));
        }
    }

    #[test]
    fn membership_stands_turning_stretching_and_moving(
        points in polygon(), p in (0.0..1.0f64, 0.0..1.0f64), angle in 0.0..std::f64::consts::TAU, scale in 0.1..4.0f64, by in (-2.0..2.0f64, -2.0..2.0f64)
    ) {
        let p = [p.0, p.1];
        prop_assume!(from_border(&points, p) > 1e-5);
        let moved = |q: &[f64; 2]| {
            let (x, y) = ((q[0] - 0.5) * scale, (q[1] - 0.5) * scale);
            [x * angle.cos() - y * angle.sin() + by.0, x * angle.sin() + y * angle.cos() + by.1]
        };
        let there: Vec<[f64; 2]> = points.iter().map(moved).collect();
        let q = moved(&p);
        let expected = of(&points).contains(Point::new(p[0], p[1]));
        prop_assert_eq!(of(&there).contains(Point::new(q[0], q[1])), expected);
        // The other way around, and from another corner.
        let mut other = points.clone();
        other.reverse();
        let by = points.len() / 2;
        other.rotate_left(by);
        prop_assert_eq!(of(&other).contains(Point::new(p[0], p[1])), expected);
    }

    #[test]
    fn a_box_and_a_polygon(points in polygon(), a in fine(), b in fine()) {
        let (polygon, rect) = (of(&points), Rect::new(a, b));
        // Against points of the box, many of them.
        let n = 24;
        let at = |i: i32, j: i32| Point::new(
            rect.low.x() + (rect.high.x() - rect.low.x()) * f64::from(i) / f64::from(n),
            rect.low.y() + (rect.high.y() - rect.low.y()) * f64::from(j) / f64::from(n),
        );
        let (mut some, mut all) = (false, true);
        for (i, j) in (0..=n).flat_map(|i| (0..=n).map(move |j| (i, j))) {
            let inside = polygon.contains(at(i, j));
            some |= inside;
            all &= inside;
        }
        prop_assert!(!some || polygon.meets(&rect));
        prop_assert!(all || !polygon.covers(&rect));
        prop_assert!(!polygon.covers(&rect) || polygon.meets(&rect));
        // Exactly: a box that is entered by no edge is either covered or shares no inner point.
        let corner = polygon.contains(rect.low);
        if !polygon.edges().any(|(a, b)| rect.meets(a, b)) {
            prop_assert_eq!(polygon.covers(&rect), corner);
            prop_assert_eq!(polygon.meets(&rect), corner);
        }
    }
}

fn corners(points: &[(f64, f64)]) -> Vec<Point> {
    points.iter().map(|(x, y)| Point::new(*x, *y)).collect()
}

#[test]
fn left_to_right_is_up() {
    // Along the line to the right, the left hand is above in the picture.
    let line = Line::new(corners(&[(0.2, 0.5), (0.8, 0.5)])).expect("a line");
    let down = (Point::new(0.5, 0.3), Point::new(0.5, 0.7));
    assert_eq!(line.crossings(down.0, down.1), CROSSING);
    assert_eq!(line.crossings(down.1, down.0), -CROSSING);
    assert_eq!(line.crossings(Point::new(0.1, 0.3), Point::new(0.1, 0.7)), 0, "beside it");
    assert_eq!(line.crossings(Point::new(0.5, 0.3), Point::new(0.5, 0.5)), CROSSING / 2, "onto it");
    assert_eq!(line.crossings(Point::new(0.3, 0.5), Point::new(0.9, 0.5)), 0, "along it");
}

#[test]
fn a_corner_of_a_line_is_crossed_once() {
    let line = Line::new(corners(&[(0.25, 0.5), (0.5, 0.5), (0.75, 0.25)])).expect("a line");
    assert_eq!(line.crossings(Point::new(0.5, 0.25), Point::new(0.5, 0.75)), CROSSING);
}

#[test]
fn what_is_no_polygon() {
    for (points, error) in [
        (vec![], ShapeError::TooFew { have: 0, need: 3 }),
        (vec![(0.1, 0.1), (0.9, 0.1), (0.9, 0.1), (0.1, 0.1)], ShapeError::TooFew { have: 2, need: 3 }),
        (vec![(0.1, 0.1), (0.5, 0.5), (0.9, 0.9)], ShapeError::Flat),
        (vec![(0.1, 0.1), (0.101, 0.1), (0.101, 0.101)], ShapeError::Flat),
        (vec![(0.1, 0.1), (0.9, 0.9), (0.9, 0.1), (0.1, 0.9)], ShapeError::Crosses(1, 3)),
        (vec![(0.1, 0.1), (0.9, 0.1), (0.9, 0.9), (0.5, 0.1), (0.1, 0.9)], ShapeError::Crosses(1, 3)),
        (vec![(0.1, 0.1), (0.9, 0.1), (0.5, 0.1), (0.5, 0.9)], ShapeError::Crosses(1, 2)),
    ] {
        assert_eq!(Polygon::new(corners(&points)), Err(error), "{points:?}");
    }
    let many: Vec<Point> = (0..=MAX_POINTS).map(|i| Point::new(i as f64 / 200.0, (i % 2) as f64)).collect();
    assert_eq!(Polygon::new(many.clone()), Err(ShapeError::TooMany));
    assert_eq!(Line::new(many), Err(ShapeError::TooMany));
    let dot = Point::new(0.5, 0.5);
    assert_eq!(Line::new(vec![dot, dot]), Err(ShapeError::TooFew { have: 1, need: 2 }));
}

#[test]
fn what_is_no_number_harms_nothing() {
    let odd = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e300];
    let square = of(&[[0.2, 0.2], [0.8, 0.2], [0.8, 0.8], [0.2, 0.8]]);
    let line = Line::new(corners(&[(0.0, 0.5), (1.0, 0.5)])).expect("a line");
    for (x, y) in odd.iter().flat_map(|x| odd.iter().map(|y| (*x, *y))) {
        let p = Point::new(x, y);
        assert!(!square.contains(p));
        assert!(line.distance(p, 1.5).is_finite() && line.crossings(p, Point::new(0.5, 0.5)).abs() <= CROSSING);
    }
}
