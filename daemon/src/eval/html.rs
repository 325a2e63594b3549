//! The report as one HTML file: tables, and the pictures with the most mistakes. Nothing is fetched from anywhere, nothing runs.

use std::{
    fmt::{self, Write as _},
    io::{self, Write},
};

use base64::{Engine, engine::general_purpose::STANDARD};

use super::{
    Mark, Miss, Report, Row,
    misses::Drawn,
    table::{milliseconds, or_none, remarks, share},
};

const STYLE: &str = "body{font:15px/1.45 system-ui,sans-serif;margin:2em auto;max-width:1100px;padding:0 1em;color:#222;background:#fff}\
table{border-collapse:collapse;margin:1em 0;font-variant-numeric:tabular-nums}th,td{padding:.2em .7em;text-align:right;border-bottom:1px solid #ddd}\
th:first-child,td:first-child{text-align:left}figure{margin:1.5em 0}svg{width:100%;height:auto;display:block}figcaption{margin:.3em 0}\
text{font:bold 1px system-ui,sans-serif;paint-order:stroke;stroke:#000;fill:#fff}rect{fill:none}\
.found{stroke:#2ca02c}.missed{stroke:#e41a1c;stroke-dasharray:6 3}.unjudged{stroke:#aaa;stroke-dasharray:2 3}.right{stroke:#1f9be0}.wrong{stroke:#ff9800}\
.key{display:inline-block;width:1.4em;height:.8em;border:3px solid;margin:0 .4em 0 1em}";

/// Text that came from elsewhere.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '&' => f.write_str("&amp;"),
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '"' => f.write_str("&quot;"),
            '\'' => f.write_str("&#39;"),
            c if c.is_control() => f.write_char(' '),
            c => f.write_char(c),
        })
    }
}

/// Writes the whole file.
///
/// # Errors
/// What `out` says.
pub fn write(out: &mut dyn Write, report: &Report) -> io::Result<()> {
    let title = Escaped(&report.data);
    writeln!(
        out,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>egret eval: {title}</title><style>{STYLE}</style></head><body>\n<h1>{title}</h1>"
    )?;
    let objects = report.objects.map_or("nothing labelled".to_owned(), |all| format!("{} objects", all - report.unjudged));
    writeln!(
        out,
        "<p>{} pictures, {objects}, {} classes; confidence from {}, NMS {} per class.</p>",
        report.images,
        report.classes.len(),
        report.confidence,
        report.nms
    )?;
    let remarks = remarks(report);
    if !remarks.is_empty() {
        writeln!(out, "<ul>")?;
        remarks.iter().try_for_each(|remark| writeln!(out, "<li>{}</li>", Escaped(remark)))?;
        writeln!(out, "</ul>")?;
    }
    models(out, report)?;
    agreement(out, report)?;
    classes(out, report)?;
    pictures(out, report)?;
    writeln!(out, "</body></html>")
}

fn cells(out: &mut dyn Write, kind: &str, cells: &[String]) -> io::Result<()> {
    write!(out, "<tr>")?;
    cells.iter().try_for_each(|cell| write!(out, "<{kind}>{}</{kind}>", Escaped(cell)))?;
    writeln!(out, "</tr>")
}

fn models(out: &mut dyn Write, report: &Report) -> io::Result<()> {
    let named = |row: &Row| [row.name.clone(), or_none(&row.precision).to_owned()];
    let figures = |row: &Row| row.evaluation.as_ref().map(|e| e.total.figures()).unwrap_or_default();
    writeln!(out, "<h2>Models</h2><table>")?;
    let labelled = report.objects.is_some();
    let mut head = vec!["model".to_owned(), "precision".to_owned()];
    if labelled {
        head.extend(figures_names());
    }
    head.extend(["boxes", "ms/image", "runtime"].map(String::from));
    cells(out, "th", &head)?;
    for row in &report.rows {
        let mut line: Vec<String> = named(row).into();
        if labelled {
            line.extend(figures(row).iter().map(|(_, value)| share(*value)));
        }
        line.extend([row.boxes.to_string(), milliseconds(row), or_none(&row.runtime).to_owned()]);
        cells(out, "td", &line)?;
    }
    writeln!(out, "</table>")
}

fn figures_names() -> impl Iterator<Item = String> {
    egret_models::eval::coco::Summary::default().figures().into_iter().map(|(name, _)| name.to_owned())
}

fn agreement(out: &mut dyn Write, report: &Report) -> io::Result<()> {
    let Some(first) = report.rows.first().filter(|_| report.rows.len() > 1) else { return Ok(()) };
    writeln!(out, "<h2>Agreement with {}</h2><table>", Escaped(&first.name))?;
    let head = ["model", "boxes", "recall", "precision", "mean IoU", "median IoU", "mean drift", "max drift", "accuracy gate"];
    cells(out, "th", &head.map(String::from))?;
    for row in &report.rows {
        let (Some(agreement), Some(verdict)) = (&row.agreement, &row.verdict) else { continue };
        let total = &agreement.total;
        let shares =
            [total.recall, total.precision, total.mean_iou, total.median_iou, total.mean_drift, total.max_drift].map(share);
        let mut line = vec![row.name.clone(), total.reference.to_string()];
        line.extend(shares);
        line.push(verdict.to_string());
        cells(out, "td", &line)?;
    }
    writeln!(out, "</table>")
}

fn classes(out: &mut dyn Write, report: &Report) -> io::Result<()> {
    if report.objects.is_none() {
        return Ok(());
    }
    writeln!(out, "<h2>Average precision per class</h2><table>")?;
    let mut head = vec!["class".to_owned(), "objects".to_owned()];
    head.extend(report.rows.iter().map(|row| row.name.clone()));
    cells(out, "th", &head)?;
    for (i, name) in report.classes.iter().enumerate().filter(|(i, _)| report.objects_per_class[*i] > 0) {
        let mut line = vec![name.clone(), report.objects_per_class[i].to_string()];
        line.extend(report.rows.iter().map(|row| share(row.evaluation.as_ref().and_then(|e| e.classes[i].ap))));
        cells(out, "td", &line)?;
    }
    writeln!(out, "</table>")
}

fn pictures(out: &mut dyn Write, report: &Report) -> io::Result<()> {
    if report.rows.iter().all(|row| row.misses.is_empty()) {
        return Ok(());
    }
    let truth = if report.objects.is_some() { "object" } else { "box of the first model" };
    writeln!(out, "<h2>Worst pictures</h2><p>")?;
    let keys = [
        ("#2ca02c", format!("{truth}, found")),
        ("#e41a1c", format!("{truth}, missed")),
        ("#aaa", "not judged".to_owned()),
        ("#1f9be0", "right box".to_owned()),
        ("#ff9800", "box on nothing".to_owned()),
    ];
    for (color, what) in &keys {
        write!(out, "<span class=\"key\" style=\"border-color:{color}\"></span>{what}")?;
    }
    writeln!(out, "</p>")?;
    for row in report.rows.iter().filter(|row| !row.misses.is_empty()) {
        writeln!(out, "<h3>{}</h3>", Escaped(&row.name))?;
        row.misses.iter().try_for_each(|miss| figure(out, report, miss))?;
    }
    Ok(())
}

fn figure(out: &mut dyn Write, report: &Report, miss: &Miss) -> io::Result<()> {
    let (width, height) = miss.size;
    let count = |mark: Mark| miss.boxes.iter().filter(|drawn| drawn.mark == mark).count();
    write!(out, "<figure><svg viewBox=\"0 0 {width} {height}\" role=\"img\"><image width=\"{width}\" height=\"{height}\" ")?;
    write!(out, "preserveAspectRatio=\"none\" href=\"data:image/jpeg;base64,{}\"/>", STANDARD.encode(&miss.jpeg))?;
    // Lines and letters keep their size on the screen, more or less, whatever the picture's.
    let unit = f64::from(width.max(height)) / 960.0;
    // What is missed lies on top.
    for drawn in miss.boxes.iter().rev() {
        draw(out, report, drawn, unit)?;
    }
    let (missed, wrong) = (count(Mark::Missed), count(Mark::Wrong));
    writeln!(
        out,
        "</svg><figcaption>{}: {missed} missed, {wrong} on nothing, loss {:.2}</figcaption></figure>",
        Escaped(&miss.picture),
        miss.loss
    )
}

fn draw(out: &mut dyn Write, report: &Report, drawn: &Drawn, unit: f64) -> io::Result<()> {
    let [x, y, w, h] = drawn.bbox;
    let class = match drawn.mark {
        Mark::Found => "found",
        Mark::Missed => "missed",
        Mark::Unjudged => "unjudged",
        Mark::Right => "right",
        Mark::Wrong => "wrong",
    };
    let name = report.classes.get(drawn.class).map_or("?", String::as_str);
    let score = drawn.score.map_or(String::new(), |score| format!(" {score:.2}"));
    write!(out, "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{w:.1}\" height=\"{h:.1}\" ")?;
    write!(out, "stroke-width=\"{:.2}\"><title>{class}: {}{score}</title></rect>", 2.5 * unit, Escaped(name))?;
    if matches!(drawn.mark, Mark::Missed | Mark::Wrong) {
        let size = 14.0 * unit;
        write!(out, "<text x=\"{:.1}\" y=\"{:.1}\" ", x + unit, (y - 3.0 * unit).max(size))?;
        write!(out, "style=\"font-size:{size:.1}px;stroke-width:{:.1}px\">{}{score}</text>", 3.0 * unit, Escaped(name))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_stays_text() {
        let hostile = "<script>\"&'\u{7}";
        assert_eq!(Escaped(hostile).to_string(), "&lt;script&gt;&quot;&amp;&#39; ");
    }
}
