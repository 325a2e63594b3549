//! The manifest of the demo's detector against its graph.

use super::*;

const STREET: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/street");

#[test]
fn the_street_detector_is_what_its_manifest_says() {
    let text = std::fs::read_to_string(format!("{STREET}/model.toml")).unwrap();
    let manifest = Manifest::parse(&text).unwrap_or_else(|problems| panic!("{problems:#?}"));
    let bytes = std::fs::read(format!("{STREET}/{}", manifest.card.file)).unwrap();
    let model = onnx::read(&bytes).unwrap();
    assert_eq!(manifest.contradictions(&model), []);
    assert_eq!(manifest.spec.classes, model.class_names().unwrap());
    // What is told from the graph alone differs from what its authors know in nothing that matters.
    let recognised = recognise(&model, "street.onnx").unwrap().manifest;
    assert_eq!((recognised.spec.input, recognised.spec.outputs), (manifest.spec.input, manifest.spec.outputs));
    let readme = std::fs::read_to_string(format!("{STREET}/README.md")).unwrap();
    assert!(readme.contains(&manifest.card.sha256.to_string()), "the checksum of the README");
    assert!(readme.contains(&format!("**{}**", manifest.spec.confidence)), "the confidence of the README");
}
