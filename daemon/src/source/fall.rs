//! What becomes of a camera whose decoder does not work: the next one, and the reason is told once.

use super::Line;
use crate::{decode::Fault, media::Codec, status::Fallback};

/// A decoder that gave so many pictures works: what breaks it later is not its kind. Two seconds of most cameras.
const PROVEN: u64 = 50;

impl Line {
    /// Goes on to the next way of decoding, if there is one and the fault asks for it: pictures that cannot be read where they are, or
    /// hardware that fails before it has shown what it can. Whoever asks makes a new decoder then.
    pub(super) fn fall(&mut self, codec: Codec, fault: &Fault) -> bool {
        let Ok(way) = self.setup.way(codec) else { return false };
        let unreadable = matches!(fault, Fault::Surface(_) | Fault::Format(_) | Fault::Missing(_));
        let proven = self.outlet.delivered().saturating_sub(self.born) >= PROVEN;
        if !way.is_hardware() || (proven && !unreadable) {
            return false;
        }
        let Some(next) = self.setup.next(codec) else { return false };
        self.setup.failed += 1;
        let (camera, decoder, instead) = (self.outlet.stream().name(), way.describe(codec), next.describe(codec));
        tracing::warn!(camera, %decoder, %instead, reason = %fault, "another decoder takes over");
        let fallback = Fallback { from: way.element(codec), reason: fault.to_string() };
        self.outlet.count(|status| status.decoding.fallback = Some(fallback));
        true
    }

    /// A decoder was made.
    pub(super) fn decodes(&mut self, codec: Codec) {
        self.born = self.outlet.delivered();
        if let Ok(way) = self.setup.way(codec) {
            self.outlet.decoding(codec, way);
        }
    }

    /// The CPU cannot make anything of the stream either, so it was not the hardware: next time from the beginning.
    pub(super) fn absolve(&mut self, codec: Codec) {
        let software = self.setup.way(codec).is_ok_and(|way| !way.is_hardware());
        if software && self.setup.failed > 0 && self.outlet.delivered() == self.born {
            self.setup.failed = 0;
        }
    }
}
