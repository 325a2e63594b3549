//! Whether the clock can be believed.

use std::time::{Duration, UNIX_EPOCH};

use jiff::Timestamp;

use super::{Finding, Setting};

const AREA: &str = "clock";
/// No egret is older: 2025-01-01.
const BEGINNING: Duration = Duration::from_hours(482_136);
/// Who sets clocks, what each leaves while it runs, and what shows its time servers. chrony's folder is open to itself alone, but seen
/// by all.
const KEEPERS: [(&str, &str, &str); 4] = [
    ("systemd-timesyncd", "run/systemd/timesync", "timedatectl timesync-status"),
    ("chronyd", "run/chrony", "chronyc sources; it tells the kernel only with rtcsync in its configuration"),
    ("ntpd", "run/ntpd.pid", "ntpq -p"),
    ("ptp4l", "run/ptp4l", "pmc -u -b 0 'GET CURRENT_DATA_SET'"),
];

pub(super) fn examine(setting: &Setting) -> Vec<Finding> {
    let mut findings = Vec::new();
    let shown = Timestamp::try_from(setting.now)
        .map_or_else(|_| "no time at all".to_owned(), |now| now.strftime("%F %T UTC").to_string());
    let good = setting.now.duration_since(UNIX_EPOCH).is_ok_and(|since| since >= BEGINNING);
    let keeper = KEEPERS.into_iter().find(|(_, path, _)| setting.root.join(path).exists()).map(|(name, _, ask)| (name, ask));
    findings.push(match (setting.synchronised, keeper) {
        _ if !good => {
            let says = format!("it says {shown}: no certificate is valid yet, and messages carry times of long ago");
            let remedy =
                "let it be set: timedatectl set-ntp true and a time server that can be reached, or a battery for the RTC";
            Finding::error(AREA, says, remedy)
        }
        (Some(true), Some((keeper, _))) => Finding::ok(AREA, format!("{shown}, synchronised; {keeper} keeps it")),
        (Some(true), None) => Finding::ok(AREA, format!("{shown}, synchronised")),
        (None, Some((keeper, ask))) => {
            Finding::note(AREA, format!("{shown}; the kernel does not say whether it is synchronised, {keeper} may: {ask}"))
        }
        (Some(false), Some((keeper, ask))) => {
            let says = format!("{shown}, not synchronised, though {keeper} runs");
            Finding::warning(AREA, says, format!("give it a time server that can be reached; what it has: {ask}"))
        }
        (_, None) => {
            let remedy = "timedatectl set-ntp true, and a time server that can be reached (timedatectl timesync-status)";
            Finding::warning(AREA, format!("{shown}, and nothing says that it is synchronised"), remedy)
        }
    });
    findings.extend(rtc(setting));
    findings
}

/// What keeps the time while the machine is off.
fn rtc(setting: &Setting) -> Option<Finding> {
    let kept = setting.root.join("sys/class/rtc/rtc0/since_epoch");
    let Some(seconds) = std::fs::read_to_string(kept).ok().and_then(|text| text.trim().parse().ok()) else {
        return Some(Finding::note("rtc", "there is none: after each start the time comes from the network"));
    };
    let is = UNIX_EPOCH.checked_add(Duration::from_secs(seconds))?;
    let off = is.duration_since(setting.now).unwrap_or_else(|error| error.duration());
    Some(if seconds < BEGINNING.as_secs() {
        let says = "it has lost the time: after each start the time is wrong until the network sets it";
        Finding::warning("rtc", says, "give it a battery")
    } else if off > Duration::from_hours(24) {
        Finding::warning("rtc", format!("it is {} hours off", off.as_secs() / 3600), "hwclock --systohc")
    } else {
        Finding::ok("rtc", "it keeps the time")
    })
}
