//! What stands beside an engine: what it is for, how it came about, and what became of it.

use egret_models::onnx::cut;
use serde::{Deserialize, Serialize};

use super::Key;

/// The version of the form that this egret writes.
pub const VERSION: u32 = 1;
/// Longest manifest that is read: TensorRT's account of a large network is some megabytes.
pub(super) const MAX_BYTES: u64 = 32 << 20;

/// The manifest of an engine, as JSON. Fields that a later egret adds are read over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The form's version, [`VERSION`]. A later one with the same meaning of these fields keeps it.
    pub version: u32,
    /// Version of the egret that built it.
    pub egret: String,
    /// Name of the model in the configuration or on the command line.
    pub name: String,
    /// What it is for.
    pub key: Key,
    /// The engine itself.
    pub plan: Plan,
    /// When it was built: RFC 3339, UTC.
    pub built_at: String,
    /// How long that took, in seconds.
    pub build_s: f64,
    /// How the model's file was made from a float one, where its manifest says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub precision: Option<egret_models::manifest::Precision>,
    /// Inputs and outputs as TensorRT tells them.
    #[serde(default)]
    pub tensors: Vec<String>,
    /// Layers that are left after fusion.
    #[serde(default)]
    pub layers: u32,
    /// Bytes of device memory that an execution context needs.
    #[serde(default)]
    pub context_bytes: u64,
    /// Bytes of all inputs and outputs of its largest batch.
    #[serde(default)]
    pub tensor_bytes: u64,
    /// TensorRT's account of the engine: layers, tactics, formats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inspector: Option<serde_json::Value>,
    /// Where each layer of the network can run, for engines of a DLA core.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub placement: Vec<Placed>,
    /// What TensorRT refused of the network, which ONNX Runtime runs behind the engine; `None`: the engine is all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tail: Option<TailPart>,
    /// What the comparison with the float network, or the first batches, came to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
}

/// The second part of a network that was cut.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TailPart {
    /// Its file, an ONNX network.
    #[serde(flatten)]
    pub file: Plan,
    /// By which rules it was cut, [`cut::VERSION`].
    pub rules: u32,
    /// Where it was cut, and why there.
    pub cut: String,
    /// Bytes of one picture that the engine hands over.
    pub frame_bytes: u64,
}

/// A file of an engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Its name in the folder.
    pub file: String,
    /// Its SHA-256.
    pub sha256: String,
    /// Its size.
    pub bytes: u64,
}

/// Where a layer of the network can run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placed {
    /// The layer.
    pub layer: String,
    /// On the DLA; else it is the GPU's.
    pub on_dla: bool,
}

/// Whether an engine may serve.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// It may.
    pub passed: bool,
    /// When it was found: RFC 3339, UTC.
    pub at: String,
    /// In one line: the figures, or why not.
    pub reason: String,
}

/// Why a manifest is none.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// No JSON, or not this form.
    #[error("it is no manifest of an engine ({0})")]
    Form(#[from] serde_json::Error),
    /// Written by a later egret, in a form that this one does not know.
    #[error("it has version {0}, and this egret reads {VERSION}")]
    Version(u32),
    /// It is about something that it should not be about.
    #[error("{0}")]
    Wrong(&'static str),
}

/// Read first, so that a form that is not known is called by its version.
#[derive(Deserialize)]
struct Stamp {
    version: u32,
}

impl Manifest {
    /// Reads one. `stem`: the name of its file, which must be its key's.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub fn read(stem: &str, bytes: &[u8]) -> Result<Self, Unreadable> {
        let Stamp { version } = serde_json::from_slice(bytes)?;
        if version != VERSION {
            return Err(Unreadable::Version(version));
        }
        let manifest: Self = serde_json::from_slice(bytes)?;
        if manifest.key.stem() != stem {
            return Err(Unreadable::Wrong("it is about another engine than its name says"));
        }
        if manifest.plan.file != plan_file(stem, &manifest.plan.sha256) {
            return Err(Unreadable::Wrong("it names a file that is not its own"));
        }
        if manifest.tail.as_ref().is_some_and(|tail| tail.file.file != tail_file(stem, &tail.file.sha256)) {
            return Err(Unreadable::Wrong("it names a tail that is not its own"));
        }
        Ok(manifest)
    }

    /// As it is written.
    ///
    /// # Errors
    /// Those of the writer, which has none for this form.
    pub fn write(&self) -> Result<Vec<u8>, serde_json::Error> {
        let mut bytes = serde_json::to_vec_pretty(self)?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// Why it must not serve, if somebody found so.
    pub fn rejected(&self) -> Option<&str> {
        self.verdict.as_ref().filter(|verdict| !verdict.passed).map(|verdict| verdict.reason.as_str())
    }

    /// Why it is to be built anew although it is whole: its network was cut by rules that are not today's any more.
    pub fn outdated(&self) -> Option<String> {
        let tail = self.tail.as_ref().filter(|tail| tail.rules < cut::VERSION)?;
        Some(format!("its network was cut by rules of version {}, and this egret has {}", tail.rules, cut::VERSION))
    }
}

/// The name of a plan: another plan has another one, so that none is ever written over.
pub(super) fn plan_file(stem: &str, sha256: &str) -> String {
    format!("{stem}.{}.plan", sha256.get(..16).unwrap_or(sha256))
}

/// The name of a tail, likewise.
pub(super) fn tail_file(stem: &str, sha256: &str) -> String {
    format!("{stem}.{}.tail", sha256.get(..16).unwrap_or(sha256))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::{engine::key::tests::key, file};

    pub(in crate::engine) fn manifest(key: &Key, plan: &[u8]) -> Manifest {
        let sha256 = file::sha256(plan);
        Manifest {
            version: VERSION,
            egret: "0.1.0".into(),
            name: "street".into(),
            key: key.clone(),
            plan: Plan { file: plan_file(&key.stem(), &sha256), sha256, bytes: plan.len() as u64 },
            built_at: "2026-11-22T00:00:00Z".into(),
            build_s: 184.5,
            precision: None,
            tensors: vec!["images: float [-1,3,640,640]".into()],
            layers: 3,
            context_bytes: 3072,
            tensor_bytes: 4096,
            inspector: Some(serde_json::json!({"Layers": ["n0"]})),
            placement: vec![Placed { layer: "n0".into(), on_dla: true }],
            tail: None,
            verdict: None,
        }
    }

    /// The same with a tail.
    pub(in crate::engine) fn with_tail(key: &Key, plan: &[u8], tail: &[u8]) -> Manifest {
        let sha256 = file::sha256(tail);
        let file = Plan { file: tail_file(&key.stem(), &sha256), sha256, bytes: tail.len() as u64 };
        let cut = "cut at tensors `b` because node 2 `n` (Mish): no importer".into();
        Manifest { tail: Some(TailPart { file, rules: cut::VERSION, cut, frame_bytes: 3072 }), ..manifest(key, plan) }
    }

    #[test]
    fn a_tail_is_written_down_and_old_rules_are_told() {
        let key = key();
        let mut there = with_tail(&key, b"plan", b"tail");
        let text = String::from_utf8(there.write().expect("JSON")).expect("text");
        assert_eq!(Manifest::read(&key.stem(), text.as_bytes()).expect("read"), there);
        assert!(text.contains("\"rules\": 1") && text.contains("because node 2") && there.outdated().is_none(), "{text}");
        let escape = text.replace(".tail\"", ".tail/../../../etc/shadow\"");
        let refused = Manifest::read(&key.stem(), escape.as_bytes()).expect_err("refused").to_string();
        assert!(refused.contains("a tail that is not its own"), "{refused}");
        there.tail.as_mut().expect("a tail").rules = cut::VERSION - 1;
        assert!(there.outdated().is_some_and(|why| why.contains("rules of version 0, and this egret has 1")));
        there.tail.as_mut().expect("a tail").rules = cut::VERSION + 1;
        assert_eq!(there.outdated(), None, "a later egret's runs all the same");
    }

    #[test]
    fn it_is_read_as_it_was_written_and_what_is_new_is_read_over() {
        let key = key();
        let mut there = manifest(&key, b"plan");
        there.verdict = Some(Verdict { passed: false, at: "2026-11-22T00:10:00Z".into(), reason: "recall 0.1".into() });
        let bytes = there.write().expect("JSON");
        assert_eq!(Manifest::read(&key.stem(), &bytes).expect("read"), there);
        assert_eq!(there.rejected(), Some("recall 0.1"));
        let mut value: serde_json::Value = serde_json::from_slice(&bytes).expect("JSON");
        value["tomorrow"] = serde_json::json!({"x": 1});
        value["key"]["flags"]["sparse"] = true.into();
        for gone in ["inspector", "placement", "verdict", "layers"] {
            value.as_object_mut().expect("an object").remove(gone);
        }
        let read = Manifest::read(&key.stem(), value.to_string().as_bytes()).expect("read");
        assert_eq!((&read.inspector, read.layers, read.rejected()), (&None, 0, None));
    }

    #[test]
    fn what_is_none_is_told() {
        let key = key();
        let text = String::from_utf8(manifest(&key, b"plan").write().expect("JSON")).expect("text");
        let refused = |text: &str| Manifest::read(&key.stem(), text.as_bytes()).expect_err("refused").to_string();
        assert!(refused("").contains("no manifest of an engine"));
        assert!(refused(&text[..text.len() / 2]).contains("no manifest of an engine"));
        assert!(refused(&text.replace("\"version\": 1", "\"version\": 2")).contains("version 2, and this egret reads 1"));
        assert!(refused(&text.replace("Orin", "Thor")).contains("another engine"));
        let escape = text.replace(&plan_file(&key.stem(), &file::sha256(b"plan")), "../../etc/shadow");
        assert!(refused(&escape).contains("not its own"));
    }
}
