//! The inner loops. Per output row: gather the four taps of each plane, a byte each, into one word per pixel (scalar loads, there is
//! no faster way), then unpack, blend and convert all pixels of the row in vectors as wide as the processor has.

use fearless_simd::{Level, Simd, dispatch};

use super::{Color, ColorMatrix, HostPicture, Layout, taps::Taps};

/// Y'CbCr to R'G'B' as one multiply-add chain per channel, the tensor's scale included.
#[derive(Clone, Copy, Debug)]
pub(super) struct Coefficients {
    luma: f32,
    red_v: f32,
    green_u: f32,
    green_v: f32,
    blue_u: f32,
    red: f32,
    green: f32,
    blue: f32,
    max: f32,
}

impl Coefficients {
    /// ITU-R BT.601-7 §2.5 and BT.709-6 §3.2–3.4 for 8 bits; full range as in JFIF.
    pub(super) fn new(color: Color, scale: f32) -> Self {
        let (kr, kb): (f64, f64) = match color.matrix {
            ColorMatrix::Bt601 => (0.299, 0.114),
            ColorMatrix::Bt709 => (0.2126, 0.0722),
        };
        let kg = 1.0 - kr - kb;
        let (black, luma, chroma) = if color.full_range { (0.0, 1.0, 1.0) } else { (16.0, 255.0 / 219.0, 255.0 / 224.0) };
        let scale = f64::from(scale);
        let luma = luma * scale;
        let (red_v, blue_u) = (2.0 * (1.0 - kr) * chroma * scale, 2.0 * (1.0 - kb) * chroma * scale);
        let (green_u, green_v) = (-blue_u * kb / kg, -red_v * kr / kg);
        let base = -luma * black;
        Self {
            luma: luma as f32,
            red_v: red_v as f32,
            green_u: green_u as f32,
            green_v: green_v as f32,
            blue_u: blue_u as f32,
            red: (base - 128.0 * red_v) as f32,
            green: (base - 128.0 * (green_u + green_v)) as f32,
            blue: (base - 128.0 * blue_u) as f32,
            max: (255.0 * scale) as f32,
        }
    }
}

/// One output row's gathered taps: upper left, upper right, lower left, lower right from the lowest byte up.
pub(super) struct Lines {
    luma: Vec<u32>,
    first: Vec<u32>,
    second: Vec<u32>,
}

impl Lines {
    pub(super) fn new(width: usize) -> Self {
        Self { luma: vec![0; width], first: vec![0; width], second: vec![0; width] }
    }
}

/// The loops at the width that this processor has.
pub(super) struct Kernel {
    level: Level,
}

impl Kernel {
    pub(super) fn new() -> Self {
        Self { level: Level::new() }
    }

    /// Draws a picture into the top left of three planes `[red, green, blue]` with rows of `width` values.
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
        let (luma, first, second) = (&mut lines.luma[..covered], &mut lines.first[..covered], &mut lines.second[..covered]);
        let [red, green, blue] = planes;
        let out = red.chunks_exact_mut(width).zip(green.chunks_exact_mut(width)).zip(blue.chunks_exact_mut(width));
        for (row, ((red, green), blue)) in taps.rows.iter().zip(out) {
            gather(plane_row(picture, 0, row.luma.0), plane_row(picture, 0, row.luma.1), &taps.luma, luma);
            let chroma = |plane, row| plane_row(picture, plane, row);
            let (upper, lower) = row.chroma;
            match picture.layout() {
                Layout::I420 => {
                    gather(chroma(1, upper), chroma(1, lower), &taps.chroma, first);
                    gather(chroma(2, upper), chroma(2, lower), &taps.chroma, second);
                }
                Layout::Nv12 => {
                    gather_interleaved(chroma(1, upper), &taps.chroma, first);
                    gather_interleaved(chroma(1, lower), &taps.chroma, second);
                    separate(first, second);
                }
            }
            let weights = Weights { luma: &taps.luma_weight, chroma: &taps.chroma_weight, row: row.weight };
            let out = [&mut red[..covered], &mut green[..covered], &mut blue[..covered]];
            let (luma, first, second) = (&*luma, &*first, &*second);
            dispatch!(self.level, simd => convert(simd, [luma, first, second], &weights, coefficients, out));
        }
    }
}

fn plane_row(picture: &HostPicture, plane: usize, row: usize) -> &[u8] {
    let (bytes, stride) = picture.plane(plane);
    &bytes[row * stride..][..picture.plane_size(plane).0]
}

fn gather(upper: &[u8], lower: &[u8], columns: &[u32], out: &mut [u32]) {
    if let ([upper], [lower]) = (upper, lower) {
        let both = (u32::from(*upper) * 0x101) | (u32::from(*lower) * 0x101_0000);
        out.fill(both);
        return;
    }
    // One length for both rows: one comparison per pixel instead of four.
    let len = upper.len();
    let lower = &lower[..len];
    for (out, &column) in out.iter_mut().zip(columns) {
        let at = column as usize;
        if at + 1 < len {
            let pair = |row: &[u8]| u32::from(u16::from_le_bytes([row[at], row[at + 1]]));
            *out = pair(upper) | pair(lower) << 16;
        }
    }
}

/// Two neighbouring UV pairs of one row: U, V, U, V.
fn gather_interleaved(row: &[u8], columns: &[u32], out: &mut [u32]) {
    if let [u, v] = row {
        out.fill(u32::from_le_bytes([*u, *v, *u, *v]));
        return;
    }
    for (out, &column) in out.iter_mut().zip(columns) {
        let at = 2 * column as usize;
        if let Some(&[u0, v0, u1, v1]) = row.get(at..at + 4) {
            *out = u32::from_le_bytes([u0, v0, u1, v1]);
        }
    }
}

/// Turns rows of U, V, U, V into the four taps of U and the four taps of V.
fn separate(first: &mut [u32], second: &mut [u32]) {
    for (first, second) in first.iter_mut().zip(second) {
        let (upper, lower) = (*first, *second);
        *first = upper & 0xff | upper >> 8 & 0xff00 | (lower & 0xff) << 16 | (lower & 0x00ff_0000) << 8;
        *second = upper >> 8 & 0xff | upper >> 16 & 0xff00 | (lower & 0xff00) << 8 | lower & 0xff00_0000;
    }
}

struct Weights<'a> {
    luma: &'a [f32],
    chroma: &'a [f32],
    row: f32,
}

/// Bilinear interpolation of four bytes.
#[expect(clippy::inline_always, reason = "only what is inlined is compiled for the level that was dispatched to")]
#[inline(always)]
fn blend(taps: u32, column: f32, row: f32) -> f32 {
    let byte = |shift: u32| (taps >> shift & 0xff) as i32 as f32;
    let (upper_left, upper_right, lower_left, lower_right) = (byte(0), byte(8), byte(16), byte(24));
    let upper = upper_left + (upper_right - upper_left) * column;
    let lower = lower_left + (lower_right - lower_left) * column;
    upper + (lower - upper) * row
}

#[expect(clippy::inline_always, reason = "only what is inlined is compiled for the level that was dispatched to")]
#[inline(always)]
fn convert<S: Simd>(_: S, [y, u, v]: [&[u32]; 3], weights: &Weights<'_>, c: &Coefficients, [red, green, blue]: [&mut [f32]; 3]) {
    let len = y.len();
    // Slices of one known length: the loop below then has no bounds to check and becomes vectors.
    let (u, v, luma, chroma) = (&u[..len], &v[..len], &weights.luma[..len], &weights.chroma[..len]);
    let (red, green, blue) = (&mut red[..len], &mut green[..len], &mut blue[..len]);
    let Coefficients { luma: ky, red_v, green_u, green_v, blue_u, red: r0, green: g0, blue: b0, max } = *c;
    let row = weights.row;
    for i in 0..len {
        let luma = blend(y[i], luma[i], row) * ky;
        let (u, v) = (blend(u[i], chroma[i], row), blend(v[i], chroma[i], row));
        red[i] = (luma + v * red_v + r0).max(0.0).min(max);
        green[i] = (luma + u * green_u + v * green_v + g0).max(0.0).min(max);
        blue[i] = (luma + u * blue_u + b0).max(0.0).min(max);
    }
}
