//! How soon after a frame the next one of its stream is looked at: a pure function of what goes on in the picture.

use std::time::Duration;

use super::{StreamSettings, cap::interval};
use crate::gate::Activity;

/// The least time since the latest frame that was let in, beside what `max_fps` asks for. `still`: nothing moves in this one.
pub(super) fn pace(settings: &StreamSettings, activity: Activity, still: bool) -> Duration {
    let idle = interval(settings.idle_fps);
    match settings.still {
        Some(gate) if still && (activity == Activity::Idle || !gate.tracks) => gate.interval,
        Some(gate) if still && activity <= Activity::Standing => gate.standing,
        // Something moves and is not followed yet: no idling.
        Some(_) if !still && activity == Activity::Idle => Duration::ZERO,
        _ if activity == Activity::Idle => idle,
        _ if matches!(activity, Activity::Standing | Activity::Calm) => settings.calm_interval,
        _ => Duration::ZERO,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{Mode, StillSettings};

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn each_case_has_its_pace() {
        use Activity::{Busy, Calm, Idle, Lost, Standing};
        let plain = StreamSettings { idle_fps: Some(2.0), calm_interval: MS(200), ..StreamSettings::new(Mode::LatestWins) };
        let gate =
            |tracks| StreamSettings { still: Some(StillSettings { interval: MS(5000), standing: MS(1000), tracks }), ..plain };
        for (settings, still, expected) in [
            (plain, false, [500, 0, 200, 200, 0]),
            (plain, true, [500, 0, 200, 200, 0]),
            (gate(true), true, [5000, 1000, 1000, 200, 0]),
            (gate(true), false, [0, 0, 200, 200, 0]),
            (gate(false), true, [5000, 5000, 5000, 5000, 5000]),
            (gate(false), false, [0, 0, 200, 200, 0]),
        ] {
            let paces = [Idle, Lost, Standing, Calm, Busy].map(|activity| pace(&settings, activity, still));
            assert_eq!(paces, expected.map(MS), "{settings:?} {still}");
        }
    }
}
