//! The outputs of a network become final boxes: a scan of all rows of all pictures, then for each picture the best, without duplicates.
//! Two launches for a batch of any size; nothing but the boxes crosses to the host.
//!
//! The rules are those of the Rust heads, and so is every bit of the result but for the last ones of exponentials, sines and
//! logarithms: thresholds by class, top-k and suppression in the same total order, the same refusals of outputs that cannot be
//! ([`DecodeFault`]). One limit is this module's own: a picture with more than [`Limits::capacity`] candidates is refused
//! ([`FaultKind::Crowded`]).

mod head;
mod params;
mod result;

pub use head::{Activation, FinalRows, Head, More, Scanner};
pub use params::{Grid, OutputParams, Place, ScanParams, SelectParams};
pub use result::{DecodeFault, FaultKind, Found};

use super::launch::{BLOCK_THREADS, Launch};
use params::{Candidate, Counters, MAX_ANCHORS, MAX_GRIDS, MAX_OUTPUTS, MAX_RANKED, Turned};
use result::{BOX, HEADER};

/// Rows that a fault can name.
const MAX_ROWS: u32 = 1 << 23;
/// Candidates of a picture that memory is kept for, unless a head has fewer.
const CAPACITY: u32 = 1 << 16;

/// Elements of an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputElement {
    /// 32-bit floats.
    F32,
    /// 16-bit floats.
    F16,
    /// 32-bit integers.
    I32,
    /// 64-bit integers.
    I64,
}

impl OutputElement {
    /// Bytes of one.
    pub fn size(self) -> usize {
        match self {
            Self::F16 => 2,
            Self::F32 | Self::I32 => 4,
            Self::I64 => 8,
        }
    }
}

/// An output, `[N,…]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutputShape {
    /// Its elements.
    pub element: OutputElement,
    /// Elements of a picture; of a whole batch's rows all of them.
    pub len: usize,
}

/// Which boxes are worth telling.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// What each class needs, one for each.
    pub confidences: Vec<f32>,
    /// Of two boxes with a larger IoU the lesser is dropped.
    pub iou: f32,
    /// Whether boxes of different classes suppress each other.
    pub class_agnostic: bool,
    /// Only this many candidates with the highest scores take part, at most 4096.
    pub candidates: u32,
    /// At most this many boxes remain, at most 4096.
    pub detections: u32,
    /// Candidates of a picture that there is memory for; `None`: as many as the head can have, at most 65,536.
    pub capacity: Option<u32>,
    /// Whether coefficients of masks are told, where the head has any: of no use without the prototypes.
    pub coefficients: bool,
}

/// Why a decoder cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecoderError {
    /// Something is beyond what the kernels hold.
    #[error("the kernels decode {what} of 1 to {most}, not {found}")]
    Limit {
        /// What.
        what: &'static str,
        /// As given.
        found: usize,
        /// What they hold.
        most: usize,
    },
    /// Not each class has its confidence.
    #[error("{found} confidences for {classes} classes")]
    Confidences {
        /// As given.
        found: usize,
        /// Of the head.
        classes: u32,
    },
    /// An output has too few elements for the head.
    #[error("output {output} has {found} elements of a picture; the head reads {needed}")]
    Output {
        /// Which.
        output: usize,
        /// As given.
        found: usize,
        /// What is read.
        needed: usize,
    },
}

/// The memory that a decoder needs where it runs, in bytes, for batches of up to so many pictures. All begin at multiples of 8.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Candidates.
    pub candidates: usize,
    /// Counters; they begin as [`Decoder::counters`].
    pub counters: usize,
    /// Confidences; they are [`Decoder::confidences`].
    pub confidences: usize,
    /// Default boxes; they are [`Decoder::priors`].
    pub priors: usize,
    /// Turned boxes.
    pub turned: usize,
    /// Results, what crosses to the host.
    pub results: usize,
}

/// Where that memory is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    /// See [`Memory`].
    pub candidates: u64,
    /// See [`Memory`].
    pub counters: u64,
    /// See [`Memory`].
    pub confidences: u64,
    /// See [`Memory`].
    pub priors: u64,
    /// See [`Memory`].
    pub turned: u64,
    /// See [`Memory`].
    pub results: u64,
}

/// Decodes the outputs of one network.
#[derive(Clone, Debug)]
pub struct Decoder {
    entry: &'static str,
    scan: ScanParams,
    select: SelectParams,
    /// Elements of each output: of a picture, or of the whole batch.
    shapes: Vec<OutputShape>,
    confidences: Vec<f32>,
    priors: Vec<[f32; 4]>,
    more: More,
}

impl Decoder {
    /// A decoder for these outputs, in the order in which the head speaks of them.
    ///
    /// # Errors
    /// [`DecoderError`].
    pub fn new(head: &Head, outputs: &[OutputShape], limits: &Limits) -> Result<Self, DecoderError> {
        within("classes", head.classes as usize, usize::from(u16::MAX))?;
        if limits.confidences.len() != head.classes as usize {
            return Err(DecoderError::Confidences { found: limits.confidences.len(), classes: head.classes });
        }
        within("outputs", outputs.len(), MAX_OUTPUTS)?;
        within("rows", head.rows as usize, MAX_ROWS as usize)?;
        within("candidates", limits.candidates as usize, MAX_RANKED as usize)?;
        within("detections", limits.detections as usize, MAX_RANKED as usize)?;
        let (entry, mut scan, priors) = scan_of(head)?;
        let rows = head.rows as usize;
        for (output, needed) in needs(head, &scan) {
            let found = outputs.get(output).map_or(0, |shape| shape.len);
            if found < needed {
                return Err(DecoderError::Output { output, found, needed });
            }
        }
        for (to, shape) in scan.outputs.iter_mut().zip(outputs) {
            let element = match shape.element {
                OutputElement::F32 => 0,
                OutputElement::F16 => 1,
                OutputElement::I32 => 2,
                OutputElement::I64 => 3,
            };
            let per_picture = if scan.whole == 1 { 0 } else { shape.len as u64 };
            *to = OutputParams { data: 0, per_picture, element, reserved: 0 };
        }
        let several = matches!(
            head.scanner,
            Scanner::Ssd { .. } | Scanner::Queries { .. } | Scanner::Distribution { .. } | Scanner::Decoded
        );
        let most = rows * if several { head.classes as usize } else { 1 };
        let capacity = limits.capacity.unwrap_or(CAPACITY).min(u32::try_from(most).unwrap_or(u32::MAX));
        let lowest = limits.confidences.iter().copied().fold(f32::INFINITY, f32::min);
        (scan.capacity, scan.lowest, scan.lowest_ln) = (capacity, lowest, lowest.ln());
        let told = match head.more {
            More::Coefficients { .. } if !limits.coefficients => More::Nothing,
            more => more,
        };
        let select = select_of(head, told, limits, &scan);
        let confidences = limits.confidences.clone();
        Ok(Self { entry, scan, select, shapes: outputs.to_vec(), confidences, priors, more: told })
    }

    /// Memory for batches of up to `pictures`.
    pub fn memory(&self, pictures: usize) -> Memory {
        let turned = if matches!(self.more, More::Angle { .. }) { MAX_RANKED as usize * size_of::<Turned>() } else { 0 };
        Memory {
            candidates: pictures * self.scan.capacity as usize * size_of::<Candidate>(),
            counters: pictures * size_of::<Counters>(),
            confidences: size_of_val(self.confidences.as_slice()),
            priors: size_of_val(self.priors.as_slice()),
            turned: pictures * turned,
            results: pictures * self.result_bytes(),
        }
    }

    /// What each output has to be, for so many pictures.
    pub fn outputs(&self, pictures: usize) -> impl Iterator<Item = OutputShape> {
        let times = if self.scan.whole == 1 { 1 } else { pictures };
        self.shapes.iter().map(move |shape| OutputShape { len: shape.len * times, ..*shape })
    }

    /// Bytes of a picture's result.
    pub fn result_bytes(&self) -> usize {
        self.select.result_bytes as usize
    }

    /// What each class needs.
    pub fn confidences(&self) -> &[f32] {
        &self.confidences
    }

    /// Default boxes; none of most heads.
    pub fn priors(&self) -> &[[f32; 4]] {
        &self.priors
    }

    /// The bytes that a picture's counters begin with. Each batch leaves them so.
    pub fn counters() -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].fill(0xff);
        bytes
    }

    /// The launches that decode the first `pictures` of a batch from outputs at these addresses: first the scan, then the selection.
    pub fn launches(&self, memory: &Addresses, outputs: &[u64], pictures: u32) -> (Launch<ScanParams>, Launch<SelectParams>) {
        let (mut scan, mut select) = (self.scan, self.select);
        for (output, address) in scan.outputs.iter_mut().zip(outputs).take(self.shapes.len()) {
            output.data = *address;
        }
        let Addresses { candidates, counters, confidences, priors, turned, results } = *memory;
        (scan.candidates, scan.counters, scan.confidences) = (candidates, counters, confidences);
        scan.priors = if self.priors.is_empty() { 0 } else { priors };
        select.table = scan.outputs[0];
        (select.candidates, select.counters, select.confidences) = (candidates, counters, confidences);
        (select.turned, select.results) = (turned, results);
        let block = [BLOCK_THREADS, 1, 1];
        let grid = [scan.rows.div_ceil(BLOCK_THREADS), pictures, 1];
        (
            Launch { entry: self.entry, grid, block, params: scan },
            Launch { entry: "select_boxes", grid: [pictures, 1, 1], block, params: select },
        )
    }

    /// The boxes of picture `index` among the results, best first.
    ///
    /// # Errors
    /// [`DecodeFault`]: the outputs of this picture cannot be.
    pub fn read<'a>(&self, results: &'a [u8], index: usize) -> Result<impl Iterator<Item = Found<'a>>, DecodeFault> {
        let len = self.result_bytes();
        let own = results.get(index * len..(index + 1) * len).unwrap_or_default();
        result::read(own, self.select.detections as usize, self.more.width() as usize)
    }
}

fn within(what: &'static str, found: usize, most: usize) -> Result<(), DecoderError> {
    if (1..=most).contains(&found) { Ok(()) } else { Err(DecoderError::Limit { what, found, most }) }
}

/// The scan of a head, but for the outputs, the confidences and the addresses.
fn scan_of(head: &Head) -> Result<(&'static str, ScanParams, Vec<[f32; 4]>), DecoderError> {
    let (width, height) = (head.input.0 as f32, head.input.1 as f32);
    let Head { rows, classes, limit, .. } = *head;
    let mut p = ScanParams { rows, classes, limit, width, height, ..ScanParams::default() };
    let mut laid = Vec::new();
    let entry = match head.scanner {
        Scanner::Objectness { ref grids } => {
            p.columns = 5 + classes;
            set_grids(&mut p, grids)?;
            "scan_objectness"
        }
        Scanner::Anchors { ref grids, ref anchors, planes } => {
            (p.columns, p.by_column) = (5 + classes, u32::from(planes));
            set_grids(&mut p, grids)?;
            for (to, from) in p.anchors.iter_mut().zip(anchors) {
                within("anchors", from.len(), MAX_ANCHORS)?;
                p.anchor_count = from.len() as u32;
                to[..from.len()].copy_from_slice(from);
            }
            "scan_anchors"
        }
        Scanner::Table { by_column, angle } => {
            p.columns = 4 + classes + columns_of(head.more);
            (p.by_column, p.angle) = (u32::from(by_column), if angle { 4 + classes } else { 0 });
            "scan_table"
        }
        Scanner::Final(rows) => {
            (p.score, p.class_index, p.edges, p.scale) = (rows.score, rows.class, rows.edges, rows.scale);
            (p.first_class, p.columns, p.angle) = (u32::from(rows.first_class), rows.columns, rows.angle.unwrap_or(0));
            (p.has_count, p.whole) = (u32::from(rows.counted), u32::from(rows.whole));
            p.picture_place = rows.picture.map_or(0, |column| column + 1);
            "scan_final"
        }
        Scanner::Ssd { ref priors, variances, activation, background, y_first, clip, by_column } => {
            (p.columns, p.variances, p.activation) = (classes + u32::from(background), variances, code(activation));
            (p.background, p.y_first) = (u32::from(background), u32::from(y_first));
            (p.clip, p.by_column) = (u32::from(clip), u32::from(by_column));
            if let Some(priors) = priors {
                if priors.len() != rows as usize {
                    return Err(DecoderError::Output { output: 0, found: priors.len(), needed: rows as usize });
                }
                laid.clone_from(priors);
            }
            "scan_ssd"
        }
        Scanner::Queries { activation, top_k } => {
            within("queries × classes that are looked at", top_k as usize, MAX_RANKED as usize)?;
            (p.columns, p.activation) = (classes + u32::from(activation == Activation::Softmax), code(activation));
            "scan_queries"
        }
        Scanner::Distribution { ref grids, bins, point, clip, joined } => {
            (p.columns, p.bins, p.point) = (classes + 4 * bins, bins, point);
            (p.clip, p.joined) = (u32::from(clip), u32::from(joined));
            set_grids(&mut p, grids)?;
            "scan_distribution"
        }
        Scanner::Decoded => "scan_decoded",
        Scanner::Coverage { grid, scale, offset } => {
            (p.scale, p.point, p.clip) = ([scale; 2], offset, 1);
            set_grids(&mut p, &[grid])?;
            "scan_coverage"
        }
    };
    Ok((entry, p, laid))
}

fn set_grids(p: &mut ScanParams, grids: &[Grid]) -> Result<(), DecoderError> {
    if !grids.is_empty() {
        within("grids", grids.len(), MAX_GRIDS)?;
    }
    p.grid_count = grids.len() as u32;
    p.grids[..grids.len()].copy_from_slice(grids);
    Ok(())
}

fn code(activation: Activation) -> u32 {
    match activation {
        Activation::None => 0,
        Activation::Sigmoid => 1,
        Activation::Softmax => 2,
    }
}

/// Columns of a table that belong to what is beside a box.
fn columns_of(more: More) -> u32 {
    match more {
        More::Nothing => 0,
        More::Angle { .. } => 1,
        More::Keypoints { count, values, .. } => count * values,
        More::Coefficients { count, .. } => count,
    }
}

/// Elements of a picture that the kernels read, by output.
fn needs(head: &Head, p: &ScanParams) -> Vec<(usize, usize)> {
    let (rows, classes, columns) = (p.rows as usize, p.classes as usize, p.columns as usize);
    let grids = || p.grids[..p.grid_count as usize].iter().enumerate();
    match &head.scanner {
        Scanner::Objectness { .. } | Scanner::Table { .. } | Scanner::Distribution { joined: true, .. } => {
            vec![(0, rows * columns)]
        }
        Scanner::Anchors { .. } => {
            grids().map(|(i, grid)| (i, grid.cells as usize * p.anchor_count as usize * columns)).collect()
        }
        Scanner::Final(of) => {
            let place = |place: &Place| (place.output as usize, (rows - 1) * place.step as usize + place.at as usize + 1);
            let mut all: Vec<_> = [&of.score, &of.class].into_iter().chain(&of.edges).map(place).collect();
            let whole_rows = of.angle.is_some() || of.picture.is_some() || head.more != More::Nothing;
            all.push((0, if whole_rows { rows * columns } else { usize::from(of.counted) }));
            all
        }
        Scanner::Ssd { .. } => vec![(0, 4 * rows), (1, rows * columns)],
        Scanner::Queries { .. } => vec![(0, rows * columns), (1, 4 * rows)],
        Scanner::Distribution { joined: false, .. } => {
            let edges = 4 * p.bins as usize;
            let count = p.grid_count as usize;
            grids().flat_map(|(i, g)| [(i, g.cells as usize * classes), (i + count, g.cells as usize * edges)]).collect()
        }
        Scanner::Decoded => vec![(0, 4 * rows), (1, rows * classes)],
        Scanner::Coverage { .. } => vec![(0, rows), (1, 4 * rows)],
    }
}

fn select_of(head: &Head, told: More, limits: &Limits, scan: &ScanParams) -> SelectParams {
    let Limits { iou, class_agnostic, candidates, detections, .. } = *limits;
    let more = told.width() as usize;
    let result_bytes = (HEADER + detections as usize * (BOX + 4 * more)).next_multiple_of(8) as u64;
    let late = if let Scanner::Queries { top_k, .. } = head.scanner { Some(top_k) } else { None };
    let ranked = if head.suppress { candidates } else { late.unwrap_or(detections) };
    // So many logits within 0..1 are scores.
    let logits = scan.rows as usize * scan.columns as usize;
    let suspicious = late.is_some() && scan.activation != code(Activation::None) && logits >= 100;
    let (kind, more_at, more_count, more_values) = match told {
        More::Nothing => (0, 0, 0, 0),
        More::Angle { at } => (1, at, 1, 1),
        More::Keypoints { at, count, values } => (2, at, count, values),
        More::Coefficients { at, count } => (3, at, count, 1),
    };
    SelectParams {
        result_bytes,
        capacity: scan.capacity,
        ranked,
        detections,
        suppress: u32::from(head.suppress),
        class_agnostic: u32::from(class_agnostic),
        iou,
        limit: scan.limit,
        late: u32::from(late.is_some()),
        logits: u32::from(suspicious),
        pixels: head.pixels.map_or(0, |output| output + 1),
        more: kind,
        more_at,
        more_count,
        more_values,
        rows: scan.rows,
        columns: scan.columns,
        by_column: scan.by_column,
        ..SelectParams::default()
    }
}
