//! Stand-ins for libraries of NVIDIA's whose interfaces are plain C, for tests.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

pub(crate) fn compile() -> Result<(), String> {
    let root = env::var_os("OUT_DIR").map(PathBuf::from).unwrap_or_default().join("doubles");
    let nvml = root.join("nvml");
    shared("nvml/nvml.cpp", &nvml.join("desktop/libnvidia-ml.so.1"), &[])?;
    shared("nvml/nvml.cpp", &nvml.join("sparse/libnvidia-ml.so.1"), &["-DEGRET_SPARSE"])?;
    println!("cargo::rustc-env=EGRET_NVML_DOUBLES={}", nvml.display());
    let nvtx = root.join("nvtx");
    shared("nvtx/nvtx.cpp", &nvtx.join("libnvtx-listener.so"), &[])?;
    shared("nvtx/nvtx.cpp", &nvtx.join("libnvtx-refuser.so"), &["-DEGRET_REFUSES"])?;
    println!("cargo::rustc-env=EGRET_NVTX_DOUBLES={}", nvtx.display());
    Ok(())
}

fn shared(source: &str, library: &Path, more: &[&str]) -> Result<(), String> {
    let source = Path::new("doubles").join(source);
    println!("cargo::rerun-if-changed={}", source.display());
    let folder = library.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let compiler =
        cc::Build::new().cpp(true).std("c++17").warnings(false).try_get_compiler().map_err(|error| error.to_string())?;
    let mut command = compiler.to_command();
    command.args(["-shared", "-fPIC", "-O0", "-fvisibility=hidden", "-Wall", "-Wl,-Bsymbolic"]).args(more);
    let output = command.arg(&source).arg("-o").arg(library).output();
    let output = output.map_err(|error| format!("{}: {error}", compiler.path().display()))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let first: Vec<&str> = said.lines().filter(|line| line.contains("error")).take(5).collect();
    Err(format!("the double {} does not compile: {}", source.display(), first.join(" | ")))
}
