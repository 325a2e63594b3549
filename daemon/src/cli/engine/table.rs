//! Tables and sizes for people.

use std::io::{self, Write};

use egret_models::text;

/// Prints rows as columns; the first one is the head. Cells may quote what others have written.
pub(super) fn print(out: &mut dyn Write, rows: &[Vec<String>]) -> io::Result<()> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    for row in rows {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        writeln!(out, "{}", text::lines(cells.join("  ").trim_end()))?;
    }
    Ok(())
}

/// Bytes as people read them.
pub(super) fn size(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        1_048_576..1_073_741_824 => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
        _ => format!("{:.2} GiB", bytes as f64 / 1_073_741_824.0),
    }
}

/// The beginning of an engine's name: enough to tell it from others.
pub(super) fn short(stem: &str) -> String {
    stem.chars().take(12).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_and_sizes() {
        let mut out = Vec::new();
        let row = |cells: &[&str]| cells.iter().map(ToString::to_string).collect();
        print(&mut out, &[row(&["a", "b"]), row(&["long\u{1b}", "x"])]).expect("printed");
        let text = String::from_utf8(out).expect("text");
        assert!(text.starts_with('a') && text.lines().count() == 2 && !text.contains('\u{1b}'), "{text:?}");
        let sizes = [1, 2048, 3 << 20, 5 << 30].map(size);
        assert_eq!(sizes, ["1 B", "2.0 KiB", "3.0 MiB", "5.00 GiB"]);
    }
}
