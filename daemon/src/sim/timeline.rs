//! Where a coded picture lies on a camera's endless time line: laps of a file joined without a seam, in the order of decoding.

/// When a picture is shown, and when it is decoded where the container says so: nanoseconds of its file's running time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Times {
    pub(super) pts: i64,
    pub(super) dts: Option<i64>,
    pub(super) duration: i64,
}

/// Nanoseconds since the camera began: when the picture was captured, and when it leaves the camera.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Placed {
    pub(super) captured_ns: i64,
    pub(super) sent_ns: i64,
}

/// How long pictures may wait to be sent in order of decoding. No encoder reorders for longer.
const MAX_REORDER_NS: i64 = 1_000_000_000;

/// Places pictures one after the other.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    /// Presentation time of the lap's first picture: that is where the lap begins.
    first_pts: Option<i64>,
    lap_start: i64,
    end: i64,
    last_sent: i64,
    /// A picture leaves after it was captured. With B-frames that is later than its decoding time; this much later.
    reorder: i64,
}

impl Timeline {
    /// Places the next picture of the lap.
    pub(super) fn place(&mut self, times: Times) -> Placed {
        let first = *self.first_pts.get_or_insert(times.pts);
        let captured_ns = self.lap_start + times.pts - first;
        let decoded = self.lap_start + times.dts.unwrap_or(times.pts) - first;
        self.reorder = self.reorder.max(captured_ns - decoded).min(MAX_REORDER_NS);
        let sent_ns = (decoded + self.reorder).max(captured_ns).max(self.last_sent);
        self.last_sent = sent_ns;
        self.end = self.end.max(captured_ns + times.duration);
        Placed { captured_ns, sent_ns }
    }

    /// The file (or the setting) ended: what comes next begins where this ended.
    pub(super) fn seam(&mut self) {
        self.lap_start = self.end;
        self.first_pts = None;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FRAME: i64 = 40_000_000;

    fn times(pts: i64, dts: Option<i64>) -> Times {
        Times { pts: pts * FRAME, dts: dts.map(|d| d * FRAME), duration: FRAME }
    }

    #[test]
    fn a_picture_with_b_frames_leaves_in_order_of_decoding_and_never_before_it_was_captured() {
        let mut line = Timeline::default();
        let order = [(0, -2), (4, -1), (2, 0), (1, 1), (3, 2), (5, 3)];
        let sent: Vec<_> = order.iter().map(|&(p, d)| line.place(times(p, Some(d)))).collect();
        assert!(sent.iter().all(|p| p.sent_ns >= p.captured_ns));
        // Settled after the first reordering: one picture a period.
        assert!(sent[1..].windows(2).all(|w| w[1].sent_ns - w[0].sent_ns == FRAME), "{sent:?}");
    }

    #[test]
    fn a_container_without_decoding_times_still_works() {
        let mut line = Timeline::default();
        for pts in [0, 3, 1, 2, 6, 4, 5] {
            let placed = line.place(times(pts, None));
            assert_eq!(placed.captured_ns, pts * FRAME);
            assert!(placed.sent_ns >= placed.captured_ns);
        }
    }

    proptest! {
        /// However long the laps and wherever a file's own clock begins: no jump back at the seam, no gap, no overlap.
        #[test]
        fn laps_join_without_a_seam(laps in proptest::collection::vec((1i64..40, -500i64..500), 1..8)) {
            let mut line = Timeline::default();
            let mut expected = 0;
            let mut last_sent = i64::MIN;
            for (pictures, origin) in laps {
                for n in 0..pictures {
                    let placed = line.place(times(origin + n, Some(origin + n - 1)));
                    prop_assert_eq!(placed.captured_ns, expected * FRAME);
                    prop_assert!(placed.sent_ns >= placed.captured_ns && placed.sent_ns >= last_sent);
                    last_sent = placed.sent_ns;
                    expected += 1;
                }
                line.seam();
            }
        }
    }
}
