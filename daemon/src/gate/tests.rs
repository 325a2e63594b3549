//! The gate on drawn pictures: what is no motion, what is, and how soon.

use std::time::Duration;

use proptest::prelude::*;

use super::{
    drawn::{Easel, HEIGHT, Sky, WIDTH, Walker},
    *,
};

const HOLD: Duration = Duration::from_millis(500);
const MOTION: MotionSettings = MotionSettings { threshold: 5.0, hold: HOLD };
const ALL: PictureSettings = PictureSettings { black: secs(5), blurred: secs(10), moved: secs(10) };

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A camera at a place.
struct Rig {
    easel: Easel,
    watch: Watch,
    fps: f32,
    frame: u64,
}

impl Rig {
    fn new(place: u64, fps: f32, settings: WatchSettings) -> Self {
        Self { easel: Easel::new(place), watch: Watch::new(settings), fps, frame: 0 }
    }

    fn moving(place: u64, fps: f32) -> Self {
        Self::new(place, fps, WatchSettings { motion: Some(MOTION), picture: PictureSettings::default() })
    }

    fn look(&mut self, sky: &Sky, walkers: &[Walker]) -> Seen {
        let luma = self.easel.draw(sky, walkers, 1000 + self.frame);
        let at = Duration::from_secs_f32(self.frame as f32 / self.fps);
        self.frame += 1;
        self.watch.look(luma, at)
    }

    /// Frames of so many seconds that were not still.
    fn stirred(&mut self, seconds: f32, sky: impl Fn(f32) -> Sky) -> usize {
        let frames = (seconds * self.fps) as usize;
        (0..frames).filter(|i| !self.look(&sky(*i as f32 / self.fps), &[]).still).count()
    }

    /// How long a walker walks before the gate opens.
    fn notices(&mut self, sky: &Sky, walker: Walker, speed: f32) -> Option<f32> {
        let fps = self.fps;
        let frames = (3.0 * fps) as usize;
        let seconds = |i: usize| i as f32 / fps;
        let at = |i: usize| Walker { x: walker.x + speed * seconds(i), ..walker };
        (0..frames).find(|i| !self.look(sky, &[at(*i)]).still).map(seconds)
    }
}

#[test]
fn the_first_pictures_always_go_through_and_then_it_is_still() {
    let mut rig = Rig::moving(1, 15.0);
    assert_eq!(rig.stirred(2.0, |_| Sky::default()), 30);
    assert!(rig.stirred(1.0, |_| Sky::default()) <= 1);
    assert_eq!(rig.stirred(10.0, |_| Sky::default()), 0);
}

#[test]
fn noise_and_rain_are_still_pictures() {
    for (name, sky) in [
        ("noise by night", Sky { gain: 0.4, noise: 6.0, ..Sky::default() }),
        ("rain", Sky { rain: 150, ..Sky::default() }),
        ("heavy rain by night", Sky { gain: 0.5, noise: 5.0, rain: 400, ..Sky::default() }),
    ] {
        let mut rig = Rig::moving(2, 15.0);
        rig.stirred(8.0, |_| sky);
        let stirred = rig.stirred(20.0, |_| sky);
        assert!(stirred <= 15, "{name}: {stirred} of 300");
    }
}

#[test]
fn key_frames_that_are_noisier_than_the_others_are_still() {
    let mut rig = Rig::moving(15, 15.0);
    let coded = |seconds: f32| Sky { noise: if seconds.fract() < 0.05 { 12.0 } else { 3.0 }, ..Sky::default() };
    rig.stirred(4.0, coded);
    let stirred = rig.stirred(20.0, coded);
    assert!(stirred <= 8, "{stirred} of 300");
    let walker = Walker { x: 100.0, y: 150.0, width: 10.0, height: 26.0, contrast: 45.0 };
    assert!(rig.notices(&coded(0.5), walker, 20.0).is_some_and(|after| after < 0.9));
}

#[test]
fn branches_in_the_wind_become_usual_and_hide_nobody_else() {
    let mut rig = Rig::moving(16, 10.0);
    let sky = Sky::default();
    // A dozen leaves, each where it likes, every time.
    let leaves = |i: u64| -> Vec<Walker> {
        let place = |leaf: u64, way: u64| (((leaf * 7919 + i * 104_729 + way * 1299) * 2_654_435_761) >> 16) as f32;
        let leaf = |n: u64| {
            let (x, y) = (20.0 + (n % 4) as f32 * 36.0 + place(n, 1) % 6.0, 20.0 + (n / 4) as f32 * 30.0 + place(n, 2) % 6.0);
            Walker { x, y, width: 7.0, height: 7.0, contrast: if n.is_multiple_of(2) { 35.0 } else { -25.0 } }
        };
        (0..12).map(leaf).collect()
    };
    let blows = |rig: &mut Rig, frames: u64| (0..frames).filter(|i| !rig.look(&sky, &leaves(*i)).still).count();
    blows(&mut rig, 200);
    let stirred = blows(&mut rig, 80);
    assert!(stirred <= 20, "{stirred} of 80");
    let walks = (0..30_u64).position(|i| {
        let walker = Walker { x: 400.0 + 2.0 * i as f32, y: 250.0, width: 10.0, height: 26.0, contrast: 45.0 };
        let shown: Vec<Walker> = leaves(i).into_iter().chain([walker]).collect();
        !rig.look(&sky, &shown).still
    });
    assert!(walks.is_some_and(|frames| frames < 9), "{walks:?}");
}

#[test]
fn a_light_step_is_still_and_so_is_a_dawn() {
    let mut rig = Rig::moving(3, 10.0);
    rig.stirred(6.0, |_| Sky::default());
    for (gain, offset) in [(1.3, 0.0), (0.8, 6.0), (0.5, 10.0), (1.0, 0.0)] {
        let stirred = rig.stirred(4.0, |_| Sky { gain, offset, ..Sky::default() });
        assert!(stirred <= 1, "light {gain} {offset}: {stirred}");
    }
    let dawn = |seconds: f32| Sky { gain: 1.0 - 0.008 * seconds, ..Sky::default() };
    assert_eq!(rig.stirred(60.0, dawn), 0, "a minute of dusk");
}

#[test]
fn a_shake_of_the_camera_is_still() {
    let mut rig = Rig::moving(4, 15.0);
    let wind = |seconds: f32| Sky { shift: (1.5 * (seconds * 9.0).sin(), 0.8 * (seconds * 13.0).cos()), ..Sky::default() };
    rig.stirred(10.0, wind);
    let stirred = rig.stirred(15.0, wind);
    assert!(stirred <= 12, "{stirred} of 225");
}

#[test]
fn a_distant_walker_is_noticed_in_time() {
    // Of a person 15 pixels high, 5 wide, at 12 pixels per second.
    let walker = Walker { x: 100.0, y: 150.0, width: 5.0, height: 15.0, contrast: 45.0 };
    for (name, sky, fps) in [
        ("day", Sky::default(), 15.0),
        ("a slow camera", Sky::default(), 4.0),
        ("night", Sky { gain: 0.5, noise: 4.0, ..Sky::default() }, 15.0),
        ("rain", Sky { rain: 100, ..Sky::default() }, 15.0),
    ] {
        let mut rig = Rig::moving(5, fps);
        rig.stirred(8.0, |_| sky);
        // Not in a moment when something else opened the gate.
        assert!((0..20).any(|_| rig.stirred(0.5, |_| sky) == 0), "{name}: never still");
        let noticed = rig.notices(&sky, walker, 12.0);
        assert!(noticed.is_some_and(|after| after <= 0.9), "{name}: {noticed:?}");
    }
}

#[test]
fn what_stays_is_no_motion_and_what_leaves_is() {
    let mut rig = Rig::moving(6, 5.0);
    rig.stirred(5.0, |_| Sky::default());
    let parked = [Walker { x: 300.0, y: 200.0, width: 80.0, height: 40.0, contrast: 60.0 }];
    let sky = Sky::default();
    // A cluster is motion when it is seen again.
    rig.look(&sky, &parked);
    let open = (0..1500).take_while(|_| !rig.look(&sky, &parked).still).count() as f32 / 5.0;
    assert!((0.4..5.0).contains(&open), "open for {open} s");
    // When it drives off, the gate opens, whether it has become background or not, and closes again.
    for stays in [2, 300] {
        for _ in 0..stays {
            rig.look(&sky, &parked);
        }
        assert!((0..3).any(|_| !rig.look(&sky, &[]).still), "after {stays} pictures");
        assert!((0..25).any(|_| rig.look(&sky, &[]).still), "after {stays} pictures");
        assert!((0..3).any(|_| !rig.look(&sky, &parked).still), "it comes back after {stays} pictures");
    }
}

#[test]
fn a_black_picture_is_told_once_it_lasts() {
    let mut rig = Rig::new(7, 2.0, WatchSettings { motion: None, picture: ALL });
    let (day, night) = (Sky::default(), Sky { gain: 0.0, offset: 17.0, noise: 1.0, ..Sky::default() });
    let after =
        |rig: &mut Rig, sky: &Sky, seconds: u64| (0..seconds * 2).map(|_| rig.look(sky, &[])).last().map(|seen| seen.fault);
    assert_eq!(after(&mut rig, &day, 5), Some(None));
    assert_eq!(after(&mut rig, &night, 4), Some(None));
    assert_eq!(after(&mut rig, &night, 4), Some(Some(Fault::Black)));
    assert_eq!(after(&mut rig, &day, 1), Some(Some(Fault::Black)));
    assert_eq!(after(&mut rig, &day, 5), Some(None));
}

#[test]
fn a_blurred_picture_is_told_and_dim_light_is_none() {
    let mut rig = Rig::new(8, 2.0, WatchSettings { motion: None, picture: ALL });
    let last = |rig: &mut Rig, sky: Sky, seconds: u64| (0..seconds * 2).map(|_| rig.look(&sky, &[]).fault).last().flatten();
    assert_eq!(last(&mut rig, Sky::default(), 80), None);
    assert_eq!(last(&mut rig, Sky { gain: 0.5, noise: 4.0, ..Sky::default() }, 30), None, "dim");
    assert_eq!(last(&mut rig, Sky { rain: 200, ..Sky::default() }, 30), None, "rain");
    assert_eq!(last(&mut rig, Sky { blur: 4, ..Sky::default() }, 8), None, "not for long");
    assert_eq!(last(&mut rig, Sky { blur: 4, ..Sky::default() }, 8), Some(Fault::Blurred));
    assert_eq!(last(&mut rig, Sky::default(), 10), None, "in focus again");
}

#[test]
fn a_camera_that_was_turned_is_told_and_weather_is_not() {
    let mut rig = Rig::new(9, 2.0, WatchSettings { motion: None, picture: ALL });
    let last = |rig: &mut Rig, sky: Sky, seconds: u64| (0..seconds * 2).map(|_| rig.look(&sky, &[]).fault).last().flatten();
    assert_eq!(last(&mut rig, Sky::default(), 80), None);
    assert_eq!(last(&mut rig, Sky { gain: 0.4, noise: 5.0, ..Sky::default() }, 40), None, "night");
    assert_eq!(last(&mut rig, Sky { shift: (2.0, 1.0), ..Sky::default() }, 40), None, "a nudge");
    assert_eq!(last(&mut rig, Sky { shift: (30.0, 0.0), ..Sky::default() }, 40), Some(Fault::Moved), "turned a little");
    assert_eq!(last(&mut rig, Sky::default(), 40), None, "turned back");
    let other = Easel::new(10);
    let own = std::mem::replace(&mut rig.easel, other);
    assert_eq!(last(&mut rig, Sky::default(), 40), Some(Fault::Moved), "looks elsewhere");
    rig.easel = own;
    assert_eq!(last(&mut rig, Sky::default(), 40), None);
}

#[test]
fn a_clock_in_the_picture_is_hidden() {
    let sky = Sky::default();
    let clock = |i: usize| [Walker { x: 520.0 + 8.0 * (i / 5 % 4) as f32, y: 8.0, width: 20.0, height: 14.0, contrast: 90.0 }];
    let stirred = |rig: &mut Rig| (0..100).filter(|i| !rig.look(&sky, &clock(*i)).still).count();
    let mut rig = Rig::moving(14, 5.0);
    stirred(&mut rig);
    assert!(stirred(&mut rig) > 50);
    rig.watch.hide(Some(std::sync::Arc::new(|x, y| x > 0.75 && y < 0.1)));
    assert_eq!((0..10).filter(|i| !rig.look(&sky, &clock(*i)).still).count(), 10, "it begins anew");
    rig.look(&sky, &clock(10));
    assert_eq!(stirred(&mut rig), 0);
    let walker = Walker { x: 100.0, y: 150.0, width: 10.0, height: 26.0, contrast: 45.0 };
    assert!(rig.notices(&sky, walker, 20.0).is_some_and(|after| after < 0.9));
}

#[test]
fn without_settings_nothing_is_looked_for() {
    let mut rig = Rig::new(11, 1.0, WatchSettings::default());
    let black = Sky { gain: 0.0, offset: 16.0, noise: 0.0, ..Sky::default() };
    assert!((0..60).all(|_| rig.look(&black, &[]) == Seen { still: false, fault: None }));
}

#[test]
fn settings_change_while_it_runs() {
    let mut rig = Rig::moving(12, 5.0);
    rig.stirred(5.0, |_| Sky::default());
    assert!(rig.look(&Sky::default(), &[]).still);
    rig.watch.configure(WatchSettings::default());
    assert!(!rig.look(&Sky::default(), &[]).still);
    rig.watch.configure(WatchSettings { motion: Some(MOTION), picture: PictureSettings::default() });
    assert!(rig.look(&Sky::default(), &[]).still, "what was learnt stays");
}

#[test]
fn another_size_or_session_starts_over() {
    let mut rig = Rig::moving(13, 5.0);
    rig.stirred(5.0, |_| Sky::default());
    assert!(rig.look(&Sky::default(), &[]).still);
    rig.frame = 0;
    assert!(!rig.look(&Sky::default(), &[]).still, "media time went back");
    rig.stirred(4.0, |_| Sky::default());
    assert!(rig.look(&Sky::default(), &[]).still);
    let samples = vec![90; WIDTH * HEIGHT];
    let luma = Luma { samples: &samples, stride: WIDTH, width: WIDTH / 2, height: HEIGHT / 2, every: 1 };
    assert!(!rig.watch.look(luma, secs(6)).still);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Nobody of a fair size and contrast walks for a second unnoticed, wherever, however fast and at whatever rate.
    #[test]
    fn walkers_are_noticed_within_a_second(
        place in 0_u64..1000,
        fps in 4_f32..20.0,
        x in 20_f32..450.0,
        y in 20_f32..300.0,
        height in 24_f32..120.0,
        speed in 8_f32..150.0,
        contrast in prop_oneof![-70_f32..-35.0, 35_f32..70.0],
    ) {
        let mut rig = Rig::moving(place, fps);
        rig.stirred(4.0, |_| Sky::default());
        let walker = Walker { x, y, width: height * 0.4, height, contrast };
        let noticed = rig.notices(&Sky::default(), walker, speed);
        prop_assert!(noticed.is_some_and(|after| after < 0.9), "{:?}", noticed);
    }
}
