//! When a picture was captured, by the camera's own clock: RTCP sender reports pair an RTP time stamp with a wall-clock time
//! (RFC 3550 §6.4.1).

use std::time::{Duration, SystemTime};

use crate::media::{Capture, TimeBasis};

/// Seconds from the NTP epoch (1900) to the Unix epoch.
const NTP_TO_UNIX: i128 = 2_208_988_800;
/// A camera whose clock is further off than this has none.
const PLAUSIBLE: Duration = Duration::from_hours(24);
/// A report is not stretched further than this: clocks drift.
const REACH: Duration = Duration::from_hours(1);

/// How fast a camera's clock runs away at most, in millionths: quartz without temperature compensation.
const DRIFT_PPM: u64 = 100;

/// What the sender reports of one session have said.
#[derive(Clone, Debug)]
pub(crate) struct CameraClock {
    rate_hz: u32,
    report: Option<(SystemTime, u32)>,
    rejected: u64,
}

impl CameraClock {
    /// A clock for RTP time stamps of `rate_hz`, with no report yet.
    pub(crate) fn new(rate_hz: u32) -> Self {
        Self { rate_hz: rate_hz.max(1), report: None, rejected: 0 }
    }

    /// Takes a report. `false`: its time is more than a day from the host's clock (a camera that never set its clock), so it is
    /// counted and not used, and earlier ones are forgotten.
    pub(crate) fn report(&mut self, ntp: u64, rtp: u32, host: SystemTime) -> bool {
        let wall = from_ntp(ntp, host);
        if wall.is_some_and(|wall| distance(wall, host) <= PLAUSIBLE) {
            self.report = wall.map(|wall| (wall, rtp));
            return true;
        }
        self.report = None;
        self.rejected += 1;
        false
    }

    /// Reports that were not used.
    pub(crate) fn rejected(&self) -> u64 {
        self.rejected
    }

    /// When the picture with RTP time stamp `rtp` was captured, if it arrived at `arrival`.
    pub(crate) fn capture(&self, rtp: u32, arrival: SystemTime) -> Capture {
        self.report
            .and_then(|(wall, at)| self.shift(wall, rtp.wrapping_sub(at).cast_signed()))
            .filter(|wall| distance(*wall, arrival) <= PLAUSIBLE)
            .map_or(Capture { wall: arrival, basis: TimeBasis::Arrival }, |wall| Capture { wall, basis: TimeBasis::SenderReport })
    }

    /// How far the capture time of a picture with RTP time stamp `rtp` may be off: one tick, and the drift since the report. That the
    /// camera's clock is wrong as a whole is not in it: nobody can know. `None`: there is no report.
    pub(crate) fn uncertainty(&self, rtp: u32) -> Option<Duration> {
        let (_, at) = self.report?;
        let ticks = u64::from(rtp.wrapping_sub(at).cast_signed().unsigned_abs());
        let nanos = |ticks: u64| ticks * 1_000_000_000 / u64::from(self.rate_hz);
        Some(Duration::from_nanos(nanos(ticks) / 1_000_000 * DRIFT_PPM + nanos(1)))
    }

    fn shift(&self, wall: SystemTime, ticks: i32) -> Option<SystemTime> {
        let nanos = u64::from(ticks.unsigned_abs()) * 1_000_000_000 / u64::from(self.rate_hz);
        let by = Duration::from_nanos(nanos);
        if by > REACH {
            return None;
        }
        if ticks < 0 { wall.checked_sub(by) } else { wall.checked_add(by) }
    }
}

/// Media time of an RTP time stamp `elapsed` ticks after the session's first; never negative.
pub(crate) fn media_time(elapsed: i64, rate_hz: u32) -> Duration {
    let ticks = elapsed.max(0).cast_unsigned();
    let rate = u64::from(rate_hz.max(1));
    Duration::from_secs(ticks / rate) + Duration::from_nanos(ticks % rate * 1_000_000_000 / rate)
}

/// An NTP time stamp (32.32 bits) on the wall clock, in the era (they last 136 years) that is nearest to `host`.
fn from_ntp(ntp: u64, host: SystemTime) -> Option<SystemTime> {
    let nanos = |ntp: i128| (ntp * 1_000_000_000) >> 32;
    let unix = nanos(i128::from(ntp)) - NTP_TO_UNIX * 1_000_000_000;
    let era = 1_000_000_000_i128 << 32;
    let host = host.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_nanos().cast_signed();
    let eras = (host - unix + era / 2).div_euclid(era);
    let unix = unix + eras * era;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_nanos(u64::try_from(unix).ok()?))
}

fn distance(a: SystemTime, b: SystemTime) -> Duration {
    a.duration_since(b).unwrap_or_else(|error| error.duration())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn host() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_000_000)
    }

    fn ntp(wall: SystemTime) -> u64 {
        let unix = wall.duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let seconds = (unix.as_secs() + NTP_TO_UNIX as u64) & 0xffff_ffff;
        (seconds << 32) | ((u64::from(unix.subsec_nanos()) << 32) / 1_000_000_000)
    }

    fn close(a: SystemTime, b: SystemTime) -> bool {
        distance(a, b) < Duration::from_micros(20)
    }

    #[test]
    fn a_report_loses_its_worth_with_time() {
        let mut clock = CameraClock::new(90_000);
        assert_eq!(clock.uncertainty(5), None);
        assert!(clock.report(ntp(host()), 1000, host()));
        assert_eq!(clock.uncertainty(1000), Some(Duration::from_nanos(11_111)));
        // A minute later, and a minute before: 6 ms.
        for rtp in [1000 + 90_000 * 60, 1000_u32.wrapping_sub(90_000 * 60)] {
            assert_eq!(clock.uncertainty(rtp), Some(Duration::from_nanos(6_000_000 + 11_111)));
        }
    }

    #[test]
    fn arrival_until_the_first_report() {
        let clock = CameraClock::new(90_000);
        assert_eq!(clock.capture(5, host()), Capture { wall: host(), basis: TimeBasis::Arrival });
    }

    #[test]
    fn pictures_before_and_after_a_report_across_the_wrap() {
        let mut clock = CameraClock::new(90_000);
        assert!(clock.report(ntp(host()), u32::MAX - 45_000 + 1, host()));
        let later = clock.capture(45_000, host());
        assert_eq!(later.basis, TimeBasis::SenderReport);
        assert!(close(later.wall, host() + Duration::from_secs(1)));
        let earlier = clock.capture(u32::MAX - 135_000 + 1, host());
        assert!(close(earlier.wall, host() - Duration::from_secs(1)));
    }

    #[test]
    fn a_camera_without_a_clock_is_not_believed() {
        let mut clock = CameraClock::new(90_000);
        assert!(clock.report(ntp(host() - Duration::from_hours(1)), 0, host()), "an hour off is an offset");
        for wrong in [0, 1 << 32, ntp(SystemTime::UNIX_EPOCH + Duration::from_hours(24)), ntp(host()) + (90_000 << 32)] {
            assert!(!clock.report(wrong, 0, host()), "{wrong}");
            assert_eq!(clock.capture(0, host()).basis, TimeBasis::Arrival);
        }
        assert_eq!(clock.rejected(), 4);
    }

    #[test]
    fn the_second_ntp_era_is_understood() {
        let in_2040 = SystemTime::UNIX_EPOCH + Duration::from_hours(613_608);
        let mut clock = CameraClock::new(90_000);
        assert!(clock.report(ntp(in_2040), 7, in_2040));
        assert!(close(clock.capture(7, in_2040).wall, in_2040));
    }

    #[test]
    fn a_report_is_not_stretched_over_hours() {
        let mut clock = CameraClock::new(90_000);
        clock.report(ntp(host()), 0, host());
        let two_hours = 2 * 3600 * 90_000;
        assert_eq!(clock.capture(two_hours, host()).basis, TimeBasis::Arrival);
    }

    #[test]
    fn media_time_is_never_negative() {
        assert_eq!(media_time(-1, 90_000), Duration::ZERO);
        assert_eq!(media_time(90_000 * 3 + 45_000, 90_000), Duration::from_millis(3500));
        assert_eq!(media_time(7, 0), Duration::from_secs(7));
        assert!(media_time(i64::MAX, 1) > Duration::ZERO);
    }

    proptest! {
        #[test]
        fn any_report_and_time_stamp_give_a_time(ntp: u64, rtp: u32, at: u32, rate: u32) {
            let mut clock = CameraClock::new(rate);
            clock.report(ntp, rtp, host());
            prop_assert!(distance(clock.capture(at, host()).wall, host()) <= PLAUSIBLE + REACH);
        }

        #[test]
        fn the_mapping_is_linear(start: u32, ticks in -30_000_000_i32..30_000_000) {
            let mut clock = CameraClock::new(90_000);
            prop_assert!(clock.report(ntp(host()), start, host()));
            let wall = clock.capture(start.wrapping_add_signed(ticks), host()).wall;
            let by = Duration::from_nanos(u64::from(ticks.unsigned_abs()) * 100_000 / 9);
            let expected = if ticks < 0 { host() - by } else { host() + by };
            prop_assert!(close(wall, expected));
        }
    }
}
