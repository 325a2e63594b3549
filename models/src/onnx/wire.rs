//! The protobuf wire format (protobuf.dev/programming-guides/encoding), over borrowed bytes.

use super::Refused;

/// One field's value.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value<'a> {
    Varint(u64),
    Fixed64,
    Fixed32([u8; 4]),
    Bytes(Slice<'a>),
}

/// A field's number, its value, and the whole field as it lies in the file.
pub(super) type Whole<'a> = (u64, Value<'a>, &'a [u8]);

/// Bytes and where they begin in the file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slice<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) offset: usize,
}

impl<'a> Slice<'a> {
    pub(super) fn text(self) -> Result<&'a str, Refused> {
        std::str::from_utf8(self.bytes).map_err(|_| Refused::Damaged { what: "a name that is not UTF-8", offset: self.offset })
    }
}

/// Walks the fields of one message.
pub(super) struct Fields<'a> {
    rest: &'a [u8],
    offset: usize,
}

impl<'a> Fields<'a> {
    pub(super) fn of(message: Slice<'a>) -> Self {
        Self { rest: message.bytes, offset: message.offset }
    }

    /// The next field's number and value.
    pub(super) fn next(&mut self) -> Result<Option<(u64, Value<'a>)>, Refused> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let key = self.varint()?;
        let value = match key & 7 {
            0 => Value::Varint(self.varint()?),
            1 => {
                self.take(8)?;
                Value::Fixed64
            }
            2 => {
                let len = self.varint()?;
                let len = usize::try_from(len).map_err(|_| self.damaged("a length beyond the file"))?;
                let offset = self.offset;
                Value::Bytes(Slice { bytes: self.take(len)?, offset })
            }
            5 => {
                let bytes = self.take(4)?;
                Value::Fixed32([bytes[0], bytes[1], bytes[2], bytes[3]])
            }
            _ => return Err(self.damaged("an unknown wire type")),
        };
        if key >> 3 == 0 {
            return Err(self.damaged("a field without a number"));
        }
        Ok(Some((key >> 3, value)))
    }

    /// The next field's number and value, and the whole field as it lies in the file.
    pub(super) fn next_whole(&mut self) -> Result<Option<Whole<'a>>, Refused> {
        let before = self.rest;
        let Some((number, value)) = self.next()? else { return Ok(None) };
        Ok(Some((number, value, &before[..before.len() - self.rest.len()])))
    }

    pub(super) fn varint(&mut self) -> Result<u64, Refused> {
        let mut value = 0_u64;
        for (i, &byte) in self.rest.iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * i as u32).min(63);
            if byte < 0x80 {
                self.take(i + 1)?;
                return Ok(value);
            }
        }
        Err(self.damaged("an endless number"))
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], Refused> {
        let Some((taken, rest)) = self.rest.split_at_checked(len) else {
            return Err(self.damaged("a field that is longer than what holds it"));
        };
        self.rest = rest;
        self.offset += len;
        Ok(taken)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    fn damaged(&self, what: &'static str) -> Refused {
        Refused::Damaged { what, offset: self.offset }
    }
}

/// Values of a `repeated int64` field, packed or one by one.
pub(super) fn push_ints(value: Value<'_>, limit: usize, what: &'static str, out: &mut Vec<i64>) -> Result<(), Refused> {
    let mut push = |value: u64| {
        if out.len() == limit {
            return Err(Refused::TooMany { what, limit });
        }
        out.push(value as i64);
        Ok(())
    };
    match value {
        Value::Varint(value) => push(value),
        Value::Bytes(slice) => {
            let mut fields = Fields::of(slice);
            while !fields.is_empty() {
                push(fields.varint()?)?;
            }
            Ok(())
        }
        Value::Fixed32(_) | Value::Fixed64 => Ok(()),
    }
}
