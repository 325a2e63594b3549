//! The ground plane: from places in the picture to metres, by the homography of four points (Hartley and Zisserman 2004, §4.1).

use super::geometry::Point;

/// Four places in the picture and where they are on the ground.
#[derive(Clone, Debug, PartialEq)]
pub struct GroundConfig {
    /// In the picture.
    pub picture: [Point; 4],
    /// On the ground, in metres from any origin.
    pub metres: [[f64; 2]; 4],
}

/// Why four points give no ground plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GroundError {
    /// In the picture or on the ground they are no convex quadrilateral.
    #[error("the four points are not the corners of a convex quadrilateral, in order")]
    NotConvex,
    /// No plane maps one to the other with all four before the camera.
    #[error("no camera sees such a plane like this")]
    Impossible,
}

/// The map from the picture to the ground.
#[derive(Clone, Debug, PartialEq)]
pub struct Ground {
    /// The middle of the four points: surely on the ground, so surely before the camera.
    middle: [f64; 2],
    /// Row by row, for places from the middle; the last entry is 1.
    matrix: [f64; 9],
}

impl Ground {
    /// The plane through four points.
    ///
    /// # Errors
    /// [`GroundError`].
    pub fn new(config: &GroundConfig) -> Result<Self, GroundError> {
        let mut picture = config.picture.map(|p| [p.x(), p.y()]);
        if !is_convex(&picture) || !is_convex(&config.metres) {
            return Err(GroundError::NotConvex);
        }
        let middle = [0, 1].map(|axis| picture.iter().map(|p| p[axis]).sum::<f64>() / 4.0);
        picture = picture.map(|p| [p[0] - middle[0], p[1] - middle[1]]);
        // Two equations for each point: X·(g·u + h·v + 1) = a·u + b·v + c, and the same for Y.
        let mut rows = [[0.0; 9]; 8];
        for (i, ([u, v], [x, y])) in picture.into_iter().zip(config.metres).enumerate() {
            rows[2 * i] = [u, v, 1.0, 0.0, 0.0, 0.0, -x * u, -x * v, x];
            rows[2 * i + 1] = [0.0, 0.0, 0.0, u, v, 1.0, -y * u, -y * v, y];
        }
        let solved = solve(rows).ok_or(GroundError::Impossible)?;
        let mut matrix = [1.0; 9];
        matrix[..8].copy_from_slice(&solved);
        let ground = Self { middle, matrix };
        // Before the camera all four have the sign of their middle.
        let ahead = picture.iter().filter(|[u, v]| ground.depth(*u, *v) > 0.0).count();
        if ahead == 4 { Ok(ground) } else { Err(GroundError::Impossible) }
    }

    fn depth(&self, u: f64, v: f64) -> f64 {
        self.matrix[6] * u + self.matrix[7] * v + self.matrix[8]
    }

    /// Metres on the ground; `None` at and above the horizon, and where a pixel would be a long way.
    pub fn metres(&self, p: Point) -> Option<[f64; 2]> {
        let (u, v, m) = (p.x() - self.middle[0], p.y() - self.middle[1], &self.matrix);
        let depth = self.depth(u, v);
        let place = [(m[0] * u + m[1] * v + m[2]) / depth, (m[3] * u + m[4] * v + m[5]) / depth];
        (depth > 1e-6 && place.iter().all(|x| x.abs() < 1e5)).then_some(place)
    }
}

fn is_convex(p: &[[f64; 2]; 4]) -> bool {
    let turn = |i: usize| {
        let (a, b, c) = (p[i], p[(i + 1) % 4], p[(i + 2) % 4]);
        (b[0] - a[0]) * (c[1] - b[1]) - (b[1] - a[1]) * (c[0] - b[0])
    };
    let span = p.iter().flatten().map(|v| v.abs()).fold(0.0, f64::max);
    let least = span * span * 1e-9;
    let turns: [f64; 4] = std::array::from_fn(turn);
    turns.iter().all(|t| *t > least) || turns.iter().all(|t| *t < -least)
}

/// Gauss with partial pivoting; `None` where there is not one solution.
fn solve(mut rows: [[f64; 9]; 8]) -> Option<[f64; 8]> {
    for column in 0..8 {
        let pivot = (column..8).max_by(|a, b| rows[*a][column].abs().total_cmp(&rows[*b][column].abs()))?;
        rows.swap(column, pivot);
        let head = rows[column];
        if head[column].abs() < 1e-12 {
            return None;
        }
        for row in rows.iter_mut().skip(column + 1) {
            let factor = row[column] / head[column];
            row.iter_mut().zip(head).for_each(|(to, from)| *to -= factor * from);
        }
    }
    let mut out = [0.0; 8];
    for i in (0..8).rev() {
        let known: f64 = (i + 1..8).map(|j| rows[i][j] * out[j]).sum();
        out[i] = (rows[i][8] - known) / rows[i][i];
    }
    out.iter().all(|v| v.is_finite()).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn corners(points: [[f64; 2]; 4]) -> [Point; 4] {
        points.map(|[x, y]| Point::new(x, y))
    }

    /// A road of 10 m by 40 m seen along its length.
    fn road() -> Ground {
        let picture = corners([[0.1, 0.9], [0.9, 0.9], [0.6, 0.4], [0.4, 0.4]]);
        Ground::new(&GroundConfig { picture, metres: [[0.0, 0.0], [10.0, 0.0], [10.0, 40.0], [0.0, 40.0]] }).expect("a plane")
    }

    #[test]
    fn its_own_points_come_out_and_lines_stay_lines() {
        let ground = road();
        for (p, [x, y]) in [([0.1, 0.9], [0.0, 0.0]), ([0.6, 0.4], [10.0, 40.0])] {
            let got = ground.metres(Point::new(p[0], p[1])).expect("on the ground");
            assert!((got[0] - x).abs() < 1e-4 && (got[1] - y).abs() < 1e-3, "{got:?}");
        }
        let middle = ground.metres(Point::new(0.5, 0.6)).expect("on the ground");
        assert!((middle[0] - 5.0).abs() < 1e-4, "{middle:?}");
        // Nearer half of the picture, far less than half of the road.
        let half = ground.metres(Point::new(0.5, 0.65)).expect("on the ground");
        assert!(half[1] > 5.0 && half[1] < 15.0, "{half:?}");
    }

    #[test]
    fn above_the_horizon_there_is_no_ground() {
        // Its edges meet at y = 0.2333….
        assert!(road().metres(Point::new(0.5, 0.24)).is_some());
        assert_eq!(road().metres(Point::new(0.5, 0.233)), None);
        assert_eq!(road().metres(Point::new(0.5, 0.0)), None);
    }

    #[test]
    fn four_points_that_are_no_plane() {
        let square = [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]];
        for picture in [
            [[0.1, 0.1], [0.5, 0.5], [0.9, 0.9], [0.1, 0.9]],
            [[0.1, 0.1], [0.9, 0.1], [0.1, 0.9], [0.9, 0.9]],
            [[0.1, 0.1]; 4],
            [[0.1, 0.1], [0.9, 0.1], [0.3, 0.3], [0.1, 0.9]],
        ] {
            let config = GroundConfig { picture: corners(picture), metres: square };
            assert_eq!(Ground::new(&config), Err(GroundError::NotConvex), "{picture:?}");
        }
    }
}
