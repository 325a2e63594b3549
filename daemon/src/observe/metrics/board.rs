//! How the board is, in metrics. What a board does not tell has no row.

use std::fmt;

use egret_jetson::telemetry::{Rail, Reading, Throttling};

use super::Families;

/// Largest value of a fan's drive.
const FULL_PWM: f64 = 255.0;

pub(super) fn tell(board: &Reading, out: &mut Families<'_>) -> fmt::Result {
    let one = |value: Option<f64>| value.map(|value| (vec![], value));
    let gpu = board.gpu;
    out.gauge(
        "egret_board_gpu_load_ratio",
        "Share of the time that the GPU was busy",
        one(gpu.and_then(|g| g.load).map(f64::from)),
    )?;
    out.gauge("egret_board_gpu_hertz", "Clock of the GPU; 0: it is off", one(gpu.map(|g| g.frequency_hz as f64)))?;
    let most = gpu.and_then(|g| g.max_frequency_hz).map(|hz| hz as f64);
    out.gauge("egret_board_gpu_max_hertz", "Highest clock of the GPU in this power mode", one(most))?;
    out.gauge("egret_board_emc_hertz", "Clock of the memory", one(board.emc_hz.map(|hz| hz as f64)))?;
    out.gauge("egret_board_nvdec_hertz", "Clock of the video decoder", one(board.nvdec.map(|n| n.frequency_hz as f64)))?;
    let zones = board.temperatures.iter().map(|t| (vec![("zone", t.zone.as_str())], f64::from(t.celsius)));
    out.gauge("egret_board_temperature_celsius", "Temperature of each thermal zone", zones)?;
    let rail = |of: fn(&Rail) -> f64| board.rails.iter().map(move |rail| (vec![("rail", rail.name.as_str())], of(rail)));
    out.gauge("egret_board_rail_volts", "Voltage of each power rail", rail(|rail| rail.millivolts as f64 / 1e3))?;
    out.gauge("egret_board_rail_amperes", "Current of each power rail", rail(|rail| rail.milliamps as f64 / 1e3))?;
    out.gauge("egret_board_rail_watts", "Power of each power rail", rail(Rail::watts))?;
    out.gauge("egret_board_fan_ratio", "How hard the fan is driven", one(board.fan.map(|fan| f64::from(fan.pwm) / FULL_PWM)))?;
    out.gauge("egret_board_fan_rpm", "Turns of the fan per minute", one(board.fan.and_then(|fan| fan.rpm).map(f64::from)))?;
    let mode = board.power_mode.as_ref().map(|mode| (vec![("name", mode.name.as_deref().unwrap_or(""))], f64::from(mode.id)));
    out.gauge("egret_board_power_mode", "Number of nvpmodel's mode, and its name", mode)?;
    let memory = board.memory;
    out.gauge("egret_board_memory_bytes", "Memory of CPU and GPU together", one(memory.map(|m| m.total as f64)))?;
    out.gauge("egret_board_memory_available_bytes", "What of it can still be had", one(memory.map(|m| m.available as f64)))?;
    let reasons = ["over_current", "over_current_events", "cooling"];
    let held = |reason: &str| board.throttling.iter().any(|t| word(t) == reason);
    let throttled = reasons.map(|reason| (vec![("reason", reason)], f64::from(u8::from(held(reason)))));
    out.gauge("egret_board_throttled", "1 while something slows the board down", throttled)
}

fn word(throttling: &Throttling) -> &'static str {
    match throttling {
        Throttling::OverCurrent { .. } => "over_current",
        Throttling::Events { .. } => "over_current_events",
        Throttling::Cooling { .. } => "cooling",
    }
}
