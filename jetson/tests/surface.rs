//! Surfaces of every kind, through the real code: the stand-ins of `libnvbufsurface` and of the driver lie behind it.
#![cfg(feature = "cpu-kernels")]

use std::{
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use egret_jetson::{
    CudaError, L4t,
    kernels::cpu::CpuError,
    surface::{
        Colour, DevicePicture, Expected, Layouts, MemoryKind, Registration, Surface, SurfaceError, Surfaces,
        doubles::{StandIn, SurfaceLibrary, numbers},
    },
};
use proptest::prelude::*;

/// The library counts for the whole process: one test at a time looks at it.
static TURN: Mutex<()> = Mutex::new(());

struct Rig {
    library: SurfaceLibrary,
    surfaces: Arc<Surfaces>,
    _turn: MutexGuard<'static, ()>,
}

fn rig() -> Option<Rig> {
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let library = match SurfaceLibrary::load() {
        Err(CpuError::NoCompiler(error)) => {
            eprintln!("SKIPPED: no C++ compiler for the doubles: {error}");
            return None;
        }
        other => other.expect("the doubles"),
    };
    let cuda = egret_jetson::Cuda::probe().expect("a driver");
    if cuda.devices != ["CPU"] {
        eprintln!("SKIPPED: a real CUDA driver is here");
        return None;
    }
    let l4t = L4t { release: 36, revision: "4.3".into() };
    let surfaces = Surfaces::open(0, Some(&l4t), Some(library.folder())).expect("a device");
    Some(Rig { library, surfaces, _turn: turn })
}

/// NV12 without padding, of no particular look.
fn nv12((width, height): (u32, u32), seed: u32) -> Vec<u8> {
    let (width, height) = (width as usize, height as usize);
    let bytes = width * height + width.next_multiple_of(2) * height.div_ceil(2);
    (0..bytes as u32).map(|i| (i.wrapping_mul(2_654_435_761).wrapping_add(seed.wrapping_mul(97)) >> 13) as u8).collect()
}

fn fill(surface: &mut StandIn, (width, height): (u32, u32), picture: &[u8]) {
    let (luma, chroma) = picture.split_at((width * height) as usize);
    surface.fill((luma, width as usize), (chroma, width.next_multiple_of(2) as usize));
}

fn expected((width, height): (u32, u32)) -> Expected {
    Expected { width, height }
}

fn read(surface: &StandIn, size: (u32, u32)) -> Result<Surface, SurfaceError> {
    Surface::read(surface.raw() as u64, surface.as_ref().len(), expected(size))
}

/// What the GStreamer side does with a buffer.
fn picture(rig: &Rig, surface: Arc<StandIn>, size: (u32, u32)) -> Result<DevicePicture, SurfaceError> {
    let known = read(&surface, size)?;
    let mut held: Vec<Arc<Registration>> = Vec::new();
    if known.memory() == MemoryKind::SurfaceArray {
        // SAFETY: the surface lives as long as what is held below, where it comes last.
        held.push(Arc::new(unsafe { rig.surfaces.register(surface.raw(), &known) }?));
    }
    let registration = held.first().cloned();
    // SAFETY: both are held, the registration first.
    unsafe { rig.surfaces.picture(&known, registration.as_deref(), Box::new((held, registration.clone(), surface))) }
}

#[test]
fn surfaces_of_every_kind_show_the_same_picture() {
    let Some(rig) = rig() else { return };
    let (mut shown, mut refused) = (0, 0);
    for size in [(64, 36), (176, 144), (1920, 1080), (2, 2), (5, 3)] {
        let wanted = nv12(size, size.0);
        for memory in numbers::MEMORIES {
            for layout in [0, 1] {
                let mut surface = rig.library.surface(size, memory, layout, numbers::NV12);
                fill(&mut surface, size, &wanted);
                assert_eq!(surface.read(), wanted);
                let known = read(&surface, size).expect("a surface").memory();
                match picture(&rig, Arc::new(surface), size) {
                    Ok(picture) => {
                        assert_eq!(picture.size(), size);
                        let host = picture.host().expect("on the host");
                        assert!(host.bytes == wanted, "{size:?} {known:?} layout {layout}");
                        let mut rows = Vec::new();
                        let count = picture.luma(1, 3, &mut rows).expect("rows");
                        let lines: Vec<&[u8]> =
                            wanted[..(size.0 * size.1) as usize].chunks(size.0 as usize).skip(1).step_by(3).collect();
                        assert_eq!((count, rows), (lines.len(), lines.concat()));
                        shown += 1;
                    }
                    Err(SurfaceError::Memory(kind)) => {
                        assert!(matches!(kind, MemoryKind::System | MemoryKind::Handle) || layout == 1, "{kind:?}");
                        refused += 1;
                    }
                    Err(other) => panic!("{known:?} layout {layout}: {other}"),
                }
            }
        }
    }
    eprintln!("{shown} pictures shown, {refused} surfaces refused; {:?}", rig.surfaces.counts());
    assert_eq!((rig.library.alive(), rig.library.mapped(), rig.surfaces.counts().alive), (0, 0, 0));
    assert!(shown == 5 * 6 && rig.surfaces.counts().copied == 5);
}

#[test]
fn no_surface_of_unknown_layout_becomes_a_picture() {
    let Some(rig) = rig() else { return };
    let size = (64, 36);
    // Of the struct, and of its first surface: offset, what is written there, the field that is told.
    let wrong: [(bool, usize, u32, &str); 20] = [
        (false, 4, 0, "batchSize"),
        (false, 4, 70_000, "batchSize"),
        (false, 8, 9, "numFilled"),
        (false, 16, 7, "memType"),
        (false, 16, 1 << 20, "memType"),
        (false, 24, 4, "points to nothing"),
        (true, 0, 63, "width"),
        (true, 4, 1088, "height"),
        (true, 8, 64, "pitch"),
        (true, 12, 0, "colour format 0"),
        (true, 12, 19, "colour format 19"),
        (true, 16, 2, "layout"),
        (true, 32, 1000, "dataSize"),
        (true, 48, 3, "num_planes"),
        (true, 52, 32, "planeParams.width"),
        (true, 48 + 20 + 4, 36, "planeParams.height"),
        (true, 48 + 36, 63, "planeParams.pitch"),
        (true, 48 + 52 + 4, 64, "planeParams.offset"),
        (true, 48 + 68, 100, "planeParams.psize"),
        (true, 48 + 84, 2, "bytesPerPix"),
    ];
    for memory in [numbers::DEVICE, numbers::SURFACE_ARRAY] {
        for (params, at, value, field) in wrong {
            let mut surface = rig.library.surface(size, memory, 0, numbers::NV12);
            let before = read(&surface, size).map(|known| known.memory());
            assert!(before.is_ok(), "{before:?}");
            surface.poke(params, at, value);
            let refused = read(&surface, size).expect_err("it is not what it was").to_string();
            // Of an address half is written.
            assert!(refused.contains(field) || at == 24, "{field}: {refused}");
            if at == 24 {
                // The stand-in frees its own struct.
                std::mem::forget(surface);
            }
        }
    }
    let surface = rig.library.surface(size, numbers::DEVICE, 0, numbers::NV12);
    assert!(matches!(Surface::read(surface.raw() as u64, 63, expected(size)), Err(SurfaceError::NoSurface(_))));
    assert!(matches!(Surface::read(8, 64, expected(size)), Err(SurfaceError::NoSurface(_))), "an address at which nothing is");
    assert!(matches!(read(&surface, (640, 360)), Err(SurfaceError::Layout { field: "width", .. })), "smaller than its caps");
}

#[test]
fn the_format_tells_the_colours() {
    let Some(rig) = rig() else { return };
    let colour = |bt709, full_range| Some(Colour { bt709, full_range });
    for (format, wanted) in [(6, None), (7, colour(false, true)), (33, colour(true, false)), (34, colour(true, true))] {
        let surface = rig.library.surface((64, 36), numbers::DEVICE, 0, format);
        assert_eq!(read(&surface, (64, 36)).expect("a surface").colour(), wanted);
    }
}

#[test]
fn a_mapping_that_fails_leaves_nothing_behind() {
    let Some(rig) = rig() else { return };
    let (size, before) = ((64, 36), rig.surfaces.counts());
    rig.library.fail_mapping(1);
    let surface = Arc::new(rig.library.surface(size, numbers::SURFACE_ARRAY, numbers::BLOCKS, numbers::NV12));
    assert_eq!(picture(&rig, Arc::clone(&surface), size).expect_err("no image"), SurfaceError::Map(-1));
    assert_eq!((rig.library.mapped(), rig.surfaces.counts()), (0, before));
    assert!(picture(&rig, surface, size).is_ok(), "the next one");
    assert_eq!((rig.library.alive(), rig.library.mapped()), (0, 0));
}

#[test]
fn pointers_that_the_driver_does_not_know_are_refused() {
    let Some(rig) = rig() else { return };
    let size = (64, 36);
    let refused = |at: usize, value: u32| {
        let mut surface = rig.library.surface(size, numbers::DEVICE, 0, numbers::NV12);
        surface.poke(true, at, value);
        picture(&rig, Arc::new(surface), size).expect_err("another pointer")
    };
    // The high half of `dataPtr`, then its low one, then how much lies there.
    assert_eq!(refused(44, 0x4000_0000), SurfaceError::Pointer("the driver does not know it"));
    assert!(matches!(refused(40, 16), SurfaceError::Pointer(_)));
    assert_eq!(refused(32, 1 << 24), SurfaceError::Pointer("its memory is too small"));
}

#[test]
fn rows_made_of_blocks_are_made_once_and_their_memory_is_used_again() {
    let Some(rig) = rig() else { return };
    let (size, before) = ((320, 240), rig.surfaces.counts().copied);
    let streams = [0; 2].map(|_| rig.surfaces.context().new_stream().expect("a stream"));
    let mut addresses = std::collections::BTreeSet::new();
    for seed in 0..20 {
        let mut surface = rig.library.surface(size, numbers::SURFACE_ARRAY, numbers::BLOCKS, numbers::NV12);
        let wanted = nv12(size, seed);
        fill(&mut surface, size, &wanted);
        let picture = picture(&rig, Arc::new(surface), size).expect("a picture");
        let frames = [0, 1].map(|i| format!("{:?}", picture.frame(&streams[i]).expect("rows")));
        assert_eq!(frames[0], frames[1]);
        assert!(picture.host().expect("on the host").bytes == wanted, "{seed}");
        addresses.insert(frames[0].clone());
    }
    assert_eq!(rig.surfaces.counts().copied - before, 20, "once for each, whoever asks");
    // Dropped with work under way: the surface stays until it is done.
    let surface = rig.library.surface(size, numbers::SURFACE_ARRAY, numbers::BLOCKS, numbers::NV12);
    let picture = picture(&rig, Arc::new(surface), size).expect("a picture");
    drop((picture.frame(&streams[0]).expect("rows"), picture));
    assert_eq!((rig.library.alive(), rig.library.mapped()), (0, 0));
}

#[test]
fn what_is_missing_is_named() {
    let Some(rig) = rig() else { return };
    let open = |release| Surfaces::open(0, Some(&L4t { release, revision: "1".into() }), Some(Path::new("/nonexistent")));
    assert_eq!(open(32).expect_err("R32"), SurfaceError::Release(32));
    assert_eq!(open(40).expect_err("R40"), SurfaceError::Release(40));
    assert_eq!(Layouts::of(None), Ok(Layouts::Prefix), "DeepStream on a PC");
    let surfaces = open(39).expect("R39");
    let surface = rig.library.surface((64, 36), numbers::SURFACE_ARRAY, 1, numbers::NV12);
    let known = read(&surface, (64, 36)).expect("a surface");
    // SAFETY: the surface outlives it.
    let refused = unsafe { surfaces.register(surface.raw(), &known) }.expect_err("no library");
    assert!(matches!(&refused, SurfaceError::Library(said) if said.contains("libnvbufsurface")), "{refused}");
    let lost = SurfaceError::Cuda(CudaError::Call { call: "cuMemcpy2DAsync", code: 700 });
    assert!(lost.is_lost() && !refused.is_lost());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever stands in the struct: an error or the picture, and no crash.
    #[test]
    fn damaged_structs_are_errors(at in 0usize..78, value: u32, in_params: bool) {
        let Some(rig) = rig() else { return Ok(()) };
        let size = (64, 36);
        let mut surface = rig.library.surface(size, numbers::DEVICE, 0, numbers::NV12);
        let wanted = nv12(size, value);
        fill(&mut surface, size, &wanted);
        // Where the list is, and what the stand-in frees by, stays.
        let at = if in_params { 4 * at } else { 4 * (at % 4) };
        surface.poke(in_params, at, value);
        match picture(&rig, Arc::new(surface), size) {
            // A field that is not read, or its own value.
            Ok(picture) => prop_assert!(picture.host().expect("on the host").bytes == wanted || (in_params && (at == 100 || at == 104))),
            Err(error) => prop_assert!(!error.is_lost(), "{error}"),
        }
    }
}
