//! Wall-clock times as RFC 3339 in UTC with microseconds: `2026-11-21T02:03:04.567890Z`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Serialize, Serializer};

/// A time in a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp(pub SystemTime);

impl Stamp {
    /// As it is written.
    pub(super) fn text(self) -> String {
        String::from_utf8_lossy(&format(self.0)).into_owned()
    }
}

impl Serialize for Stamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = format(self.0);
        serializer.serialize_str(str::from_utf8(&text).unwrap_or_default())
    }
}

impl schemars::JsonSchema for Stamp {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Stamp".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "format": "date-time" })
    }
}

const LENGTH: usize = 27;

/// Times before 1970 read as 1970, since no camera was there.
fn format(at: SystemTime) -> [u8; LENGTH] {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = civil(days);
    let mut text = *b"0000-00-00T00:00:00.000000Z";
    let mut put = |from: usize, digits: usize, mut value: u64| {
        for place in (from..from + digits).rev() {
            text[place] = b'0' + (value % 10) as u8;
            value /= 10;
        }
    };
    put(0, 4, year);
    put(5, 2, month);
    put(8, 2, day);
    put(11, 2, second / 3600);
    put(14, 2, second / 60 % 60);
    put(17, 2, second % 60);
    put(20, 6, u64::from(since.subsec_micros()));
    text
}

/// Year, month and day of a day counted from 1970 in the Gregorian calendar, by eras of 400 years that begin on 1 March.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day_of_year - (153 * shifted + 2) / 5 + 1)
}

/// Reads what [`Stamp`] writes, with any number of decimals: `2026-11-21T02:03:04Z`, `2026-11-21T02:03:04.567890Z`.
pub(crate) fn parse(text: &str) -> Option<SystemTime> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let number = |text: &str, digits: usize| {
        let sound = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
        sound.then(|| text.parse::<u64>().ok())?
    };
    let [year, month, day] = <[&str; 3]>::try_from(date.split('-').collect::<Vec<_>>()).ok()?;
    let (year, month, day) = (number(year, 4)?, number(month, 2)?, number(day, 2)?);
    let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let [hour, minute, second] = <[&str; 3]>::try_from(time.split(':').collect::<Vec<_>>()).ok()?;
    let (hour, minute, second) = (number(hour, 2)?, number(minute, 2)?, number(second, 2)?);
    if year < 1970 || !(1..=12).contains(&month) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    // Days by the calendar's own rule: the one whose date this is.
    let guess = (year - 1970) * 365 + (year - 1969) / 4 + (month - 1) * 30;
    let days = (guess.saturating_sub(40)..guess + 80).find(|days| civil(*days) == (year, month, day))?;
    let digits = fraction.len();
    let nanos = number(fraction, digits).filter(|_| (1..=9).contains(&digits))? * 10u64.pow(9 - digits as u32);
    UNIX_EPOCH.checked_add(Duration::new(days * 86_400 + hour * 3600 + minute * 60 + second, nanos as u32))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(seconds: u64, micros: u64) -> String {
        let at = UNIX_EPOCH + Duration::from_secs(seconds) + Duration::from_micros(micros);
        String::from_utf8(format(at).to_vec()).expect("ASCII")
    }

    /// Expected values from `date -u -d @N +%FT%T`.
    #[test]
    fn times_read_as_the_calendar_says() {
        assert_eq!(text(0, 0), "1970-01-01T00:00:00.000000Z");
        assert_eq!(text(951_782_400, 1), "2000-02-29T00:00:00.000001Z");
        assert_eq!(text(1_709_251_199, 999_999), "2024-02-29T23:59:59.999999Z");
        assert_eq!(text(1_795_226_584, 500_000), "2026-11-21T02:03:04.500000Z");
        assert_eq!(text(4_107_542_399, 0), "2100-02-28T23:59:59.000000Z");
        assert_eq!(text(4_107_542_400, 0), "2100-03-01T00:00:00.000000Z");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(micros in 0..7_258_118_400_000_000_u64) {
            let at = UNIX_EPOCH + Duration::from_micros(micros);
            prop_assert_eq!(parse(str::from_utf8(&format(at)).expect("ASCII")), Some(at));
        }
    }

    #[test]
    fn what_is_no_time_is_not_read() {
        assert_eq!(parse("1970-01-01T00:00:01Z"), Some(UNIX_EPOCH + Duration::from_secs(1)));
        for text in [
            "",
            "2026-11-21",
            "2026-11-21T02:03:04",
            "2026-02-30T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "1969-12-31T00:00:00Z",
            "2026-11-21T24:00:00Z",
            "2026-11-21T02:03:04.Z",
            "2026-11-21T02:03:04.1234567890Z",
            "2026-11-21T+2:03:04Z",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn before_the_epoch_is_no_panic() {
        assert_eq!(&format(UNIX_EPOCH - Duration::from_secs(1))[..10], b"1970-01-01");
    }
}
