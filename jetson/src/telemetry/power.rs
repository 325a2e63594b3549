//! Power rails, over-current, and the power mode.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use super::{Throttling, files::Tree};

/// A power rail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rail {
    /// Its name on this board, e.g. `VDD_IN`. On Orin Nano and NX that is the whole module; AGX Orin has no rail for the whole.
    pub name: String,
    /// Volts, in thousandths.
    pub millivolts: u64,
    /// Amperes, in thousandths.
    pub milliamps: u64,
}

impl Rail {
    /// Watts.
    pub fn watts(&self) -> f64 {
        self.millivolts as f64 * self.milliamps as f64 / 1e6
    }
}

/// What `nvpmodel` is set to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PowerMode {
    /// Its number, which means something else on each board.
    pub id: u32,
    /// Its name, e.g. `MAXN_SUPER`, where the board's list has it.
    pub name: Option<String>,
}

/// Channels of an INA3221.
const CHANNELS: u32 = 3;

/// The rails, and those of them whose sensor says that they draw too much.
pub(super) fn rails(tree: &Tree) -> (Vec<Rail>, Vec<Throttling>) {
    let (mut rails, mut over) = (Vec::new(), Vec::new());
    let sensors = tree.entries("sys/bus/i2c/devices").into_iter();
    for (_, sensor) in sensors.filter(|(_, path)| tree.text(path.join("name")).as_deref() == Some("ina3221")) {
        for (_, monitor) in tree.entries(sensor.join("hwmon")) {
            for channel in 1..=CHANNELS {
                let Some(rail) = rail(tree, &monitor, channel) else { continue };
                let alarm = |kind: &str| tree.number::<u32>(monitor.join(format!("curr{channel}_{kind}_alarm"))) == Some(1);
                if alarm("crit") || alarm("max") {
                    over.push(Throttling::OverCurrent { rail: rail.name.clone() });
                }
                rails.push(rail);
            }
        }
    }
    (rails, over)
}

/// A channel that is connected.
fn rail(tree: &Tree, monitor: &Path, channel: u32) -> Option<Rail> {
    let name = tree.text(monitor.join(format!("in{channel}_label"))).filter(|name| name != "NC")?;
    let millivolts = tree.number(monitor.join(format!("in{channel}_input")))?;
    // A rail that is off may seem to draw less than nothing.
    let milliamps = tree.number::<i64>(monitor.join(format!("curr{channel}_input")))?.max(0).unsigned_abs();
    Some(Rail { name, millivolts, milliamps })
}

/// What the counters `ocN_event_cnt` have counted since they were `seen`. The first look tells nothing: they count since the start of the board.
pub(super) fn events(tree: &Tree, seen: &mut BTreeMap<PathBuf, u64>) -> Vec<Throttling> {
    let mut events = Vec::new();
    for (_, monitor) in tree.entries("sys/class/hwmon") {
        for (name, path) in tree.entries(&monitor) {
            let Some(counter) = name.strip_suffix("_event_cnt").filter(|name| name.starts_with("oc")) else { continue };
            let Some(now) = tree.number::<u64>(&path) else { continue };
            let before = seen.insert(path, now).unwrap_or(now);
            if now > before {
                events.push(Throttling::Events { counter: counter.to_owned(), count: now - before });
            }
        }
    }
    events
}

/// `pmode:0002 fmode:quiet` and the board's list: `< POWER_MODEL ID=2 NAME=MAXN_SUPER >`.
pub(super) fn mode(tree: &Tree) -> Option<PowerMode> {
    let status = tree.text("var/lib/nvpmodel/status")?;
    let id = status.split_whitespace().find_map(|word| word.strip_prefix("pmode:"))?.parse().ok()?;
    let list = tree.text("etc/nvpmodel.conf").unwrap_or_default();
    let named = |line: &str| {
        let words = line.trim().strip_prefix('<')?.strip_suffix('>')?;
        let mut words = words.split_whitespace();
        if words.next() != Some("POWER_MODEL") {
            return None;
        }
        let value = |key: &str| words.clone().find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
        (value("ID")?.parse() == Ok(id)).then(|| value("NAME").map(str::to_owned)).flatten()
    };
    Some(PowerMode { id, name: list.lines().find_map(named) })
}
