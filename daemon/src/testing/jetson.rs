//! A Jetson of stand-ins.

use std::{
    fs,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use egret_jetson::{
    kernels::cpu::CpuError,
    probe,
    surface::doubles::{
        SurfaceLibrary,
        elements::{Fails, Knobs, register},
        numbers,
    },
};

use crate::decode::Decoders;

/// The stand-ins are the process's: one test at a time has them.
static TURN: Mutex<()> = Mutex::new(());

/// An Orin of JetPack 6.2.
pub(crate) struct Board {
    pub(crate) library: SurfaceLibrary,
    pub(crate) decoders: Arc<Decoders>,
    knobs: Knobs,
    _turn: MutexGuard<'static, ()>,
}

/// The board, whose decoder gives device memory; `None`, and says why, where it cannot be had.
pub(crate) fn board() -> Option<Board> {
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let library = match SurfaceLibrary::load() {
        Err(CpuError::NoCompiler(error)) => {
            eprintln!("SKIPPED: no C++ compiler for the stand-ins: {error}");
            return None;
        }
        other => other.expect("the stand-ins"),
    };
    let root = tempfile::tempdir().expect("a folder");
    fs::create_dir_all(root.path().join("etc")).expect("a folder");
    fs::write(root.path().join("etc/nv_tegra_release"), "# R36 (release), REVISION: 4.3, GCID: 1").expect("written");
    let probe = probe(root.path());
    if probe.cuda.as_ref().is_ok_and(|cuda| cuda.devices != ["CPU"]) {
        eprintln!("SKIPPED: a real CUDA driver is here");
        return None;
    }
    let decoders = Decoders::find(&probe, root.path(), true, Some(library.folder()));
    assert!(decoders.surfaces().is_some(), "{probe}");
    let knobs = Knobs {
        library: library.clone(),
        memory: numbers::DEVICE,
        layout: 0,
        format: numbers::NV12,
        poke: None,
        fails: Fails::Never,
    };
    register(knobs.clone()).expect("elements");
    Some(Board { library, decoders: Arc::new(decoders), knobs, _turn: turn })
}

impl Board {
    /// From the next decoder on.
    pub(crate) fn behave(&mut self, change: impl FnOnce(&mut Knobs)) {
        change(&mut self.knobs);
        register(self.knobs.clone()).expect("elements");
    }
}
