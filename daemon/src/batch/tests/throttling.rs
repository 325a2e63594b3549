//! Cameras while the board is throttled: from its files to what engines are given.

use std::{fs, path::Path, sync::Arc, time::Instant};

use egret_jetson::telemetry::Telemetry;
use tokio::time::{Duration, sleep};
use tokio_util::sync::CancellationToken;

use super::{
    super::{Batcher, Counts, Outcome, Slot, Work},
    file, frame, limits, live, ms, stream,
};
use crate::throttle::{self, Latest};

const COOLING: &str = "sys/class/thermal/cooling_device0";

/// The files of a board whose processor is cooled so far.
fn cool(root: &Path, state: u32) {
    let folder = root.join(COOLING);
    fs::create_dir_all(&folder).expect("room");
    for (file, text) in [("type", "cpufreq-cpu0".to_owned()), ("max_state", "20".to_owned()), ("cur_state", state.to_string())] {
        fs::write(folder.join(file), text).expect("room");
    }
}

/// Offers frames and takes out what may be looked at; how many of them that is.
fn looked_at(batcher: &Batcher, slot: &Slot, frames: u64) -> u64 {
    let mut seen = 0;
    for n in 0..frames {
        assert!(slot.offer(frame(slot.stream(), ms(33 * n), Instant::now())));
        while let Some(Work::Batch(batch)) = batcher.try_next() {
            seen += batch.frames.len() as u64;
            batcher.finished(&batch.frames, Outcome::Inferred, ms(1));
        }
    }
    seen
}

fn counts(batcher: &Batcher) -> Counts {
    let counts = batcher.total();
    assert!(counts.balanced(), "{counts:?}");
    counts
}

#[test]
fn a_share_of_each_camera_is_left_out_and_counted() {
    let batcher = Batcher::new(limits(1, 0));
    let slot = batcher.add(stream(1), live());
    batcher.set_share(0.25);
    assert_eq!(looked_at(&batcher, &slot, 100), 25);
    let late = batcher.add(stream(2), live());
    assert_eq!(looked_at(&batcher, &late, 100), 25, "one that comes later too");
    assert_eq!(counts(&batcher).dropped.throttled, 150);
    let film = batcher.add(stream(3), file(4));
    assert_eq!(looked_at(&batcher, &film, 100), 100, "every frame of a file");
    batcher.set_share(1.0);
    assert_eq!(looked_at(&batcher, &slot, 100), 100);
    assert_eq!(counts(&batcher).inferred, 250);
}

#[test]
fn a_cap_counts_first() {
    let batcher = Batcher::new(limits(1, 0));
    let slot = batcher.add(stream(1), super::super::StreamSettings { max_fps: Some(0.001), ..live() });
    batcher.set_share(0.5);
    assert_eq!(looked_at(&batcher, &slot, 10), 1);
    assert_eq!((counts(&batcher).dropped.capped, counts(&batcher).dropped.throttled), (9, 0));
}

#[tokio::test(start_paused = true)]
async fn throttling_begins_and_ends_and_rates_follow() {
    let root = tempfile::tempdir().expect("a folder");
    cool(root.path(), 0);
    let batcher = Batcher::new(limits(1, 0));
    let slot = batcher.add(stream(1), live());
    let (latest, cancel) = (Arc::new(Latest::default()), CancellationToken::new());
    let (board, told, end) = (root.path().to_owned(), Arc::clone(&latest), cancel.clone());
    let of_cameras = Arc::clone(&batcher);
    let watch = tokio::spawn(async move {
        let apply = move |share| of_cameras.set_share(share);
        throttle::watch(move || Telemetry::new(&board), &told, Some(apply), end).await;
    });
    sleep(Duration::from_secs(5)).await;
    assert_eq!(looked_at(&batcher, &slot, 40), 40);
    cool(root.path(), 4);
    for expected in [30, 20, 10, 10] {
        sleep(Duration::from_secs(11)).await;
        assert_eq!(looked_at(&batcher, &slot, 40), expected);
    }
    let look = latest.get().expect("it looks");
    assert!((look.share - 0.25).abs() < f64::EPSILON && look.throttled >= Duration::from_secs(40), "{look:?}");
    assert_eq!(look.reading.throttling[0].to_string(), "cpufreq-cpu0 is cooled at 4 of 20");
    cool(root.path(), 0);
    sleep(Duration::from_secs(55)).await;
    assert_eq!(looked_at(&batcher, &slot, 40), 10, "not yet");
    for expected in [20, 30, 40] {
        sleep(Duration::from_secs(62)).await;
        assert_eq!(looked_at(&batcher, &slot, 40), expected);
    }
    assert_eq!(counts(&batcher).dropped.throttled, 10 + 20 + 30 + 30 + 30 + 20 + 10);
    cancel.cancel();
    watch.await.expect("it ends");
}
