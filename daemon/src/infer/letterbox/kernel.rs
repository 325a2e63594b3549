//! The inner loops. Per output row and plane: blend its two source rows in vectors, fetch each output pixel's two neighbours from
//! the result with scalar loads; then blend those and convert all pixels of the row in vectors. `dispatch!` runs the vector loops
//! compiled for the widest instructions that the processor has.

use egret_jetson::kernels::letterbox::Channel;
use fearless_simd::{Level as Instructions, Simd, dispatch};

use super::{
    Color, ColorMatrix, HostPicture, Layout,
    taps::{Row, Taps},
};

/// Blended rows are in this part of a level.
const LEVEL: f64 = 256.0;

/// Y'CbCr to R'G'B' as one multiply-add chain per channel, the tensor's scale, mean and deviation included.
#[derive(Clone, Copy, Debug)]
pub(super) struct Coefficients {
    pub(super) red: Channel,
    pub(super) green: Channel,
    pub(super) blue: Channel,
}

/// What a sample of 0..255 becomes in the tensor: `(sample·scale − mean) / std`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Level {
    pub(super) scale: f32,
    pub(super) mean: f32,
    pub(super) std: f32,
}

impl Level {
    pub(super) fn of(self, sample: f32) -> f32 {
        (sample * self.scale - self.mean) / self.std
    }
}

impl Coefficients {
    /// ITU-R BT.601-7 §2.5 and BT.709-6 §3.2–3.4 for 8 bits; full range as in JFIF. `levels`: of red, green and blue.
    pub(super) fn new(color: Color, levels: [Level; 3]) -> Self {
        let (kr, kb): (f64, f64) = match color.matrix {
            ColorMatrix::Bt601 => (0.299, 0.114),
            ColorMatrix::Bt709 => (0.2126, 0.0722),
        };
        let kg = 1.0 - kr - kb;
        let (black, luma, chroma) = if color.full_range { (0.0, 1.0, 1.0) } else { (16.0, 255.0 / 219.0, 255.0 / 224.0) };
        let (red_v, blue_u) = (2.0 * (1.0 - kr) * chroma, 2.0 * (1.0 - kb) * chroma);
        let channel = |level: Level, of_u: f64, of_v: f64| {
            let scale = f64::from(level.scale) / f64::from(level.std);
            let (luma, u, v) = (luma * scale, of_u * scale, of_v * scale);
            let base = -luma * black - 128.0 * (u + v) - f64::from(level.mean) / f64::from(level.std);
            Channel {
                luma: (luma / LEVEL) as f32,
                u: (u / LEVEL) as f32,
                v: (v / LEVEL) as f32,
                base: base as f32,
                least: level.of(0.0),
                most: level.of(255.0),
            }
        };
        Self {
            red: channel(levels[0], 0.0, red_v),
            green: channel(levels[1], -blue_u * kb / kg, -red_v * kr / kg),
            blue: channel(levels[2], blue_u, 0.0),
        }
    }
}

/// How many output rows ahead the source is fetched into the cache.
const ROWS_AHEAD: usize = 2;
/// Bytes that come into the cache at once.
const CACHE_LINE: usize = 64;

/// Rows under way; they grow to the widest picture that comes.
pub(super) struct Lines {
    /// Source rows, the two of an output row already blended into one, in 1/256 of a level: Y, U, V.
    blended: [Vec<u16>; 3],
    /// The two columns of each output pixel, the left one in the lower half: Y, U, V.
    pairs: [Vec<u32>; 3],
}

impl Lines {
    pub(super) fn new(width: usize) -> Self {
        Self { blended: Default::default(), pairs: std::array::from_fn(|_| vec![0; width]) }
    }
}

/// The loops at the width that this processor has.
pub(super) struct Kernel {
    level: Instructions,
}

impl Kernel {
    pub(super) fn new() -> Self {
        Self { level: Instructions::new() }
    }

    /// Draws a picture into three planes `[red, green, blue]` with rows of `width` values, where the taps say.
    pub(super) fn draw(
        &self,
        picture: &HostPicture,
        taps: &Taps,
        coefficients: &Coefficients,
        lines: &mut Lines,
        planes: &mut [&mut [f32]; 3],
        width: usize,
    ) {
        let covered = taps.luma.len();
        let Lines { blended: [y, u, v], pairs: [ys, us, vs] } = lines;
        let (luma_width, chroma_width) = (picture.width() as usize, (picture.width() as usize).div_ceil(2));
        for (line, len) in [(&mut *y, luma_width), (&mut *u, chroma_width), (&mut *v, chroma_width)] {
            if line.len() < len {
                line.resize(len, 0);
            }
        }
        let (y, u, v) = (&mut y[..luma_width], &mut u[..chroma_width], &mut v[..chroma_width]);
        let (ys, us, vs) = (&mut ys[..covered], &mut us[..covered], &mut vs[..covered]);
        let (luma, chroma) = (span(&taps.luma, luma_width), span(&taps.chroma, chroma_width));
        let [red, green, blue] = planes;
        let out = red.chunks_exact_mut(width).zip(green.chunks_exact_mut(width)).zip(blue.chunks_exact_mut(width)).skip(taps.top);
        let mut ahead = taps.rows.iter().skip(ROWS_AHEAD);
        for (row, ((red, green), blue)) in taps.rows.iter().zip(out) {
            if let Some(next) = ahead.next() {
                fetch_ahead(picture, next);
            }
            let weight = row.weight;
            let rows = |plane, (upper, lower)| [plane_row(picture, plane, upper), plane_row(picture, plane, lower)];
            let source = rows(0, row.luma).map(|row| &row[luma.clone()]);
            dispatch!(self.level, simd => blend(simd, source, weight, &mut y[luma.clone()]));
            match picture.layout() {
                Layout::I420 => {
                    let first = rows(1, row.chroma).map(|row| &row[chroma.clone()]);
                    dispatch!(self.level, simd => blend(simd, first, weight, &mut u[chroma.clone()]));
                    let second = rows(2, row.chroma).map(|row| &row[chroma.clone()]);
                    dispatch!(self.level, simd => blend(simd, second, weight, &mut v[chroma.clone()]));
                }
                Layout::Nv12 => {
                    let both = rows(1, row.chroma).map(|row| &row[2 * chroma.start..2 * chroma.end]);
                    let (u, v) = (&mut u[chroma.clone()], &mut v[chroma.clone()]);
                    dispatch!(self.level, simd => blend_interleaved(simd, both, weight, u, v));
                }
            }
            gather(y, &taps.luma, ys);
            gather_both([u, v], &taps.chroma, [us, vs]);
            let drawn = taps.left..taps.left + covered;
            let out = [&mut red[drawn.clone()], &mut green[drawn.clone()], &mut blue[drawn]];
            let (ys, us, vs) = (&*ys, &*us, &*vs);
            let weights = [&taps.luma_weight[..], &taps.chroma_weight[..]];
            dispatch!(self.level, simd => convert(simd, [ys, us, vs], weights, coefficients, out));
        }
    }
}

/// The samples of a row that any output pixel needs.
fn span(columns: &[u32], len: usize) -> std::ops::Range<usize> {
    let at = |column: Option<&u32>| column.map_or(0, |column| *column as usize);
    at(columns.first())..(at(columns.last()) + 2).min(len)
}

fn plane_row(picture: &HostPicture, plane: usize, row: usize) -> &[u8] {
    let (bytes, stride) = picture.plane(plane);
    &bytes[row * stride..][..picture.plane_size(plane).0]
}

/// Reads a byte of each cache line of the source rows of an output row to come: a frame is fresh from its decoder, often on another
/// core, and the rows lie too far apart for the processor to guess. Saves a third of the time on frames that are not in the cache.
fn fetch_ahead(picture: &HostPicture, row: &Row) {
    let touch = |plane, row| plane_row(picture, plane, row).iter().step_by(CACHE_LINE).fold(0, |sum, byte| sum ^ byte);
    let luma = touch(0, row.luma.0) ^ touch(0, row.luma.1);
    let chroma = (1..picture.plane_count()).fold(0, |sum, plane| sum ^ touch(plane, row.chroma.0) ^ touch(plane, row.chroma.1));
    std::hint::black_box(luma ^ chroma);
}

/// Two rows become one, in 1/256: `upper·(256-weight) + lower·weight`.
#[expect(clippy::inline_always, reason = "only what is inlined is compiled for the level that was dispatched to")]
#[inline(always)]
fn blend<S: Simd>(_: S, [upper, lower]: [&[u8]; 2], weight: u16, out: &mut [u16]) {
    let rest = 256 - weight;
    for ((out, upper), lower) in out.iter_mut().zip(upper).zip(lower) {
        *out = (u16::from(*upper).wrapping_mul(rest)).wrapping_add(u16::from(*lower).wrapping_mul(weight));
    }
}

/// The same for rows of U, V, U, V, which come apart.
#[expect(clippy::inline_always, reason = "only what is inlined is compiled for the level that was dispatched to")]
#[inline(always)]
fn blend_interleaved<S: Simd>(_: S, [upper, lower]: [&[u8]; 2], weight: u16, first: &mut [u16], second: &mut [u16]) {
    let rest = 256 - weight;
    let mix = |upper: u8, lower: u8| (u16::from(upper).wrapping_mul(rest)).wrapping_add(u16::from(lower).wrapping_mul(weight));
    let pairs = upper.as_chunks::<2>().0.iter().zip(lower.as_chunks::<2>().0);
    for ((first, second), (upper, lower)) in first.iter_mut().zip(second).zip(pairs) {
        *first = mix(upper[0], lower[0]);
        *second = mix(upper[1], lower[1]);
    }
}

/// Fetches the two neighbours of each output pixel; no instruction does that faster than one load after the other.
fn gather(row: &[u16], columns: &[u32], out: &mut [u32]) {
    if let [only] = row {
        out.fill(u32::from(*only) * 0x1_0001);
        return;
    }
    for (out, &column) in out.iter_mut().zip(columns) {
        let at = column as usize;
        if at + 1 < row.len() {
            *out = u32::from(row[at]) | u32::from(row[at + 1]) << 16;
        }
    }
}

/// The same for two planes that share their columns.
fn gather_both([first, second]: [&[u16]; 2], columns: &[u32], [firsts, seconds]: [&mut [u32]; 2]) {
    let len = first.len();
    let second = &second[..len];
    if len < 2 {
        gather(first, columns, firsts);
        gather(second, columns, seconds);
    }
    for ((first_out, second_out), &column) in firsts.iter_mut().zip(seconds).zip(columns) {
        let at = column as usize;
        if at + 1 < len {
            *first_out = u32::from(first[at]) | u32::from(first[at + 1]) << 16;
            *second_out = u32::from(second[at]) | u32::from(second[at + 1]) << 16;
        }
    }
}

#[expect(clippy::inline_always, reason = "only what is inlined is compiled for the level that was dispatched to")]
#[inline(always)]
fn convert<S: Simd>(
    _: S,
    [y, u, v]: [&[u32]; 3],
    [luma, chroma]: [&[f32]; 2],
    c: &Coefficients,
    [red, green, blue]: [&mut [f32]; 3],
) {
    let len = y.len();
    // Slices of one known length: the loop below then has no bounds to check and becomes vectors.
    let (u, v, luma, chroma) = (&u[..len], &v[..len], &luma[..len], &chroma[..len]);
    let (red, green, blue) = (&mut red[..len], &mut green[..len], &mut blue[..len]);
    let Coefficients { red: r, green: g, blue: b } = *c;
    let blend = |pair: u32, weight: f32| {
        let (left, right) = ((pair & 0xffff) as i32 as f32, (pair >> 16) as i32 as f32);
        left + (right - left) * weight
    };
    for i in 0..len {
        let luma = blend(y[i], luma[i]);
        let (u, v) = (blend(u[i], chroma[i]), blend(v[i], chroma[i]));
        red[i] = (luma * r.luma + v * r.v + r.base).max(r.least).min(r.most);
        green[i] = (luma * g.luma + u * g.u + v * g.v + g.base).max(g.least).min(g.most);
        blue[i] = (luma * b.luma + u * b.u + b.base).max(b.least).min(b.most);
    }
}
