//! Compiles the TensorRT shim, once for each TensorRT major whose headers are at hand. Nothing happens without the feature `tensorrt`.

#[cfg(feature = "tensorrt")]
#[path = "build/headers.rs"]
mod headers;
#[cfg(feature = "tensorrt")]
#[path = "build/shim.rs"]
mod shim;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-check-cfg=cfg(egret_trt10, egret_trt11)");
    #[cfg(feature = "tensorrt")]
    if let Err(problem) = headers::find().and_then(|sets| shim::compile(&sets)) {
        println!("cargo::error={problem}");
    }
}
