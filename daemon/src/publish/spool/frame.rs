//! Frames: how anything is found again in a file of which any byte may be wrong.
//!
//! `mark 4 · length of the body u32 · CRC32C of length and body u32 · body`, numbers little-endian. The mark is no UTF-8, so that no text of
//! a payload looks like one; after damage the next sound frame is searched for by it.

use super::crc::crc32c;

/// How a frame begins.
const MARK: [u8; 4] = [0xE9, 0xC5, 0x0B, 0xF7];
/// Bytes before the body.
pub(super) const HEAD: usize = 12;
/// Longest body. What claims to be longer is damage.
pub(super) const LONGEST: usize = 2 << 20;

/// Appends a frame with the body that `write` writes.
pub(super) fn append(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&MARK);
    out.extend_from_slice(&[0; 8]);
    write(out);
    let length = ((out.len() - start - HEAD) as u32).to_le_bytes();
    let sum = crc32c(&[&length, &out[start + HEAD..]]).to_le_bytes();
    out[start + 4..start + 8].copy_from_slice(&length);
    out[start + 8..start + HEAD].copy_from_slice(&sum);
}

/// What the bytes at a place are.
enum Seen<'a> {
    Sound(&'a [u8]),
    /// All bytes of a frame are there, and they are wrong.
    Wrong(usize),
    /// No frame, or not all of it.
    Nothing,
}

fn look(bytes: &[u8]) -> Seen<'_> {
    let Some((head, rest)) = bytes.split_at_checked(HEAD) else { return Seen::Nothing };
    let word = |at: usize| [head[at], head[at + 1], head[at + 2], head[at + 3]];
    let length = u32::from_le_bytes(word(4)) as usize;
    if word(0) != MARK || length == 0 || length > LONGEST {
        return Seen::Nothing;
    }
    match rest.get(..length) {
        Some(body) if crc32c(&[&word(4), body]) == u32::from_le_bytes(word(8)) => Seen::Sound(body),
        Some(_) => Seen::Wrong(HEAD + length),
        None => Seen::Nothing,
    }
}

/// The body of one whole frame.
pub(super) fn body(bytes: &[u8]) -> Option<&[u8]> {
    match look(bytes) {
        Seen::Sound(body) if body.len() + HEAD == bytes.len() => Some(body),
        _ => None,
    }
}

/// A piece of a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// A sound frame.
    Frame { offset: usize, body: &'a [u8] },
    /// Bytes up to `end` that are no sound frame, with more behind them, or a whole frame that is wrong.
    Damaged { offset: usize, end: usize },
    /// From here to the end of the file there is nothing but the beginning of something.
    Torn { offset: usize },
}

/// All pieces of a file from `at` on, none left out.
pub(super) struct Pieces<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
}

impl Pieces<'_> {
    /// Where the next sound frame begins.
    fn next_sound(&self) -> Option<usize> {
        let mut at = self.at + 1;
        while let Some(found) = self.bytes.get(at..)?.windows(MARK.len()).position(|window| window == MARK) {
            at += found;
            if matches!(look(&self.bytes[at..]), Seen::Sound(_)) {
                return Some(at);
            }
            at += 1;
        }
        None
    }
}

impl<'a> Iterator for Pieces<'a> {
    type Item = Piece<'a>;

    fn next(&mut self) -> Option<Piece<'a>> {
        let offset = self.at;
        let rest = self.bytes.get(offset..).filter(|rest| !rest.is_empty())?;
        let seen = look(rest);
        if let Seen::Sound(body) = seen {
            self.at += HEAD + body.len();
            return Some(Piece::Frame { offset, body });
        }
        let end = match (self.next_sound(), seen) {
            (Some(end), _) => end,
            (None, Seen::Wrong(length)) => offset + length,
            (None, _) => {
                self.at = self.bytes.len();
                return Some(Piece::Torn { offset });
            }
        };
        self.at = end;
        Some(Piece::Damaged { offset, end })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn file(bodies: &[Vec<u8>]) -> Vec<u8> {
        let mut out = Vec::new();
        for body in bodies {
            append(&mut out, |out| out.extend_from_slice(body));
        }
        out
    }

    fn bodies(bytes: &[u8]) -> Vec<Vec<u8>> {
        let frames = Pieces { bytes, at: 0 }.filter_map(|piece| match piece {
            Piece::Frame { body, .. } => Some(body.to_vec()),
            _ => None,
        });
        frames.collect()
    }

    fn some_bodies() -> impl Strategy<Value = Vec<Vec<u8>>> {
        proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..60), 1..8)
    }

    #[test]
    fn a_length_of_nonsense_is_no_frame() {
        let mut bytes = file(&[vec![1; 5]]);
        bytes[7] = 0xFF;
        assert_eq!(Pieces { bytes: &bytes, at: 0 }.collect::<Vec<_>>(), [Piece::Torn { offset: 0 }]);
        assert_eq!(body(&bytes), None);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(written in some_bodies()) {
            prop_assert_eq!(bodies(&file(&written)), written);
        }

        #[test]
        fn one_wrong_bit_costs_one_frame(written in some_bodies(), at in any::<prop::sample::Index>(), bit in 0..8_u8) {
            let mut bytes = file(&written);
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            let mut end = 0;
            let hit = written.iter().position(|body| { end += HEAD + body.len(); at < end }).expect("within one");
            let mut left = written.clone();
            left.remove(hit);
            prop_assert_eq!(bodies(&bytes), left);
        }

        #[test]
        fn a_cut_costs_what_was_behind_it(written in some_bodies(), at in any::<prop::sample::Index>()) {
            let whole = file(&written);
            let cut = at.index(whole.len());
            let mut end = 0;
            let sound = written.iter().take_while(|body| { end += HEAD + body.len(); end <= cut }).count();
            let read: Vec<_> = Pieces { bytes: &whole[..cut], at: 0 }.collect();
            prop_assert_eq!(bodies(&whole[..cut]), &written[..sound]);
            let damaged = read.iter().any(|piece| matches!(piece, Piece::Damaged { .. }));
            prop_assert!(!damaged);
        }

        #[test]
        fn no_bytes_are_left_out(bytes in proptest::collection::vec(prop_oneof![Just(0xE9_u8), Just(0xC5), Just(0x0B), Just(0xF7), Just(0), any::<u8>()], 0..200)) {
            let mut at = 0;
            for piece in (Pieces { bytes: &bytes, at: 0 }) {
                match piece {
                    Piece::Frame { offset, body } => { prop_assert_eq!(offset, at); at += HEAD + body.len(); }
                    Piece::Damaged { offset, end } => { prop_assert_eq!(offset, at); prop_assert!(end > at); at = end; }
                    Piece::Torn { offset } => { prop_assert_eq!(offset, at); at = bytes.len(); }
                }
            }
            prop_assert_eq!(at, bytes.len());
        }
    }
}
