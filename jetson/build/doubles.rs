//! Stand-ins for TensorRT's libraries, for tests: one folder per major with the sonames of the real ones.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use crate::{headers::Headers, stubs};

pub(crate) fn compile(sets: &[Headers]) -> Result<(), String> {
    println!("cargo::rerun-if-changed=doubles/nvinfer");
    let root = env::var_os("OUT_DIR").map(PathBuf::from).unwrap_or_default().join("doubles");
    for Headers { major, folder } in sets {
        let target = root.join(major.to_string());
        write(&target.join("include"), "stubs.hpp", &stubs::write(folder)?)?;
        let include = [target.join("include"), folder.clone()];
        for (source, library) in
            [("nvinfer.cpp", "nvinfer"), ("nvonnxparser.cpp", "nvonnxparser"), ("plugin.cpp", "nvinfer_plugin")]
        {
            shared(source, &target.join(format!("lib{library}.so.{major}")), &include, &[])?;
        }
    }
    // Releases that egret refuses by name.
    for (major, version) in [("8", "8602"), ("12", "120000")] {
        let target = root.join(major);
        write(&target, "README", "only a version\n")?;
        let define = format!("-DEGRET_DOUBLE_VERSION={version}");
        shared("old.cpp", &target.join(format!("libnvinfer.so.{major}")), &[], &[&define])?;
    }
    println!("cargo::rustc-env=EGRET_TENSORRT_DOUBLES={}", root.display());
    Ok(())
}

fn write(folder: &Path, name: &str, text: &str) -> Result<(), String> {
    let path = folder.join(name);
    fs::create_dir_all(folder).and_then(|()| fs::write(&path, text)).map_err(|error| format!("{}: {error}", path.display()))
}

fn shared(source: &str, library: &Path, include: &[PathBuf], more: &[&str]) -> Result<(), String> {
    let compiler =
        cc::Build::new().cpp(true).std("c++17").warnings(false).try_get_compiler().map_err(|error| error.to_string())?;
    let mut command = compiler.to_command();
    command.args([
        "-shared",
        "-fPIC",
        "-O0",
        "-fvisibility=hidden",
        "-fvisibility-inlines-hidden",
        "-Wall",
        "-Wno-deprecated-declarations",
    ]);
    command.args(["-pthread", "-Wl,-Bsymbolic"]).args(more);
    for folder in include {
        command.arg("-isystem").arg(folder);
    }
    command.args(["-idirafter", "shim/cuda"]).arg(Path::new("doubles/nvinfer").join(source)).arg("-o").arg(library).arg("-ldl");
    let output = command.output().map_err(|error| format!("{}: {error}", compiler.path().display()))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let first: Vec<&str> = said.lines().filter(|line| line.contains("error")).take(5).collect();
    Err(format!("the double {source} does not compile: {}", first.join(" | ")))
}
