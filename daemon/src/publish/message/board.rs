//! How the board is, in `health`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use super::Rounded;
use crate::throttle::Look;

/// The board. What it does not tell is `null`, or not in its list.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Board {
    /// Share of their frames that cameras are looked at: 1, or 0.75, 0.5 or 0.25 while heat or current slows the board down.
    pub rate_share: Rounded<2>,
    /// What slows it down, in words for people; empty: nothing does.
    pub slowed_by: Vec<String>,
    /// So long has heat or current slowed it down since the daemon was started.
    pub throttled_s: u64,
    /// Degrees Celsius by thermal zone, and by GPU where the driver tells (`gpu-0`).
    pub temperatures: BTreeMap<String, Rounded<1>>,
    /// Watts by power rail, and by GPU where the driver tells.
    pub watts: BTreeMap<String, Rounded<2>>,
    /// nvpmodel's power mode: its name, or its number where it has none.
    pub power_mode: Option<String>,
    /// Load of the first GPU, 0..1.
    pub gpu_load: Option<Rounded<2>>,
    /// Its clock in MHz.
    pub gpu_mhz: Option<u64>,
    /// Load of its video decoder, 0..1.
    pub decoder_load: Option<Rounded<2>>,
    /// How hard the fan is driven, 0..1.
    pub fan: Option<Rounded<2>>,
    /// Memory that can still be had.
    pub memory_available_bytes: Option<u64>,
}

impl From<&Look> for Board {
    fn from(look: &Look) -> Self {
        let (board, first) = (&look.reading, look.reading.devices.first());
        let gpu = |index: u32| format!("gpu-{index}");
        let zones = board.temperatures.iter().map(|t| (t.zone.clone(), Rounded(t.celsius)));
        let heat = board.devices.iter().filter_map(|d| Some((gpu(d.index), Rounded(d.celsius?))));
        let rails = board.rails.iter().map(|rail| (rail.name.clone(), Rounded(rail.watts() as f32)));
        let draw = board.devices.iter().filter_map(|d| Some((gpu(d.index), Rounded(d.watts? as f32))));
        let hertz = board.gpu.map(|gpu| gpu.frequency_hz).or_else(|| first?.frequency_hz);
        let mode = board.power_mode.as_ref();
        Self {
            rate_share: Rounded(look.share as f32),
            slowed_by: board.throttling.iter().map(ToString::to_string).collect(),
            throttled_s: look.throttled.as_secs(),
            temperatures: zones.chain(heat).collect(),
            watts: rails.chain(draw).collect(),
            power_mode: mode.map(|mode| mode.name.clone().unwrap_or_else(|| mode.id.to_string())),
            gpu_load: board.gpu.and_then(|gpu| gpu.load).or_else(|| first?.load).map(Rounded),
            gpu_mhz: hertz.map(|hertz| hertz / 1_000_000),
            decoder_load: first.and_then(|device| device.decoder_load).map(Rounded),
            fan: board.fan.map(|fan| Rounded(f32::from(fan.pwm) / 255.0)),
            memory_available_bytes: board.memory.map(|memory| memory.available),
        }
    }
}
