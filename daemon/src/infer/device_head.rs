//! A head of the models crate in the words of the kernels of a GPU.

use egret_jetson::kernels::decode as device;
use egret_models::{
    head::{Activation, Arrangement, Column, Head, HeadError, HeadSpec},
    spec::InputSpec,
};

/// A head for a GPU.
#[derive(Clone, Debug, PartialEq)]
pub struct DeviceHead {
    /// What the kernels are told.
    pub head: device::Head,
    /// For each output that the kernels read its position among those of the network.
    pub order: Vec<usize>,
}

/// How the kernels read a network's outputs: name and shape with the batch, as [`Head::new`] takes them, but with every dimension
/// known. Masks are not made there: their coefficients come instead.
///
/// # Errors
/// [`HeadError`], as the head itself.
pub fn device_head(
    spec: &HeadSpec,
    input: &InputSpec,
    outputs: &[(&str, &[usize])],
    classes: usize,
) -> Result<DeviceHead, HeadError> {
    let known: Vec<Vec<_>> = outputs.iter().map(|(_, dims)| dims.iter().map(|size| Some(*size)).collect()).collect();
    let declared: Vec<_> = outputs.iter().zip(&known).map(|((name, _), dims)| (*name, dims.as_slice())).collect();
    let arrangement = Head::new(spec, input, &declared, classes)?.arrangement(&declared)?;
    let dims: Vec<_> = arrangement.order.iter().map(|output| outputs[*output].1).collect();
    let seen = Seen { input: (input.width, input.height), classes, form: arrangement.form, dims: &dims };
    let scanner = seen.scanner(spec).map_err(|reason| HeadError::Spec { kind: spec.kind(), reason })?;
    let Arrangement { order, pixels, limit, .. } = arrangement;
    let head = device::Head {
        rows: seen.rows(spec, &scanner) as u32,
        scanner,
        input: (input.width as u32, input.height as u32),
        classes: classes as u32,
        limit,
        pixels: pixels.map(|output| output as u32),
        suppress: spec.suppresses(),
        more: seen.more(spec),
    };
    Ok(DeviceHead { head, order })
}

/// What is known of a network.
struct Seen<'a> {
    input: (usize, usize),
    classes: usize,
    /// Which way it was exported, in the order in which [`HeadSpec`] lists them.
    form: usize,
    /// Shapes of the outputs, with the batch, in the head's order.
    dims: &'a [&'a [usize]],
}

impl Seen<'_> {
    fn scanner(&self, spec: &HeadSpec) -> Result<device::Scanner, String> {
        use device::Scanner;
        let (by_second, normalised_scale) = (self.form == 1, [self.input.0 as f32, self.input.1 as f32]);
        let scale = |normalised: bool| if normalised { normalised_scale } else { [1.0; 2] };
        Ok(match spec {
            HeadSpec::Yolox { strides } => Scanner::Objectness { grids: self.grids(strides, false, 1) },
            HeadSpec::Yolov5 { .. } if self.form == 0 => Scanner::Objectness { grids: Vec::new() },
            HeadSpec::Yolov5 { strides, anchors } => {
                let each = anchors.first().map_or(0, Vec::len);
                Scanner::Anchors { grids: self.grids(strides, false, each), anchors: anchors.clone(), planes: self.form == 2 }
            }
            HeadSpec::Obb { end_to_end: true } => Scanner::Final(final_rows(self.dims[0][2], Some(6))),
            HeadSpec::Pose { end_to_end: true, .. } | HeadSpec::Segment { end_to_end: true, .. } => {
                Scanner::Final(final_rows(self.dims[0][2], None))
            }
            HeadSpec::Yolov8 {} | HeadSpec::Pose { .. } | HeadSpec::Segment { .. } => {
                Scanner::Table { by_column: !by_second, angle: false }
            }
            HeadSpec::Obb { .. } => Scanner::Table { by_column: !by_second, angle: true },
            HeadSpec::EndToEnd { columns, normalised } => Scanner::Final(self.end_to_end(columns, scale(*normalised))),
            HeadSpec::EfficientNms { normalised, y_first, first_class } => {
                let edge = |at: u32| device::Place { output: 1, step: 4, at };
                let edges = if *y_first { [1, 0, 3, 2] } else { [0, 1, 2, 3] }.map(edge);
                let [score, class] = [2, 3].map(|output| device::Place { output, step: 1, at: 0 });
                let (scale, first_class) = (scale(*normalised), *first_class);
                Scanner::Final(device::FinalRows { score, class, edges, scale, first_class, counted: true, ..Default::default() })
            }
            HeadSpec::Ssd { priors, variances, activation, background, y_first, clip } => Scanner::Ssd {
                priors: priors.boxes(self.input)?,
                variances: *variances,
                activation: translated(*activation),
                background: *background,
                y_first: *y_first,
                clip: *clip,
                by_column: by_second,
            },
            HeadSpec::Detr { normalised, .. } if by_second => {
                let [class, score] = [0, 2].map(|output| device::Place { output, step: 1, at: 0 });
                let edges = [0, 1, 2, 3].map(|at| device::Place { output: 1, step: 4, at });
                Scanner::Final(device::FinalRows { score, class, edges, scale: scale(*normalised), ..Default::default() })
            }
            HeadSpec::Detr { activation, top_k, .. } => {
                // More than there are changes nothing.
                let all = self.dims[0][1] * self.classes;
                Scanner::Queries { activation: translated(*activation), top_k: (*top_k).min(all) as u32 }
            }
            HeadSpec::NanoDet { strides, reg_max, point } => self.distribution(strides, *reg_max, (*point, true), self.form == 0),
            HeadSpec::PicoDet { .. } if by_second => Scanner::Decoded,
            HeadSpec::PicoDet { strides, reg_max } => self.distribution(strides, *reg_max, (0.5, false), false),
            HeadSpec::DetectNetV2 { stride, scale, offset } => {
                let grid = self.grids(&[*stride], true, 1)[0];
                Scanner::Coverage { grid, scale: *scale, offset: *offset }
            }
        })
    }

    fn distribution(&self, strides: &[usize], reg_max: usize, (point, clip): (f32, bool), joined: bool) -> device::Scanner {
        device::Scanner::Distribution { grids: self.grids(strides, true, 1), bins: reg_max as u32 + 1, point, clip, joined }
    }

    /// The grids of these strides; a cell that lies partly outside counts with `partial`. `each`: rows of a cell.
    fn grids(&self, strides: &[usize], partial: bool, each: usize) -> Vec<device::Grid> {
        let mut first = 0;
        let grid = |stride: &usize| {
            let cells = |side: usize| if partial { side.div_ceil(*stride) } else { side / stride };
            let (columns, rows) = (cells(self.input.0), cells(self.input.1));
            let grid = device::Grid { first, columns: columns as u32, cells: (columns * rows) as u32, stride: *stride as f32 };
            first += grid.cells * each as u32;
            grid
        };
        strides.iter().map(grid).collect()
    }

    /// Rows `[N,M,columns]`, or of the whole batch `[M,columns]` or `[1,1,M,columns]`.
    fn end_to_end(&self, columns: &[Column], scale: [f32; 2]) -> device::FinalRows {
        let step = columns.len() as u32;
        let at = |wanted: Column| columns.iter().position(|column| *column == wanted).map(|at| at as u32);
        // The head has checked that each is there.
        let place = |wanted: Column| device::Place { output: 0, step, at: at(wanted).unwrap_or(0) };
        let whole = self.form > 0;
        device::FinalRows {
            score: place(Column::Score),
            class: place(Column::Class),
            edges: [Column::X1, Column::Y1, Column::X2, Column::Y2].map(place),
            scale,
            columns: step,
            whole,
            picture: at(Column::Picture).filter(|_| whole),
            ..Default::default()
        }
    }

    /// Rows of a picture.
    fn rows(&self, spec: &HeadSpec, scanner: &device::Scanner) -> usize {
        use device::Scanner;
        let cells = |grids: &[device::Grid]| grids.iter().map(|grid| grid.cells as usize).sum::<usize>();
        let dims = self.dims;
        match (spec, scanner) {
            (_, Scanner::Anchors { grids, anchors, .. }) => cells(grids) * anchors.first().map_or(0, Vec::len),
            (_, Scanner::Distribution { grids, .. }) => cells(grids),
            (_, Scanner::Coverage { grid, .. }) => self.classes * grid.cells as usize,
            (_, Scanner::Table { by_column: true, .. } | Scanner::Ssd { by_column: true, .. }) => dims[0][2],
            (HeadSpec::EndToEnd { .. }, Scanner::Final(_)) => dims[0][dims[0].len() - 2],
            (HeadSpec::EfficientNms { .. }, _) => dims[1][1],
            _ => dims[0][1],
        }
    }

    fn more(&self, spec: &HeadSpec) -> device::More {
        use device::More;
        let first = |end_to_end: bool| if end_to_end { 6 } else { 4 + self.classes as u32 };
        match *spec {
            HeadSpec::Obb { end_to_end } => More::Angle { at: first(end_to_end) },
            HeadSpec::Pose { keypoints, values, end_to_end } => {
                More::Keypoints { at: first(end_to_end), count: keypoints as u32, values: values as u32 }
            }
            HeadSpec::Segment { coefficients, end_to_end } => {
                More::Coefficients { at: first(end_to_end), count: coefficients as u32 }
            }
            _ => More::Nothing,
        }
    }
}

fn translated(activation: Activation) -> device::Activation {
    match activation {
        Activation::None => device::Activation::None,
        Activation::Sigmoid => device::Activation::Sigmoid,
        Activation::Softmax => device::Activation::Softmax,
    }
}

/// Final rows of YOLO26: four edges (or centre and size, where there is an angle), score, class, and more.
fn final_rows(columns: usize, angle: Option<u32>) -> device::FinalRows {
    let place = |at: u32| device::Place { output: 0, step: columns as u32, at };
    device::FinalRows {
        score: place(4),
        class: place(5),
        edges: [0, 1, 2, 3].map(place),
        scale: [1.0; 2],
        columns: columns as u32,
        angle,
        ..Default::default()
    }
}

#[cfg(test)]
mod tests;
