//! Messages that are larger than anything that we take in are thrown away as they come, instead of with the connection: over MQTT 3.1.1
//! nobody can tell a broker not to send them.

use bytes::{Buf as _, BytesMut};

/// Packet type of PUBLISH.
const PUBLISH: u8 = 3;
/// What is larger is not thrown away but taken for a fault of the connection.
const LARGEST: usize = 16 << 20;
/// Longest topic that is looked at.
const LONGEST_TOPIC: usize = 1024;

/// What has come.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Sieved {
    /// Whatever the codec makes of it.
    Passed,
    /// More is to come before anything can be said.
    Waits,
    /// A message on this topic, with so many bytes, is thrown away.
    TooLarge { topic: String, bytes: usize },
}

/// The sieve of one connection.
#[derive(Debug)]
pub(super) struct Sieve {
    /// Largest packet that passes.
    most: usize,
    /// Bytes that are still to be thrown away.
    left: usize,
}

impl Sieve {
    pub(super) fn new(most: usize) -> Self {
        Self { most, left: 0 }
    }

    /// Looks at what has come, and takes out what is to be thrown away.
    pub(super) fn look(&mut self, input: &mut BytesMut) -> Sieved {
        self.drop_some(input);
        if self.left > 0 {
            return Sieved::Waits;
        }
        if input.first().is_none_or(|first| first >> 4 != PUBLISH) {
            return Sieved::Passed;
        }
        let Some((length, head)) = length(input) else { return Sieved::Passed };
        if length + head <= self.most || length > LARGEST {
            return Sieved::Passed;
        }
        let Some(size) = input.get(head..head + 2).map(|size| usize::from(u16::from_be_bytes([size[0], size[1]]))) else {
            return Sieved::Waits;
        };
        let shown = size.min(LONGEST_TOPIC);
        let Some(topic) = input.get(head + 2..head + 2 + shown) else { return Sieved::Waits };
        let topic = String::from_utf8_lossy(topic).into_owned();
        self.left = head + length;
        self.drop_some(input);
        Sieved::TooLarge { topic, bytes: length.saturating_sub(2 + size) }
    }

    fn drop_some(&mut self, input: &mut BytesMut) {
        let gone = self.left.min(input.len());
        input.advance(gone);
        self.left -= gone;
    }
}

/// The remaining length (MQTT 5, 2.1.4), and the bytes before what it counts. `None`: it is not there yet, or is none.
fn length(input: &[u8]) -> Option<(usize, usize)> {
    let mut length = 0;
    for (at, byte) in input.iter().skip(1).take(4).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((length, at + 2));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{super::packet::MAX_INCOMING, *};

    /// A message of so many bytes behind its header, topic `a/b`.
    fn message(length: usize) -> Vec<u8> {
        let mut bytes = vec![0x30];
        let mut left = length;
        loop {
            bytes.push((left % 128) as u8 | if left >= 128 { 0x80 } else { 0 });
            left /= 128;
            if left == 0 {
                break;
            }
        }
        bytes.extend([0, 3, b'a', b'/', b'b']);
        bytes.resize(bytes.len() + length - 5, b'x');
        bytes
    }

    proptest! {
        /// In whatever pieces it comes, what is too large is told once and gone, and what stands before and behind it is left.
        #[test]
        fn only_what_is_too_large_is_thrown_away(pieces in prop::collection::vec(1..40_000_usize, 1..40), over in 1..100_000_usize) {
            let large = message(MAX_INCOMING + over);
            let all: Vec<u8> = [&[0xd0, 0][..], &large, &message(10)].concat();
            let (mut sieve, mut input, mut told, mut passed) = (Sieve::new(MAX_INCOMING), BytesMut::new(), Vec::new(), Vec::new());
            let (mut at, mut pieces) = (0, pieces.into_iter().cycle());
            while at < all.len() {
                let piece = pieces.next().expect("endless").min(all.len() - at);
                input.extend_from_slice(&all[at..at + piece]);
                at += piece;
                loop {
                    match sieve.look(&mut input) {
                        Sieved::TooLarge { topic, bytes } => told.push((topic, bytes)),
                        // What a codec would take: the two bytes of the pong, and the whole small message.
                        Sieved::Passed if input.starts_with(&[0xd0]) && input.len() >= 2 => passed.extend(input.split_to(2)),
                        Sieved::Passed if input.len() >= 12 && length(&input) == Some((10, 2)) => passed.extend(input.split_to(12)),
                        Sieved::Passed | Sieved::Waits => break,
                    }
                    prop_assert!(input.len() <= all.len());
                }
            }
            prop_assert_eq!(told, [("a/b".to_owned(), MAX_INCOMING + over - 5)]);
            prop_assert_eq!(passed, [&[0xd0, 0][..], &message(10)].concat());
        }
    }

    #[test]
    fn what_is_beyond_all_measure_is_left_to_the_codec() {
        let mut input = BytesMut::from(&[0x30, 0xff, 0xff, 0xff, 0x7f][..]);
        assert_eq!(Sieve::new(MAX_INCOMING).look(&mut input), Sieved::Passed);
        assert_eq!(input.len(), 5);
        assert_eq!(Sieve::new(MAX_INCOMING).look(&mut BytesMut::new()), Sieved::Passed);
    }
}
