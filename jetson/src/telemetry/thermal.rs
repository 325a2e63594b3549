//! Temperatures, the fan, and what holds clocks back when it is too hot.

use super::{Throttling, files::Tree};

/// A thermal zone.
#[derive(Clone, Debug, PartialEq)]
pub struct Temperature {
    /// Its name, e.g. `gpu-thermal`; numbers of zones change from boot to boot.
    pub zone: String,
    /// Degrees Celsius.
    pub celsius: f32,
}

/// The fan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fan {
    /// How hard it is driven, 0..255.
    pub pwm: u8,
    /// Turns per minute, where it is measured.
    pub rpm: Option<u32>,
}

/// What cannot be a temperature of a running board, °C: sensors that are switched off say -256 and the like.
const LEAST: f32 = -60.0;
const MOST: f32 = 200.0;

pub(super) fn temperatures(tree: &Tree) -> Vec<Temperature> {
    let zones = tree.entries("sys/class/thermal").into_iter().filter(|(name, _)| name.starts_with("thermal_zone"));
    let zone = |(_, path): (String, std::path::PathBuf)| {
        let celsius = tree.number::<i32>(path.join("temp"))? as f32 / 1000.0;
        let zone = tree.text(path.join("type"))?;
        (LEAST..=MOST).contains(&celsius).then_some(Temperature { zone, celsius })
    };
    zones.filter_map(zone).collect()
}

/// Driver and tachometer are two devices.
pub(super) fn fan(tree: &Tree) -> Option<Fan> {
    let devices = tree.entries("sys/class/hwmon");
    let named = |wanted: &str| devices.iter().find(|(_, path)| tree.text(path.join("name")).as_deref() == Some(wanted));
    let (_, driver) = named("pwmfan")?;
    let rpm = named("pwm_tach").and_then(|(_, tach)| tree.number(tach.join("rpm")));
    let rpm = rpm.or_else(|| tree.number(driver.join("fan1_input")));
    Some(Fan { pwm: tree.number(driver.join("pwm1"))?, rpm })
}

/// Cooling devices that are in use. The fan is one of them, and slows nothing down.
pub(super) fn cooling(tree: &Tree) -> Vec<Throttling> {
    let devices = tree.entries("sys/class/thermal").into_iter().filter(|(name, _)| name.starts_with("cooling_device"));
    let held = |(_, path): (String, std::path::PathBuf)| {
        let device = tree.text(path.join("type"))?;
        let state = tree.number(path.join("cur_state"))?;
        let most = tree.number(path.join("max_state")).unwrap_or(state);
        (state > 0 && !device.contains("fan")).then_some(Throttling::Cooling { device, state: (state, most) })
    };
    devices.filter_map(held).collect()
}
