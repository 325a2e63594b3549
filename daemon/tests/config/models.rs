//! What `egret check`, `egret model inspect`, `add` and `fp16` say of networks and manifests that cannot be right.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use egret_models::onnx::edit::{Model, Node, Tensor};
use serde_json::Value;
use tempfile::TempDir;

fn street() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/street/street.onnx")
}

struct Bench {
    folder: TempDir,
}

impl Bench {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        path
    }

    /// The street detector, changed.
    fn network(&self, name: &str, change: impl FnOnce(&mut Model)) -> PathBuf {
        let mut model = Model::read(&fs::read(street()).unwrap()).unwrap();
        change(&mut model);
        self.write(name, model.write())
    }

    /// Its manifest, about another file and another checksum.
    fn manifest(&self, name: &str, file: &str) -> PathBuf {
        let text = fs::read_to_string(street().with_file_name("model.toml")).unwrap();
        let text = text.lines().filter(|line| !line.starts_with("sha256")).collect::<Vec<_>>().join("\n");
        self.write(name, text.replace("street.onnx", file))
    }

    fn run(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let Output { status, stdout, stderr } = Command::new(env!("CARGO_BIN_EXE_egret"))
            .args(arguments)
            .env("STATE_DIRECTORY", self.path("state"))
            .output()
            .unwrap();
        let said = String::from_utf8([stdout, stderr].concat()).unwrap();
        assert!(egret_models::text::is_plain(&said.replace(['\n', '\t'], "")), "{said:?}");
        (status.code(), said)
    }

    /// `egret check` of a configuration with this model and what else is in it.
    fn check(&self, network: &Path, more: &str) -> (Option<i32>, String) {
        let text = format!("[[model]]\nname = \"street\"\nfile = {:?}\n{more}", network.to_str().unwrap());
        let config = self.write("egret.conf.toml", text);
        self.run(&["check", "--config", config.to_str().unwrap()])
    }
}

const CAMERA: &str = "[[camera]]\nname = \"door\"\nurl = \"rtsp://cam/1\"\n";

#[test]
fn check_knows_the_classes_of_the_model_files() {
    let bench = Bench::new();
    let (code, said) = bench.check(&street(), CAMERA);
    assert_eq!((code, said.as_str()), (Some(0), "ok: 1 camera, 1 model\n"));
    let rule = "[[camera.rule]]\nname = \"z\"\nkind = \"occupancy\"\nmin_count = 2\nzone = [[0.1, 0.1], [0.9, 0.1], [0.5, 0.9]]\nclasses = [\"persn\"]\n";
    let step = "[[model]]\nname = \"plate\"\non = \"tracks\"\nof_classes = [\"truck\", \"cars\"]\n";
    let step = format!("{step}file = {:?}\n", street().to_str().unwrap());
    for (more, words) in [
        (
            format!("{CAMERA}classes = [\"person\", \"bycicle\"]\n"),
            vec!["camera.door.classes", "\"bycicle\"", "did you mean \"bicycle\"?", ".toml:7:"],
        ),
        (format!("{CAMERA}{rule}"), vec!["camera.door.rule.z.classes", "\"persn\"", "did you mean \"person\"?"]),
        (format!("{CAMERA}classes = [\"truck\"]\n"), vec!["\"truck\"", "it knows person, bicycle, car"]),
        (format!("{step}{CAMERA}"), vec!["model.plate.of_classes", "\"truck\"", "\"cars\"", "did you mean \"car\"?"]),
        (format!("class_confidence = [\"bus=0.5\"]\n{CAMERA}"), vec!["no class \"bus\"", "it knows person"]),
    ] {
        let (code, said) = bench.check(&street(), &more);
        assert_eq!(code, Some(78), "{said}");
        assert!(words.iter().all(|word| said.contains(word)), "{words:?}: {said}");
    }
    // The configuration's own names count before those of the file; what is no file has names too.
    let own = format!("classes = [\"a\", \"b\", \"c\"]\n{CAMERA}classes = [\"person\"]\n");
    assert!(bench.check(&street(), &own).1.contains("it knows a, b, c"));
    for (builtin, known) in [("demo", "it knows person, bicycle, car"), ("null", "did you mean \"chair\"?")] {
        let text = format!("[[model]]\nname = \"m\"\nbuiltin = \"{builtin}\"\n{CAMERA}classes = [\"chairs\"]\n");
        let config = bench.write("builtin.toml", text);
        let (code, said) = bench.run(&["check", "--config", config.to_str().unwrap()]);
        assert!(code == Some(78) && said.contains(known), "{said}");
    }
}

#[test]
fn check_and_inspect_refuse_what_no_runtime_could_run() {
    let bench = Bench::new();
    let first = |model: &Model| model.graph.nodes.iter().position(|node| node.op == "Conv").unwrap();
    let weights = |model: &mut Model, value: f32| {
        let name = model.graph.nodes[first(model)].inputs[1].clone();
        let tensor = model.graph.initializers.iter_mut().find(|tensor| tensor.name == name).unwrap();
        let mut values = tensor.as_floats().unwrap();
        values[7] = value;
        *tensor = Tensor::floats(&name, &tensor.dims.clone(), &values);
    };
    let circle = |model: &mut Model| {
        let (at, output) = (first(model), model.graph.outputs[0].name.clone());
        let image = model.graph.nodes[at].inputs[0].clone();
        model.graph.nodes[at].inputs[0] = "round".into();
        model.graph.nodes.insert(at, Node::new("Concat", "again", &[&image, &output], &["round"]).with_int("axis", 1));
    };
    let files = [
        (bench.network("circle.onnx", circle), "node `again` (Concat) needs its own output", "onnx.checker"),
        (bench.network("nan.onnx", |model| weights(model, f32::NAN)), "holds 1 times NaN", "earlier checkpoint"),
        (bench.network("inf.onnx", |model| weights(model, f32::INFINITY)), "holds 1 times infinity", "earlier checkpoint"),
        (bench.network("new.onnx", |model| model.opsets[0].1 = 99), "its operator set is 99", "opset_version=17"),
        (
            bench.network("plugin.onnx", |model| model.graph.nodes[3].domain = "acme".into()),
            "of the domain `acme`, which ONNX does not define",
            "without its plugin",
        ),
        (
            bench.network("op.onnx", |model| model.graph.nodes[3].op = "Rleu".into()),
            "is a `Rleu`, which ONNX does not define",
            "plugins",
        ),
    ];
    for (file, reason, remedy) in &files {
        let name = file.file_name().unwrap().to_str().unwrap();
        let (code, said) = bench.check(file, CAMERA);
        assert_eq!(code, Some(78), "{said}");
        assert!(said.contains(name) && said.contains(reason) && said.contains(remedy), "{name}: {said}");
        let (code, said) = bench.run(&["model", "inspect", file.to_str().unwrap()]);
        assert_eq!(code, Some(i32::from(name != "plugin.onnx")), "{name}: {said}");
        assert!(said.contains(reason) && said.contains(remedy), "{name}: {said}");
        let (code, said) = bench.run(&["model", "add", file.to_str().unwrap()]);
        assert_eq!(code, Some(i32::from(name != "plugin.onnx")), "{name}: {said}");
    }
    let report: Value =
        serde_json::from_str(&bench.run(&["model", "inspect", "--json", files[1].0.to_str().unwrap()]).1).unwrap();
    assert!(report["unsound"]["problem"].as_str().unwrap().contains("NaN"), "{report}");
    // Nothing is written of what cannot be run.
    let out = bench.path("half.onnx");
    for (file, reason, remedy) in &files {
        let name = file.file_name().unwrap().to_str().unwrap();
        let (code, said) = bench.run(&["model", "fp16", file.to_str().unwrap(), "-o", out.to_str().unwrap()]);
        let words = [name, reason, remedy];
        assert!(name == "plugin.onnx" || code == Some(1) && words.iter().all(|word| said.contains(word)), "{said}");
    }
    assert!(!out.exists() && !bench.path("model.toml").exists());
}

#[test]
fn a_manifest_about_another_file_is_told_and_one_of_the_files_own_name_is_found() {
    let bench = Bench::new();
    let network = bench.network("net.onnx", |_| {});
    let file = network.to_str().unwrap();
    bench.manifest("model.toml", "other.onnx");
    for command in [&["model", "inspect", file][..], &["model", "add", file, "--name", "a"]] {
        let (code, said) = bench.run(command);
        assert!(code == Some(0) && said.contains("model.toml is about `other.onnx` and not about this file"), "{said}");
    }
    let (code, said) = bench.check(&network, CAMERA);
    assert!(code == Some(0) && said.contains("advice: ") && said.contains("model.toml is about `other.onnx`"), "{said}");
    let report: Value = serde_json::from_str(&bench.run(&["model", "inspect", "--json", file]).1).unwrap();
    assert_eq!((report["not_read"][0]["about"].as_str(), &report["manifest_beside"]), (Some("other.onnx"), &Value::Null));
    // Written, it takes no other file's place: it stands beside it under its own name, and is found there by everything.
    let (_, said) = bench.run(&["model", "inspect", file, "--write"]);
    assert!(said.contains("net.toml") && fs::read_to_string(bench.path("model.toml")).unwrap().contains("other.onnx"), "{said}");
    let own = fs::read_to_string(bench.path("net.toml")).unwrap();
    bench.write("net.toml", own.replace("height = 256", "height = 288"));
    for (command, code) in [(&["model", "inspect", file][..], 1), (&["model", "add", file, "--name", "b"], 1)] {
        let (found, said) = bench.run(command);
        assert!(found == Some(code) && said.contains("input.height = 288"), "{said}");
    }
    let (code, said) = bench.check(&network, CAMERA);
    assert!(code == Some(78) && said.contains("net.toml: input.height = 288"), "{said}");
    // The name is right and the bytes are others.
    bench.write("net.toml", own.replace("sha256 = \"", "sha256 = \"0000").replace("0000unknown", "unknown"));
    let other =
        own.lines().map(|line| if line.starts_with("sha256") { format!("sha256 = \"{}\"", "0".repeat(64)) } else { line.into() });
    bench.write("net.toml", other.collect::<Vec<_>>().join("\n"));
    let (code, said) = bench.run(&["model", "inspect", file]);
    assert!(
        code == Some(1) && said.contains("net.toml beside it CONTRADICTS it: sha256 = 0000") && said.contains("has another one"),
        "{said}"
    );
    // Something else that is only called so.
    bench.write("net.toml", "device = \"site\"\n");
    let (code, said) = bench.run(&["model", "inspect", file]);
    assert!(code == Some(0) && said.contains("net.toml is no manifest"), "{said}");
    assert!(bench.run(&["model", "inspect", file, "--write", "--force"]).1.contains("is not written over"));
}

#[test]
fn names_that_cannot_be_taken_are_told() {
    let bench = Bench::new();
    for (names, words) in [
        ("person,car", ["lists 2 classes, but its outputs have 3", "the classes are numbered"]),
        ("{0: 'person', 2: 'car'}", ["cannot be read: class 1 is missing", "the classes are numbered"]),
        ("{0: 'per\u{1b}[31mson'}", ["cannot be read: ", "\\\\u{1b}[31mson"]),
    ] {
        let network = bench.network("net.onnx", |model| model.set_property("names", names));
        let (code, said) = bench.run(&["model", "inspect", network.to_str().unwrap()]);
        // Long assumptions are wrapped.
        let joined = said.replace("\n# ", " ");
        assert!(code == Some(0) && words.iter().all(|word| joined.contains(word)), "{said}");
        let (_, said) = bench.run(&["model", "add", network.to_str().unwrap(), "--replace"]);
        assert!(said.contains("assumed, classes.count: ") && said.contains(words[1]), "{said}");
        let (code, said) = bench.check(&network, CAMERA);
        assert!(code == Some(78) && said.contains("has 3 classes, but 0 class names are configured"), "{said}");
    }
}

#[test]
fn nothing_in_a_file_moves_the_cursor() {
    let bench = Bench::new();
    let evil = "n\u{1b}]0;pwned\u{7}\u{9b}2J\u{202e}";
    let network = bench.network("net.onnx", |model| {
        for node in &mut model.graph.nodes {
            node.name = format!("{evil}{}", node.name);
            node.inputs.iter_mut().filter(|input| *input == "images").for_each(|input| *input = evil.into());
        }
        model.graph.inputs[0].name = evil.into();
        model.set_property(evil, evil);
    });
    let file = network.to_str().unwrap();
    let (code, said) = bench.run(&["model", "inspect", file]);
    assert!(code == Some(0) && said.contains("# input: `n\\u{1b}]0;pwned"), "{said}");
    egret_models::manifest::Manifest::parse(&said).expect("a manifest all the same");
    bench.run(&["model", "inspect", file, "--json"]);
    let (code, said) = bench.run(&["model", "inspect", file, "--write"]);
    assert_eq!(code, Some(0), "{said}");
    let manifest = fs::read_to_string(bench.path("model.toml")).unwrap();
    bench.write("model.toml", manifest.replace("height = 256", "height = 288"));
    assert_eq!(bench.run(&["model", "inspect", file]).0, Some(1));
    assert_eq!(bench.check(&network, CAMERA).0, Some(78));
    // A node whose name is told with what is wrong with it, and a class name.
    let broken = bench.network("broken.onnx", |model| {
        model.graph.nodes[3].op = evil.into();
        model.graph.nodes[3].name = evil.into();
    });
    assert!(bench.check(&broken, CAMERA).1.contains("\\u{9b}2J"));
    let (code, said) = bench.check(&street(), &format!("classes = [\"a\", \"b\\u001b\", \"c\"]\n{CAMERA}"));
    assert!(code == Some(78) && said.contains("b\\u{1b} holds control characters"), "{said}");
    let named = bench.path("broken.toml");
    fs::write(&named, manifest.replace("[\"person\", \"bicycle\", \"car\"]", "[\"a\", \"b\\u001b\", \"c\"]")).unwrap();
    let (code, said) = bench.run(&["model", "add", file, "--manifest", named.to_str().unwrap()]);
    assert!(code == Some(1) && said.contains("classes.names = b\\u{1b}"), "{said}");
}
