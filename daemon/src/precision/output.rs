//! What is written: the file with its record in its metadata, and the manifest beside it.

use std::{
    io,
    path::{Path, PathBuf},
};

use egret_models::{
    eval::agreement::Gate,
    manifest::{self, Digest, PrecisionKind, is_name},
    onnx::edit::Model,
    spec::ElementKind,
};

use super::{Judged, PrecisionFailure, bench::Bench};
use crate::{
    file::{self, Fresh},
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
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source: io::Error| PrecisionFailure::File { path, source }
    };
    // Both are on the disk before either is there.
    let network = Fresh::write(out, &bytes).map_err(failed(out))?;
    let described = Fresh::write(&beside, manifest.to_toml().as_bytes()).map_err(failed(&beside))?;
    network.place().map_err(failed(out))?;
    described.place().map_err(failed(&beside))?;
    Ok(Written { network: out.to_owned(), bytes: bytes.len(), manifest: beside })
}

/// Refuses a place where nothing can be written, and one where something is: that needs `force`, and even then neither the float
/// network nor the manifest of another file is written over.
///
/// # Errors
/// [`PrecisionFailure::Out`], [`PrecisionFailure::Exists`], [`PrecisionFailure::File`]
pub fn check_out(model: &Path, out: &Path, force: bool) -> Result<(), PrecisionFailure> {
    let wrong = |reason| Err(PrecisionFailure::Out { path: out.to_owned(), reason });
    if file::same(model, out) {
        return wrong("that is the float network itself; name another file with -o");
    }
    if out.extension().is_none_or(|e| !e.eq_ignore_ascii_case("onnx")) {
        return wrong("name a file that ends in .onnx with -o");
    }
    if !out.file_name().and_then(|name| name.to_str()).is_some_and(is_name) {
        return wrong(
            "its manifest cannot name such a file: use letters, digits, `-`, `_` and `.`, at most 64, a letter or digit first",
        );
    }
    let beside = manifest_path(out);
    for path in [out, &beside] {
        file::room_for(path).map_err(|source| PrecisionFailure::File { path: path.to_owned(), source })?;
        // A link that leads nowhere is somebody's too.
        if path.symlink_metadata().is_ok() && !force {
            return Err(PrecisionFailure::Exists { path: path.to_owned() });
        }
    }
    if beside.exists() && !is_about(&beside, out) {
        return Err(PrecisionFailure::Out {
            path: beside,
            reason: "the manifest belongs there, and this is another file; name another file with -o",
        });
    }
    Ok(())
}

fn is_about(manifest: &Path, out: &Path) -> bool {
    let name = out.file_name().unwrap_or_default();
    store::read_manifest(manifest).is_ok_and(|(manifest, _)| name == manifest.card.file.as_str())
}

/// `model.toml` beside the file, unless there is one about another file: then `FILE.toml`.
fn manifest_path(out: &Path) -> PathBuf {
    let beside = out.with_file_name(MANIFEST);
    if beside.exists() && !is_about(&beside, out) { out.with_extension("toml") } else { beside }
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

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn refusal(model: &Path, out: &Path, force: bool) -> String {
        check_out(model, out, force).unwrap_err().to_string()
    }

    #[test]
    fn nothing_is_written_over_without_a_word() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let (float, out) = (path("float.onnx"), path("int8.onnx"));
        fs::write(&float, "").unwrap();
        check_out(&float, &out, false).unwrap();
        assert!(refusal(&float, &path("./float.onnx"), true).contains("float network itself"));
        assert!(refusal(&float, &path("int8.bin"), false).contains("ends in .onnx"));
        assert!(refusal(&float, &path("my int8.onnx"), false).contains("letters, digits"));
        assert!(refusal(&float, &path("none/int8.onnx"), false).contains("none is no folder yet: make it first"));
        fs::write(&out, "precious").unwrap();
        assert!(refusal(&float, &out, false).contains("int8.onnx exists already; give --force"));
        check_out(&float, &out, true).unwrap();
        fs::remove_file(&out).unwrap();
        // A manifest of an INT8 file that is gone, and one of another file.
        let manifest = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../models/street/model.toml")).unwrap();
        fs::write(path("model.toml"), manifest.replace("street.onnx", "int8.onnx")).unwrap();
        assert!(refusal(&float, &out, false).contains("model.toml exists already"));
        check_out(&float, &out, true).unwrap();
        fs::write(path("model.toml"), &manifest).unwrap();
        check_out(&float, &out, false).unwrap();
        fs::write(path("int8.toml"), "[egret]").unwrap();
        assert!(refusal(&float, &out, false).contains("int8.toml exists already"));
        assert!(refusal(&float, &out, true).contains("int8.toml: the manifest belongs there"));
        fs::create_dir(path("folder.onnx")).unwrap();
        assert!(refusal(&float, &path("folder.onnx"), true).contains("a directory"));
    }
}
