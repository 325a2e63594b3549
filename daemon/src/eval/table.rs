//! The report as tables for people.

use std::io::{self, Write};

use super::{Report, Row, classes::some};

/// What is shown where there is no figure.
const NONE: &str = "–";

/// Writes the tables; with figures per class where `per_class`.
///
/// # Errors
/// What `out` says.
pub fn write(out: &mut dyn Write, report: &Report, per_class: bool) -> io::Result<()> {
    head(out, report)?;
    let width = name_width(report);
    if report.objects.is_some() {
        precision(out, report, width)?;
    } else {
        times(out, report, width)?;
    }
    if report.rows.len() > 1 {
        agreement(out, report, width)?;
    }
    if per_class {
        classes(out, report)?;
    }
    Ok(())
}

fn head(out: &mut dyn Write, report: &Report) -> io::Result<()> {
    let Report { data, images, objects, unjudged, classes, confidence, nms, .. } = report;
    write!(out, "{data}: {images} pictures, ")?;
    match objects {
        Some(objects) => write!(out, "{} objects of {} classes", objects - unjudged, classes.len())?,
        None => write!(out, "nothing labelled, {} classes", classes.len())?,
    }
    if *unjudged > 0 {
        write!(out, " ({unjudged} more are crowds, hidden or tiny: neither right nor wrong)")?;
    }
    writeln!(out, "; confidence from {confidence}, NMS {nms} per class")?;
    for line in remarks(report) {
        writeln!(out, "note: {line}")?;
    }
    Ok(())
}

/// What was left out.
pub(super) fn remarks(report: &Report) -> Vec<String> {
    let mut remarks = report.notes.clone();
    let known = if report.rows.iter().filter(|row| row.time.is_some()).count() > 1 {
        "not every model knows"
    } else {
        "the model does not know"
    };
    if !report.left_out.annotated.is_empty() {
        remarks.push(format!("labelled classes that {known} are left out: {}", some(&report.left_out.annotated)));
    }
    for (model, names) in &report.left_out.models {
        remarks.push(format!("classes of {model} that are not judged here: {}", some(names)));
    }
    remarks
}

/// Width of the column with the models' names.
fn name_width(report: &Report) -> usize {
    report.rows.iter().map(|row| row.name.chars().count()).max().unwrap_or(0).max(5)
}

pub(super) fn share(value: Option<f64>) -> String {
    value.map_or(NONE.to_owned(), |value| format!("{value:.4}"))
}

pub(super) fn milliseconds(row: &Row) -> String {
    row.time.map_or(NONE.to_owned(), |time| format!("{:.1}", time.median_ms))
}

pub(super) fn or_none(text: &str) -> &str {
    if text.is_empty() { NONE } else { text }
}

fn precision(out: &mut dyn Write, report: &Report, width: usize) -> io::Result<()> {
    writeln!(
        out,
        "\n{:width$} {:>9} {:>7} {:>7} {:>7} {:>7} {:>7} {:>7} {:>7} {:>7} {:>7} {:>9}  runtime",
        "model", "precision", "AP", "AP50", "AP75", "small", "medium", "large", "AR1", "AR10", "AR100", "ms/image"
    )?;
    for row in &report.rows {
        write!(out, "{:width$} {:>9}", row.name, or_none(&row.precision))?;
        let figures = row.evaluation.as_ref().map(|evaluation| evaluation.total.figures()).unwrap_or_default();
        for (_, value) in figures.iter().take(9) {
            write!(out, " {:>7}", share(*value))?;
        }
        writeln!(out, " {:>9}  {}", milliseconds(row), or_none(&row.runtime))?;
    }
    Ok(())
}

fn times(out: &mut dyn Write, report: &Report, width: usize) -> io::Result<()> {
    writeln!(out, "\n{:width$} {:>9} {:>7} {:>9}  runtime", "model", "precision", "boxes", "ms/image")?;
    for row in &report.rows {
        let (precision, runtime) = (or_none(&row.precision), or_none(&row.runtime));
        writeln!(out, "{:width$} {precision:>9} {:>7} {:>9}  {runtime}", row.name, row.boxes, milliseconds(row))?;
    }
    Ok(())
}

fn agreement(out: &mut dyn Write, report: &Report, width: usize) -> io::Result<()> {
    let Some((first, others)) = report.rows.split_first() else { return Ok(()) };
    let matching = others.iter().find_map(|row| row.agreement.as_ref()).map(|agreement| agreement.matching);
    let Some(matching) = matching else { return Ok(()) };
    writeln!(
        out,
        "\nagreement with {} (boxes from {:.2} on, sought down to {:.2}, same class, IoU {:.2})",
        first.name,
        matching.confidence,
        matching.confidence - matching.slack,
        matching.iou
    )?;
    writeln!(
        out,
        "{:width$} {:>7} {:>7} {:>7} {:>9} {:>10} {:>10} {:>9}  gate",
        "model", "boxes", "recall", "precis.", "mean IoU", "median IoU", "mean drift", "max drift"
    )?;
    for row in others {
        let (Some(agreement), Some(verdict)) = (&row.agreement, &row.verdict) else { continue };
        let total = &agreement.total;
        writeln!(
            out,
            "{:width$} {:>7} {:>7} {:>7} {:>9} {:>10} {:>10} {:>9}  {}",
            row.name,
            total.reference,
            share(total.recall),
            share(total.precision),
            share(total.mean_iou),
            share(total.median_iou),
            share(total.mean_drift),
            share(total.max_drift),
            if verdict.passed() { "passes" } else { "fails" }
        )?;
    }
    for row in others {
        if let Some(verdict) = row.verdict.as_ref().filter(|verdict| !verdict.passed()) {
            for failure in &verdict.failures {
                writeln!(out, "{}: {failure}", row.name)?;
            }
        }
    }
    Ok(())
}

fn classes(out: &mut dyn Write, report: &Report) -> io::Result<()> {
    let width = report.classes.iter().map(|name| name.chars().count()).max().unwrap_or(0).max(5);
    write!(out, "\n{:width$}", "class")?;
    if report.objects.is_some() {
        write!(out, " {:>7}", "objects")?;
        for row in &report.rows {
            write!(out, "  {:>16} {:>7}", format!("AP {}", cut(&row.name)), "AP50")?;
        }
    }
    for row in report.rows.iter().skip(1) {
        write!(out, "  {:>16} {:>7}", format!("rec. {}", cut(&row.name)), "precis.")?;
    }
    writeln!(out)?;
    for (i, name) in report.classes.iter().enumerate() {
        write!(out, "{name:width$}")?;
        if report.objects.is_some() {
            write!(out, " {:>7}", report.objects_per_class[i])?;
            for row in &report.rows {
                let summary = row.evaluation.as_ref().map(|evaluation| evaluation.classes[i]).unwrap_or_default();
                write!(out, "  {:>16} {:>7}", share(summary.ap), share(summary.ap50))?;
            }
        }
        for agreement in report.rows.iter().filter_map(|row| row.agreement.as_ref()) {
            let figures = &agreement.classes[i];
            write!(out, "  {:>16} {:>7}", share(figures.recall), share(figures.precision))?;
        }
        writeln!(out)?;
    }
    Ok(())
}

/// The last characters of a long name.
fn cut(name: &str) -> String {
    let len = name.chars().count();
    name.chars().skip(len.saturating_sub(10)).collect()
}
