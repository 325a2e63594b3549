//! The report as a table for people.

use std::io::{self, Write};

use super::report::{Report, Row};

/// Writes the table.
///
/// # Errors
/// What `out` says.
pub fn write(out: &mut dyn Write, report: &Report) -> io::Result<()> {
    head(out, report)?;
    let width = |names: &mut dyn Iterator<Item = &str>| names.map(|name| name.chars().count()).max().unwrap_or(0);
    let tracker = width(&mut report.trackers.iter().map(|judged| judged.tracker.as_str())).max("tracker".len());
    let sequence = width(&mut report.sequences.iter().map(|about| about.name.as_str())).max("sequence".len());
    writeln!(
        out,
        "\n{:tracker$}  {:sequence$} {:>7} {:>7} {:>7} {:>8} {:>7} {:>6} {:>6} {:>7} {:>7} {:>8}",
        "tracker", "sequence", "HOTA", "DetA", "AssA", "MOTA", "IDF1", "IDSW", "Frag", "FP", "FN", "us/frame"
    )?;
    for judged in &report.trackers {
        let combined = (report.sequences.len() > 1).then_some(&judged.combined);
        for row in judged.sequences.iter().chain(combined) {
            write!(out, "{:tracker$}  {:sequence$}", judged.tracker, row.sequence)?;
            figures(out, row)?;
        }
    }
    Ok(())
}

fn head(out: &mut dyn Write, report: &Report) -> io::Result<()> {
    for about in &report.sequences {
        let fps = about.fps.map_or(String::new(), |fps| format!(" at {} frames per second", fps / f64::from(report.every)));
        let distractors = if about.distractors { ", tracks on distractors taken out" } else { "" };
        let (frames, objects, boxes) = (about.frames, about.objects, about.boxes);
        writeln!(out, "{}: {frames} frames{fps}, {boxes} boxes of {objects} objects{distractors}", about.name)?;
    }
    for note in &report.notes {
        writeln!(out, "note: {note}")?;
    }
    Ok(())
}

fn figures(out: &mut dyn Write, row: &Row) -> io::Result<()> {
    let f = &row.figures;
    write!(out, " {:>7.3} {:>7.3} {:>7.3} {:>8.3} {:>7.3}", f.hota, f.det_a, f.ass_a, f.mota, f.idf1)?;
    write!(out, " {:>6} {:>6} {:>7} {:>7}", f.id_switches, f.fragmentations, f.false_positives, f.false_negatives)?;
    match row.cpu_us_per_frame {
        Some(cpu) => writeln!(out, " {cpu:>8.1}"),
        None => writeln!(out, " {:>8}", "–"),
    }
}
