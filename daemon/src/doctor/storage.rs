//! Where the daemon writes: state, queue, engines; room, and how the disk is.

use std::{
    fs,
    path::{Path, PathBuf},
};

use rustix::fs::StatVfsMountFlags;

use super::{Finding, Setting};
use crate::engine;

const AREA: &str = "storage";
/// With less, what is kept soon finds no room.
const LITTLE: u64 = 200 << 20;
/// With less, nothing is kept at all.
const NOTHING: u64 = 1 << 20;
/// eMMC: so many tenths of the life that its maker foresees (JESD84-B51, `DEVICE_LIFE_TIME_EST`: 0x0a is 90 to 100 %).
const WORN: u32 = 9;

pub(super) fn examine(setting: &Setting) -> Vec<Finding> {
    let mut findings = Vec::new();
    match &setting.state {
        Some(state) => findings.push(folder("state", state, LITTLE)),
        None => findings.push(Finding::warning(
            AREA,
            "there is no place for the state: neither STATE_DIRECTORY, XDG_STATE_HOME nor HOME is set",
            "start it by its unit, or set STATE_DIRECTORY",
        )),
    }
    let queue = setting.config.as_ref().and_then(|config| config.mqtt.as_ref()?.queue.clone());
    if let Some(queue) = queue {
        findings.push(folder("queue", &queue.directory, queue.max_bytes));
    }
    let config = setting.config.as_ref().map(|config| &config.runtime.engines);
    let folder = config.and_then(|config| config.folder.clone()).or_else(|| Some(setting.state.as_ref()?.join("engines")));
    if cfg!(feature = "tensorrt")
        && let Some(folder) = folder
        && egret_jetson::tensorrt::installed(config.and_then(|config| config.tensorrt.as_deref())).is_ok()
    {
        findings.extend(engines(&folder));
    }
    findings.extend(wear(&setting.root));
    findings.extend(faults(&setting.root));
    findings
}

/// Whether a folder can be written, and has room.
fn folder(what: &str, path: &Path, needed: u64) -> Finding {
    let remedy = |path: &Path| {
        let path = path.display();
        format!(
            "let whom the daemon runs as write there, with the package: install -d -o egret -g egret {path}; or run this as that user"
        )
    };
    let there = path.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
    let told = |says: String| format!("{}: {says}", path.display());
    if !there.is_dir() {
        let says = told(format!("{} is no folder", there.display()));
        return Finding::error(AREA, says, "name a folder, or a place where one can be made").of(what);
    }
    let room = match rustix::fs::statvfs(there) {
        Ok(room) => room,
        Err(error) => return Finding::error(AREA, told(error.to_string()), remedy(path)).of(what),
    };
    if room.f_flag.contains(StatVfsMountFlags::RDONLY) {
        let remedy = "a file system that went read-only by itself has failed: see dmesg, then fsck or replace the disk; else mount it writable";
        return Finding::error(AREA, told("the file system is read-only".to_owned()), remedy).of(what);
    }
    if let Err(error) = write(there) {
        return Finding::error(AREA, told(format!("it cannot be written: {error}")), remedy(path)).of(what);
    }
    let free = room.f_bavail.saturating_mul(room.f_frsize);
    let says = told(format!("{} MiB are free", free >> 20));
    if free < NOTHING {
        return Finding::error(AREA, says, "make room, or use another disk").of(what);
    }
    if free < needed {
        return Finding::warning(AREA, says + &format!(" where {} are wanted", needed >> 20), "make room, or use another disk")
            .of(what);
    }
    Finding::ok(AREA, says).of(what)
}

/// Writes a file and removes it.
fn write(folder: &Path) -> std::io::Result<()> {
    let path = folder.join(format!(".egret-doctor-{}", std::process::id()));
    let written = fs::OpenOptions::new().write(true).create_new(true).open(&path).and_then(|file| file.sync_all());
    if written.is_ok() {
        fs::remove_file(&path)?;
    }
    written
}

fn engines(path: &Path) -> Vec<Finding> {
    let mut findings = vec![folder("engines", path, LITTLE)];
    match engine::Store::new(path).all() {
        Ok(all) => {
            let unreadable: Vec<&str> = all.iter().filter(|one| one.manifest.is_err()).map(|one| one.stem.as_str()).collect();
            findings.push(Finding::ok("engines", format!("{} engines are kept", all.len())));
            if !unreadable.is_empty() {
                let says = format!("of no use: {}", unreadable.join(", "));
                let remedy = "they are built again; unless a later egret wrote these and may come back, remove their files";
                findings.push(Finding::warning("engines", says, format!("{remedy} from {}", path.display())));
            }
        }
        Err(error) => findings.push(Finding::error("engines", error.to_string(), "see the line on storage")),
    }
    findings
}

fn number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

fn below(folder: PathBuf) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path())
}

/// What eMMC and UFS say of their age.
fn wear(root: &Path) -> Vec<Finding> {
    let cards = below(root.join("sys/class/mmc_host")).flat_map(below);
    let told = cards.filter_map(|card| {
        let life = fs::read_to_string(card.join("life_time")).ok()?;
        let tenths =
            life.split_whitespace().filter_map(|word| u32::from_str_radix(word.trim_start_matches("0x"), 16).ok()).max()?;
        let name = card.file_name()?.to_string_lossy().into_owned();
        let says = format!("it has used up to {} % of the life that its maker foresees", 10 * tenths.min(10));
        Some(match tenths {
            // Not told.
            0 => return None,
            tenths if tenths > WORN => Finding::warning("disk", says, "replace it before it fails").of(name),
            _ => Finding::ok("disk", says).of(name),
        })
    });
    told.collect()
}

/// What ext4 remembers of errors.
fn faults(root: &Path) -> Vec<Finding> {
    let told = below(root.join("sys/fs/ext4")).filter_map(|disk| {
        let count = number(&disk.join("errors_count")).filter(|count| *count > 0)?;
        let says = format!("ext4 has met {count} errors on it");
        Some(
            Finding::warning("disk", says, "back it up and run fsck; where it comes again, replace the disk")
                .of(disk.file_name()?.to_string_lossy()),
        )
    });
    told.collect()
}
