//! A frame as steps may see it.

use std::{cell::OnceCell, sync::Arc};

use crate::{
    analyse::{Zone, covered},
    media::{Frame, Pixels},
};

/// A frame in which the parts that nobody is to see are black. It is painted when the first step looks.
pub(crate) struct Shown<'a> {
    frame: &'a Arc<Frame>,
    veils: Vec<Zone>,
    painted: OnceCell<Arc<Frame>>,
}

impl<'a> Shown<'a> {
    pub(crate) fn new(frame: &'a Arc<Frame>, veils: Vec<Zone>) -> Self {
        Self { frame, veils, painted: OnceCell::new() }
    }

    /// The frame itself, for everything but its picture.
    pub(super) fn whole(&self) -> &'a Frame {
        self.frame
    }

    /// What may be looked at of it.
    pub(super) fn frame(&self) -> &Arc<Frame> {
        if self.veils.is_empty() {
            return self.frame;
        }
        self.painted.get_or_init(|| {
            let Frame { stream, seq, dispatch, pts, capture, pixels, times } = &**self.frame;
            // To be painted over, a picture on a device comes here.
            let Some(picture) = pixels.host() else { return Arc::clone(self.frame) };
            let Some(painted) = covered(picture, &self.veils) else { return Arc::clone(self.frame) };
            let (stream, pixels) = (stream.clone(), Pixels::Host(painted));
            let (seq, dispatch, pts, capture, times) = (*seq, *dispatch, *pts, *capture, *times);
            Arc::new(Frame { stream, seq, dispatch, pts, capture, pixels, times })
        })
    }
}
