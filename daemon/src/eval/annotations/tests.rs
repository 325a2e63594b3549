use std::fs;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

const GOOD: &str = r#"{"info": {"x": [1, {"y": 2}]},
    "images": [{"id": 9, "file_name": "b.jpg", "width": 640, "height": 480}, {"id": 4, "file_name": "a.jpg"}],
    "categories": [{"id": 18, "name": "dog"}, {"id": 1, "name": "person"}],
    "annotations": [
        {"id": 1, "image_id": 9, "category_id": 18, "bbox": [1, 2, 3.5, 4], "area": 7.5, "iscrowd": 0, "segmentation": [[1, 2]]},
        {"id": 2, "image_id": 4, "category_id": 1, "bbox": [0, 0, 10, 10], "iscrowd": 1, "segmentation": {"counts": "ab", "size": [1, 2]}},
        {"id": 3, "image_id": 5, "category_id": 1, "bbox": [0, 0, 1, 1]},
        {"id": 4, "image_id": 4, "category_id": 2, "bbox": [0, 0, 1, 1]}]}"#;

fn read(text: &str) -> Result<Annotations, String> {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("instances.json");
    fs::write(&path, text).unwrap();
    Annotations::read(&path).map_err(|error| error.to_string())
}

#[test]
fn pictures_and_categories_come_by_ascending_id() {
    let annotations = read(GOOD).unwrap();
    assert_eq!(annotations.categories, ["person", "dog"]);
    let [a, b] = &annotations.images[..] else { panic!("two images") };
    assert_eq!((a.id, a.name.as_str(), a.size), (4, "a.jpg", None));
    assert_eq!((b.name.as_str(), b.size), ("b.jpg", Some((640, 480))));
    assert_eq!(b.objects, [Labelled { category: 1, bbox: [1.0, 2.0, 3.5, 4.0], area: 7.5, crowd: false, ignore: false }]);
    assert_eq!(a.objects, [Labelled { category: 0, bbox: [0.0, 0.0, 10.0, 10.0], area: 100.0, crowd: true, ignore: false }]);
    assert_eq!(annotations.notes.len(), 2, "{:?}", annotations.notes);
}

#[test]
fn what_is_wrong_is_named_with_what_to_do() {
    let cases = [
        (GOOD.replace("\"id\": 9", "\"id\": 4"), "two images have the id 4"),
        (GOOD.replace("\"id\": 18", "\"id\": 1"), "two categories have the id 1"),
        (GOOD.replace("\"dog\"", "\"person\""), "two categories have the name \"person\""),
        (GOOD.replace("[0, 0, 10, 10]", "[0, 0, -10, 10]"), "annotation 1 (of image 4) has the bbox [0, 0, -10, 10]"),
        (GOOD.replace("[0, 0, 10, 10]", "[0, 0, 1e9, 10]"), "annotation 1"),
        (GOOD.replace("[0, 0, 10, 10]", "[0, 0, 1e999, 10]"), "number out of range"),
        (GOOD.replace("[0, 0, 10, 10]", "[0, 0]"), "invalid length 2"),
        (GOOD.replace("\"images\"", "\"pictures\""), "missing field `images`"),
        (GOOD[..GOOD.len() / 2].to_owned(), "EOF while parsing"),
        (format!("{}{}", "[".repeat(100_000), "]".repeat(100_000)), "invalid type"),
        (GOOD.replace("[1, {\"y\": 2}]", &"[".repeat(100_000)), "column"),
        (String::new(), "EOF while parsing"),
        ("[]".to_owned(), "invalid length 0"),
    ];
    for (text, said) in cases {
        let error = read(&text).unwrap_err();
        assert!(error.contains(said) && error.contains(REMEDY), "{said}: {error}");
    }
    let nowhere = Annotations::read(Path::new("/nowhere/instances.json")).unwrap_err().to_string();
    assert!(nowhere.contains("No such file"), "{nowhere}");
    assert!(Annotations::read(Path::new("/dev/zero")).unwrap_err().to_string().contains("not a regular file"));
}

#[test]
fn lists_without_end_are_refused_where_they_get_too_long() {
    let error = serde_json::from_str::<Bounded<u8, 3>>("[1,2,3,4,").unwrap_err().to_string();
    assert!(error.contains("more than 3 entries"), "{error}");
    assert_eq!(serde_json::from_str::<Bounded<u8, 3>>("[1,2,3]").unwrap().0, [1, 2, 3]);
}

#[test]
fn results_go_with_their_annotations() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("results.json");
    let text = r#"[{"image_id": 9, "category_id": 18, "bbox": [1, 2, 3, 4], "score": 0.5},
        {"image_id": 9, "category_id": 3, "bbox": [1, 2, 3, 4], "score": 0.5},
        {"image_id": 8, "category_id": 18, "bbox": [1, 2, 3, 4], "score": 0.5}]"#;
    fs::write(&path, text).unwrap();
    let mut annotations = read(GOOD).unwrap();
    let (found, notes) = results(&path, &annotations).unwrap();
    assert_eq!(found, [Found { image: 9, category: 1, bbox: [1.0, 2.0, 3.0, 4.0], score: 0.5 }]);
    assert_eq!(notes.len(), 2);
    annotations.only(&found.iter().map(|found| found.image).collect());
    assert_eq!(annotations.images.iter().map(|image| image.id).collect::<Vec<_>>(), [9]);
    fs::write(&path, r#"{"annotations": []}"#).unwrap();
    assert!(results(&path, &annotations).unwrap_err().to_string().contains(RESULTS_REMEDY));
}

#[test]
fn names_lead_nowhere_but_into_the_folder() {
    let folder = Path::new("/data");
    assert_eq!(path_in(folder, "train/a.jpg"), Some(PathBuf::from("/data/train/a.jpg")));
    for name in ["", "../secret", "/etc/passwd", "a/../../b"] {
        assert_eq!(path_in(folder, name), None, "{name}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_damage_makes_it_panic(at in 0..GOOD.len(), byte in any::<u8>(), cut in 0..GOOD.len()) {
        let mut bytes = GOOD.as_bytes().to_vec();
        bytes[at] = byte;
        let _ = read(&String::from_utf8_lossy(&bytes));
        let _ = read(&GOOD[..cut]);
    }
}
