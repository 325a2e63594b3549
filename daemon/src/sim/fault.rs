//! What can go wrong with a camera, on demand.

use std::{fmt, str::FromStr};

use crate::media::Codec;

/// A fault. Several can be on at a time; each stays until the camera is cleared, but for [`Fault::Drop`], which is an event.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    /// Nothing comes any more, neither media nor answers; connections stay open. What was on its way comes when it is over, but a
    /// session stalled for longer than about half a minute may get no more: the server gives it up, as cameras do.
    Stall,
    /// No media comes any more; requests are answered.
    Silent,
    /// The connections end, once. New ones are taken.
    Drop,
    /// Every request is answered with 401, whatever the credentials.
    Refuse,
    /// Every request is answered with 404.
    NotFound,
    /// The connections end and the port is closed; clearing opens the same port again.
    Away,
    /// Bytes of media packets are altered, with this probability for a packet.
    Alter {
        /// 0..1.
        rate: f64,
        /// The same seed alters the same packets of a connection.
        seed: u64,
    },
    /// Media packets are cut short, with this probability for a packet.
    Cut {
        /// 0..1.
        rate: f64,
        /// The same seed cuts the same packets of a connection.
        seed: u64,
    },
    /// Media packets are lost, with this probability.
    Lose {
        /// 0..1.
        rate: f64,
        /// The same seed loses the same packets of a connection.
        seed: u64,
    },
    /// The pictures change their size in mid-stream (new parameter sets, same session). A file is coded anew for it.
    Size {
        /// Pixels, even.
        width: u32,
        /// Pixels, even.
        height: u32,
    },
    /// The next description names another codec; present connections end. A file is coded anew for it.
    Codec(Codec),
    /// The RTP timestamps of the present connections jump by so much, with the sender reports to match.
    RtpJump {
        /// Milliseconds, forward or back.
        by_ms: i64,
    },
    /// The camera's clock jumps by so much: what its sender reports say from now on.
    ClockJump {
        /// Milliseconds, forward or back.
        by_ms: i64,
    },
}

/// A fault that could not be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{text:?} is no fault: {reason}; faults are {GRAMMAR}")]
pub struct NoFault {
    text: String,
    reason: &'static str,
}

/// How faults are written.
pub const GRAMMAR: &str = "stall, silent, drop, refuse, notfound, away, alter:RATE[:SEED], cut:RATE[:SEED], lose:RATE[:SEED], \
                           size:WIDTHxHEIGHT, codec:h264|h265|mjpeg, rtpjump:MS, clockjump:MS";

impl FromStr for Fault {
    type Err = NoFault;

    fn from_str(text: &str) -> Result<Self, NoFault> {
        let no = |reason| NoFault { text: text.into(), reason };
        let (word, value) = text.split_once(':').map_or((text, None), |(w, v)| (w, Some(v)));
        let plain = |fault| if value.is_none() { Ok(fault) } else { Err(no("it takes no value")) };
        let value = || value.ok_or_else(|| no("its value is missing"));
        let milliseconds = || value()?.parse().map_err(|_| no("milliseconds are a whole number"));
        match word {
            "stall" => plain(Self::Stall),
            "silent" => plain(Self::Silent),
            "drop" => plain(Self::Drop),
            "refuse" => plain(Self::Refuse),
            "notfound" => plain(Self::NotFound),
            "away" => plain(Self::Away),
            "alter" => parse_damage(value()?).map(|(rate, seed)| Self::Alter { rate, seed }).map_err(no),
            "cut" => parse_damage(value()?).map(|(rate, seed)| Self::Cut { rate, seed }).map_err(no),
            "lose" => parse_damage(value()?).map(|(rate, seed)| Self::Lose { rate, seed }).map_err(no),
            "size" => parse_size(value()?).map(|(width, height)| Self::Size { width, height }).map_err(no),
            "codec" => parse_codec(value()?).map(Self::Codec).map_err(no),
            "rtpjump" => Ok(Self::RtpJump { by_ms: milliseconds()? }),
            "clockjump" => Ok(Self::ClockJump { by_ms: milliseconds()? }),
            _ => Err(no("unknown")),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stall => f.write_str("stall"),
            Self::Silent => f.write_str("silent"),
            Self::Drop => f.write_str("drop"),
            Self::Refuse => f.write_str("refuse"),
            Self::NotFound => f.write_str("notfound"),
            Self::Away => f.write_str("away"),
            Self::Alter { rate, seed } => write!(f, "alter:{rate}:{seed}"),
            Self::Cut { rate, seed } => write!(f, "cut:{rate}:{seed}"),
            Self::Lose { rate, seed } => write!(f, "lose:{rate}:{seed}"),
            Self::Size { width, height } => write!(f, "size:{width}x{height}"),
            Self::Codec(codec) => write!(f, "codec:{}", codec_word(*codec)),
            Self::RtpJump { by_ms } => write!(f, "rtpjump:{by_ms}"),
            Self::ClockJump { by_ms } => write!(f, "clockjump:{by_ms}"),
        }
    }
}

fn parse_damage(value: &str) -> Result<(f64, u64), &'static str> {
    let (rate, seed) = value.split_once(':').unwrap_or((value, "0"));
    let rate = rate.parse::<f64>().ok().filter(|r| (0.0..=1.0).contains(r)).ok_or("a rate is from 0 to 1")?;
    Ok((rate, seed.parse().map_err(|_| "a seed is a whole number")?))
}

/// `WIDTHxHEIGHT` in pixels: even, since chroma has half of them, and at most 8192.
pub(super) fn parse_size(value: &str) -> Result<(u32, u32), &'static str> {
    let reason = "a size is WIDTHxHEIGHT, both even, from 16 to 8192";
    let side = |text: &str| text.parse::<u32>().ok().filter(|n| (16..=8192).contains(n) && n % 2 == 0).ok_or(reason);
    let (width, height) = value.split_once('x').ok_or(reason)?;
    Ok((side(width)?, side(height)?))
}

/// A codec by its usual name in lower case.
pub(super) fn parse_codec(value: &str) -> Result<Codec, &'static str> {
    match value {
        "h264" => Ok(Codec::H264),
        "h265" => Ok(Codec::H265),
        "mjpeg" => Ok(Codec::Mjpeg),
        _ => Err("codecs are h264, h265 and mjpeg"),
    }
}

fn codec_word(codec: Codec) -> &'static str {
    match codec {
        Codec::H264 => "h264",
        Codec::H265 => "h265",
        Codec::Mjpeg => "mjpeg",
    }
}

/// The faults that the proxy carries out, as they are now.
#[derive(Clone, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "any of them can be on beside the others")]
pub(super) struct Faults {
    pub(super) stall: bool,
    pub(super) silent: bool,
    pub(super) refuse: bool,
    pub(super) not_found: bool,
    pub(super) away: bool,
    /// How often connections were dropped: one that began before the last time ends.
    pub(super) drops: u64,
    pub(super) alter: Option<(f64, u64)>,
    pub(super) cut: Option<(f64, u64)>,
    pub(super) lose: Option<(f64, u64)>,
    /// Sum of all jumps so far. A connection feels those that came after it began.
    pub(super) rtp_jumps_ms: i64,
    pub(super) clock_jumps_ms: i64,
}

impl Faults {
    /// Switches a fault on. [`Fault::Size`] and [`Fault::Codec`] are the server's.
    pub(super) fn add(&mut self, fault: Fault) {
        match fault {
            Fault::Stall => self.stall = true,
            Fault::Silent => self.silent = true,
            Fault::Drop => self.drops += 1,
            Fault::Refuse => self.refuse = true,
            Fault::NotFound => self.not_found = true,
            Fault::Away => (self.away, self.drops) = (true, self.drops + 1),
            Fault::Alter { rate, seed } => self.alter = Some((rate, seed)),
            Fault::Cut { rate, seed } => self.cut = Some((rate, seed)),
            Fault::Lose { rate, seed } => self.lose = Some((rate, seed)),
            Fault::Size { .. } | Fault::Codec(_) => {}
            Fault::RtpJump { by_ms } => self.rtp_jumps_ms += by_ms,
            Fault::ClockJump { by_ms } => self.clock_jumps_ms += by_ms,
        }
    }

    /// A sound camera again. Its clock is set right; the RTP timestamps of running sessions stay where they jumped.
    pub(super) fn clear(&mut self) {
        *self = Self { drops: self.drops, rtp_jumps_ms: self.rtp_jumps_ms, ..Self::default() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        for text in [
            "stall",
            "silent",
            "drop",
            "refuse",
            "notfound",
            "away",
            "alter:0.25:7",
            "cut:1:0",
            "lose:0.01:3",
            "size:640x480",
            "codec:h265",
            "rtpjump:-5000",
            "clockjump:3600000",
        ] {
            assert_eq!(text.parse::<Fault>().unwrap().to_string(), text);
        }
        assert_eq!("lose:0.5".parse(), Ok(Fault::Lose { rate: 0.5, seed: 0 }));
    }

    #[test]
    fn rubbish_is_refused() {
        for text in [
            "",
            "stal",
            "stall:1",
            "alter",
            "alter:2",
            "alter:nan",
            "cut:0.1:x",
            "size:640",
            "size:641x480",
            "size:8x8",
            "codec:vp9",
            "rtpjump:1s",
        ] {
            let error = text.parse::<Fault>().unwrap_err().to_string();
            assert!(error.contains(GRAMMAR), "{error}");
        }
    }

    #[test]
    fn clearing_keeps_what_has_happened() {
        let mut faults = Faults::default();
        for fault in [Fault::Drop, Fault::Stall, Fault::RtpJump { by_ms: 5 }, Fault::ClockJump { by_ms: 9 }] {
            faults.add(fault);
        }
        faults.clear();
        assert!(!faults.stall && faults.drops == 1 && faults.rtp_jumps_ms == 5 && faults.clock_jumps_ms == 0);
    }
}
