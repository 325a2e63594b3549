//! Where TensorRT's headers are.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
};

/// Names the folder: either the headers themselves (`/usr/include/aarch64-linux-gnu`), or one folder of them per version.
const VARIABLE: &str = "EGRET_TENSORRT_HEADERS";

/// The headers of one TensorRT release.
pub(crate) struct Headers {
    pub(crate) major: u32,
    pub(crate) folder: PathBuf,
}

/// The newest headers of each major that the shim is written for.
pub(crate) fn find() -> Result<Vec<Headers>, String> {
    println!("cargo::rerun-if-env-changed={VARIABLE}");
    let given = env::var_os(VARIABLE).map(PathBuf::from);
    let root = given.clone().unwrap_or_else(|| {
        let manifest = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from).unwrap_or_default();
        manifest.join("../target/tensorrt-headers")
    });
    println!("cargo::rerun-if-changed={}", root.display());
    let mut folders = vec![root.clone()];
    if let Ok(entries) = fs::read_dir(&root) {
        folders.extend(entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()));
    }
    let mut newest = BTreeMap::new();
    for folder in folders {
        let Some((major, minor)) = version(&folder) else { continue };
        let known: &mut (u32, PathBuf) = newest.entry(major).or_insert((minor, folder.clone()));
        if known.0 < minor {
            *known = (minor, folder);
        }
    }
    newest.retain(|major, _| matches!(major, 10 | 11));
    if newest.is_empty() {
        let what = if given.is_some() { VARIABLE } else { "the default place" };
        return Err(format!(
            "no headers of TensorRT 10 or 11 in {} ({what}): run scripts/tensorrt-headers.sh, or let {VARIABLE} name their folder",
            root.display()
        ));
    }
    Ok(newest.into_iter().map(|(major, (_, folder))| Headers { major, folder }).collect())
}

/// Major and minor as `NvInferVersion.h` has them: as numbers, or by way of `TRT_MAJOR_ENTERPRISE`.
fn version(folder: &Path) -> Option<(u32, u32)> {
    let text = fs::read_to_string(folder.join("NvInferVersion.h")).ok()?;
    let value = |names: [&str; 2]| {
        text.lines().find_map(|line| {
            let mut words = line.strip_prefix("#define ")?.split_whitespace();
            let name = words.next()?;
            names.contains(&name).then(|| words.next()?.parse().ok())?
        })
    };
    Some((value(["NV_TENSORRT_MAJOR", "TRT_MAJOR_ENTERPRISE"])?, value(["NV_TENSORRT_MINOR", "TRT_MINOR_ENTERPRISE"])?))
}
