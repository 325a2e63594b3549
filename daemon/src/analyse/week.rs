//! When a rule is in force: minutes of the week, in local time.

use std::time::SystemTime;

use jiff::{Timestamp, tz::TimeZone};

const DAY: usize = 24 * 60;
const WEEK: usize = 7 * DAY;
const WORDS: usize = WEEK.div_ceil(64);
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// Minutes of the week, from Monday 00:00.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Week {
    minutes: Box<[u64; WORDS]>,
}

/// Why a text is no part of the week.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WeekError {
    /// Not of the form `DAYS FROM-TO`.
    #[error("{0:?} is no part of a week")]
    Form(String),
    /// It begins when it ends.
    #[error("{0:?} never holds: it ends when it begins")]
    Empty(String),
}

impl Week {
    /// Its minutes as bits.
    pub(super) fn bits(&self) -> &[u64] {
        &*self.minutes
    }

    /// At no time.
    pub fn never() -> Self {
        Self { minutes: Box::new([0; WORDS]) }
    }

    /// From texts like `"mon-fri 08:00-18:00"`, `"sat,sun"`, `"22:00-06:00"` (each night, into the next day): in any of them.
    ///
    /// # Errors
    /// [`WeekError`], of the first text that is none.
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, WeekError> {
        let mut week = Self::never();
        for text in texts {
            week.add(text)?;
        }
        Ok(week)
    }

    fn add(&mut self, text: &str) -> Result<(), WeekError> {
        let form = || WeekError::Form(text.to_owned());
        let lower = text.trim().to_ascii_lowercase();
        let (days, times) = match lower.split_once(' ') {
            Some((days, times)) => (days, Some(times.trim())),
            None if lower.contains(':') => ("mon-sun", Some(&*lower)),
            None => (&*lower, None),
        };
        let days = parse_days(days).ok_or_else(form)?;
        let (from, to) = match times {
            None => (0, DAY),
            Some(times) => {
                let (from, to) = times.split_once('-').ok_or_else(form)?;
                (parse_time(from).ok_or_else(form)?, parse_time(to).ok_or_else(form)?)
            }
        };
        if from == to || from == DAY {
            return Err(WeekError::Empty(text.to_owned()));
        }
        let length = if to > from { to - from } else { DAY - from + to };
        for day in (0..7).filter(|day| days[*day]) {
            for minute in 0..length {
                let at = (day * DAY + from + minute) % WEEK;
                self.minutes[at / 64] |= 1 << (at % 64);
            }
        }
        Ok(())
    }

    /// In both.
    #[must_use]
    pub fn and(mut self, other: &Self) -> Self {
        self.minutes.iter_mut().zip(other.minutes.iter()).for_each(|(a, b)| *a &= b);
        self
    }

    /// In either.
    #[must_use]
    pub fn or(mut self, other: &Self) -> Self {
        self.minutes.iter_mut().zip(other.minutes.iter()).for_each(|(a, b)| *a |= b);
        self
    }

    /// Whether it never holds.
    pub fn is_never(&self) -> bool {
        self.minutes.iter().all(|word| *word == 0)
    }

    /// Whether it holds at a moment of local time there. A time that the clocks skip never comes, one that they repeat comes twice.
    pub fn holds(&self, at: SystemTime, zone: &TimeZone) -> bool {
        let Ok(instant) = Timestamp::try_from(at) else { return false };
        let local = zone.to_datetime(instant);
        let day = local.weekday().to_monday_zero_offset() as usize;
        let minute = day * DAY + local.hour() as usize * 60 + local.minute() as usize;
        self.minutes[minute / 64] >> (minute % 64) & 1 == 1
    }
}

/// `mon`, `mon-fri`, `sat,sun`, `fri-mon`, in any mixture.
fn parse_days(text: &str) -> Option<[bool; 7]> {
    let number = |text: &str| DAYS.iter().position(|day| *day == text);
    let mut days = [false; 7];
    for part in text.split(',') {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        let (from, to) = (number(from)?, number(to)?);
        let mut day = from;
        days[day] = true;
        while day != to {
            day = (day + 1) % 7;
            days[day] = true;
        }
    }
    Some(days)
}

/// `HH:MM` up to `24:00`, in minutes.
fn parse_time(text: &str) -> Option<usize> {
    let (hour, minute) = text.trim().split_once(':')?;
    if hour.len() != 2 || minute.len() != 2 || !hour.bytes().chain(minute.bytes()).all(|b| b.is_ascii_digit()) {
        return None;
    }
    let (hour, minute): (usize, usize) = (hour.parse().ok()?, minute.parse().ok()?);
    (minute < 60 && hour * 60 + minute <= DAY).then_some(hour * 60 + minute)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(texts: &[&str], at: &str, zone: &str) -> bool {
        let at: Timestamp = at.parse().expect("a time");
        let zone = TimeZone::get(zone).expect("a zone");
        Week::parse(texts.iter().copied()).expect("a week").holds(at.into(), &zone)
    }

    #[test]
    fn local_time_counts() {
        // 2026-11-21 is a Saturday.
        for (texts, at, zone, expected) in [
            (&["mon-fri 08:00-18:00"][..], "2026-11-20T17:59:59Z", "UTC", true),
            (&["mon-fri 08:00-18:00"], "2026-11-20T18:00:00Z", "UTC", false),
            (&["mon-fri 08:00-18:00"], "2026-11-20T17:59:59Z", "Europe/Berlin", false),
            (&["mon-fri 08:00-18:00"], "2026-11-21T12:00:00Z", "UTC", false),
            (&["sat,sun"], "2026-11-21T00:00:00Z", "UTC", true),
            (&["sat,sun"], "2026-11-21T23:30:00Z", "Asia/Tokyo", true),
            (&["sat,sun"], "2026-11-22T15:30:00Z", "Asia/Tokyo", false),
            (&["22:00-06:00"], "2026-11-21T05:59:00Z", "UTC", true),
            (&["sun 22:00-06:00"], "2026-11-23T05:59:00Z", "UTC", true),
            (&["sun 22:00-06:00"], "2026-11-22T05:59:00Z", "UTC", false),
            (&["fri-mon 12:00-24:00"], "2026-11-23T23:59:59Z", "UTC", true),
            (&["mon 01:00-02:00", "Tue 03:00-04:00"], "2026-11-24T03:30:00Z", "UTC", true),
            // Clocks go forward: 02:30 never comes on that night.
            (&["02:00-03:00"], "2026-03-29T01:30:00Z", "Europe/Berlin", false),
            // They go back: 02:30 comes twice.
            (&["02:00-03:00"], "2026-10-25T00:30:00Z", "Europe/Berlin", true),
            (&["02:00-03:00"], "2026-10-25T01:30:00Z", "Europe/Berlin", true),
        ] {
            assert_eq!(holds(texts, at, zone), expected, "{texts:?} {at} {zone}");
        }
    }

    #[test]
    fn what_is_no_part_of_a_week() {
        for text in
            ["", "mon-", "day", "mon 8:00-9:00", "mon 08:00", "25:00-26:00", "mon 08:60-09:00", "mon 08:00-24:01", "mo+ 0:0"]
        {
            assert!(matches!(Week::parse([text]), Err(WeekError::Form(_))), "{text}");
        }
        for text in ["mon 08:00-08:00", "24:00-24:00", "24:00-06:00"] {
            assert!(matches!(Week::parse([text]), Err(WeekError::Empty(_))), "{text}");
        }
    }

    #[test]
    fn two_that_never_meet() {
        let (day, night) = (Week::parse(["06:00-22:00"]).expect("day"), Week::parse(["22:00-06:00"]).expect("night"));
        assert!(day.clone().and(&night).is_never());
        assert_eq!(day.or(&night), Week::parse(["mon-sun"]).expect("always"));
    }
}
