//! The burnt-in clock.

use crate::observe::glyphs;

/// Writes white on a dark band into the luma plane `[height,width]`, top left. Signs without a glyph stay blank.
pub(super) fn write(luma: &mut [u8], width: usize, height: usize, text: &str) {
    let dot = (height / 240).max(1);
    let band = (text.chars().count() * 6 + 3) * dot;
    for row in luma.chunks_exact_mut(width).take((11 * dot).min(height)) {
        row.iter_mut().take(band).for_each(|y| *y = 16 + (*y - 16.min(*y)) / 4);
    }
    for (i, sign) in text.chars().enumerate() {
        for (r, bits) in glyphs::rows(sign).iter().enumerate() {
            for column in (0..5).filter(|c| bits >> (4 - c) & 1 == 1) {
                let (x, y) = ((i * 6 + 2 + column) * dot, (r + 2) * dot);
                for row in luma.chunks_exact_mut(width).skip(y).take(dot) {
                    row.iter_mut().skip(x).take(dot).for_each(|y| *y = 228);
                }
            }
        }
    }
}
