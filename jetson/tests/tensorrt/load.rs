//! Which library is loaded, and which is refused.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use egret_jetson::tensorrt::{
    Builder, Error, Library, Location, Runtime, Severity, Unusable, Version,
    doubles::{self, Double},
    installed,
};

use crate::{MAJORS, load};

fn at(folder: &Path) -> Location {
    Location { folder: Some(folder.to_owned()), ..Location::default() }
}

fn refused(location: &Location) -> Error {
    Library::load(location, |_, _| {}).expect_err("refused")
}

/// A folder with libraries under other names.
fn folder(links: &[(&str, PathBuf)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, target) in links {
        symlink(target, folder.path().join(name)).expect("linked");
    }
    folder
}

fn double(major: u32, library: &str) -> PathBuf {
    doubles::folder(major).join(format!("lib{library}.so.{major}"))
}

#[test]
fn none_at_all() {
    let empty = folder(&[]);
    assert_eq!(refused(&at(empty.path())), Error::Unusable(Unusable::Absent));
    assert_eq!(installed(Some(empty.path())), Err(Unusable::Absent));
}

#[test]
fn releases_before_and_after_those_that_are_known_are_refused_by_name() {
    let old = refused(&at(&doubles::folder(8)));
    assert_eq!(old.to_string(), "TensorRT 8.6.2 is installed, egret needs 10.3.0 or later: JetPack 6.1 or later has it");
    assert!(matches!(refused(&at(&doubles::folder(12))), Error::Unusable(Unusable::TooNew(version)) if version.major == 12));
    let double = Double::new(10).expect("the double");
    assert!(double.set("version", 100_200));
    assert!(matches!(refused(&double.location()), Error::Unusable(Unusable::TooOld(version)) if version.minor == 2));
    assert!(double.set("version", 100_300));
    assert_eq!(load(&double).version(), Version::OLDEST);
}

#[test]
fn a_library_under_the_name_of_another_major_is_not_called() {
    let _turns = MAJORS.map(|major| Double::new(major).expect("the double"));
    let swapped = folder(&[("libnvinfer.so.11", double(10, "nvinfer"))]);
    assert!(matches!(refused(&at(swapped.path())), Error::Unusable(Unusable::Broken { reason, .. }) if reason.contains("10.16")));
    let both = folder(&[("libnvinfer.so.10", double(10, "nvinfer")), ("libnvinfer.so.11", double(11, "nvinfer"))]);
    assert_eq!(installed(Some(both.path())).expect("both are usable").major, 11, "the newer one");
}

#[test]
fn a_parser_that_is_missing_stops_building_and_nothing_else() {
    let _turn = Double::new(10).expect("the double");
    let lean = folder(&[("libnvinfer.so.10", double(10, "nvinfer"))]);
    let library = Library::load(&at(lean.path()), |_, _| {}).expect("it runs engines");
    Runtime::new(&library).expect("a runtime");
    let missing = Builder::new(&library, None).expect_err("no parser").to_string();
    assert!(missing.contains("libnvonnxparser.so.10") && missing.contains("install"), "{missing}");
}

#[test]
fn plugins_are_loaded_or_named() {
    for major in MAJORS {
        let double = Double::new(major).expect("the double");
        let log = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&log);
        let sink = move |severity: Severity, text: &str| heard.lock().expect("no panic").push((severity, text.to_owned()));
        // Any library can be a plugin library: what it registers it registers itself, when it is loaded.
        let own = doubles::folder(major).join(format!("libnvinfer_plugin.so.{major}"));
        let location = Location { standard_plugins: true, plugins: vec![own], ..double.location() };
        Library::load(&location, sink).expect("both are there");
        assert_eq!(*log.lock().expect("no panic"), [(Severity::Info, "[double] plugins registered".to_owned())]);

        let absent = PathBuf::from("/nonexistent/libmine.so");
        let missing = refused(&Location { plugins: vec![absent.clone()], ..double.location() });
        assert!(matches!(&missing, Error::Library { library, .. } if *library == absent), "{missing}");
        let text = tempfile::NamedTempFile::new().expect("a file");
        fs::write(text.path(), "no library").expect("written");
        let broken = refused(&Location { plugins: vec![text.path().to_owned()], ..double.location() }).to_string();
        assert!(broken.contains(&text.path().display().to_string()), "{broken}");
    }
    let _turn = Double::new(10).expect("the double");
    let without = folder(&[("libnvinfer.so.10", self::double(10, "nvinfer"))]);
    let missing = refused(&Location { standard_plugins: true, ..at(without.path()) }).to_string();
    assert!(missing.contains("libnvinfer_plugin.so.10"), "{missing}");
}

/// The real library hands out a null pointer with an offset where there is no CUDA driver; so does the double.
#[test]
fn no_cuda_driver() {
    for major in MAJORS {
        let double = Double::new(major).expect("the double");
        assert!(double.set("no_cuda", 1));
        let library = load(&double);
        for refused in
            [Runtime::new(&library).expect_err("no device"), Builder::new(&library, None).map(|_| ()).expect_err("no device")]
        {
            assert!(refused.to_string().contains("CUDA initialization failure"), "{refused}");
        }
    }
}

#[test]
fn the_log_is_heard_and_a_sink_that_panics_harms_nothing() {
    let double = Double::new(11).expect("the double");
    let library = Library::load(&double.location(), |_, _| unreachable!("a bug of the caller")).expect("it loads");
    assert!(double.set("no_cuda", 1));
    let refused = Runtime::new(&library).expect_err("no device").to_string();
    assert!(refused.contains("CUDA initialization failure"), "{refused}");
}
