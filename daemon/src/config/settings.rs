//! What is set and where, without secrets: for those who are asked for help.

use super::{
    Origin, Sources, assemble,
    ledger::{Ledger, Place},
};

/// A key that is set somewhere.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Setting {
    /// Key path, e.g. `camera.door.url`.
    pub key: String,
    /// The value as written; `***` where it is a secret or may hold one.
    pub value: String,
    /// Where the value that counts was written.
    #[serde(flatten)]
    pub origin: Origin,
}

/// Every key that a source sets, by its path. Defaults are left out, and so are comments.
pub fn settings(sources: &Sources) -> Vec<Setting> {
    let mut ledger = Ledger::default();
    assemble(sources, &mut ledger);
    let mut places: Vec<_> = ledger.places().collect();
    places.sort_by_key(|(key, _)| *key);
    let table = |index: usize, key: &str| {
        places.get(index + 1).is_some_and(|(next, _)| next.strip_prefix(key).is_some_and(|rest| rest.starts_with('.')))
    };
    let told = |(index, (key, place)): (usize, &(&str, &Place))| {
        let value = place.shown.clone().unwrap_or_else(|| "***".to_owned());
        (!table(index, key)).then(|| Setting { key: (*key).to_owned(), value, origin: ledger.origin(&place.spot) })
    };
    places.iter().enumerate().filter_map(told).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_is_set_is_told_but_no_secret_and_no_comment() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("egret.toml");
        let text = r#"
            device = "gate-1" # the old password was hunter1
            [mqtt]
            url = "mqtt://egret:hunter2@broker:1883"
            [[camera]]
            name = "door"
            url = "rtsp://10.0.0.1/s?password=hunter3"
            username = "viewer"
            password = "hunter4"
            [model]
            hunter5
        "#;
        fs::write(&file, text).unwrap();
        let sources = Sources { file: Some(file.clone()), checking: true, ..Sources::default() };
        let found = settings(&sources);
        let told = serde_json::to_string(&found).unwrap();
        assert!(!told.contains("hunter"), "{told}");
        let value = |key: &str| found.iter().find(|setting| setting.key == key).map(|setting| setting.value.as_str());
        assert_eq!(value("device"), Some("\"gate-1\""));
        assert_eq!(value("camera.door.username"), Some("\"viewer\""));
        assert_eq!(value("camera.door.password"), Some("***"));
        assert_eq!(value("camera.door"), None, "a table is no key");
        let device = found.iter().find(|setting| setting.key == "device").unwrap();
        assert!(matches!(&device.origin, Origin::File { path, line: Some(2), .. } if *path == file), "{device:?}");
    }
}
