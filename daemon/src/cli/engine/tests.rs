//! The commands as far as they go without TensorRT; with its doubles, in `doubles_tests`.

use std::{fs, path::Path};

use crate::cli::refused;

#[test]
fn without_a_configuration_the_defaults_do() {
    if Path::new(crate::config::DEFAULT_FILE).exists() {
        eprintln!("SKIPPED: a configuration is installed here");
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let place = super::args::Place { engines: Some(folder.path().to_owned()), ..super::args::Place::default() };
    let config = place.config().unwrap_or_else(|problems| panic!("{problems:?}"));
    assert!(config.models.is_empty());
    let named = super::args::Place { config: Some(folder.path().join("nowhere.toml")), ..place };
    assert!(named.config().is_err(), "one that is named must be there");
}

#[test]
fn without_tensorrt_each_ends_with_one_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let (config, engines) = (folder.path().join("egret.toml"), folder.path().join("engines"));
    fs::create_dir(&engines).expect("a folder");
    fs::write(&config, "device = \"test\"\n[mqtt]\nurl = \"mqtt://localhost\"\n[[model]]\nname = \"a\"\nbuiltin = \"null\"\n")
        .expect("written");
    let street = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/street/street.onnx");
    let place = format!("--config {} --engines {} --tensorrt {}", config.display(), engines.display(), folder.path().display());
    let street = street.display();
    for command in [format!("build {street}"), "list".into(), "prune".into()] {
        let line = refused(&format!("engine {command} {place}"));
        assert!(line.contains("TensorRT") && line.lines().count() == 1, "{command}: {line}");
    }
    let unknown = refused(&format!("engine inspect nothing {place}"));
    assert!(unknown.contains("no engine `nothing`") && unknown.contains("egret engine list"), "{unknown}");
    fs::write(engines.join("aaaabbbb.json"), "no manifest").expect("written");
    let unreadable = refused(&format!("engine inspect aaaa {place}"));
    assert!(unreadable.contains("engine aaaabbbb: ") && !unreadable.contains("no engine"), "{unreadable}");
    let file = refused(&format!("engine list --config {} --engines /dev/null", config.display()));
    assert!(file.contains("/dev/null: Not a directory"), "{file}");
    if cfg!(feature = "tensorrt") {
        let nowhere = refused(&format!("engine build {street} --config {} --tensorrt /nowhere", config.display()));
        assert!(nowhere.contains("--tensorrt /nowhere: there is no such folder"), "{nowhere}");
    }
    let missing = refused(&format!("engine list --config {} --engines /nowhere/engines", config.display()));
    assert!(missing.contains("/nowhere/engines"), "{missing}");
    for wrong in
        ["engine build --level 6", "engine build --gpu-fallback", "engine build --dla 0 --version-compatible", "engine bench"]
    {
        assert!(refused(wrong).contains("--") || refused(wrong).contains("required"), "{wrong}");
    }
}
