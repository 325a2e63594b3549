//! One time for all rules of a camera, out of two that may jump.

use std::time::{Duration, SystemTime};

/// A step of media time longer than this is believed only if the wall clock says the same.
const DOUBTFUL: Duration = Duration::from_secs(10);

/// A frame of less than this long ago, by both clocks, has been overtaken.
const LATE: Duration = Duration::from_secs(2);

/// Time since the camera's first frame. It never goes back.
#[derive(Debug, Default)]
pub(super) struct Clock {
    now: Duration,
    last: Option<(Duration, SystemTime)>,
}

impl Clock {
    pub(super) fn now(&self) -> Duration {
        self.now
    }

    /// Goes on to a frame; how far, or `None` for one that comes too late. Media time restarts with each session of a camera and may jump:
    /// then the wall clock tells, and where that went back too, no time has passed.
    pub(super) fn advance(&mut self, pts: Duration, wall: SystemTime) -> Option<Duration> {
        let step = match self.last {
            None => Duration::ZERO,
            Some((last_pts, last_wall)) => {
                let by_wall = wall.duration_since(last_wall);
                match (pts.checked_sub(last_pts), by_wall) {
                    (Some(step), _) if step <= DOUBTFUL => step,
                    (Some(step), by_wall) => by_wall.map_or(Duration::ZERO, |by_wall| step.min(by_wall)),
                    (None, Ok(by_wall)) => by_wall,
                    (None, Err(back)) if back.duration() < LATE => return None,
                    (None, Err(_)) => Duration::ZERO,
                }
            }
        };
        self.last = Some((pts, wall));
        self.now += step;
        Some(step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_never_goes_back_and_bridges_a_new_session() {
        let (mut clock, wall) = (Clock::default(), SystemTime::UNIX_EPOCH + Duration::from_hours(500_000));
        let ms = Duration::from_millis;
        for (pts, at, now) in [
            (5_000, 0, 0),
            (5_040, 41, 40),
            (5_040, 41, 40),
            // The camera comes back after two seconds and counts from 0.
            (0, 2_041, 2_040),
            (40, 2_081, 2_080),
            // One comes too late, and the next one is in order.
            (20, 2_061, 2_080),
            (80, 2_121, 2_120),
            // Both clocks go back for good.
            (20, 0, 2_120),
            (60, 40, 2_160),
            // Media time leaps by an hour, the wall clock does not.
            (3_600_000, 80, 2_200),
            // Both do.
            (7_200_000, 3_600_080, 3_602_200),
        ] {
            assert_eq!(clock.advance(ms(pts), wall + ms(at)).is_none(), at == 2_061);
            assert_eq!(clock.now(), ms(now), "{pts} {at}");
        }
    }
}
