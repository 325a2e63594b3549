//! Whether what is followed in a picture goes on as foreseen, so that the next look can wait.

use std::time::Duration;

use crate::media::{BBox, Track, TrackPhase};

/// How much goes on in a camera's picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Activity {
    /// Nothing is followed.
    Idle,
    /// What was followed is out of sight, and not forgotten yet.
    Lost,
    /// Nothing that is followed moves, and nothing is new, however its boxes tremble.
    Standing,
    /// What is followed moves as foreseen, and nothing is new.
    Calm,
    /// Something is new, lost, or moves as nobody foresaw.
    Busy,
}

/// For so long nothing may have been out of the ordinary.
const QUIET: Duration = Duration::from_secs(1);
/// Smallest overlap (IoU) of where a track is and where it was foreseen.
const FORESEEN: f32 = 0.7;
/// As long as a calm picture is not looked at, what is followed has to be foreseen: over this time...
const HORIZON: Duration = Duration::from_millis(200);
/// ...with this overlap.
const FORESEEN_FAR: f32 = 0.8;
/// A track moves that gets on by so much of its size in a second, each way by itself.
const MOVES: f32 = 0.25;

/// Watches the tracks of one camera. Time is the tracker's clock, which never goes back.
#[derive(Debug, Default)]
pub struct Calm {
    tracks: Vec<Track>,
    at: Duration,
    /// The tracks a horizon ago, and when that was.
    before: Vec<Track>,
    before_at: Duration,
    /// When something was last out of the ordinary.
    stirred: Duration,
    /// When something last moved or was new.
    moved: Duration,
}

impl Calm {
    /// Takes in the tracks of a frame: those that are told, and `loose` detections that belong to none. `following`: whether anything
    /// is followed or remembered.
    pub fn take(&mut self, at: Duration, tracks: &[Track], loose: bool, following: bool) -> Activity {
        let lost = || self.tracks.iter().any(|known| !tracks.iter().any(|track| track.id == known.id));
        let near = || are_foreseen(tracks, &self.tracks, at.saturating_sub(self.at), FORESEEN);
        let due = at.saturating_sub(self.before_at) >= HORIZON;
        let far = || are_foreseen(tracks, &self.before, at.saturating_sub(self.before_at), FORESEEN_FAR);
        let stirred = loose || lost() || !near() || (due && !far());
        if loose || tracks.iter().any(|track| track.phase == TrackPhase::New || moves(track)) {
            self.moved = at;
        }
        self.at = at;
        self.tracks.clear();
        self.tracks.extend(tracks.iter().filter(|track| track.phase != TrackPhase::End));
        if due || stirred {
            self.before.clone_from(&self.tracks);
            self.before_at = at;
        }
        if stirred {
            self.stirred = at;
        }
        match following {
            false => Activity::Idle,
            true if at.saturating_sub(self.moved) >= QUIET => {
                if self.tracks.is_empty() {
                    Activity::Lost
                } else {
                    Activity::Standing
                }
            }
            true if stirred || at.saturating_sub(self.stirred) < QUIET || self.tracks.is_empty() => Activity::Busy,
            true => Activity::Calm,
        }
    }
}

/// Whether each track is where it was foreseen a while ago.
fn are_foreseen(tracks: &[Track], before: &[Track], while_ago: Duration, least: f32) -> bool {
    let step = while_ago.as_secs_f32();
    tracks.iter().all(|track| {
        let known = before.iter().find(|known| known.id == track.id);
        track.phase == TrackPhase::Update
            && known.is_some_and(|known| {
                let (dx, dy) = (known.velocity.0 * step, known.velocity.1 * step);
                let BBox { x1, y1, x2, y2 } = known.bbox;
                BBox::new(x1 + dx, y1 + dy, x2 + dx, y2 + dy).iou(&track.bbox) >= least
            })
    })
}

fn moves(track: &Track) -> bool {
    let (right, down) = track.velocity;
    !track.stationary && (right.abs() > MOVES * track.bbox.width() || down.abs() > MOVES * track.bbox.height())
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;
    use crate::media::TrackId;

    fn track(id: u64, x: f32, phase: TrackPhase) -> Track {
        Track {
            id: TrackId(id),
            class: 0,
            confidence: 0.9,
            bbox: BBox::new(x, 0.0, x + 40.0, 80.0),
            velocity: (50.0, 0.0),
            stationary: false,
            first_seen: UNIX_EPOCH,
            last_seen: UNIX_EPOCH,
            hits: 3,
            phase,
        }
    }

    /// A walk of 50 pixels per second, looked at every 100 ms.
    fn walk(calm: &mut Calm, looks: std::ops::Range<u64>) -> Vec<Activity> {
        looks
            .map(|i| {
                let phase = if i == 0 { TrackPhase::New } else { TrackPhase::Update };
                calm.take(Duration::from_millis(100 * i), &[track(1, 5.0 * i as f32, phase)], false, true)
            })
            .collect()
    }

    #[test]
    fn a_steady_walk_is_calm_after_a_second() {
        let mut calm = Calm::default();
        let seen = walk(&mut calm, 0..20);
        assert_eq!(seen[..10], [Activity::Busy; 10]);
        assert_eq!(seen[10..], [Activity::Calm; 10]);
        let at = |i: u64| Duration::from_millis(100 * i);
        assert_eq!(calm.take(at(20), &[], false, false), Activity::Idle);
    }

    #[test]
    fn what_is_foreseen_from_look_to_look_only_is_not_calm() {
        let mut calm = Calm::default();
        // Half as fast as it is said to be: 5 of 40 pixels off after one look, 10 after two.
        let seen = |i: u64| {
            let phase = if i == 0 { TrackPhase::New } else { TrackPhase::Update };
            Track { velocity: (100.0, 0.0), ..track(1, 5.0 * i as f32, phase) }
        };
        assert!((0..30).all(|i| calm.take(Duration::from_millis(100 * i), &[seen(i)], false, true) == Activity::Busy));
    }

    #[test]
    fn what_stands_stands_however_its_box_trembles() {
        let mut calm = Calm::default();
        let parked = |i: u64, phase| {
            let x = 300.0 + if i.is_multiple_of(2) { 12.0 } else { -12.0 };
            Track { velocity: (9.0, -3.0), ..track(1, x, phase) }
        };
        let look = |calm: &mut Calm, i: u64, more: &[Track]| {
            let phase = if i == 0 { TrackPhase::New } else { TrackPhase::Update };
            let tracks: Vec<Track> = std::iter::once(parked(i, phase)).chain(more.iter().copied()).collect();
            calm.take(Duration::from_millis(100 * i), &tracks, false, true)
        };
        let seen: Vec<Activity> = (0..12).map(|i| look(&mut calm, i, &[])).collect();
        assert_eq!(seen[..10], [Activity::Busy; 10]);
        assert_eq!(seen[10..], [Activity::Standing; 2]);
        assert_eq!(look(&mut calm, 12, &[track(2, 80.0, TrackPhase::New)]), Activity::Busy);
        let passing = |i: u64| track(2, 80.0 + 5.0 * i as f32, TrackPhase::Update);
        assert!((13..40).all(|i| look(&mut calm, i, &[passing(i)]) > Activity::Standing), "one of them moves");
        let after = |calm: &mut Calm, i: u64| calm.take(Duration::from_millis(100 * i), &[], false, true);
        let gone: Vec<Activity> = (40..51).map(|i| after(&mut calm, i)).collect();
        assert_eq!((gone[0], gone[10]), (Activity::Busy, Activity::Lost));
    }

    #[test]
    fn whatever_is_out_of_the_ordinary_stirs() {
        let ahead = |by: f32| track(1, 100.0 + by, TrackPhase::Update);
        for (case, tracks, loose) in [
            ("a start", vec![ahead(0.0), track(2, 300.0, TrackPhase::New)], false),
            ("an end", vec![ahead(0.0), track(2, 300.0, TrackPhase::End)], false),
            ("a jump", vec![ahead(30.0)], false),
            ("a loss", vec![], false),
            ("somebody unknown", vec![ahead(0.0)], true),
        ] {
            let mut calm = Calm::default();
            assert_eq!(walk(&mut calm, 0..20).last(), Some(&Activity::Calm));
            assert_eq!(calm.take(Duration::from_secs(2), &tracks, loose, true), Activity::Busy, "{case}");
        }
        let mut calm = Calm::default();
        walk(&mut calm, 0..20);
        assert_eq!(calm.take(Duration::from_secs(2), &[ahead(0.0)], false, true), Activity::Calm);
    }
}
