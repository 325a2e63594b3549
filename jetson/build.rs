//! Compiles the TensorRT shim, once for each TensorRT major whose headers are at hand, and with the feature `doubles` the stand-ins for
//! TensorRT's libraries. Nothing happens without the feature `tensorrt`.

#[cfg(feature = "doubles")]
#[path = "build/doubles.rs"]
mod doubles;
#[cfg(feature = "tensorrt")]
#[path = "build/headers.rs"]
mod headers;
#[cfg(feature = "doubles")]
#[path = "build/plain.rs"]
mod plain;
#[cfg(feature = "tensorrt")]
#[path = "build/shim.rs"]
mod shim;
#[cfg(feature = "doubles")]
#[path = "build/stubs.rs"]
mod stubs;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=build");
    println!("cargo::rustc-check-cfg=cfg(egret_trt10, egret_trt11)");
    #[cfg(feature = "tensorrt")]
    if let Err(problem) = tensorrt() {
        println!("cargo::error={problem}");
    }
}

#[cfg(feature = "tensorrt")]
fn tensorrt() -> Result<(), String> {
    let sets = headers::find()?;
    shim::compile(&sets)?;
    #[cfg(feature = "doubles")]
    doubles::compile(&sets)?;
    #[cfg(feature = "doubles")]
    plain::compile()?;
    Ok(())
}
