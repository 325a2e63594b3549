//! How objects have moved lately, on the ground or in the picture.

use std::{collections::VecDeque, time::Duration};

/// Places remembered of one object's last while.
const MOST: usize = 32;

/// Where an object was in the last while.
#[derive(Default)]
pub(super) struct Trail {
    places: VecDeque<(Duration, [f64; 2])>,
}

impl Trail {
    /// It is here now. Places older than `time` are forgotten, but for the one that bounds it.
    pub(super) fn push(&mut self, now: Duration, place: [f64; 2], time: Duration) {
        let dense = |last: &(Duration, [f64; 2])| now.saturating_sub(last.0) < time / (MOST as u32 - 2);
        // The last place stands for those that follow too quickly; the newest always counts.
        if self.places.len() > 1
            && let Some(before) = self.places.get(self.places.len() - 2)
            && dense(before)
        {
            self.places.pop_back();
        }
        self.places.push_back((now, place));
        while self.places.get(1).is_some_and(|(at, _)| now.saturating_sub(*at) >= time) || self.places.len() > MOST {
            self.places.pop_front();
        }
    }

    /// How far it came over the whole time; `None` before half of that has been seen.
    pub(super) fn shift(&self, time: Duration) -> Option<[f64; 2]> {
        let (first, last) = (self.places.front()?, self.places.back()?);
        (last.0.saturating_sub(first.0) * 2 >= time).then(|| [last.1[0] - first.1[0], last.1[1] - first.1[1]])
    }

    /// Its velocity per second: the slope of the line through the places, by least squares.
    pub(super) fn velocity(&self, time: Duration) -> Option<[f64; 2]> {
        let (first, last) = (self.places.front()?.0, self.places.back()?.0);
        let n = self.places.len() as f64;
        if last.saturating_sub(first) * 2 < time || n < 3.0 {
            return None;
        }
        let at = |t: &Duration| t.saturating_sub(first).as_secs_f64();
        let mean_t = self.places.iter().map(|(t, _)| at(t)).sum::<f64>() / n;
        let spread: f64 = self.places.iter().map(|(t, _)| (at(t) - mean_t).powi(2)).sum();
        let slope = |axis: usize| self.places.iter().map(|(t, p)| (at(t) - mean_t) * p[axis]).sum::<f64>() / spread;
        (spread > 0.0).then(|| [slope(0), slope(1)])
    }
}

/// Where an object has stood since when.
#[derive(Default)]
pub(super) struct Standing {
    at: Option<([f64; 2], Duration)>,
    /// Since when it is elsewhere.
    off: Option<Duration>,
    /// Whether it was seen moving.
    pub(super) moved: bool,
}

impl Standing {
    /// The same object later: it stands where it stood, until it is seen elsewhere.
    pub(super) fn join(self, newer: &Self) -> Self {
        let moved = self.moved || newer.moved;
        let (at, off) = if self.at.is_some() { (self.at, self.off) } else { (newer.at, newer.off) };
        Self { at, off, moved }
    }

    /// It is here now. `false`: it has moved on, farther than `reach` for longer than `debounce`.
    pub(super) fn stands(&mut self, now: Duration, place: [f64; 2], reach: f64, debounce: Duration) -> bool {
        let (at, _) = *self.at.get_or_insert((place, now));
        if (place[0] - at[0]).hypot(place[1] - at[1]) <= reach {
            self.off = None;
            return true;
        }
        let off = *self.off.get_or_insert(now);
        if now.saturating_sub(off) < debounce {
            return true;
        }
        (self.at, self.off, self.moved) = (Some((place, now)), None, true);
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn velocity_is_that_of_the_last_while_at_any_rate() {
        for fps in [3, 10, 30, 100] {
            let mut trail = Trail::default();
            for i in 0..fps * 4 {
                let t = f64::from(i) / f64::from(fps);
                // It stands for two seconds, then drives at 3 units per second.
                trail.push(Duration::from_secs_f64(t), [3.0 * (t - 2.0).max(0.0), 1.0], Duration::from_secs(1));
            }
            let [x, y] = trail.velocity(Duration::from_secs(1)).expect("seen for long enough");
            assert!((x - 3.0).abs() < 1e-6 && y.abs() < 1e-9, "{fps}: {x}");
            let [x, _] = trail.shift(Duration::from_secs(1)).expect("seen for long enough");
            assert!((x - 3.0).abs() < 1.1, "{fps}: {x}");
            assert!(trail.places.len() <= MOST);
        }
    }

    #[test]
    fn a_young_trail_says_nothing() {
        let mut trail = Trail::default();
        for ms in [0, 100, 200, 300, 400] {
            trail.push(Duration::from_millis(ms), [ms as f64, 0.0], Duration::from_secs(1));
            assert_eq!((trail.shift(Duration::from_secs(1)), trail.velocity(Duration::from_secs(1))), (None, None));
        }
    }

    #[test]
    fn trembling_is_standing_and_creeping_is_not() {
        let (mut trembles, mut creeps) = (Standing::default(), Standing::default());
        let mut moved = false;
        for i in 0..600 {
            let now = Duration::from_millis(100 * i);
            let odd = if i % 7 == 0 { 5.0 } else { 0.1 };
            assert!(trembles.stands(now, [odd * f64::from(i as u32 % 2), 0.0], 0.5, Duration::from_millis(200)));
            moved |= !creeps.stands(now, [0.02 * i as f64, 0.0], 0.5, Duration::from_millis(200));
        }
        assert!(moved && creeps.moved && !trembles.moved);
    }
}
