//! Cost of one look at a luma plane: `cargo bench -p egret --bench gate`.

use std::{hint::black_box, time::Duration};

use criterion::{Criterion, criterion_group, criterion_main};
use egret::gate::{Luma, MotionSettings, PictureSettings, Watch, WatchSettings};

/// A picture of blocks, with noise that differs from frame to frame.
fn picture(width: usize, height: usize, seed: usize) -> Vec<u8> {
    (0..width * height)
        .map(|i| {
            let (x, y) = (i % width, i / width);
            let block = (x / 37 * 31 + y / 23 * 57) % 160;
            let noise = (i.wrapping_mul(2_654_435_761).wrapping_add(seed * 97) >> 16) % 7;
            (40 + block + noise) as u8
        })
        .collect()
}

fn look(c: &mut Criterion) {
    let motion = Some(MotionSettings { threshold: 5.0, hold: Duration::from_secs(3) });
    let minute = Duration::from_mins(1);
    let picture_settings = PictureSettings { black: minute, blurred: minute, moved: minute };
    let mut group = c.benchmark_group("look at a luma plane");
    for (name, width, height, faults) in [
        ("640x360, motion", 640, 360, false),
        ("640x360, motion and faults", 640, 360, true),
        ("1920x1080, motion", 1920, 1080, false),
    ] {
        // As many frames as a decoder has under way: they do not all fit into the cache.
        let frames: Vec<_> = (0..16).map(|seed| picture(width, height, seed)).collect();
        let picture = if faults { picture_settings } else { PictureSettings::default() };
        let mut watch = Watch::new(WatchSettings { motion, picture });
        let mut number = 0;
        group.bench_function(name, |b| {
            b.iter(|| {
                number += 1;
                let samples = &frames[number % frames.len()];
                let luma = Luma { samples, stride: width, width, height, every: 1 };
                watch.look(black_box(luma), Duration::from_millis(66 * number as u64))
            });
        });
    }
    group.finish();
}

criterion_group!(benches, look);
criterion_main!(benches);
