//! Reading model files and manifests, always bounded.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use egret_models::{
    manifest::{Digest, MAX_MANIFEST_BYTES, Manifest, Problem, Recognised, Unrecognised, recognise},
    onnx::{self, ElementType, MAX_FILE_BYTES, Refused},
};

use super::{About, Beside, Other, StoreError, beside};
use crate::file::{self, Unread};

/// `TensorProto.DOUBLE`.
const DOUBLE: ElementType = ElementType(11);

/// The file's name without its directory.
pub(super) fn name_of(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// The bytes of a regular file of bounded size; a file whose name says that it is no ONNX is refused by that.
///
/// # Errors
/// [`StoreError::File`] and [`StoreError::Refused`].
pub fn read_network(path: &Path) -> Result<Vec<u8>, StoreError> {
    let failed = |source| StoreError::File { path: path.to_owned(), source };
    let refused = |refused| StoreError::Refused { path: path.to_owned(), refused };
    let bytes = file::read(path, MAX_FILE_BYTES).map_err(|unread| match unread {
        Unread::Io(source) => failed(source),
        Unread::TooLarge(bytes) => refused(Refused::TooLarge { bytes }),
    })?;
    onnx::read_named(&name_of(path), &bytes).map_err(refused)?;
    Ok(bytes)
}

/// Reads and checks a manifest.
///
/// # Errors
/// [`StoreError::File`] and [`StoreError::Manifest`].
pub fn read_manifest(path: &Path) -> Result<(Manifest, String), StoreError> {
    let text = file::text(path, MAX_MANIFEST_BYTES).map_err(|source| StoreError::File { path: path.to_owned(), source })?;
    let manifest = Manifest::parse(&text).map_err(|problems| StoreError::Manifest { path: path.to_owned(), problems })?;
    Ok((manifest, text))
}

/// The SHA-256 and size of a file, without holding it in memory.
pub(super) fn digest_of(path: &Path) -> Result<(String, u64), StoreError> {
    file::digest(path).map_err(|source| StoreError::File { path: path.to_owned(), source })
}

/// The problem that a file has another SHA-256 than its manifest says.
pub(crate) fn other_digest(manifest: &Manifest, found: &str, file: &str) -> Option<Problem> {
    let Digest::Known(known) = &manifest.card.sha256 else { return None };
    let remedy = "get the file again, or correct the sum if you changed it yourself";
    (known != found).then(|| Problem::new("sha256", known, format!("{file} has another one: {found}"), remedy))
}

/// What is in an ONNX file.
#[derive(Debug)]
pub struct Inspected {
    /// Its path.
    pub path: PathBuf,
    /// Its size in bytes.
    pub bytes: u64,
    /// Its SHA-256.
    pub sha256: String,
    /// Version of the default operator set.
    pub opset: i64,
    /// Version of the file format.
    pub ir_version: i64,
    /// Which program wrote it.
    pub producer: String,
    /// How often each operator occurs.
    pub operators: BTreeMap<String, usize>,
    /// Values in its constants: the weights.
    pub parameters: u64,
    /// Its inputs: name, element type, shape.
    pub inputs: Vec<String>,
    /// Its outputs.
    pub outputs: Vec<String>,
    /// How many constants are of 64-bit floats, and how many values they hold.
    pub doubles: (usize, u64),
    /// What no runtime here takes of it, or what makes nonsense of every picture.
    pub unsound: Option<Refused>,
    /// The manifest that is made from the graph.
    pub recognised: Result<Recognised, Unrecognised>,
    /// The manifest beside the file: where it is, and what in it the file contradicts.
    pub beside: Option<(PathBuf, Vec<Problem>)>,
    /// Files beside it that are not read, though they stand where its manifest would.
    pub others: Vec<Other>,
    /// Why the manifest beside it cannot be read.
    pub unreadable: Option<StoreError>,
}

/// Reads an ONNX file and says what is in it.
///
/// # Errors
/// [`StoreError::File`] and [`StoreError::Refused`].
pub fn inspect(path: &Path) -> Result<Inspected, StoreError> {
    let bytes = read_network(path)?;
    let refused = |refused| StoreError::Refused { path: path.to_owned(), refused };
    let model = onnx::read(&bytes).map_err(refused)?;
    let sha256 = file::sha256(&bytes);
    let mut operators = BTreeMap::new();
    for node in &model.graph.nodes {
        *operators.entry(node.kind()).or_insert(0) += 1;
    }
    let doubles = model.graph.initializers.iter().filter(|tensor| tensor.element == DOUBLE);
    let doubles = doubles.fold((0, 0), |(count, values), tensor| (count + 1, values + tensor.elements));
    let mut recognised = recognise(&model, &name_of(path));
    if let Ok(recognised) = &mut recognised {
        recognised.manifest.card.sha256 = Digest::Known(sha256.clone());
    }
    let (Beside { about, others }, unreadable) = match beside(path) {
        Ok(found) => (found, None),
        Err(error) => (Beside::default(), Some(error)),
    };
    let beside = about.map(|About { path: at, manifest, .. }| {
        let digest = other_digest(&manifest, &sha256, &name_of(path));
        (at, digest.into_iter().chain(manifest.contradictions(&model)).collect())
    });
    Ok(Inspected {
        path: path.to_owned(),
        bytes: bytes.len() as u64,
        sha256,
        opset: model.opset,
        ir_version: model.ir_version,
        producer: egret_models::text::short(model.producer, 60),
        operators,
        parameters: model.graph.initializers.iter().map(|tensor| tensor.elements).sum(),
        inputs: model.graph.inputs.iter().map(egret_models::manifest::describe).collect(),
        outputs: model.graph.outputs.iter().map(egret_models::manifest::describe).collect(),
        doubles,
        unsound: model.sound().err(),
        recognised,
        beside,
        others,
        unreadable,
    })
}
