//! The shim against TensorRT's headers: it compiles with every set at hand, two majors share a binary, and what it calls exists in the
//! oldest release that egret runs on.
#![cfg(feature = "tensorrt")]

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

/// The oldest release: JetPack 6.1's.
const OLDEST: (u32, u32) = (10, 3);

fn crate_folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn source() -> String {
    let text = ["host.hpp", "runtime.hpp", "build.hpp", "shim.cpp"]
        .map(|file| fs::read_to_string(crate_folder().join("shim").join(file)).expect("the shim's source"));
    text.concat().lines().map(|line| line.split("//").next().unwrap_or("").to_owned() + "\n").collect()
}

/// `names.tsv`: name → release, the latest of all interfaces that have it.
fn names() -> BTreeMap<String, (u32, u32)> {
    let table = fs::read_to_string(crate_folder().join("shim/names.tsv")).expect("the table");
    let mut names = BTreeMap::new();
    for line in table.lines().filter(|line| !line.starts_with('#')) {
        let [_, name, since]: [&str; 3] = line.split('\t').collect::<Vec<_>>().try_into().expect("three columns");
        let (major, minor) = since.split_once('.').expect("major.minor");
        let since = (major.parse().expect("a number"), minor.parse().expect("a number"));
        let known = names.entry(name.to_owned()).or_insert(since);
        *known = since.max(*known);
    }
    names
}

fn word(text: &str) -> &str {
    &text[..text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len())]
}

/// Methods that are called through a pointer and enumerators, with the place in the source.
fn used(source: &str) -> Vec<(usize, String)> {
    let mut used = Vec::new();
    for (at, mark) in source.match_indices("->").chain(source.match_indices("::k")) {
        let rest = &source[at + 2..];
        let name = word(rest);
        let is_name =
            if mark == "->" { rest[name.len()..].starts_with('(') } else { !name.contains(char::is_lowercase) || name.len() > 1 };
        // Fields of the shim's own table of callbacks are called with a dot.
        if is_name && !name.is_empty() {
            used.push((at, name.to_owned()));
        }
    }
    used
}

#[test]
fn whatever_the_shim_calls_is_in_the_oldest_release() {
    let (source, names) = (source(), names());
    let used = used(&source);
    assert!(used.len() > 90, "the scan finds the calls: {}", used.len());
    for (at, name) in &used {
        let since = names.get(name).unwrap_or_else(|| panic!("{name} is not in names.tsv: since which release is it?"));
        if *since <= OLDEST {
            continue;
        }
        // A later name stands behind a question for the installed release, a few lines above.
        let above: Vec<&str> = source[..*at].lines().rev().take(6).collect();
        let question = format!("since(build, {}, {})", since.0, since.1);
        assert!(above.iter().any(|line| line.contains(&question)), "{name} came with {since:?}: ask {question} before");
    }
    for name in names.keys() {
        assert!(used.iter().any(|(_, used)| used == name), "names.tsv has {name}, which nothing uses");
    }
}

#[test]
fn the_scan_finds_a_call_that_is_too_new() {
    let names = names();
    assert!(names["setMaxNbTactics"] > OLDEST && names["kSAME_COMPUTE_CAPABILITY"] > OLDEST);
    let found: Vec<String> = used("config->setBuildRoute(x); Level::kNONE, p->field").into_iter().map(|(_, name)| name).collect();
    assert_eq!(found, ["setBuildRoute", "kNONE"]);
}

fn header_sets() -> Vec<PathBuf> {
    let root =
        env::var_os("EGRET_TENSORRT_HEADERS").map_or_else(|| crate_folder().join("../target/tensorrt-headers"), PathBuf::from);
    let mut sets: Vec<PathBuf> =
        fs::read_dir(&root).expect("the headers that the crate was built with").flatten().map(|e| e.path()).collect();
    sets.push(root);
    sets.retain(|folder| folder.join("NvInfer.h").is_file());
    sets.sort();
    sets
}

fn major(set: &Path) -> u32 {
    let text = fs::read_to_string(set.join("NvInferVersion.h")).expect("a version");
    let line = text.lines().find(|line| line.contains("TRT_MAJOR_ENTERPRISE ") || line.contains("define NV_TENSORRT_MAJOR "));
    line.and_then(|line| line.split_whitespace().nth(2)).and_then(|n| n.parse().ok()).expect("a major")
}

/// Compiles the shim as build.rs does, and returns the object.
fn compile(set: &Path, folder: &Path) -> PathBuf {
    let (major, shim) = (major(set), crate_folder().join("shim"));
    let object = folder.join(format!("{}.o", set.file_name().expect("a name").to_string_lossy()));
    let output = Command::new(env::var_os("CXX").unwrap_or("c++".into()))
        .args([
            "-std=c++17",
            "-Wall",
            "-Wextra",
            "-Werror",
            "-Wno-deprecated-declarations",
            "-fvisibility=hidden",
            "-fPIC",
            "-O0",
            "-c",
        ])
        .args([format!("-Dnvinfer1=nvinfer1_trt{major}"), format!("-Dnvonnxparser=nvonnxparser_trt{major}")])
        .arg("-isystem")
        .arg(set)
        .arg("-idirafter")
        .arg(shim.join("cuda"))
        .arg(shim.join("shim.cpp"))
        .arg("-o")
        .arg(&object)
        .output()
        .expect("a C++ compiler: the crate was built with one");
    assert!(output.status.success(), "{}: {}", set.display(), String::from_utf8_lossy(&output.stderr));
    object
}

/// Symbols as `nm` has them: kind and demangled name.
fn symbols(object: &Path) -> Vec<(char, String)> {
    let output = Command::new("nm").arg("-C").arg(object).output().expect("nm: binutils, which every C++ compiler needs");
    assert!(output.status.success());
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let parse = |line: &str| {
        let line = line.get(17..)?;
        Some((line.chars().next()?, line.get(2..)?.to_owned()))
    };
    text.lines().filter_map(parse).collect()
}

#[test]
fn compiles_with_every_set_of_headers_and_shares_no_symbol_between_majors() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut defined: BTreeMap<String, u32> = BTreeMap::new();
    for set in header_sets() {
        let major = major(&set);
        if !matches!(major, 10 | 11) {
            continue;
        }
        eprintln!("{}", set.display());
        // Without optimisation every inline method of the headers becomes a weak symbol: the case in which two majors would be merged.
        for (kind, name) in symbols(&compile(&set, folder.path())) {
            let outside = matches!(kind, 'U' | 'v' | 'w') || name.contains("std::") || name.contains("__gnu_cxx");
            assert!(
                !(kind == 'U' && (name.contains("nvinfer") || name.contains("nvonnx") || name.ends_with("_INTERNAL"))),
                "links {name}"
            );
            // Local symbols (lower case) are nobody else's.
            if outside || kind.is_lowercase() || name.starts_with("DW.ref.") || name.starts_with("operator") {
                continue;
            }
            let other = *defined.entry(name.clone()).or_insert(major);
            assert_eq!(other, major, "{name} is defined by both majors");
        }
    }
    assert!(defined.keys().any(|name| name.starts_with("nvinfer1_trt")), "inline methods were seen");
    let entries: Vec<&String> = defined.keys().filter(|name| name.starts_with("egret")).collect();
    assert!(
        !entries.is_empty() && entries.iter().all(|name| ["egret_trt10", "egret_trt11"].contains(&name.as_str())),
        "{entries:?}"
    );
    assert!(defined.keys().all(|name| name.contains("_trt1")), "{:?}", defined.keys().find(|name| !name.contains("_trt1")));
}
