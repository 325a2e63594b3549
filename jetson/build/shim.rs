//! The shim, once per major.

use crate::headers::Headers;

/// What renames the namespaces of one major: what the headers define inline is then another thing in each, and cannot be merged by
/// the linker, which hidden visibility alone would not prevent.
const NAMESPACES: [&str; 2] = ["nvinfer1", "nvonnxparser"];

pub(crate) fn compile(sets: &[Headers]) -> Result<(), String> {
    println!("cargo::rerun-if-changed=shim");
    for Headers { major, folder } in sets {
        let mut build = cc::Build::new();
        build.cpp(true).std("c++17").warnings(true).extra_warnings(true).file("shim/shim.cpp");
        build.flag("-fvisibility=hidden").flag("-fvisibility-inlines-hidden").flag("-Wno-deprecated-declarations");
        build.flag("-isystem").flag(folder).flag("-idirafter").flag("shim/cuda");
        for namespace in NAMESPACES {
            build.define(namespace, format!("{namespace}_trt{major}").as_str());
        }
        build
            .try_compile(&format!("egret_trt{major}"))
            .map_err(|error| format!("the TensorRT {major} shim does not compile: {error}"))?;
        println!("cargo::rustc-cfg=egret_trt{major}");
    }
    Ok(())
}
