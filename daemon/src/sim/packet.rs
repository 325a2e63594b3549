//! What faults do to RTP and RTCP packets (RFC 3550, §5.1 and §6.4.1).

/// Ticks per millisecond of every video codec served (90 kHz).
const TICKS_PER_MS: i64 = 90;
const RTP_HEADER: usize = 12;
const SENDER_REPORT: u8 = 200;

/// Reproducible chance: SplitMix64.
#[derive(Clone, Debug)]
pub(super) struct Chance(u64);

impl Chance {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// True with this probability.
    pub(super) fn hits(&mut self, rate: f64) -> bool {
        ((self.bits() >> 11) as f64 / (1u64 << 53) as f64) < rate
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.bits() % limit.max(1) as u64) as usize
    }
}

/// Alters bytes of an RTP packet's payload: one in 64 of them, one at least. The header stays, as on a bad memory chip or a bad
/// encoder; a wrong header would only look like a packet of somebody else.
pub(super) fn alter(packet: &mut [u8], chance: &mut Chance) {
    let Some(payload) = packet.get_mut(RTP_HEADER..).filter(|p| !p.is_empty()) else { return };
    for _ in 0..=payload.len() / 64 {
        let at = chance.below(payload.len());
        // Never a change to the same value.
        payload[at] ^= (chance.below(255) + 1) as u8;
    }
}

/// Cuts the end of an RTP packet's payload off, one byte at least.
pub(super) fn cut(packet: &mut Vec<u8>, chance: &mut Chance) {
    if let Some(payload) = packet.len().checked_sub(RTP_HEADER).filter(|n| *n > 0) {
        packet.truncate(RTP_HEADER + chance.below(payload));
    }
}

/// Moves an RTP packet's timestamp.
pub(super) fn shift_rtp(packet: &mut [u8], by_ms: i64) {
    add_ticks(packet.get_mut(4..8), by_ms);
}

/// Moves the clocks in the sender reports of a compound RTCP packet: the wall clock and the RTP timestamp.
pub(super) fn shift_reports(mut packet: &mut [u8], ntp_by_ms: i64, rtp_by_ms: i64) {
    while let Some(&[_, kind, high, low]) = packet.first_chunk() {
        let length = (usize::from(u16::from_be_bytes([high, low])) + 1) * 4;
        let Some((this, rest)) = packet.split_at_mut_checked(length) else { return };
        if kind == SENDER_REPORT {
            if let Some(ntp) = this.get_mut(8..16).and_then(|b| <&mut [u8; 8]>::try_from(b).ok()) {
                // 32.32 fixed point: a millisecond is 2^32 / 1000.
                let by = ((i128::from(ntp_by_ms) << 32) / 1000) as i64;
                *ntp = u64::from_be_bytes(*ntp).wrapping_add_signed(by).to_be_bytes();
            }
            add_ticks(this.get_mut(16..20), rtp_by_ms);
        }
        packet = rest;
    }
}

fn add_ticks(field: Option<&mut [u8]>, by_ms: i64) {
    if let Some(field) = field.and_then(|b| <&mut [u8; 4]>::try_from(b).ok()) {
        *field = u32::from_be_bytes(*field).wrapping_add(by_ms.wrapping_mul(TICKS_PER_MS) as u32).to_be_bytes();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn report(ntp: u64, rtp: u32) -> Vec<u8> {
        let mut packet = vec![0x80, SENDER_REPORT, 0, 6, 1, 2, 3, 4];
        packet.extend(ntp.to_be_bytes());
        packet.extend(rtp.to_be_bytes());
        packet.extend([0; 8]);
        packet.extend([0x81, 202, 0, 1, 9, 9, 9, 9]);
        packet
    }

    #[test]
    fn a_report_moves_by_the_offset_and_nothing_else_changes() {
        let mut packet = report(5 << 32, 1000);
        shift_reports(&mut packet, -1500, 2000);
        assert_eq!(packet, report((3 << 32) | 0x8000_0000, 181_000));
    }

    #[test]
    fn timestamps_wrap() {
        let mut packet = vec![0x80, 96, 0, 1, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 7];
        shift_rtp(&mut packet, 1);
        assert_eq!(packet[4..8], 89u32.to_be_bytes());
    }

    proptest! {
        #[test]
        fn altering_changes_the_payload_alone(mut packet in proptest::collection::vec(any::<u8>(), 0..300), seed: u64) {
            let before = packet.clone();
            alter(&mut packet, &mut Chance::new(seed));
            let header = packet.len().min(RTP_HEADER);
            prop_assert_eq!(packet.len(), before.len());
            prop_assert_eq!(&packet[..header], &before[..header]);
        }

        #[test]
        fn cutting_leaves_a_header_and_less(mut packet in proptest::collection::vec(any::<u8>(), 13..300), seed: u64) {
            let before = packet.clone();
            cut(&mut packet, &mut Chance::new(seed));
            prop_assert!(packet.len() < before.len() && packet.len() >= RTP_HEADER);
            prop_assert_eq!(&packet[..], &before[..packet.len()]);
        }

        #[test]
        fn any_bytes_are_survived(mut packet in proptest::collection::vec(any::<u8>(), 0..100), a: i64, b: i64) {
            let length = packet.len();
            shift_reports(&mut packet, a, b);
            shift_rtp(&mut packet, a);
            prop_assert_eq!(packet.len(), length);
        }

        #[test]
        fn chance_keeps_its_rate(seed: u64, rate in 0.0f64..1.0) {
            let mut chance = Chance::new(seed);
            let hits = (0..4000).filter(|_| chance.hits(rate)).count() as f64 / 4000.0;
            prop_assert!((hits - rate).abs() < 0.05);
            prop_assert!(!chance.hits(0.0) && chance.hits(1.0));
        }
    }
}
