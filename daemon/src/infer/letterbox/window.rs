//! The same for the kernels of a GPU: where each picture goes and by which coefficients, from the code that draws on the CPU.

use egret_jetson::kernels::letterbox as device;
use egret_models::spec::ChannelOrder;

use super::{BBox, Color, Letterbox, Placement, Rect, fit, kernel::Coefficients};

impl Letterbox {
    /// How a picture of `width`×`height`, or the whole pixels that a region of it touches, goes into a slot of the tensor. `None`: the
    /// region lies outside the picture; [`Self::nothing`] makes padding of the slot.
    pub fn window(&self, frame: (usize, usize), color: Color, region: Option<BBox>) -> Option<(device::Window, Placement)> {
        let rect = Rect::of(region, frame)?;
        let ([across, down], placement) = fit::place(self.fit, rect, (self.width, self.height), frame);
        let axis = |axis: fit::Axis| {
            // What is too large for the kernels is refused by them.
            let [start, len, scaled, cut, drawn, at] = [axis.start, axis.len, axis.scaled, axis.cut, axis.drawn, axis.at]
                .map(|pixels| u32::try_from(pixels).unwrap_or(u32::MAX));
            device::Axis { start, len, scaled, cut, drawn, at }
        };
        let Coefficients { red, green, blue } = Coefficients::new(color, self.levels);
        let channels = self.ordered([red, green, blue]);
        Some((device::Window { across: axis(across), down: axis(down), channels, ..self.nothing() }, placement))
    }

    /// A slot without a picture.
    pub fn nothing(&self) -> device::Window {
        device::Window { padding: self.ordered(self.padding), ..Default::default() }
    }

    /// From red, green, blue to the order of the tensor.
    fn ordered<T>(&self, [red, green, blue]: [T; 3]) -> [T; 3] {
        match self.order {
            ChannelOrder::Rgb => [red, green, blue],
            ChannelOrder::Bgr => [blue, green, red],
        }
    }
}
