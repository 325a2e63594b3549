//! `egret eval` as people run it.

use std::{
    env,
    path::PathBuf,
    process::{Command, Output},
};

use serde_json::Value;

fn egret(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_egret")).arg("eval").args(arguments).output().expect("egret starts")
}

fn data() -> Option<String> {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data");
    let data = env::var_os("EGRET_TEST_DATA").map_or_else(|| PathBuf::from(default), PathBuf::from);
    if !data.join("images/coco128_a").exists() {
        eprintln!("SKIPPED: no test data in {} (set EGRET_TEST_DATA)", data.display());
        return None;
    }
    Some(data.to_str().expect("a plain path").to_owned())
}

fn report(arguments: &[&str]) -> Value {
    let output = egret(arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// The example of `pycocotools`, through files and the command.
#[test]
fn stored_results_to_the_digits() {
    let Some(data) = data() else { return };
    let folder = format!("{data}/images/cocoapi_fake");
    let results = format!("{folder}/instances_val2014_fakebbox100_results.json");
    let annotations = format!("{folder}/instances_val2014_100.json");
    let report = report(&["--results", &results, "--annotations", &annotations, "--results-only", "--json"]);
    assert_eq!(report["images"], 99);
    let total = &report["rows"][0]["evaluation"]["total"];
    for (name, value) in [("ap", 0.506_985_225), ("ap50", 0.699_377_251), ("ap_large", 0.501_397_899), ("ar100", 0.597_733_935)] {
        assert!((total[name].as_f64().unwrap() - value).abs() < 1e-9, "{name}: {}", total[name]);
    }
}

/// YOLOX-nano on 64 annotated pictures: 0.4125 and 0.6130 with the published pre-processing of the same files.
#[test]
fn yolox_nano_on_coco128() {
    let Some(data) = data() else { return };
    let (model, folder) = (format!("{data}/models/yolox_nano.onnx"), format!("{data}/images/coco128_a"));
    let annotations = format!("{folder}/instances.json");
    let report = report(&["--model", &model, "--images", &format!("{folder}/images"), "--annotations", &annotations, "--json"]);
    assert_eq!((&report["images"], &report["left_out"]["annotated"]), (&64.into(), &serde_json::json!([])));
    let total = &report["rows"][0]["evaluation"]["total"];
    println!("yolox_nano on coco128_a: AP {}, AP50 {}, by {}", total["ap"], total["ap50"], report["rows"][0]["runtime"]);
    let (ap, ap50) = (total["ap"].as_f64().unwrap(), total["ap50"].as_f64().unwrap());
    assert!((ap - 0.4125).abs() < 0.01 && (ap50 - 0.6130).abs() < 0.01, "AP {ap}, AP50 {ap50}");
}

#[test]
#[cfg(feature = "demo")]
fn the_gate_decides_the_exit_code_and_html_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let html = folder.path().join("worst.html");
    let street = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/street/street.onnx");
    let base = ["--model", "builtin:demo", "--model", street, "--scene", "1200100", "--frames", "1", "--cpu", "rten", "--gate"];
    let output = egret(&[&base[..], &["--html", html.to_str().unwrap()]].concat());
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("agreement with demo") && text.contains("passes"), "{text}");
    assert!(std::fs::read_to_string(&html).unwrap().ends_with("</body></html>\n"));
    // Boxes surer than anything is: nothing to compare, and so nothing that may pass.
    let output = egret(&[&base[..], &["--confidence", "1"]].concat());
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.code() == Some(1) && text.contains("nothing can be said"), "{text}");
}

/// A page is written whole, in place of nothing that is read, and nothing is left of one that could not be made.
#[test]
fn a_page_costs_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let street = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/street/street.onnx");
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (model, page) = (at("mine.onnx"), at("page.html"));
    std::fs::copy(street, &model).unwrap();
    std::fs::write(&page, "the last one").unwrap();
    let told = |model: &str, html: &str| {
        let output = egret(&["--model", model, "--images", &at(""), "--html", html]);
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap()
    };
    let text = told(&model, &model);
    assert!(text.contains("mine.onnx: it is read, and --html would write over it"), "{text}");
    assert_eq!(std::fs::read(&model).unwrap(), std::fs::read(street).unwrap());
    told(&at("none.onnx"), &page);
    assert_eq!(std::fs::read_to_string(&page).unwrap(), "the last one");
    told(&at("none.onnx"), &at("new.html"));
    assert!(!folder.path().join("new.html").exists());
    let text = told(&model, &at("nowhere/page.html"));
    assert!(text.contains("nowhere is no folder yet"), "{text}");
}

/// Where ONNX Runtime comes in a package that reports to its maker, it does not.
#[test]
fn the_runtime_reports_to_nobody() {
    let home = tempfile::tempdir().unwrap();
    let street = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/street/street.onnx");
    let mut command = Command::new(env!("CARGO_BIN_EXE_egret"));
    command.args(["eval", "--model", street, "--scene", "1200100", "--frames", "1"]);
    // As a person starts it, who has set nothing.
    let output = command.env_remove("ORT_DISABLE_TELEMETRY").env("HOME", home.path()).env("TMPDIR", home.path()).output();
    let output = output.expect("egret starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let left: Vec<_> = std::fs::read_dir(home.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn what_is_wrong_is_said_in_one_line() {
    let output = egret(&["--model", "/nowhere/a.onnx", "--images", "/nowhere", "--annotations", "/nowhere/i.json"]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text.trim(), "egret: /nowhere/i.json: No such file or directory (os error 2); check the path and the permissions");
}
