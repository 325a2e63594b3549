//! Lines and letters on a picture. Places are pixels; what lies outside is left out.

use crate::{media::Canvas, observe::glyphs};

/// Full-range BT.601 Y'CbCr.
pub(super) type Color = [u8; 3];

pub(super) const WHITE: Color = [255, 128, 128];
pub(super) const BLACK: Color = [0, 128, 128];
pub(super) const GREY: Color = [150, 128, 128];
pub(super) const RED: Color = [76, 84, 255];
pub(super) const CYAN: Color = [178, 171, 0];

/// No line is drawn beyond so many pixels from the picture.
const FAR: f32 = 20_000.0;

/// Draws on a canvas, as large as it needs to be seen on it.
pub(super) struct Pen<'a> {
    canvas: &'a mut Canvas,
    /// Pixels of a dot of a letter.
    dot: i64,
}

impl<'a> Pen<'a> {
    pub(super) fn new(canvas: &'a mut Canvas) -> Self {
        let dot = (canvas.size().1 as i64 / 360).max(1);
        Self { canvas, dot }
    }

    /// Height of a line of text.
    pub(super) fn line_height(&self) -> i64 {
        (glyphs::CELL.1 as i64 + 3) * self.dot
    }

    /// Width of a text with its margins.
    pub(super) fn width(&self, text: &str) -> i64 {
        (text.chars().count() * glyphs::CELL.0 + 1) as i64 * self.dot
    }

    /// Pixels of a thick line.
    pub(super) fn thick(&self) -> i64 {
        2 * self.dot
    }

    /// A straight line, `thickness` pixels wide.
    pub(super) fn line(&mut self, from: (f32, f32), to: (f32, f32), thickness: i64, color: Color) {
        let near = |v: f32| if v.is_finite() { v.clamp(-FAR, FAR) } else { 0.0 };
        let (x0, y0, x1, y1) = (near(from.0), near(from.1), near(to.0), near(to.1));
        let steps = (x1 - x0).abs().max((y1 - y0).abs()).ceil().max(1.0);
        let before = (thickness - 1) / 2;
        for step in 0..=steps as u32 {
            let share = step as f32 / steps;
            let (x, y) = ((x0 + (x1 - x0) * share).round() as i64, (y0 + (y1 - y0) * share).round() as i64);
            for dy in -before..thickness - before {
                for dx in -before..thickness - before {
                    self.canvas.dot(x + dx, y + dy, color);
                }
            }
        }
    }

    /// Lines from point to point, and back to the first one where they enclose something.
    pub(super) fn path(&mut self, points: &[(f32, f32)], closed: bool, thickness: i64, color: Color) {
        for pair in points.windows(2) {
            self.line(pair[0], pair[1], thickness, color);
        }
        if let (true, Some(first), Some(last)) = (closed, points.first(), points.last()) {
            self.line(*last, *first, thickness, color);
        }
    }

    /// A text on a band of its own, moved so far that it begins within the picture.
    pub(super) fn text(&mut self, (x, y): (f32, f32), text: &str, color: Color, band: Color) {
        let (width, height) = (self.width(text), self.line_height());
        let (across, down) = (self.canvas.size().0 as i64, self.canvas.size().1 as i64);
        let left = (x.round() as i64).min(across - width).max(0);
        let top = (y.round() as i64).min(down - height).max(0);
        for dy in 0..height {
            for dx in 0..width {
                self.canvas.dot(left + dx, top + dy, band);
            }
        }
        let dot = self.dot;
        for (i, sign) in text.chars().enumerate() {
            for (row, bits) in glyphs::rows(sign).iter().enumerate() {
                for column in (0..5).filter(|column| bits >> (4 - column) & 1 == 1) {
                    let (x, y) = (left + ((i * glyphs::CELL.0 + column + 1) as i64) * dot, top + (row as i64 + 2) * dot);
                    for at in 0..dot * dot {
                        self.canvas.dot(x + at % dot, y + at / dot, color);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(canvas: &Canvas, x: usize, y: usize) -> Color {
        let at = (y * canvas.size().0 + x) * 3;
        [canvas.samples()[at], canvas.samples()[at + 1], canvas.samples()[at + 2]]
    }

    #[test]
    fn lines_go_from_end_to_end_and_not_beyond_the_picture() {
        let mut canvas = Canvas::black((40, 30));
        Pen::new(&mut canvas).path(&[(5.0, 5.0), (20.0, 5.0), (20.0, 25.0)], true, 1, RED);
        for (x, y) in [(5, 5), (12, 5), (20, 5), (20, 25), (20, 15)] {
            assert_eq!(at(&canvas, x, y), RED, "{x},{y}");
        }
        assert_eq!(at(&canvas, 12, 20), BLACK);
        Pen::new(&mut canvas).line((-1e30, 15.0), (f32::NAN, f32::INFINITY), 3, RED);
        Pen::new(&mut canvas).line((-10.0, 28.0), (100.0, 28.0), 1, CYAN);
        assert_eq!((at(&canvas, 0, 28), at(&canvas, 39, 28)), (CYAN, CYAN));
    }

    #[test]
    fn a_text_stays_in_the_picture_and_can_be_read() {
        let mut canvas = Canvas::black((60, 30));
        Pen::new(&mut canvas).text((55.0, -9.0), "l1", WHITE, RED);
        // Two letters of six columns and a margin of one, moved to the right edge.
        assert_eq!(at(&canvas, 46, 0), BLACK);
        assert_eq!(at(&canvas, 47, 0), RED);
        // The L: a stroke of seven dots, and a foot of five.
        assert!((2..9).all(|y| at(&canvas, 48, y) == WHITE));
        assert!((48..53).all(|x| at(&canvas, x, 8) == WHITE));
        assert_eq!(at(&canvas, 50, 4), RED);
    }
}
