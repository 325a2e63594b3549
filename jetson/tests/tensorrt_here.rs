//! The TensorRT that is installed here, if one is: by the loader's search, or in the folder that `EGRET_TENSORRT` names.
#![cfg(feature = "tensorrt")]

use std::{
    env,
    sync::{Arc, Mutex},
};

use egret_jetson::tensorrt::{Deserialize, Error, Library, Location, Runtime, Unusable, Version};

/// A real library answers through the shim: its version, its log, and a refusal of what is no plan. Without a GPU it refuses to make a
/// runtime, in words of its own.
#[test]
fn answers() {
    let folder = env::var_os("EGRET_TENSORRT").map(Into::into);
    let log = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&log);
    let sink = move |severity, text: &str| heard.lock().expect("no panic").push(format!("{severity:?}: {text}"));
    let library = match Library::load(&Location { folder, ..Location::default() }, sink) {
        Ok(library) => library,
        Err(Error::Unusable(Unusable::Absent)) => return eprintln!("SKIPPED: no TensorRT here"),
        Err(refused) => return eprintln!("SKIPPED: {refused}"),
    };
    eprintln!("TensorRT {}", library.version());
    assert!(library.version() >= Version::OLDEST);
    match Runtime::new(&library) {
        Ok(runtime) => {
            let refused = runtime.deserialize(b"this is no plan", Deserialize::default()).expect_err("no plan");
            eprintln!("{refused}");
            assert!(matches!(&refused, Error::Plan(told) if !told.0.is_empty()), "{refused}");
        }
        Err(refused) => {
            eprintln!("{refused}");
            assert!(matches!(&refused, Error::Refused { told, .. } if !told.0.is_empty()), "{refused}");
            assert!(!log.lock().expect("no panic").is_empty(), "it logs why");
        }
    }
}
