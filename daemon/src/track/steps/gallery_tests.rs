use std::{collections::BTreeMap, time::SystemTime};

use egret_models::task::normalise;
use proptest::prelude::*;

use super::*;

const HEIGHT: f32 = 100.0;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn track(id: u64, class: u16, x: f32, phase: TrackPhase) -> Track {
    Track {
        id: TrackId(id),
        class,
        confidence: 0.9,
        bbox: BBox::new(x, 100.0, x + 40.0, 100.0 + HEIGHT),
        velocity: (0.0, 0.0),
        stationary: false,
        first_seen: SystemTime::UNIX_EPOCH,
        last_seen: SystemTime::UNIX_EPOCH,
        hits: 5,
        phase,
    }
}

fn model(name: &str) -> Arc<ModelInfo> {
    Arc::new(ModelInfo { name: name.into(), ..ModelInfo::default() })
}

/// A vector at an angle to the first axis: two of them are apart by one less the cosine of the difference.
fn vector(angle: f32) -> Arc<[f32]> {
    [angle.cos(), angle.sin(), 0.0].into()
}

/// A gallery with a clock, which knows when each track was first told of.
struct Bench {
    gallery: Gallery,
    osnet: Arc<ModelInfo>,
    now: Duration,
    born: BTreeMap<TrackId, Duration>,
}

impl Bench {
    fn new(config: AppearanceConfig) -> Self {
        Self { gallery: Gallery::new(config), osnet: model("osnet"), now: Duration::ZERO, born: BTreeMap::new() }
    }

    fn frame(&mut self, after: u64, tracks: &[Track]) {
        self.now += ms(after);
        for track in tracks {
            self.born.entry(track.id).or_insert(self.now);
        }
        self.gallery.see(tracks, self.now);
    }

    fn look(&mut self, id: u64, angle: f32) {
        self.gallery.look(TrackId(id), &self.osnet, &vector(angle));
    }

    fn recognise(&mut self) -> Vec<(u64, u64)> {
        let known = self.gallery.recognise(|id| self.born.get(&id).copied());
        known.iter().map(|known| (known.rename.from.0, known.rename.to.0)).collect()
    }

    /// Somebody of this look is seen for a second at a place and then not for ten.
    fn gone(&mut self, id: u64, class: u16, x: f32, angle: f32) {
        self.frame(100, &[track(id, class, x, TrackPhase::New)]);
        self.look(id, angle);
        assert_eq!(self.recognise(), []);
        self.frame(1000, &[track(id, class, x, TrackPhase::Update)]);
        self.frame(3000, &[track(id, class, x, TrackPhase::End)]);
        self.frame(7000, &[]);
    }
}

#[test]
fn somebody_who_comes_back_is_known_again_and_goes_by_the_old_name() {
    let mut bench = Bench::new(AppearanceConfig::default());
    bench.gone(1, 0, 100.0, 0.3);
    bench.frame(40, &[track(7, 0, 300.0, TrackPhase::New)]);
    assert_eq!(bench.recognise(), [], "nobody has looked yet");
    bench.look(7, 0.5);
    let known = bench.gallery.recognise(|id| bench.born.get(&id).copied());
    let Rename { from, to, class, by, distance, unseen } = &known[0].rename;
    assert_eq!((from.0, to.0, *class, by.name.as_str(), *unseen), (7, 1, 0, "osnet", ms(10_040)));
    assert!((distance - (1.0 - 0.2f32.cos())).abs() < 1e-5, "{distance}");
    assert_eq!((known[0].past.id.0, known[0].past.phase), (1, TrackPhase::End));
    assert_eq!(bench.gallery.name(TrackId(7)), TrackId(1));
    // Once: the same look says nothing new, and the old identity is taken.
    bench.frame(40, &[track(1, 0, 300.0, TrackPhase::Update), track(9, 0, 320.0, TrackPhase::New)]);
    bench.look(9, 0.5);
    assert_eq!(bench.recognise(), []);
    // Gone again, it is one object with one name.
    bench.frame(40, &[track(1, 0, 300.0, TrackPhase::End), track(9, 0, 320.0, TrackPhase::End)]);
    bench.gallery.entries.retain(|id, _| id.0 != 9);
    bench.frame(5000, &[track(11, 0, 300.0, TrackPhase::New)]);
    bench.look(11, 0.45);
    assert_eq!(bench.recognise(), [(11, 1)]);
    assert_eq!(bench.gallery.name(TrackId(7)), TrackId(1));
}

#[test]
fn whoever_is_not_surely_the_same_keeps_a_name_of_its_own() {
    let config = AppearanceConfig { limit: 0.2, margin: 0.05, memory: Duration::from_mins(1), entries: 10 };
    for (case, class, x, angle, later) in [
        ("the same", 0, 300.0, 0.3, 0),
        ("another class", 1, 300.0, 0.3, 0),
        ("unlike", 0, 300.0, 2.2, 0),
        ("too late", 0, 300.0, 0.3, 60_000),
        ("too far", 0, 9000.0, 0.3, 0),
        ("as like to another", 0, 300.0, 0.7, 0),
    ] {
        let mut bench = Bench::new(config);
        bench.gone(1, 0, 100.0, 0.3);
        bench.gone(2, 0, 150.0, 1.1);
        bench.frame(40 + later, &[track(7, class, x, TrackPhase::New)]);
        bench.look(7, angle);
        let expected: &[(u64, u64)] = if case == "the same" { &[(7, 1)] } else { &[] };
        assert_eq!(bench.recognise(), expected, "{case}");
    }
}

#[test]
fn whoever_was_seen_beside_it_is_somebody_else() {
    let mut bench = Bench::new(AppearanceConfig::default());
    bench.frame(100, &[track(1, 0, 100.0, TrackPhase::New)]);
    bench.look(1, 0.3);
    bench.frame(100, &[track(1, 0, 100.0, TrackPhase::Update), track(2, 0, 200.0, TrackPhase::New)]);
    bench.look(2, 0.3);
    bench.frame(3000, &[track(1, 0, 100.0, TrackPhase::End), track(2, 0, 200.0, TrackPhase::Update)]);
    assert_eq!(bench.recognise(), []);
    // One that is only lost is found again, before its end is told.
    bench.frame(100, &[track(2, 0, 200.0, TrackPhase::Update)]);
    bench.frame(100, &[track(3, 0, 220.0, TrackPhase::New)]);
    bench.frame(100, &[track(2, 0, 200.0, TrackPhase::End), track(3, 0, 220.0, TrackPhase::Update)]);
    bench.gallery.entries.retain(|id, _| id.0 != 1);
    bench.look(3, 0.3);
    assert_eq!(bench.recognise(), [(3, 2)]);
}

#[test]
fn of_two_who_look_like_one_that_is_gone_neither_is_taken_for_it() {
    let mut bench = Bench::new(AppearanceConfig::default());
    for (second, expected) in [(0.32, &[][..]), (0.75, &[(7, 1)][..])] {
        bench.gallery.entries.clear();
        bench.gone(1, 0, 100.0, 0.3);
        bench.frame(40, &[track(7, 0, 100.0, TrackPhase::New), track(8, 0, 160.0, TrackPhase::New)]);
        bench.born.extend([(TrackId(7), bench.now), (TrackId(8), bench.now)]);
        bench.look(7, 0.3);
        bench.look(8, second);
        assert_eq!(bench.recognise(), expected, "{second}");
    }
}

#[test]
fn a_track_that_is_known_for_long_is_not_renamed() {
    let mut bench = Bench::new(AppearanceConfig::default());
    bench.gone(1, 0, 100.0, 0.3);
    bench.frame(40, &[track(7, 0, 100.0, TrackPhase::New)]);
    bench.frame(5001, &[track(7, 0, 100.0, TrackPhase::Update)]);
    bench.look(7, 0.3);
    assert_eq!(bench.recognise(), []);
}

#[test]
fn networks_are_not_mixed() {
    let mut bench = Bench::new(AppearanceConfig::default());
    bench.gone(1, 0, 100.0, 0.3);
    bench.frame(40, &[track(7, 0, 100.0, TrackPhase::New)]);
    let other = model("another");
    bench.gallery.look(TrackId(7), &other, &vector(0.3));
    assert_eq!(bench.recognise(), []);
    bench.look(7, 0.3);
    assert_eq!(bench.recognise(), [], "the first one to look at it goes on");
}

#[test]
fn what_is_remembered_is_bounded_in_number_and_age() {
    let config = AppearanceConfig { entries: 3, memory: Duration::from_mins(1), ..AppearanceConfig::default() };
    let mut bench = Bench::new(config);
    for id in 1..=5 {
        bench.gone(id, 0, 100.0, 0.9 * id as f32);
    }
    let left: Vec<u64> = bench.gallery.entries.keys().map(|id| id.0).collect();
    assert_eq!(left, [3, 4, 5]);
    // Without an appearance nothing is remembered.
    bench.frame(100, &[track(9, 0, 100.0, TrackPhase::New)]);
    bench.frame(100, &[track(9, 0, 100.0, TrackPhase::End)]);
    assert_eq!(bench.gallery.entries.len(), 3);
    bench.frame(60_000, &[]);
    assert!(bench.gallery.entries.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever comes and goes and looks like whatever: no name is given up twice, none that was given up comes back, a chain of renames
    /// ends in one name, and of two that are seen at the same time neither ever becomes the other.
    #[test]
    fn a_name_is_of_one_object(
        script in prop::collection::vec((0u8..6, 0usize..8, 0.0f32..1.0, -600.0f32..600.0), 1..250),
        margin in 0.0f32..0.1,
    ) {
        let config = AppearanceConfig { limit: 0.3, margin, memory: Duration::from_secs(30), entries: 4 };
        let mut bench = Bench::new(config);
        // Those that live: the name of their track, and where.
        let mut live: Vec<(u64, f32)> = Vec::new();
        let (mut next, mut given_up) = (1u64, BTreeMap::new());
        for (what, who, angle, x) in script {
            let mut tracks: Vec<Track> = live.iter().map(|(id, x)| track(*id, 0, *x, TrackPhase::Update)).collect();
            match what {
                0 | 1 => {
                    tracks.push(track(next, 0, x, TrackPhase::New));
                    live.push((next, x));
                    next += 1;
                }
                2 if !live.is_empty() => {
                    let (id, x) = live.remove(who % live.len());
                    tracks.retain(|track| track.id.0 != id);
                    tracks.push(track(id, 0, x, TrackPhase::End));
                }
                3 | 4 if !live.is_empty() => {
                    let (id, _) = live[who % live.len()];
                    let mut wobbly = [angle.cos(), angle.sin(), 0.01];
                    normalise(&mut wobbly);
                    let osnet = bench.osnet.clone();
                    bench.gallery.look(TrackId(id), &osnet, &wobbly.into());
                }
                _ => {}
            }
            bench.frame(u64::from(what) * 300 + 33, &tracks);
            let before: Vec<u64> = live.iter().map(|(id, _)| *id).collect();
            for (from, to) in bench.recognise() {
                prop_assert!(from != to && !before.contains(&to), "{to} is still seen");
                prop_assert!(given_up.insert(from, to).is_none(), "{from} was given up before");
                let Some(one) = live.iter_mut().find(|(id, _)| *id == from) else {
                    return Err(TestCaseError::fail(format!("{from} is not followed")));
                };
                one.0 = to;
                let born = bench.born.get(&TrackId(from)).copied().unwrap_or_default();
                bench.born.insert(TrackId(to), born);
            }
            let mut names: Vec<u64> = live.iter().map(|(id, _)| *id).collect();
            names.sort_unstable();
            prop_assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "two living tracks share a name: {names:?}");
            prop_assert!(names.iter().all(|name| !given_up.contains_key(name)), "a name that was given up is back");
            for from in given_up.keys() {
                let mut end = *from;
                for _ in 0..given_up.len() {
                    end = given_up.get(&end).copied().unwrap_or(end);
                }
                prop_assert!(!given_up.contains_key(&end), "a chain without an end");
                prop_assert_eq!(bench.gallery.name(TrackId(*from)), TrackId(end));
            }
            prop_assert!(bench.gallery.entries.values().filter(|entry| entry.ended).count() <= 4);
        }
    }
}
