//! `egret model` as a person runs it: the binary, a store in a temporary folder, the demo's network.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;

fn street() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/street/street.onnx")
}

struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder") }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_egret"));
        command.arg("model").args(arguments);
        if arguments[0] != "inspect" {
            command.arg("--store").arg(self.path("store"));
        }
        command.output().expect("egret runs")
    }

    /// Standard output of a command that succeeds.
    fn good(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    /// Both outputs of a command that fails.
    fn bad(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        String::from_utf8([output.stdout, output.stderr].concat()).expect("UTF-8")
    }

    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.good(&[arguments, &["--json"]].concat())).expect("JSON")
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

#[test]
fn inspect_writes_a_manifest_that_is_good() {
    let bench = Bench::new();
    let file = bench.path("net.onnx");
    fs::copy(street(), &file).expect("copied");
    let said = bench.good(&["inspect", text(&file), "--write"]);
    assert!(said.contains("family: YOLOX") && said.contains("ASSUMED"), "{said}");
    let written = fs::read_to_string(bench.path("model.toml")).expect("the manifest");
    let manifest = egret_models::manifest::Manifest::parse(&written).expect("a good one");
    assert_eq!((manifest.card.name.as_str(), manifest.spec.classes.len()), ("net", 3));
    assert!(bench.bad(&["inspect", text(&file), "--write"]).contains("--force"));
    let report = bench.json(&["inspect", text(&file)]);
    assert_eq!(report["manifest_beside"]["contradictions"], serde_json::json!([]));
    assert_eq!(report["inputs"][0], "`images` f32[?,3,256,448]");
    // The output as a whole is a manifest too.
    egret_models::manifest::Manifest::parse(&bench.good(&["inspect", text(&file)])).expect("TOML");
    fs::write(bench.path("model.toml"), written.replace("height = 256", "height = 288")).expect("written");
    assert!(bench.bad(&["inspect", text(&file)]).contains("CONTRADICTS it: input.height = 288"));
}

#[test]
fn other_files_are_refused_by_what_they_are() {
    let bench = Bench::new();
    for (name, content, word) in [
        ("net.pt", &b"PK\x03\x04....archive/data.pkl"[..], "torch.onnx.export"),
        ("net.etlt", b"\x12\x34\x56\x78 encrypted \xff\xfe", "encrypted TAO network"),
        ("net.engine", b"ftrt\0\0\0\0", "runs only on the machine that built it"),
        ("net.weights", b"\0\0\0\0\x02\0\0\0\x05\0\0\0", ".cfg"),
        ("net.tflite", b"\x1c\0\0\0TFL3....", "tf2onnx"),
        ("net.onnx", b"\x08\x07\x3a\xff\xff\xff\x7f", "truncated or damaged"),
    ] {
        let file = bench.path(name);
        fs::write(&file, content).expect("written");
        let said = bench.bad(&["inspect", text(&file)]);
        assert!(said.contains(name) && said.contains(word), "{said}");
        assert!(bench.bad(&["add", text(&file)]).contains(word));
    }
    assert!(bench.bad(&["inspect", text(&bench.path("nothing.onnx"))]).contains("check the path"));
    assert!(bench.bad(&["inspect", text(bench.folder.path())]).contains("a directory"));
}

#[test]
fn a_store_takes_lists_and_verifies() {
    let bench = Bench::new();
    for command in ["list", "verify"] {
        assert!(bench.bad(&[command]).contains("there is no such store"), "{command}");
    }
    let added = bench.good(&["add", text(&street())]);
    assert!(added.contains("added") && !added.contains("pinned"), "{added}");
    assert!(bench.bad(&["add", text(&street())]).contains("--replace"));
    bench.good(&["add", text(&street()), "--replace"]);
    bench.good(&["add", text(&street()), "--name", "second"]);
    assert!(bench.bad(&["add", text(&street()), "--name", "../up"]).contains("--name ../up"));
    let list = bench.json(&["list"]);
    assert_eq!((list[0]["name"].as_str(), list[1]["name"].as_str()), (Some("second"), Some("street")));
    assert_eq!((list[0]["present"].as_bool(), list[1]["license"].as_str()), (Some(true), Some("Apache-2.0")));
    assert!(bench.good(&["list"]).contains("detect, yolox"));
    assert_eq!(bench.good(&["verify"]), "second: ok\nstreet: ok\n");
    // A byte that changed is noticed, and a file that is gone.
    let stored = bench.path("store/second/street.onnx");
    let mut bytes = fs::read(&stored).expect("the file");
    bytes[1_000_000] ^= 1;
    fs::write(&stored, bytes).expect("written");
    let said = bench.bad(&["verify", "second"]);
    assert!(said.contains("the manifest says 89f80e0f"), "{said}");
    fs::remove_file(&stored).expect("removed");
    assert!(bench.bad(&["verify"]).contains("street: ok"));
    assert!(bench.bad(&["verify", "third"]).contains("it has second, street"));
}

#[test]
fn a_file_without_a_manifest_gets_one_and_a_wrong_one_is_refused() {
    let bench = Bench::new();
    let file = bench.path("net.onnx");
    fs::copy(street(), &file).expect("copied");
    let said = bench.good(&["add", text(&file)]);
    assert!(said.contains("pinned") && said.contains("assumed, input.order"), "{said}");
    let said = bench.bad(&["add", text(&file), "--manifest", "yolox_nano"]);
    assert!(said.contains("problems") && said.contains("input.width = 416"), "{said}");
    assert!(bench.bad(&["add", text(&file), "--manifest", "nothing"]).contains("catalogue"));
    let manifest = bench.path("other.toml");
    let wrong = fs::read_to_string(street().with_file_name("model.toml")).expect("its manifest").replace("89f80e0f", "00000000");
    fs::write(&manifest, wrong).expect("written");
    assert!(bench.bad(&["add", text(&file), "--manifest", text(&manifest), "--name", "x"]).contains("SHA-256"));
}

#[test]
fn the_catalogue_is_there_without_a_network() {
    let bench = Bench::new();
    let catalogue = bench.json(&["list", "--catalogue"]);
    let nano = catalogue.as_array().expect("a list").iter().find(|model| model["name"] == "yolox_nano").expect("YOLOX");
    assert_eq!((nano["sha256"].as_str(), nano["license"].as_str()), (Some("unknown"), Some("Apache-2.0")));
    let said = bench.bad(&["pull", "peoplenet"]);
    assert!(said.contains("licence of peoplenet") && said.contains("egret model add FILE --manifest peoplenet"), "{said}");
    assert!(bench.bad(&["pull", "nothing"]).contains("egret model list --catalogue"));
}

#[test]
fn a_folder_that_cannot_be_read_is_no_folder_without_a_model() {
    let bench = Bench::new();
    bench.good(&["add", text(&street())]);
    // A manifest that is a directory, and one that is a FIFO, which nobody ever writes to.
    for name in ["one", "two"] {
        fs::create_dir(bench.path("store").join(name)).expect("a folder");
    }
    fs::create_dir(bench.path("store/one/model.toml")).expect("a folder");
    assert!(Command::new("mkfifo").arg(bench.path("store/two/model.toml")).status().expect("mkfifo runs").success());
    let said = bench.bad(&["verify"]);
    for line in ["one/model.toml: a directory", "street: ok", "two/model.toml: a FIFO, not a regular file"] {
        assert!(said.contains(line), "{said}");
    }
    let list = bench.good(&["list"]);
    assert_eq!(list.matches("it cannot be used").count(), 2, "{list}");
    // A folder that may not be looked into, where there are permissions at all.
    let locked = bench.path("store/three");
    fs::create_dir(&locked).expect("a folder");
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o000)).expect("a mode");
    if fs::read_dir(&locked).is_ok() {
        eprintln!("SKIPPED in part: root may read everything");
        return;
    }
    assert!(bench.bad(&["verify"]).contains("three/model.toml: Permission denied"));
}

#[test]
fn no_file_is_waited_for() {
    let bench = Bench::new();
    let fifo = bench.path("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().expect("mkfifo runs").success());
    fs::create_dir(bench.path("out")).expect("a folder");
    let (file, out) = (bench.path("net.onnx"), bench.path("out/int8.onnx"));
    fs::copy(street(), &file).expect("copied");
    let toml = bench.path("fifo.toml");
    fs::rename(&fifo, &toml).expect("renamed");
    assert!(bench.bad(&["add", text(&file), "--manifest", text(&toml)]).contains("fifo.toml: a FIFO, not a regular file"));
    assert!(bench.bad(&["inspect", text(&toml)]).contains("a FIFO"));
    bench.good(&["add", text(&file)]);
    let stored = bench.path("store/net/net.onnx");
    fs::remove_file(&stored).expect("removed");
    fs::rename(&toml, &stored).expect("renamed");
    assert!(bench.bad(&["verify"]).contains("net.onnx: a FIFO, not a regular file"));
    let output = Command::new(env!("CARGO_BIN_EXE_egret"))
        .args(["model", "quantize", text(&file), "--from", text(&stored), "--holdout", text(&stored), "-o", text(&out)])
        .output()
        .expect("egret runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && (said.contains("a FIFO") || said.contains("ONNX Runtime")), "{said}");
}

#[test]
fn a_checksum_that_is_not_the_files_is_told() {
    let bench = Bench::new();
    let file = bench.path("street.onnx");
    let manifest = fs::read_to_string(street().with_file_name("model.toml")).expect("its manifest");
    fs::copy(street(), &file).expect("copied");
    fs::write(bench.path("model.toml"), manifest.replace("89f80e0f", "00000000")).expect("written");
    let said = bench.bad(&["inspect", text(&file)]);
    assert!(said.contains("CONTRADICTS it: sha256 = 00000000") && said.contains("has another one: 89f80e0f"), "{said}");
}

#[test]
fn a_file_whose_name_no_manifest_can_give_is_to_be_renamed() {
    let bench = Bench::new();
    let file = bench.path("my net.onnx");
    fs::copy(street(), &file).expect("copied");
    for command in ["add", "inspect"] {
        let said = bench.bad(&[command, text(&file)]);
        assert!(said.contains("\"my net.onnx\"") && said.contains("rename the file"), "{said}");
    }
}

/// A converted file says which file it was made from: not one that the manifest is not about.
#[test]
fn what_the_manifest_is_not_about_is_not_converted() {
    let bench = Bench::new();
    let (file, out) = (bench.path("street.onnx"), bench.path("half.onnx"));
    let manifest = fs::read_to_string(street().with_file_name("model.toml")).expect("its manifest");
    fs::copy(street(), &file).expect("copied");
    fs::write(bench.path("model.toml"), manifest.replace("89f80e0f", "00000000")).expect("written");
    for convert in ["fp16", "quantize"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_egret"));
        let output = command
            .args(["model", convert, text(&file), "--from", "scene:400000", "-o", text(&out)])
            .output()
            .expect("egret runs");
        let said = String::from_utf8(output.stderr).expect("UTF-8");
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("street.onnx: its SHA-256 is 89f80e0f") && said.contains("correct its sha256"), "{said}");
    }
    assert!(!out.exists());
}

/// What can be known before any picture is looked at is told then.
#[test]
fn a_conversion_that_must_fail_does_not_begin() {
    let bench = Bench::new();
    let out = bench.path("int8.onnx");
    let tried = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_egret"));
        let output = command.arg("model").args(arguments).arg("-o").arg(&out).output().expect("egret runs");
        assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{arguments:?}");
        String::from_utf8(output.stderr).expect("UTF-8")
    };
    let street = street();
    for convert in ["quantize", "fp16"] {
        let of = |rest: &[&str]| tried(&[&[convert, text(&street), "--from"], rest].concat());
        assert!(of(&["."]).contains("0 pictures among the JPEG and PNG files"), "{convert}");
        let said = of(&[".", "--frames", "8"]);
        assert!(said.contains("give --frames 24 or more") && said.lines().count() == 1, "{said}");
        fs::write(&out, "precious").expect("written");
        assert!(of(&["."]).contains("int8.onnx exists already; give --force"), "{convert}");
        fs::remove_file(&out).expect("removed");
    }
}

#[test]
fn codes_are_in_the_help() {
    for command in
        [&["model", "--help"][..], &["model", "verify", "--help"], &["model", "quantize", "--help"], &["eval", "--help"]]
    {
        let output = Command::new(env!("CARGO_BIN_EXE_egret")).args(command).output().expect("egret runs");
        assert!(String::from_utf8_lossy(&output.stdout).contains("Exit codes: 0"), "{command:?}");
    }
}
