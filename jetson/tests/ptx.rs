//! Every kernel through NVIDIA's own compiler, with no device: PTX for every device that egret runs on.
//!
//! `EGRET_NVRTC` names the folders of NVRTC 12.6 and 13.0, with a colon between (`scripts/nvrtc.sh` brings both); without it the tests
//! say loudly that they were skipped.

use std::{env, fs, path::PathBuf};

use egret_jetson::kernels::{CacheError, Nvrtc, NvrtcError, Origin, PtxCache, Target, UNITS, Unit};

const TURING: Target = Target { major: 7, minor: 5 };
const ORIN: Target = Target { major: 8, minor: 7 };
const HOPPER: Target = Target { major: 9, minor: 0 };
const THOR: Target = Target { major: 11, minor: 0 };
/// What CUDA 12.6 compiles for.
const OF_12: [Target; 4] = [TURING, Target { major: 8, minor: 0 }, ORIN, HOPPER];

/// The least unit, where any will do.
const SMALL: Unit =
    Unit { name: "small.cu", text: "extern \"C\" __global__ void __launch_bounds__(256) small() {}\n", entries: &["small"] };

fn folders() -> Option<Vec<PathBuf>> {
    let folders: Option<Vec<PathBuf>> = env::var_os("EGRET_NVRTC").map(|folders| env::split_paths(&folders).collect());
    if folders.is_none() {
        eprintln!("SKIPPED: EGRET_NVRTC names no folder with NVRTC (scripts/nvrtc.sh brings it)");
    }
    folders
}

/// The compiler of a CUDA major.
fn nvrtc(major: u32) -> Option<Nvrtc> {
    let found = Nvrtc::installed(&folders()?).into_iter().find(|nvrtc| nvrtc.version().0 == major);
    if found.is_none() {
        eprintln!("SKIPPED: no NVRTC {major} in EGRET_NVRTC");
    }
    found
}

fn line<'a>(ptx: &'a str, word: &str) -> &'a str {
    ptx.lines().find(|line| line.starts_with(word)).unwrap_or_default()
}

/// Checks a unit's PTX.
fn check(nvrtc: &Nvrtc, unit: &Unit, target: Target) {
    let ptx = nvrtc.compile(unit, target).expect("it compiles");
    assert_eq!(line(&ptx, ".target"), format!(".target {target}"));
    assert_eq!(ptx.matches(".visible .entry").count(), unit.entries.len(), "{}", unit.name);
    // Fused multiply-adds would be another arithmetic than that of the CPU.
    // (Exponentials and sines are the same on every device, and have their own.)
    assert!(unit.name != "letterbox.cu" || !ptx.contains("fma.rn"), "{} for {target} has fused multiply-adds", unit.name);
    for entry in unit.entries {
        let start = ptx.find(&format!(".visible .entry {entry}(")).expect(entry);
        let head = &ptx[start..][..ptx[start..].find('{').unwrap_or(0)];
        assert!(head.contains(".maxntid 256"), "{entry} does not declare its block: {head}");
    }
}

/// Checks what a unit takes of a device.
fn check_usage(nvrtc: &Nvrtc, unit: &Unit, target: Target) {
    let usages = nvrtc.usage(unit, target).expect("it assembles");
    assert_eq!(usages.len(), unit.entries.len(), "{usages:?}");
    for usage in usages {
        eprintln!("{target} {}: {} registers, {} bytes shared", usage.entry, usage.registers, usage.shared);
        // Its division by a sum is a call where the operands are extreme, and a call saves registers: not in the way of the loop.
        let most = if usage.entry == "scan_distribution" { 16 } else { 0 };
        assert!(usage.spilled <= most && usage.stack <= most, "{target} {usage:?}");
        // A block's registers of 65,536 (all targets), its shared memory without asking for more.
        assert!(usage.registers <= 128 && usage.registers > 0 && usage.shared <= 48 * 1024, "{target} {usage:?}");
        assert!(unit.entries.contains(&usage.entry.as_str()), "{usage:?}");
    }
}

#[test]
fn nvrtc_12_compiles_every_kernel_for_jetpack_6_and_desktop_gpus() {
    let Some(nvrtc) = nvrtc(12) else { return };
    for target in OF_12 {
        for unit in &UNITS {
            check(&nvrtc, unit, target);
        }
    }
    for unit in &UNITS {
        check_usage(&nvrtc, unit, ORIN);
    }
    let ptx = nvrtc.compile(&SMALL, ORIN).unwrap();
    // What JetPack 6's driver loads: up to 8.5.
    assert!(["8.4", "8.5"].contains(&line(&ptx, ".version").trim_start_matches(".version ")), "{}", line(&ptx, ".version"));
}

#[test]
fn nvrtc_13_compiles_every_kernel_for_thor() {
    let Some(nvrtc) = nvrtc(13) else { return };
    for unit in &UNITS {
        check(&nvrtc, unit, THOR);
        check_usage(&nvrtc, unit, THOR);
    }
}

#[test]
fn the_library_that_serves_is_found() {
    let Some(folders) = folders() else { return };
    let (Some(_), Some(_)) = (nvrtc(12), nvrtc(13)) else { return };
    let version = |target, driver| Nvrtc::find(&folders, target, driver).map(|nvrtc| nvrtc.version().0);
    assert_eq!(version(ORIN, Some((12, 6))), Ok(12), "a driver of JetPack 6 loads nothing newer");
    assert_eq!(version(ORIN, Some((13, 0))), Ok(13));
    assert_eq!(version(THOR, Some((13, 0))), Ok(13));
    assert_eq!(version(HOPPER, None), Ok(13));
    let error = version(THOR, Some((12, 6))).unwrap_err().to_string();
    assert!(error.starts_with("no NVRTC for sm_110 and a driver for CUDA 12.6; found: NVRTC 13."), "{error}");
    assert!(error.contains("NVRTC 12.6") && error.contains("install cuda-nvrtc"), "{error}");
}

#[test]
fn a_source_that_is_wrong_tells_the_line() {
    let Some(nvrtc) = nvrtc(12) else { return };
    let broken =
        Unit { name: "broken.cu", text: "#include \"elements.cuh\"\n__global__ void f() { nonsense(1); }\n", entries: &["f"] };
    let Err(NvrtcError::Compile { unit, target, log }) = nvrtc.compile(&broken, ORIN) else { panic!("it compiled") };
    assert_eq!((unit.as_str(), target), ("broken.cu", ORIN));
    assert!(log.contains("broken.cu(2): error") && log.contains("nonsense"), "{log}");
}

#[test]
fn an_unknown_device_is_refused_by_name() {
    let Some(nvrtc) = nvrtc(12) else { return };
    let error = nvrtc.compile(&SMALL, THOR).unwrap_err();
    assert!(matches!(error, NvrtcError::Target { target: THOR, .. }));
    let text = error.to_string();
    assert!(text.starts_with("NVRTC 12.6 does not know sm_110; it knows sm_50") && text.contains("sm_87"), "{text}");
}

#[test]
fn a_file_that_is_no_library_is_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("libnvrtc.so.12"), "no library").unwrap();
    let found = Nvrtc::installed(&[folder.path().into(), "/nonexistent".into()]);
    assert!(!format!("{found:?}").contains(&folder.path().display().to_string()), "{found:?}");
    // No compiler knows this device, so this is the answer on any machine.
    let error = Nvrtc::find(&[folder.path().into()], Target { major: 1, minor: 0 }, Some((12, 6))).unwrap_err();
    assert!(error.to_string().starts_with("no NVRTC for sm_10 and a driver for CUDA 12.6; found: "), "{error}");
}

#[test]
fn what_was_compiled_is_kept_and_what_is_damaged_is_compiled_again() {
    let Some(nvrtc) = nvrtc(12) else { return };
    let folder = tempfile::tempdir().unwrap();
    let cache = PtxCache::new(folder.path().join("ptx"));
    let unit = &SMALL;
    let get = |target| cache.get(&nvrtc, unit, target).unwrap();
    let (fresh, origin) = get(ORIN);
    assert_eq!(origin, Origin::Compiler);
    assert_eq!(get(ORIN), (fresh.clone(), Origin::Disk));
    assert_eq!(get(HOPPER).1, Origin::Compiler, "another device is another file");
    let path = cache.path(unit, ORIN, nvrtc.version());
    let whole = fs::read(&path).unwrap();
    let damage = |bytes: Vec<u8>| {
        fs::write(&path, bytes).unwrap();
        assert_eq!(get(ORIN), (fresh.clone(), Origin::CompilerAfterDamage));
        assert_eq!(fs::read(&path).unwrap(), whole);
    };
    for at in [0, 64, 65, whole.len() / 2, whole.len() - 1] {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        damage(bytes);
    }
    for len in [0, 10, 65, whole.len() - 1] {
        damage(whole[..len].to_vec());
    }
    let names: Vec<_> = fs::read_dir(folder.path().join("ptx")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "nothing is left over: {names:?}");
    // A changed source, or another compiler, is another file.
    let changed = Unit { text: "// changed", ..*unit };
    assert_ne!(cache.path(&changed, ORIN, nvrtc.version()), path);
    assert_ne!(cache.path(unit, ORIN, (12, 7)), path);
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let Some(nvrtc) = nvrtc(12) else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let error = PtxCache::new(file.join("ptx")).get(&nvrtc, &SMALL, ORIN).unwrap_err();
    assert!(matches!(&error, CacheError::Write { path, .. } if path.starts_with(&file)), "{error}");
    assert!(error.to_string().contains("cannot be written"), "{error}");
}
