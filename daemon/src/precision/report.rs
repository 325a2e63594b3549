//! What came of a conversion, for people.

use std::{
    io::{self, Write},
    path::PathBuf,
    time::Duration,
};

use egret_models::{
    eval::agreement::Figures,
    precision::{DownCast, Ranked},
    text,
};

use super::{
    Judged, PrecisionFailure,
    bench::{self, Bench},
    output::{Record, Written},
};
use crate::infer::Probe;

/// Layers that are listed.
const LISTED: usize = 12;

/// A conversion that was tried.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The float network.
    pub model: PathBuf,
    /// Its size in bytes.
    pub bytes: usize,
    /// What making floats of its doubles cost, if it had any.
    pub down_cast: Option<DownCast>,
    /// Frames that it was calibrated on.
    pub calibration: usize,
    /// Frames that the gate judged.
    pub held_out: usize,
    /// Calibration frames that were held out elsewhere, and so left out.
    pub shared: usize,
    /// Frames that came again, and so were left out.
    pub repeated: usize,
    /// Layers that were to be converted.
    pub layers: usize,
    /// What the gate says with every layer converted.
    pub all_converted: Option<Judged>,
    /// Layers, worst first, where they had to be ranked.
    pub ranked: Vec<Ranked>,
    /// Layers that stayed in float for another reason, and which.
    pub kept: Vec<(String, String)>,
    /// Anything else worth knowing.
    pub notes: Vec<String>,
    /// Why nothing was written; empty: it was.
    pub reasons: Vec<String>,
    /// What was written.
    pub written: Option<Written>,
    /// CPU time of one run of the float network and of one of the new one, on one thread of this machine, taken in turns.
    pub times: Option<(Duration, Duration)>,
    classes: Vec<String>,
    pub(super) record: Record,
}

impl Outcome {
    pub(super) fn new(bench: &Bench, record: Record, calibration: usize, held_out: usize) -> Self {
        Self {
            model: bench.file.clone(),
            bytes: bench.bytes,
            down_cast: bench.down_cast,
            calibration,
            held_out,
            shared: 0,
            repeated: 0,
            layers: 0,
            all_converted: None,
            ranked: Vec::new(),
            kept: Vec::new(),
            notes: bench.others.iter().map(ToString::to_string).collect(),
            reasons: Vec::new(),
            written: None,
            times: None,
            classes: bench.manifest.spec.classes.clone(),
            record,
        }
    }

    pub(super) fn time(&mut self, probe: &mut Probe, float: &[u8], new: &[u8], input: &[f32]) -> Result<(), PrecisionFailure> {
        let what = || format!("{} converted", self.model.display());
        let times = bench::time(probe, [float, new], input);
        let [float, new] = times.map_err(|reason| PrecisionFailure::Runtime { what: what(), reason })?;
        self.times = Some((float, new));
        Ok(())
    }

    /// Layers that stay in float for the gate's sake, and those that somebody asked for.
    pub fn float_nodes(&self) -> &[String] {
        &self.record.float_nodes
    }

    /// What the gate says of what was, or would have been, written.
    pub fn judged(&self) -> Option<&Judged> {
        self.record.judged.as_ref()
    }
}

/// Prints an outcome as a table.
///
/// # Errors
/// Those of `out`.
pub fn write_table(out: &mut impl Write, outcome: &Outcome) -> io::Result<()> {
    let mut text = Vec::new();
    table(&mut text, outcome)?;
    // Names of layers are what the network's maker chose.
    out.write_all(text::lines(&String::from_utf8_lossy(&text)).as_bytes())
}

fn table(out: &mut impl Write, outcome: &Outcome) -> io::Result<()> {
    let word = outcome.record.word();
    if let Some(cast) = &outcome.down_cast {
        writeln!(
            out,
            "FP64 graph: {} constants and {} values became FP32, maximum error {:.3e} (relative {:.3e})",
            cast.constants, cast.values, cast.max_error, cast.max_relative_error
        )?;
    }
    if outcome.calibration > 0 {
        let method = outcome.record.method.as_deref().unwrap_or("ranges");
        writeln!(out, "calibrated on {} frames ({method}), judged on {} others", outcome.calibration, outcome.held_out)?;
    }
    for (count, what) in [(outcome.shared, "were held out elsewhere"), (outcome.repeated, "came twice")] {
        if count > 0 {
            writeln!(out, "{count} frames {what} and were left out")?;
        }
    }
    for note in &outcome.notes {
        writeln!(out, "{note}")?;
    }
    if let Some(judged) = outcome.judged() {
        writeln!(out)?;
        agreement(out, outcome, judged)?;
    }
    layers(out, outcome)?;
    if let Some((float, new)) = outcome.times {
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        let ratio = ms(float) / ms(new).max(1e-9);
        writeln!(
            out,
            "\nCPU of one run, in turns on one thread: float {:.2} ms, {word} {:.2} ms ({ratio:.2} x as fast)",
            ms(float),
            ms(new)
        )?;
    }
    let Some(Written { network, bytes, manifest }) = &outcome.written else {
        writeln!(out, "\nREFUSED: nothing was written")?;
        return outcome.reasons.iter().try_for_each(|reason| writeln!(out, "  - {reason}"));
    };
    let share = 100.0 * *bytes as f64 / outcome.bytes.max(1) as f64;
    let (network, manifest) = (network.display(), manifest.display());
    writeln!(out, "written: {network} ({bytes} bytes, {share:.0} % of the float file) and {manifest}")
}

fn agreement(out: &mut impl Write, outcome: &Outcome, judged: &Judged) -> io::Result<()> {
    writeln!(
        out,
        "{:<26} {:>6} {:>8} {:>9} {:>9} {:>7} {:>7}",
        "agreement with float", "boxes", "recall", "precision", "mean IoU", "drift", "max"
    )?;
    let share = |v: Option<f64>| v.map_or_else(|| "-".to_owned(), |v| format!("{v:.4}"));
    let mut row = |name: &str, f: &Figures| {
        let (recall, precision, iou) = (share(f.recall), share(f.precision), share(f.mean_iou));
        let (drift, max) = (share(f.mean_drift), share(f.max_drift));
        writeln!(out, "{name:<26} {:>6} {recall:>8} {precision:>9} {iou:>9} {drift:>7} {max:>7}", f.reference)
    };
    if let Some(all) = outcome.all_converted.as_ref().filter(|_| !outcome.float_nodes().is_empty()) {
        row("every layer converted", &all.agreement.total)?;
    }
    row("all classes", &judged.agreement.total)?;
    let mut classes: Vec<(usize, &Figures)> =
        judged.agreement.classes.iter().enumerate().filter(|(_, f)| f.reference + f.other > 0).collect();
    classes.sort_by_key(|(_, f)| std::cmp::Reverse(f.reference));
    for (class, figures) in classes.iter().take(LISTED) {
        let name = outcome.classes.get(*class).map_or("?", String::as_str);
        let weak = if judged.verdict.weak.contains(class) { " (weak)" } else { "" };
        row(&format!("  {name}{weak}"), figures)?;
    }
    if classes.len() > LISTED {
        writeln!(out, "  and {} more classes", classes.len() - LISTED)?;
    }
    Ok(())
}

fn layers(out: &mut impl Write, outcome: &Outcome) -> io::Result<()> {
    let float = outcome.float_nodes();
    if outcome.layers > 0 {
        writeln!(out, "\n{} of {} layers stay in float for the gate's sake or by request", float.len(), outcome.layers)?;
    }
    if !outcome.ranked.is_empty() {
        writeln!(out, "layers that lose most when they alone are converted:")?;
        for ranked in outcome.ranked.iter().take(LISTED) {
            let kept = if float.contains(&ranked.layer) { "float" } else { outcome.record.word() };
            writeln!(out, "  {:<40} loss {:.4}  {kept}", ranked.layer, ranked.loss)?;
        }
    }
    for (layer, reason) in outcome.kept.iter().take(LISTED) {
        writeln!(out, "  {layer} stays in float: {reason}")?;
    }
    if outcome.kept.len() > LISTED {
        writeln!(out, "  and {} more", outcome.kept.len() - LISTED)?;
    }
    Ok(())
}
