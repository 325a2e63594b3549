//! How the camera moved between two frames, as the objects themselves show it.
//!
//! Each followed object votes for the ways from where it is predicted to detections of its size nearby. Where one way has clearly more
//! votes than none, the camera turned: that is the coarse shift. What is left is the median of the nearest votes, taken for as much as
//! it exceeds its own standard error; that is what shaking adds. A camera that stands still gets next to nothing.

use super::{Track, filter::measure};
use crate::media::Detection;

/// Fewer followed objects say nothing about the camera.
const FEWEST: usize = 5;
/// Most objects that are asked.
const MOST: usize = 48;
/// Most votes.
const MOST_VOTES: usize = 512;
/// Furthest way that is looked at, in heights of the object.
const REACH: f64 = 1.3;
/// Votes that differ by less than this, in heights, are for the same way.
const TOLERANCE: f64 = 0.4;
/// Largest difference of size, as the logarithm of the ratio of heights and of widths.
const SAME_HEIGHT: f32 = 1.2;
const SAME_WIDTH: f32 = 1.35;
/// How much more than standing still a coarse shift needs, and which share of the objects.
const CLEARLY: f64 = 1.3;
const SHARE: f64 = 0.5;
/// Standard deviation of its speed, in heights per second, up to which an object is asked.
const KNOWN: f64 = 1.0;
const WITNESSES: usize = 2;
/// By how many standard errors the median is held back.
const DOUBT: f64 = 2.0;

/// What was just seen for the first time takes its own motion for the camera's.
fn knows_its_way(track: &Track) -> bool {
    track.filter.x.rate_var < (KNOWN * track.filter.h.value).powi(2)
}

struct Vote {
    voter: usize,
    dx: f64,
    dy: f64,
    height: f64,
}

/// Finds the shift, with buffers that are kept.
#[derive(Default)]
pub(super) struct Camera {
    votes: Vec<Vote>,
    dx: Vec<f64>,
    dy: Vec<f64>,
}

impl Camera {
    /// By how many pixels the picture moved beyond what the tracks' own motion says.
    pub(super) fn shift(&mut self, tracks: &[Track], detections: &[Detection], least: f32) -> (f64, f64) {
        let voters = self.ask(tracks, detections, least);
        if voters < FEWEST {
            return (0.0, 0.0);
        }
        let (x, y) = self.coarse(voters);
        self.nearest(x, y);
        if self.dx.len() < FEWEST - 1 {
            return (x, y);
        }
        (x + believed(&mut self.dx), y + believed(&mut self.dy))
    }

    fn ask(&mut self, tracks: &[Track], detections: &[Detection], least: f32) -> usize {
        self.votes.clear();
        let followed = tracks.iter().filter(|track| !track.lost);
        if followed.clone().filter(|track| knows_its_way(track)).count() < WITNESSES {
            return 0;
        }
        let count = followed.clone().count();
        let stride = count.div_ceil(MOST).max(1);
        let mut voters = 0;
        for track in followed.step_by(stride) {
            voters += 1;
            let [x, y, w, h] = measure(&track.bbox).map(|v| v as f32);
            let reach = REACH as f32 * h;
            for detection in detections.iter().filter(|detection| detection.confidence >= least) {
                let bbox = &detection.bbox;
                let (dx, dy) = (f32::midpoint(bbox.x1, bbox.x2) - x, f32::midpoint(bbox.y1, bbox.y2) - y);
                if dx.abs() > reach || dy.abs() > reach || self.votes.len() == MOST_VOTES {
                    continue;
                }
                let (wide, high) = (bbox.x2 - bbox.x1, bbox.y2 - bbox.y1);
                let same = |a: f32, b: f32, most: f32| a < b * most && b < a * most;
                if same(high, h, SAME_HEIGHT) && same(wide, w, SAME_WIDTH) && dx.hypot(dy) <= reach {
                    let height = f64::from(f32::midpoint(high, h));
                    self.votes.push(Vote { voter: voters, dx: f64::from(dx), dy: f64::from(dy), height });
                }
            }
        }
        voters
    }

    fn coarse(&self, voters: usize) -> (f64, f64) {
        let voters = voters as f64;
        let (still, ..) = self.support(0.0, 0.0);
        let needed = (SHARE * voters).max(CLEARLY * still);
        if needed > voters {
            return (0.0, 0.0);
        }
        let best = self.votes.iter().map(|vote| self.support(vote.dx, vote.dy)).max_by(|a, b| a.0.total_cmp(&b.0));
        match best {
            Some((support, x, y)) if support >= needed => (x, y),
            _ => (0.0, 0.0),
        }
    }

    /// How many objects support a way, each by its nearest vote, and the mean of those votes.
    fn support(&self, dx: f64, dy: f64) -> (f64, f64, f64) {
        let (mut sum, mut x, mut y) = (0.0, 0.0, 0.0);
        for votes in self.votes.chunk_by(|a, b| a.voter == b.voter) {
            let (mut most, mut by) = (0.0, None);
            for vote in votes {
                let weight = 1.0 - vote.distance(dx, dy);
                if weight > most {
                    (most, by) = (weight, Some(vote));
                }
            }
            if let Some(vote) = by {
                sum += most;
                x += most * vote.dx;
                y += most * vote.dy;
            }
        }
        if sum > 0.0 { (sum, x / sum, y / sum) } else { (0.0, 0.0, 0.0) }
    }

    /// Where the nearest votes lie, seen from a way.
    fn nearest(&mut self, dx: f64, dy: f64) {
        self.dx.clear();
        self.dy.clear();
        for votes in self.votes.chunk_by(|a, b| a.voter == b.voter) {
            let nearest = votes.iter().min_by(|a, b| a.distance(dx, dy).total_cmp(&b.distance(dx, dy)));
            if let Some(vote) = nearest.filter(|vote| vote.distance(dx, dy) < 1.0) {
                self.dx.push(vote.dx - dx);
                self.dy.push(vote.dy - dy);
            }
        }
    }
}

impl Vote {
    /// Squared, in tolerances.
    fn distance(&self, dx: f64, dy: f64) -> f64 {
        let (x, y, most) = (self.dx - dx, self.dy - dy, TOLERANCE * self.height);
        (x * x + y * y) / (most * most)
    }
}

/// The median, as far as it is no chance. The values are reordered.
fn believed(values: &mut [f64]) -> f64 {
    let middle = median(values);
    for value in &mut *values {
        *value = (*value - middle).abs();
    }
    // Of a normal distribution: σ is 1.4826 times the median deviation, and the standard error of a median 1.2533 σ/√n.
    let error = 1.4826 * 1.2533 * median(values) / (values.len() as f64).sqrt();
    let square = middle * middle;
    if square > 0.0 { middle * square / (square + (DOUBT * error).powi(2)) } else { 0.0 }
}

fn median(values: &mut [f64]) -> f64 {
    let at = values.len() / 2;
    let (_, &mut upper, _) = values.select_nth_unstable_by(at, f64::total_cmp);
    if values.len() % 2 == 1 {
        return upper;
    }
    let lower = values[..at].iter().copied().fold(f64::NEG_INFINITY, f64::max);
    f64::midpoint(lower, upper)
}
