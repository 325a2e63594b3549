//! What is written: the file with its record in its metadata, and the manifest beside it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use egret_models::{
    eval::agreement::Gate,
    manifest::{self, Digest, PrecisionKind},
    onnx::edit::Model,
    spec::ElementKind,
};

use super::{Judged, PrecisionFailure, bench::Bench};
use crate::{
    file,
    store::{self, MANIFEST},
};

/// How a file was made.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) kind: PrecisionKind,
    pub(super) method: Option<String>,
    /// Digest and number of the calibration frames.
    pub(super) calibration: Option<(String, u64)>,
    pub(super) float_nodes: Vec<String>,
    pub(super) judged: Option<Judged>,
    pub(super) gate: Gate,
    /// The input takes halves.
    pub(super) half_input: bool,
}

impl Record {
    /// The suffix of names.
    pub(super) fn word(&self) -> &'static str {
        match self.kind {
            PrecisionKind::Fp16 => "fp16",
            PrecisionKind::Int8 => "int8",
        }
    }

    fn manifest(&self, from_sha256: &str) -> manifest::Precision {
        let gate = self.judged.as_ref().map(|judged| {
            let total = &judged.agreement.total;
            manifest::Gate {
                passed: judged.verdict.passed(),
                frames: judged.agreement.frames as u64,
                iou: rounded(self.gate.iou.into()),
                recall: rounded(total.recall.unwrap_or(0.0)),
                precision: rounded(total.precision.unwrap_or(0.0)),
                score_drift: rounded(total.mean_drift.unwrap_or(0.0)),
            }
        });
        let (calibration_sha256, calibration_frames) = self.calibration.clone().unzip();
        manifest::Precision {
            kind: self.kind,
            from_sha256: from_sha256.to_owned(),
            method: self.method.clone(),
            calibration_sha256,
            calibration_frames,
            float_nodes: self.float_nodes.clone(),
            gate,
        }
    }
}

/// Six digits are enough for anybody.
fn rounded(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The network.
    pub network: PathBuf,
    /// Its size in bytes.
    pub bytes: usize,
    /// Its manifest.
    pub manifest: PathBuf,
}

/// Writes a network and its manifest, each whole or not at all.
pub(super) fn write(bench: &Bench, model: &mut Model, record: &Record, out: &Path) -> Result<Written, PrecisionFailure> {
    let precision = record.manifest(&bench.sha256);
    for (key, value) in properties(&precision) {
        model.set_property(&format!("egret.{key}"), &value);
    }
    let bytes = model.write();
    let mut manifest = bench.manifest.clone();
    manifest.card.file = out.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    manifest.card.sha256 = Digest::Known(file::sha256(&bytes));
    let suffix = format!("-{}", record.word());
    // Names of a store are bounded.
    manifest.card.name.truncate(64 - suffix.len());
    manifest.card.name.push_str(&suffix);
    // That URL has the float file.
    manifest.card.url = None;
    manifest.precision = Some(precision);
    if record.half_input {
        manifest.spec.input.element = ElementKind::F16;
    }
    let beside = manifest_path(out);
    whole(out, &bytes)?;
    whole(&beside, manifest.to_toml().as_bytes())?;
    Ok(Written { network: out.to_owned(), bytes: bytes.len(), manifest: beside })
}

/// `model.toml` beside the file, unless there is one about another file: then `FILE.toml`.
fn manifest_path(out: &Path) -> PathBuf {
    let beside = out.with_file_name(MANIFEST);
    let name = out.file_name().unwrap_or_default();
    let of_another =
        beside.exists() && !store::read_manifest(&beside).is_ok_and(|(manifest, _)| name == manifest.card.file.as_str());
    if of_another { out.with_extension("toml") } else { beside }
}

fn properties(precision: &manifest::Precision) -> Vec<(&'static str, String)> {
    let kind = match precision.kind {
        PrecisionKind::Fp16 => "fp16",
        PrecisionKind::Int8 => "int8",
    };
    let mut properties = vec![("precision", kind.to_owned()), ("from_sha256", precision.from_sha256.clone())];
    properties.extend(precision.method.clone().map(|method| ("method", method)));
    properties.extend(precision.calibration_sha256.clone().map(|digest| ("calibration_sha256", digest)));
    properties.extend(precision.calibration_frames.map(|frames| ("calibration_frames", frames.to_string())));
    if !precision.float_nodes.is_empty() {
        properties.push(("float_nodes", precision.float_nodes.join(",")));
    }
    if let Some(gate) = &precision.gate {
        let manifest::Gate { passed, frames, iou, recall, precision, score_drift } = gate;
        properties.push((
            "gate",
            format!("passed={passed} frames={frames} iou={iou} recall={recall} precision={precision} score_drift={score_drift}"),
        ));
    }
    properties
}

fn whole(path: &Path, content: &[u8]) -> Result<(), PrecisionFailure> {
    let temporary = path.with_added_extension("new");
    let written = fs::write(&temporary, content).and_then(|()| fs::rename(&temporary, path));
    written.map_err(|source| PrecisionFailure::File { path: path.to_owned(), source })
}
