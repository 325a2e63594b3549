//! Cost of one letterbox pass: `cargo bench -p egret --bench letterbox`. The plain version does the same arithmetic pixel by pixel.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use egret::{
    infer::Letterbox,
    media::{Color, HostPicture, Layout, PictureBytes, Plane},
};
use egret_models::spec::{BatchAxis, InputSpec};

fn picture(layout: Layout, (w, h): (usize, usize), seed: usize) -> HostPicture {
    let stride = w.next_multiple_of(64);
    let planes = match layout {
        Layout::I420 => [
            Plane { offset: 0, stride },
            Plane { offset: stride * h, stride: stride / 2 },
            Plane { offset: stride * h + stride / 2 * h.div_ceil(2), stride: stride / 2 },
        ],
        Layout::Nv12 => [Plane { offset: 0, stride }, Plane { offset: stride * h, stride }, Plane::default()],
    };
    let bytes: Vec<u8> = (0..stride * h * 2).map(|i| (i.wrapping_mul(2_654_435_761).wrapping_add(seed) >> 16) as u8).collect();
    HostPicture::new(layout, (w as u32, h as u32), Color::default(), planes, PictureBytes::Owned(bytes.into())).expect("it fits")
}

/// What anyone would write first: per output pixel, per tap, straight from the planes.
fn plain(p: &HostPicture, (width, height): (usize, usize), out: &mut [f32]) {
    let (w, h) = (p.width() as usize, p.height() as usize);
    let ratio = (height as f32 / h as f32).min(width as f32 / w as f32);
    let (cw, ch) = ((w as f32 * ratio) as usize, (h as f32 * ratio) as usize);
    let ((yp, ys), (up, us), (vp, vs)) = (p.plane(0), p.plane(1), p.plane(2));
    for y in 0..ch {
        let sy = ((y as f32 + 0.5) * (h as f32 / ch as f32) - 0.5).clamp(0.0, (h - 1) as f32);
        let (y0, y1, fy) = (sy as usize, (sy as usize + 1).min(h - 1), sy.fract());
        for x in 0..cw {
            let sx = ((x as f32 + 0.5) * (w as f32 / cw as f32) - 0.5).clamp(0.0, (w - 1) as f32);
            let (x0, x1, fx) = (sx as usize, (sx as usize + 1).min(w - 1), sx.fract());
            let mix = |plane: &[u8], stride: usize, half: usize| {
                let at = |x: usize, y: usize| f32::from(plane[(y >> half) * stride + (x >> half)]);
                let upper = at(x0, y0) * (1.0 - fx) + at(x1, y0) * fx;
                let lower = at(x0, y1) * (1.0 - fx) + at(x1, y1) * fx;
                upper * (1.0 - fy) + lower * fy
            };
            let (l, u, v) = (1.164_383 * (mix(yp, ys, 0) - 16.0), mix(up, us, 1) - 128.0, mix(vp, vs, 1) - 128.0);
            let i = y * width + x;
            out[i] = (l + 2.017_232 * u).clamp(0.0, 255.0);
            out[width * height + i] = (l - 0.391_762 * u - 0.812_968 * v).clamp(0.0, 255.0);
            out[2 * width * height + i] = (l + 1.596_027 * v).clamp(0.0, 255.0);
        }
    }
}

fn letterbox(c: &mut Criterion) {
    let spec = InputSpec::yolox("images", BatchAxis::Fixed(1), 416, 416);
    let mut group = c.benchmark_group("letterbox to 416x416");
    for (name, layout, size) in [
        ("1080p I420", Layout::I420, (1920, 1080)),
        ("1080p NV12", Layout::Nv12, (1920, 1080)),
        ("640x352 I420", Layout::I420, (640, 352)),
    ] {
        // As many frames as a decoder has under way: they do not all fit into the cache.
        let frames: Vec<_> = (0..16).map(|seed| picture(layout, size, seed)).collect();
        let mut letterbox = Letterbox::new(&spec, 1);
        let mut out = vec![0.0; letterbox.slot_len()];
        let mut next = 0;
        group.bench_function(name, |b| {
            b.iter(|| {
                next = (next + 1) % frames.len();
                letterbox.fill(0, black_box(&frames[next]), None, black_box(&mut out))
            });
        });
        if layout == Layout::I420 {
            group.bench_function(format!("{name}, plain"), |b| {
                b.iter(|| {
                    next = (next + 1) % frames.len();
                    plain(black_box(&frames[next]), (416, 416), black_box(&mut out));
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, letterbox);
criterion_main!(benches);
