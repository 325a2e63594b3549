//! What stands in the files: headers, records and acknowledgements, and how they are written.
//!
//! A file begins with sixteen bytes that every version of the format has: `magic 8 · version u32 · CRC32C of these u32`. Frames follow,
//! whose bodies begin with their kind. Texts are UTF-8 behind their length.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{Class, Record, SpoolError, crc::crc32c, frame};

/// The format that is written and read here.
pub(super) const VERSION: u32 = 1;
const MAGIC: [u8; 8] = *b"egretspl";
/// Length of what every file begins with.
pub(super) const PRELUDE: usize = 16;

const HEADER: u8 = 0;
const RECORD: u8 = 1;
const ACKNOWLEDGED: u8 = 2;

/// What every file begins with.
pub(super) fn prelude() -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    out.extend_from_slice(&VERSION.to_le_bytes());
    let sum = crc32c(&[&out]);
    out.extend_from_slice(&sum.to_le_bytes());
    out
}

/// The version of a file; `None`: its beginning is damaged.
pub(super) fn version(bytes: &[u8]) -> Option<u32> {
    let mut fields = Fields(bytes);
    let told = fields.take(12)?;
    let sound = fields.u32()? == crc32c(&[told]) && told[..8] == MAGIC;
    sound.then(|| Fields(&told[8..]).u32()).flatten()
}

/// The first frame of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// All records behind it have this number or a higher one.
    pub(super) number: u64,
    /// Which run of the machine.
    pub(super) boot: u128,
    /// Time of that run in milliseconds…
    pub(super) since_boot: u64,
    /// …and the queue's own clock at the same moment.
    pub(super) stamp: u64,
    /// Whom the bits of its records mean.
    pub(super) brokers: Vec<String>,
}

/// What is written about a record before what the caller gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Label {
    pub(super) number: u64,
    pub(super) stamp: u64,
    pub(super) brokers: u16,
}

/// The body of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Body<'a> {
    Header(Header),
    Record(Label, Record<'a>),
    /// These records of this class have arrived at the broker of this bit, at some time before the stamp.
    Acknowledged {
        broker: u8,
        stamp: u64,
        runs: Vec<(u64, u32)>,
    },
}

pub(super) fn write_header(out: &mut Vec<u8>, header: &Header) {
    frame::append(out, |out| {
        out.push(HEADER);
        out.extend_from_slice(&header.number.to_le_bytes());
        out.extend_from_slice(&header.boot.to_le_bytes());
        out.extend_from_slice(&header.since_boot.to_le_bytes());
        out.extend_from_slice(&header.stamp.to_le_bytes());
        out.push(header.brokers.len() as u8);
        header.brokers.iter().for_each(|name| text(out, name));
    });
}

/// Refuses what the format has no room for.
pub(super) fn check(record: &Record<'_>, limit: usize) -> Result<(), SpoolError> {
    let within = |what, bytes: usize, limit: usize| {
        if bytes > limit { Err(SpoolError::TooLarge { what, bytes, limit }) } else { Ok(()) }
    };
    let most = usize::from(u16::MAX);
    within("a camera's name", record.stream.len(), most)?;
    within("a message's identity", record.id.len(), most)?;
    within("a topic", record.topic.len(), most)?;
    within("a list of properties", record.properties.len(), usize::from(u8::MAX))?;
    for (name, value) in record.properties {
        within("a property", name.len().max(value.len()), most)?;
    }
    within("a message", record.size(), limit)
}

pub(super) fn write_record(out: &mut Vec<u8>, label: Label, record: &Record<'_>) {
    frame::append(out, |out| {
        out.push(RECORD);
        out.push(record.class as u8);
        out.extend_from_slice(&label.brokers.to_le_bytes());
        out.extend_from_slice(&label.number.to_le_bytes());
        out.extend_from_slice(&label.stamp.to_le_bytes());
        out.extend_from_slice(&micros(record.at).to_le_bytes());
        out.extend_from_slice(&record.seq.to_le_bytes());
        text(out, record.stream);
        text(out, record.id);
        text(out, record.topic);
        out.push(record.properties.len() as u8);
        for (name, value) in record.properties {
            text(out, name);
            text(out, value);
        }
        out.extend_from_slice(record.payload);
    });
}

pub(super) fn write_acknowledged(out: &mut Vec<u8>, broker: u8, stamp: u64, runs: &[(u64, u32)]) {
    frame::append(out, |out| {
        out.push(ACKNOWLEDGED);
        out.push(broker);
        out.extend_from_slice(&stamp.to_le_bytes());
        out.extend_from_slice(&(runs.len() as u32).to_le_bytes());
        for (first, length) in runs {
            out.extend_from_slice(&first.to_le_bytes());
            out.extend_from_slice(&length.to_le_bytes());
        }
    });
}

/// `None`: a sound frame of nonsense, which no version of egret has written.
pub(super) fn read(body: &[u8], read: impl FnOnce(Body<'_>)) -> Option<()> {
    let mut fields = Fields(body);
    match fields.u8()? {
        HEADER => {
            let (number, boot, since_boot, stamp) = (fields.u64()?, fields.u128()?, fields.u64()?, fields.u64()?);
            let brokers = (0..fields.u8()?).map(|_| fields.text().map(str::to_owned)).collect::<Option<_>>()?;
            read(Body::Header(Header { number, boot, since_boot, stamp, brokers }));
        }
        RECORD => {
            let class = Class::from_code(fields.u8()?)?;
            let brokers = fields.u16()?;
            let label = Label { number: fields.u64()?, stamp: fields.u64()?, brokers };
            let (at, seq) = (time(fields.u64()? as i64), fields.u64()?);
            let (stream, id, topic) = (fields.text()?, fields.text()?, fields.text()?);
            let mut properties = Vec::new();
            for _ in 0..fields.u8()? {
                properties.push((fields.text()?, fields.text()?));
            }
            read(Body::Record(label, Record { class, stream, seq, id, topic, properties: &properties, payload: fields.0, at }));
        }
        ACKNOWLEDGED => {
            let (broker, stamp) = (fields.u8()?, fields.u64()?);
            let runs = (0..fields.u32()?).map(|_| Some((fields.u64()?, fields.u32()?))).collect::<Option<_>>()?;
            read(Body::Acknowledged { broker, stamp, runs });
        }
        _ => return None,
    }
    Some(())
}

/// Microseconds from 1970; what lies further away than 290 000 years is 1970.
pub(super) fn micros(at: SystemTime) -> i64 {
    match at.duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_micros()).unwrap_or_default(),
        Err(before) => i64::try_from(before.duration().as_micros()).map_or(0, |micros| -micros),
    }
}

pub(super) fn time(micros: i64) -> SystemTime {
    let distance = Duration::from_micros(micros.unsigned_abs());
    let time = if micros < 0 { UNIX_EPOCH.checked_sub(distance) } else { UNIX_EPOCH.checked_add(distance) };
    time.unwrap_or(UNIX_EPOCH)
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(&(text.len() as u16).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

/// What is still to be read.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }
    fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_le_bytes)
    }
    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }
    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }
    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }
    fn u128(&mut self) -> Option<u128> {
        self.array().map(u128::from_le_bytes)
    }
    fn text(&mut self) -> Option<&'a str> {
        let length = self.u16()?;
        str::from_utf8(self.take(usize::from(length))?).ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bodies(bytes: &[u8]) -> Vec<&[u8]> {
        let bodies = frame::Pieces { bytes, at: 0 }.filter_map(|piece| match piece {
            frame::Piece::Frame { body, .. } => Some(body),
            _ => None,
        });
        bodies.collect()
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            numbers in any::<[u64; 4]>(), boot in any::<u128>(), brokers in any::<u16>(), micros in any::<i32>(),
            texts in proptest::collection::vec(".{0,20}", 5), payload in proptest::collection::vec(any::<u8>(), 0..300),
        ) {
            let [number, stamp, seq, since_boot] = numbers;
            let label = Label { number, stamp, brokers };
            let properties = [(texts[3].as_str(), texts[4].as_str())];
            let at = time(i64::from(micros) * 1_000_000);
            let record = Record {
                class: Class::Event, stream: &texts[0], seq, id: &texts[1], topic: &texts[2], properties: &properties,
                payload: &payload, at,
            };
            let header = Header { number, boot, since_boot, stamp, brokers: texts.clone() };
            let runs = vec![(number, 7), (stamp, 1)];
            let mut out = Vec::new();
            write_header(&mut out, &header);
            write_record(&mut out, label, &record);
            write_acknowledged(&mut out, 3, stamp, &runs);
            let written = [Body::Header(header), Body::Record(label, record), Body::Acknowledged { broker: 3, stamp, runs }];
            let mut found = 0;
            for (bytes, written) in bodies(&out).into_iter().zip(&written) {
                prop_assert_eq!(read(bytes, |body| { assert_eq!(&body, written); }), Some(()));
                found += 1;
            }
            prop_assert_eq!(found, 3);
        }

        #[test]
        fn nonsense_is_not_read_and_does_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), kind in 0..4_u8) {
            let mut bytes = bytes;
            if let Some(first) = bytes.first_mut() {
                *first = kind;
            }
            let read = read(&bytes, |_| {});
            prop_assert!(kind < 3 || read.is_none());
        }
    }

    #[test]
    fn a_damaged_beginning_has_no_version() {
        let sound = prelude();
        assert_eq!((sound.len(), version(&sound)), (PRELUDE, Some(VERSION)));
        for at in 0..PRELUDE {
            let mut bytes = sound.clone();
            bytes[at] ^= 4;
            assert_eq!(version(&bytes), None);
            assert_eq!(version(&sound[..at]), None);
        }
    }

    #[test]
    fn what_the_format_has_no_room_for_is_refused() {
        let long = "x".repeat(70_000);
        let sound = Record {
            class: Class::Count,
            stream: "a",
            seq: 0,
            id: "b",
            topic: "c",
            properties: &[],
            payload: b"d",
            at: UNIX_EPOCH,
        };
        assert!(check(&sound, 100).is_ok());
        let many = vec![("a", "b"); 256];
        for (wrong, what) in [
            (Record { stream: &long, ..sound.clone() }, "name"),
            (Record { id: &long, ..sound.clone() }, "identity"),
            (Record { topic: &long, ..sound.clone() }, "topic"),
            (Record { properties: &[("a", &long)], ..sound.clone() }, "property"),
            (Record { properties: &many, ..sound.clone() }, "properties"),
            (Record { payload: &[0; 101], ..sound.clone() }, "message"),
        ] {
            let error = check(&wrong, 100).expect_err(what).to_string();
            assert!(error.contains(what), "{error}");
        }
    }
}
