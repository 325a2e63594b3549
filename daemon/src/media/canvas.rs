//! A picture to draw in and to encode.

use std::ops::Range;

use super::{BBox, HostPicture, Layout};

/// No JPEG can be made of a picture.
#[derive(Debug, thiserror::Error)]
#[error("no JPEG can be made of a {width}x{height} picture: {reason}")]
pub struct EncodeError {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// The encoder's own words.
    pub reason: String,
}

/// Interleaved full-range Y'CbCr, `[h,w,3]`.
#[derive(Clone)]
pub struct Canvas {
    width: usize,
    height: usize,
    samples: Vec<u8>,
    /// Of which picture it is a part, and where that part begins, both in its own pixels.
    whole: (usize, usize),
    origin: (usize, usize),
}

impl Canvas {
    fn whole(width: usize, height: usize, samples: Vec<u8>) -> Self {
        Self { width, height, samples, whole: (width, height), origin: (0, 0) }
    }

    /// A black one.
    pub(crate) fn black((width, height): (u32, u32)) -> Self {
        let (width, height) = (width as usize, height as usize);
        Self::whole(width, height, [0, 128, 128].repeat(width * height))
    }

    /// Width and height in pixels.
    pub(crate) fn size(&self) -> (usize, usize) {
        (self.width, self.height)
    }

    /// The same of another size, cut off or black at the right and lower edges; `None`: it has that size.
    pub(crate) fn fitted(&self, (width, height): (usize, usize)) -> Option<Self> {
        if (width, height) == (self.width, self.height) {
            return None;
        }
        let mut samples = [0, 128, 128].repeat(width * height);
        let row = width.min(self.width) * 3;
        for (to, from) in samples.chunks_exact_mut(width * 3).zip(self.samples.chunks_exact(self.width * 3)) {
            to[..row].copy_from_slice(&from[..row]);
        }
        Some(Self::whole(width, height, samples))
    }

    /// [`Self::samples`], to be painted over.
    #[cfg(test)]
    pub(crate) fn samples_mut(&mut self) -> &mut [u8] {
        &mut self.samples
    }

    /// Y', Cb, Cr of one pixel after the other, row by row.
    pub(crate) fn samples(&self) -> &[u8] {
        &self.samples
    }

    /// Colours one pixel, if it is in the picture.
    pub(crate) fn dot(&mut self, x: i64, y: i64, color: [u8; 3]) {
        let (Ok(x), Ok(y)) = (usize::try_from(x), usize::try_from(y)) else { return };
        if x < self.width && y < self.height {
            let at = (y * self.width + x) * 3;
            self.samples[at..at + 3].copy_from_slice(&color);
        }
    }

    /// Every `step`th pixel of every `step`th row.
    pub(crate) fn of(picture: &HostPicture, step: usize) -> Self {
        Self::part(picture, (0..picture.width() as usize, 0..picture.height() as usize), step)
    }

    /// The same of some columns and rows only, which lie in the picture.
    pub(crate) fn part(picture: &HostPicture, (columns, rows): (Range<usize>, Range<usize>), step: usize) -> Self {
        let (left, top) = (columns.start.next_multiple_of(step), rows.start.next_multiple_of(step));
        let (across, down) = ((left..columns.end).step_by(step), (top..rows.end).step_by(step));
        let (width, height) = (across.len(), down.len());
        let mut samples = Vec::with_capacity(width * height * 3);
        let full_range = picture.color().full_range;
        let (luma, luma_stride) = picture.plane(0);
        let (first, first_stride) = picture.plane(1);
        for y in down {
            for x in across.clone() {
                let (cx, cy) = (x / 2, y / 2);
                let (cb, cr) = match picture.layout() {
                    Layout::I420 => {
                        let (second, second_stride) = picture.plane(2);
                        (first[cy * first_stride + cx], second[cy * second_stride + cx])
                    }
                    Layout::Nv12 => (first[cy * first_stride + 2 * cx], first[cy * first_stride + 2 * cx + 1]),
                };
                let y = luma[y * luma_stride + x];
                samples.extend(if full_range { [y, cb, cr] } else { [stretch(y, 16, 219), chroma(cb), chroma(cr)] });
            }
        }
        let whole = ((picture.width() as usize).div_ceil(step), (picture.height() as usize).div_ceil(step));
        Self { width, height, samples, whole, origin: (left / step, top / step) }
    }

    /// Blackens a run of columns of a row of the whole picture, as far as it is there. [`Self::extent`] is the size of that picture.
    pub(crate) fn blacken(&mut self, y: usize, columns: &Range<usize>) {
        let (left, top) = self.origin;
        let Some(y) = y.checked_sub(top).filter(|y| *y < self.height) else { return };
        let (from, to) = (columns.start.saturating_sub(left), columns.end.saturating_sub(left).min(self.width));
        if from < to {
            let row = &mut self.samples[(y * self.width + from) * 3..(y * self.width + to) * 3];
            row.as_chunks_mut::<3>().0.fill([0, 128, 128]);
        }
    }

    /// Width and height of the picture that this is a part of, in its own pixels.
    pub(crate) fn extent(&self) -> (usize, usize) {
        self.whole
    }

    /// As JPEG, of a quality from 1 to 100.
    pub(crate) fn encode(&self, quality: u8) -> Result<Vec<u8>, EncodeError> {
        let failed = |reason: String| EncodeError { width: self.width as u32, height: self.height as u32, reason };
        let (Ok(w), Ok(h)) = (u16::try_from(self.width), u16::try_from(self.height)) else {
            return Err(failed("larger than 65535 pixels".to_owned()));
        };
        let mut out = Vec::new();
        jpeg_encoder::Encoder::new(&mut out, quality)
            .encode(&self.samples, w, h, jpeg_encoder::ColorType::Ycbcr)
            .map_err(|error| failed(error.to_string()))?;
        Ok(out)
    }

    /// Draws a box's edge, from within.
    pub(crate) fn outline(&mut self, bbox: &BBox, color: [u8; 3]) {
        let thickness = (self.width / 400).max(2);
        let column = |v: f32| (v.max(0.0) as usize).min(self.width.saturating_sub(1));
        let row = |v: f32| (v.max(0.0) as usize).min(self.height.saturating_sub(1));
        let (left, right, top, bottom) = (column(bbox.x1), column(bbox.x2), row(bbox.y1), row(bbox.y2));
        for y in top..=bottom {
            let edge_row = y < top + thickness || y + thickness > bottom;
            for x in left..=right {
                if edge_row || x < left + thickness || x + thickness > right {
                    let at = (y * self.width + x) * 3;
                    self.samples[at..at + 3].copy_from_slice(&color);
                }
            }
        }
    }
}

fn stretch(value: u8, zero: i32, span: i32) -> u8 {
    (((i32::from(value) - zero) * 255 + span / 2) / span).clamp(0, 255) as u8
}

fn chroma(value: u8) -> u8 {
    (128 + ((i32::from(value) - 128) * 255) / 224).clamp(0, 255) as u8
}
