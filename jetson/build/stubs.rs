//! For the doubles of TensorRT: classes that implement every virtual function of an interface by ending the process with its name.
//! A double derives from them and overrides what it has. Made from the headers, so that every release gets what it declares.

use std::{fmt::Write as _, fs, path::Path};

const IMPLEMENTATIONS: [&str; 12] = [
    "HostMemory",
    "Runtime",
    "CudaEngine",
    "ExecutionContext",
    "EngineInspector",
    "Builder",
    "BuilderConfig",
    "NetworkDefinition",
    "OptimizationProfile",
    "TimingCache",
    "Tensor",
    "Layer",
];

/// The text of `stubs.hpp` for those headers.
pub(crate) fn write(headers: &Path) -> Result<String, String> {
    let read = |name: &str| {
        let path = headers.join(name);
        fs::read_to_string(&path).map(|text| without_comments(&text)).map_err(|error| format!("{}: {error}", path.display()))
    };
    let mut out = String::from(
        "#pragma once\n#include <NvInfer.h>\n#include <NvOnnxParser.h>\n\
         namespace egret_double { [[noreturn]] void missing(char const* what); }\nnamespace nvinfer1 { namespace apiv {\n",
    );
    let implementations = read("NvInferImpl.h")?;
    for name in IMPLEMENTATIONS {
        stub(&mut out, &implementations, &format!("V{name}"), &format!("Stub{name}"))?;
    }
    out.push_str("} }\nnamespace nvonnxparser {\n");
    stub(&mut out, &read("NvOnnxParser.h")?, "IParser", "StubParser")?;
    out.push_str("}\n");
    Ok(out)
}

fn stub(out: &mut String, header: &str, class: &str, stub: &str) -> Result<(), String> {
    let begin = [format!("class {class} "), format!("class {class}\n")];
    let at = begin.iter().find_map(|begin| header.find(begin.as_str())).ok_or_else(|| format!("the headers have no {class}"))?;
    let body = &header[at..];
    let body = &body[body.find('{').unwrap_or(0) + 1..body.find("\n};").unwrap_or(body.len())];
    let _ = writeln!(out, "class {stub} : public {class} {{\npublic:");
    let mut statement = String::new();
    for line in body.lines() {
        // Conditional declarations stay conditional.
        if line.trim_start().starts_with('#') {
            let _ = writeln!(out, "{line}");
            continue;
        }
        statement.push_str(line.trim());
        statement.push(' ');
        if line.trim_end().ends_with(';') {
            method(out, &statement, class);
            statement.clear();
        }
    }
    out.push_str("};\n");
    Ok(())
}

/// `virtual int32_t f(A a) const noexcept = 0;` becomes an override that ends the process.
fn method(out: &mut String, statement: &str, class: &str) {
    let Some((_, declaration)) = statement.split_once("virtual ") else { return };
    let Some((signature, _)) = declaration.rsplit_once("= 0") else { return };
    let name = signature.split('(').next().and_then(|head| head.split([' ', '*', '&']).next_back()).unwrap_or_default();
    if name.starts_with('~') {
        return;
    }
    let _ = writeln!(
        out,
        "    {}override {{ egret_double::missing(\"{class}::{name}\"); }}",
        signature.replace("TRT_NODISCARD ", "")
    );
}

fn without_comments(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("/*") {
        out.push_str(&rest[..at]);
        rest = rest[at..].find("*/").map_or("", |end| &rest[at + end + 2..]);
    }
    out.push_str(rest);
    out.lines().map(|line| line.split("//").next().unwrap_or("").to_owned() + "\n").collect()
}
