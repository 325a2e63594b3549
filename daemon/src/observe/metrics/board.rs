//! How the board is, in metrics. What a board does not tell has no row.

use std::fmt;

use egret_jetson::{nvml::Device, telemetry::Rail};

use super::Families;
use crate::throttle::Look;

/// Largest value of a fan's drive.
const FULL_PWM: f64 = 255.0;

pub(super) fn tell(look: Option<&Look>, out: &mut Families<'_>) -> fmt::Result {
    let Some(look) = look else { return Ok(()) };
    let board = &look.reading;
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
    devices(&board.devices, out)?;
    let held = |reason: &str| board.throttling.iter().any(|throttling| throttling.word() == reason);
    let throttled = REASONS.map(|reason| (vec![("reason", reason)], f64::from(u8::from(held(reason)))));
    out.gauge("egret_board_throttled", "1 while something slows the board down", throttled)?;
    let events = look.over_current.iter().map(|(counter, count)| (vec![("counter", counter.as_str())], *count as f64));
    out.counter("egret_board_over_current_events", "What the over-current protection has done since the start", events)?;
    let seconds = look.throttled.as_secs_f64();
    out.counter("egret_board_throttled_seconds", "So long have heat or current slowed the board down", one(Some(seconds)))?;
    out.gauge(
        "egret_rate_share",
        "Share of their frames that cameras are looked at: less than 1 while that lasts",
        one(Some(look.share)),
    )
}

/// What a board can be slowed down by.
const REASONS: [&str; 8] = [
    "over_current",
    "over_current_events",
    "cooling",
    "power_cap",
    "hardware_slowdown",
    "software_thermal",
    "hardware_thermal",
    "power_brake",
];

/// What NVIDIA's driver tells.
fn devices(devices: &[Device], out: &mut Families<'_>) -> fmt::Result {
    let numbers: Vec<String> = devices.iter().map(|device| device.index.to_string()).collect();
    let named = |of: fn(&Device) -> Option<f64>| -> Vec<_> {
        let rows = devices.iter().zip(&numbers).filter_map(|(device, number)| {
            let name = device.name.as_deref().unwrap_or("");
            of(device).map(|value| (vec![("device", number.as_str()), ("name", name)], value))
        });
        rows.collect()
    };
    out.gauge("egret_gpu_load_ratio", "Share of the time in which a kernel ran", named(|d| d.load.map(f64::from)))?;
    out.gauge(
        "egret_gpu_memory_load_ratio",
        "Share of the time in which its memory was used",
        named(|d| d.memory_load.map(f64::from)),
    )?;
    out.gauge("egret_gpu_decoder_load_ratio", "Load of its video decoder", named(|d| d.decoder_load.map(f64::from)))?;
    out.gauge("egret_gpu_encoder_load_ratio", "Load of its video encoder", named(|d| d.encoder_load.map(f64::from)))?;
    out.gauge("egret_gpu_temperature_celsius", "Its temperature", named(|d| d.celsius.map(f64::from)))?;
    out.gauge("egret_gpu_watts", "What it draws", named(|d| d.watts))?;
    out.gauge("egret_gpu_limit_watts", "What it may draw", named(|d| d.limit_watts))?;
    out.gauge("egret_gpu_hertz", "Clock of its processors", named(|d| d.frequency_hz.map(|hz| hz as f64)))?;
    out.gauge("egret_gpu_max_hertz", "The highest such clock", named(|d| d.max_frequency_hz.map(|hz| hz as f64)))?;
    out.gauge("egret_gpu_memory_hertz", "Clock of its memory", named(|d| d.memory_hz.map(|hz| hz as f64)))?;
    out.gauge("egret_gpu_video_hertz", "Clock of its video engines", named(|d| d.video_hz.map(|hz| hz as f64)))?;
    out.gauge("egret_gpu_memory_bytes", "Its memory", named(|d| d.memory.map(|(total, _)| total as f64)))?;
    out.gauge("egret_gpu_memory_used_bytes", "What of it is used", named(|d| d.memory.map(|(_, used)| used as f64)))
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use egret_jetson::telemetry::{Gpu, PowerMode, Reading, Temperature, Throttling};

    use super::*;
    use crate::observe::{
        Snapshot,
        metrics::{render, tests::value},
    };

    #[test]
    fn how_the_board_is_can_be_read_off() {
        let reading = Reading {
            gpu: Some(Gpu { load: Some(0.5), frequency_hz: 612_000_000, max_frequency_hz: None }),
            temperatures: vec![Temperature { zone: "tj-thermal".into(), celsius: 51.5 }],
            rails: vec![Rail { name: "VDD_IN".into(), millivolts: 5000, milliamps: 1200 }],
            power_mode: Some(PowerMode { id: 2, name: Some("MAXN_SUPER".into()) }),
            throttling: vec![Throttling::OverCurrent { rail: "VDD_IN".into() }],
            devices: vec![Device { name: Some("NVIDIA Thor".into()), decoder_load: Some(0.25), ..Device::default() }],
            ..Reading::default()
        };
        let throttled = Duration::from_millis(12_500);
        let look = Look { reading, share: 0.75, throttled, over_current: [("oc1".to_owned(), 3)].into() };
        let text = render(Snapshot { board: Some(Arc::new(look)), ..Snapshot::default() }).expect("text");
        for (row, expected) in [
            ("egret_board_gpu_load_ratio ", 0.5),
            ("egret_board_gpu_hertz ", 612e6),
            ("egret_board_temperature_celsius{zone=\"tj-thermal\"}", 51.5),
            ("egret_board_rail_watts{rail=\"VDD_IN\"}", 6.0),
            ("egret_board_power_mode{name=\"MAXN_SUPER\"}", 2.0),
            ("egret_board_throttled{reason=\"over_current\"}", 1.0),
            ("egret_board_throttled{reason=\"cooling\"}", 0.0),
            ("egret_board_over_current_events_total{counter=\"oc1\"}", 3.0),
            ("egret_board_throttled_seconds_total ", 12.5),
            ("egret_rate_share ", 0.75),
            ("egret_gpu_decoder_load_ratio{device=\"0\",name=\"NVIDIA Thor\"}", 0.25),
        ] {
            assert!((value(&text, row) - expected).abs() < 1e-9, "{row}");
        }
        let untold = ["\negret_board_gpu_max_hertz ", "\negret_gpu_watts{"];
        assert!(untold.iter().all(|row| !text.contains(row)), "what is not told has no row");
    }
}
