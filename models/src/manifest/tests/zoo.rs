//! The manifests that ship: the catalogue, and that of the demo's detector against its graph.

use super::*;
use crate::zoo::{self, CATALOGUE};

const STREET: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/street");

#[test]
fn the_street_detector_is_what_its_manifest_says() {
    let text = std::fs::read_to_string(format!("{STREET}/model.toml")).unwrap();
    let manifest = Manifest::parse(&text).unwrap_or_else(|problems| panic!("{problems:#?}"));
    let bytes = std::fs::read(format!("{STREET}/{}", manifest.card.file)).unwrap();
    let model = onnx::read(&bytes).unwrap();
    assert_eq!(manifest.contradictions(&model), []);
    assert_eq!(Some(manifest.spec.classes), class_names(&model).unwrap());
    // What is told from the graph alone differs from what its authors know in nothing that matters.
    let recognised = recognise(&model, "street.onnx").unwrap().manifest;
    assert_eq!((recognised.spec.input, recognised.spec.outputs), (manifest.spec.input, manifest.spec.outputs));
    let readme = std::fs::read_to_string(format!("{STREET}/README.md")).unwrap();
    assert!(readme.contains(&manifest.card.sha256.to_string()), "the checksum of the README");
    assert!(readme.contains(&format!("**{}**", manifest.spec.confidence)), "the confidence of the README");
}

#[test]
fn every_manifest_of_the_catalogue_is_good() {
    for (name, text) in CATALOGUE {
        let manifest = zoo::manifest(name).unwrap_or_else(|error| panic!("{error}"));
        let card = &manifest.card;
        assert_eq!(card.name, *name);
        assert!(card.license.is_some() && card.source.is_some() && card.description.is_some(), "{name}");
        // What cannot be pulled says how to come by it.
        assert!(card.url.is_some() != card.export.is_some(), "{name}");
        assert!(card.url.iter().all(|url| url.starts_with("https://")), "{name}");
        // No weights of them were ever here.
        assert_eq!(card.sha256, Digest::Unknown, "{name}");
        assert_eq!(Manifest::parse(&manifest.to_toml()).as_ref(), Ok(&manifest), "{name}");
        assert_eq!(zoo::text(name), Some(*text));
    }
    assert!(CATALOGUE.is_sorted_by_key(|(name, _)| *name));
    let folders = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/zoo")).unwrap().count();
    assert_eq!(CATALOGUE.len(), folders, "a manifest of models/zoo is not built in");
    assert!(zoo::manifest("yolo").unwrap_err().to_string().contains("yolox_nano"));
}

/// The networks of the shared data are shaped as the catalogue says of their families; whether they are the published files is
/// not known, and not claimed.
#[test]
fn networks_of_the_shared_data_agree_with_the_catalogue() {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data");
    let data = std::env::var("EGRET_TEST_DATA").unwrap_or_else(|_| default.into());
    for (name, file) in [("yolox_nano", "yolox_nano.onnx"), ("osnet_x0_25", "osnet_x0_25_msmt17.onnx")] {
        let Ok(bytes) = std::fs::read(format!("{data}/models/{file}")) else {
            eprintln!("SKIPPED: no models/{file} under {data} (set EGRET_TEST_DATA)");
            continue;
        };
        let model = onnx::read(&bytes).unwrap();
        let manifest = zoo::manifest(name).unwrap();
        assert_eq!(manifest.contradictions(&model), []);
        let recognised = recognise(&model, file).unwrap().manifest.spec;
        assert_eq!((&recognised.input, &recognised.outputs), (&manifest.spec.input, &manifest.spec.outputs), "{name}");
        assert_eq!(recognised.classes, manifest.spec.classes);
    }
}
