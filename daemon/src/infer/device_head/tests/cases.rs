//! Every head in every way to export it, with random outputs of the right kind.

use std::f32::consts::PI;

use egret_models::head::{Activation, Column, HeadSpec, Priors};

/// A small generator.
pub(super) struct Random(pub(super) u32);

impl Random {
    fn next(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0
    }

    pub(super) fn below(&mut self, limit: usize) -> usize {
        (self.next() >> 4) as usize % limit
    }

    fn between(&mut self, low: f32, high: f32) -> f32 {
        low + (self.next() >> 8) as f32 / (1 << 24) as f32 * (high - low)
    }
}

/// What a value is.
#[derive(Clone, Copy)]
enum Kind {
    /// A score, mostly low.
    Score,
    /// Its logit.
    Logit,
    /// Between these.
    Range(f32, f32),
    /// One of so many whole numbers from 0 on.
    Whole(usize),
    /// One of so many whole numbers from 1 on.
    FromOne(usize),
    /// The row's picture: a number below this, or -1.
    Picture(usize),
    /// A number of rows up to this.
    Count(usize),
}

use Kind::{Count, FromOne, Logit, Picture, Range, Score, Whole};

pub(super) struct Output {
    pub(super) name: &'static str,
    /// With the batch.
    pub(super) dims: Vec<usize>,
    /// What the columns of a row are.
    columns: Vec<(Kind, usize)>,
    /// Whether the values of a column lie together; then in blocks of so many rows.
    block: Option<usize>,
}

pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) spec: HeadSpec,
    pub(super) input: (usize, usize),
    pub(super) classes: usize,
    pub(super) pictures: usize,
    pub(super) whole: bool,
    pub(super) outputs: Vec<Output>,
}

impl Case {
    /// Values of all outputs; with `coarse` scores are of a few values only.
    pub(super) fn outputs(&self, random: &mut Random, coarse: bool) -> Vec<Vec<f32>> {
        let fill = |output: &Output| {
            let len: usize = output.dims.iter().product();
            let width: usize = output.columns.iter().map(|(_, count)| count).sum();
            let kinds: Vec<Kind> = output.columns.iter().flat_map(|(kind, count)| vec![*kind; *count]).collect();
            let block = output.block.unwrap_or(1);
            (0..len).map(|i| value(kinds[i / block % width], random, coarse)).collect()
        };
        self.outputs.iter().map(fill).collect()
    }
}

fn value(kind: Kind, random: &mut Random, coarse: bool) -> f32 {
    let hot = random.below(12) == 0;
    match kind {
        Score => {
            let score = if hot { random.between(0.0, 1.0) } else { random.between(0.0, 0.2) };
            if coarse { (score * 8.0).round() / 8.0 } else { score }
        }
        Logit => {
            let logit = if hot { random.between(-2.0, 4.0) } else { random.between(-9.0, -3.0) };
            if coarse { logit.round() } else { logit }
        }
        Range(low, high) => random.between(low, high),
        Whole(below) => random.below(below) as f32,
        FromOne(count) => random.below(count) as f32 + 1.0,
        Picture(below) => random.below(below + 1) as f32 - 1.0,
        Count(most) => random.below(most + 1) as f32,
    }
}

const N: usize = 3;
const C: usize = 5;
const INPUT: (usize, usize) = (96, 64);

fn rows(name: &'static str, dims: &[usize], columns: Vec<(Kind, usize)>) -> Output {
    Output { name, dims: dims.to_vec(), columns, block: None }
}

fn planes(name: &'static str, dims: &[usize], columns: Vec<(Kind, usize)>, block: usize) -> Output {
    Output { name, dims: dims.to_vec(), columns, block: Some(block) }
}

fn case(name: &'static str, spec: HeadSpec, outputs: Vec<Output>) -> Case {
    Case { name, spec, input: INPUT, classes: C, pictures: N, whole: false, outputs }
}

fn published(kind: &str) -> HeadSpec {
    HeadSpec::published(kind).expect(kind)
}

/// Centre and size in pixels.
fn boxes() -> Vec<(Kind, usize)> {
    vec![(Range(0.0, 90.0), 1), (Range(0.0, 60.0), 1), (Range(4.0, 40.0), 2)]
}

/// Left, top, right, bottom, between these.
fn edges(most: f32) -> Vec<(Kind, usize)> {
    vec![(Range(0.0, most / 2.0), 2), (Range(most / 2.0, most), 2)]
}

fn with(mut columns: Vec<(Kind, usize)>, more: &[(Kind, usize)]) -> Vec<(Kind, usize)> {
    columns.extend_from_slice(more);
    columns
}

pub(super) fn all() -> Vec<Case> {
    [yolo(), later_yolo(), finals(), ssd(), detr(), grids()].into_iter().flatten().collect()
}

fn yolo() -> Vec<Case> {
    let cells: usize = [8, 16, 32].iter().map(|s| (96 / s) * (64 / s)).sum();
    let relative = vec![(Range(-0.5, 1.5), 2), (Range(-1.0, 1.5), 2), (Range(0.3, 1.0), 1), (Score, C)];
    let v5 = || published("yolov5");
    let grid = |s: usize| (64 / s, 96 / s);
    let raw = [(Range(-3.0, 3.0), 4), (Logit, 1 + C)];
    vec![
        case("yolox", published("yolox"), vec![rows("output", &[N, cells, 5 + C], relative)]),
        case("yolov5", v5(), vec![rows("output", &[N, 500, 5 + C], with(boxes(), &[(Range(0.3, 1.0), 1), (Score, C)]))]),
        case(
            "yolov5, raw rows",
            v5(),
            [8, 16, 32].map(|s| rows("grid", &[N, 3, grid(s).0, grid(s).1, 5 + C], raw.to_vec())).into(),
        ),
        case(
            "yolov5, raw planes",
            v5(),
            [8, 16, 32]
                .map(|s| planes("grid", &[N, 3 * (5 + C), grid(s).0, grid(s).1], raw.to_vec(), grid(s).0 * grid(s).1))
                .into(),
        ),
    ]
}

fn later_yolo() -> Vec<Case> {
    let a = 700;
    let table = |name, kind: &str, more: &[(Kind, usize)]| {
        let columns = with(with(boxes(), &[(Score, C)]), more);
        let width: usize = columns.iter().map(|(_, count)| count).sum();
        let by_column = case(name, published(kind), vec![planes("output0", &[N, width, a], columns.clone(), a)]);
        (by_column, columns, width)
    };
    let angle = [(Range(-PI / 4.0, PI * 0.75), 1)];
    let points = [(Range(0.0, 60.0), 2), (Range(0.0, 1.0), 1)].repeat(17);
    let masks = [(Range(-1.0, 1.0), 32)];
    let prototypes = || rows("prototypes", &[N, 32, 16, 24], vec![(Range(-1.0, 1.0), 1)]);
    let (plain, columns, width) = table("yolov8", "yolov8", &[]);
    let transposed = case("yolov8, transposed", published("yolov8"), vec![rows("output0", &[N, a, width], columns)]);
    let (obb, ..) = table("obb", "obb", &angle);
    let (pose, columns, width) = table("pose", "pose", &points);
    let pose_rows = case("pose, transposed", published("pose"), vec![rows("output0", &[N, a, width], columns)]);
    let (mut segment, ..) = table("segment", "segment", &masks);
    segment.outputs.push(prototypes());
    let final_row = |first: Vec<(Kind, usize)>, more: &[(Kind, usize)]| with(with(first, &[(Score, 1), (Whole(C), 1)]), more);
    let ends = |name, spec, columns: Vec<(Kind, usize)>| {
        let width = columns.iter().map(|(_, count)| count).sum();
        case(name, spec, vec![rows("output0", &[N, 300, width], columns)])
    };
    let obb_end = ends("obb, end to end", HeadSpec::Obb { end_to_end: true }, final_row(boxes(), &angle));
    let pose_end = HeadSpec::Pose { keypoints: 17, values: 3, end_to_end: true };
    let pose_end = ends("pose, end to end", pose_end, final_row(edges(64.0), &points));
    let spec = HeadSpec::Segment { coefficients: 32, end_to_end: true };
    let mut segment_end = ends("segment, end to end", spec, final_row(edges(64.0), &masks));
    segment_end.outputs.push(prototypes());
    vec![plain, transposed, obb, pose, pose_rows, segment, obb_end, pose_end, segment_end]
}

fn finals() -> Vec<Case> {
    let m = 400;
    let columns = with(edges(64.0), &[(Score, 1), (Whole(C), 1)]);
    let whole = [Column::Picture, Column::Class, Column::Score, Column::X1, Column::Y1, Column::X2, Column::Y2];
    let batch = with(vec![(Picture(N), 1), (Whole(C), 1), (Score, 1)], &edges(1.0));
    let of_batch = |name, dims: &[usize]| Case {
        whole: true,
        ..case(name, HeadSpec::EndToEnd { columns: whole.to_vec(), normalised: true }, vec![rows("rows", dims, batch.clone())])
    };
    let four = |name, normalised: bool, y_first, first_class: u16| {
        let most = if normalised { 1.0 } else { 64.0 };
        let class = if first_class > 0 { FromOne(C) } else { Whole(C) };
        let spec = HeadSpec::EfficientNms { normalised, y_first, first_class };
        case(
            name,
            spec,
            vec![
                rows("num_dets", &[N, 1], vec![(Count(m), 1)]),
                rows("det_boxes", &[N, m, 4], edges(most)),
                rows("det_scores", &[N, m], vec![(Score, 1)]),
                rows("det_classes", &[N, m], vec![(class, 1)]),
            ],
        )
    };
    vec![
        case("end-to-end", published("end-to-end"), vec![rows("output0", &[N, m, 6], columns)]),
        of_batch("end-to-end, whole batch", &[900, 7]),
        of_batch("end-to-end, DetectionOutput", &[1, 1, 900, 7]),
        four("efficient-nms", false, false, 0),
        four("efficient-nms, TensorFlow", true, true, 1),
    ]
}

fn ssd() -> Vec<Case> {
    let paper = || Priors::default();
    let tensorflow: Priors = serde_json::from_value(serde_json::json!({ "style": "tensorflow" })).expect("priors");
    let one = |name, priors: Priors, activation, background: bool, y_first, clip, by_column: bool| {
        let a = priors.boxes((300, 300)).expect("boxes").map_or(600, |boxes| boxes.len());
        let decoded = matches!(priors, Priors::Decoded {});
        let spec = HeadSpec::Ssd { priors, variances: [0.1, 0.2], activation, background, y_first, clip };
        let own = if activation == Activation::None { Score } else { Logit };
        let mut scores = vec![(own, C + usize::from(background))];
        if background {
            scores = vec![(if activation == Activation::None { Score } else { Range(0.0, 5.0) }, 1), (own, C)];
        }
        let offsets = if decoded { edges(1.0) } else { vec![(Range(-2.0, 2.0), 4)] };
        let width = C + usize::from(background);
        let outputs = if by_column {
            vec![planes("boxes", &[N, 4, a], offsets, a), planes("scores", &[N, width, a], scores, a)]
        } else {
            vec![rows("boxes", &[N, a, 4], offsets), rows("scores", &[N, a, width], scores)]
        };
        Case { input: (300, 300), ..case(name, spec, outputs) }
    };
    vec![
        one("ssd", paper(), Activation::Softmax, true, false, true, false),
        one("ssd, by column", paper(), Activation::Softmax, true, false, true, true),
        one("ssd, TensorFlow", tensorflow, Activation::Sigmoid, true, true, false, false),
        one("ssd, decoded", Priors::Decoded {}, Activation::None, false, false, true, false),
    ]
}

fn detr() -> Vec<Case> {
    let q = 300;
    let unit = || vec![(Range(0.3, 0.7), 2), (Range(0.05, 0.5), 2)];
    let one = |name, activation, top_k, kind: Kind, columns: usize| {
        let outputs = vec![rows("logits", &[N, q, columns], vec![(kind, columns)]), rows("boxes", &[N, q, 4], unit())];
        case(name, HeadSpec::Detr { activation, top_k, normalised: false }, outputs)
    };
    let last = |name, normalised, most| {
        let outputs = vec![
            rows("labels", &[N, q], vec![(Whole(C), 1)]),
            rows("boxes", &[N, q, 4], edges(most)),
            rows("scores", &[N, q], vec![(Score, 1)]),
        ];
        case(name, HeadSpec::Detr { activation: Activation::Sigmoid, top_k: 300, normalised }, outputs)
    };
    vec![
        one("detr, sigmoid", Activation::Sigmoid, 300, Logit, C),
        one("detr, sigmoid, best 20", Activation::Sigmoid, 20, Logit, C),
        one("detr, softmax", Activation::Softmax, 300, Range(-2.0, 4.0), C + 1),
        one("detr, scores", Activation::None, 100, Score, C),
        last("detr, processed", false, 64.0),
        last("detr, processed 0..1", true, 1.0),
    ]
}

fn grids() -> Vec<Case> {
    let strides = [8, 16, 32, 64];
    let cells = strides.map(|s: usize| 96_usize.div_ceil(s) * 64_usize.div_ceil(s));
    let all = cells.iter().sum();
    let bins = || vec![(Range(-4.0, 4.0), 32)];
    let split = || {
        let scores = cells.map(|count| rows("cls", &[N, count, C], vec![(Score, C)]));
        let edges = cells.map(|count| rows("reg", &[N, count, 32], bins()));
        scores.into_iter().chain(edges).collect()
    };
    let detectnet = |name, stride: usize| {
        let (columns, lines) = (96_usize.div_ceil(stride), 64_usize.div_ceil(stride));
        let outputs = vec![
            rows("cov", &[N, C, lines, columns], vec![(Score, 1)]),
            rows("bbox", &[N, 4 * C, lines, columns], vec![(Range(-0.2, 1.0), 1)]),
        ];
        case(name, HeadSpec::DetectNetV2 { stride, scale: 35.0, offset: 0.5 }, outputs)
    };
    vec![
        case("nanodet", published("nanodet"), vec![rows("output", &[N, all, C + 32], with(vec![(Score, C)], &bins()))]),
        case("nanodet, by grid", published("nanodet"), split()),
        case("picodet", published("picodet"), split()),
        case(
            "picodet, decoded",
            published("picodet"),
            vec![rows("boxes", &[N, all, 4], edges(64.0)), rows("scores", &[N, C, all], vec![(Score, 1)])],
        ),
        detectnet("detectnet-v2", 16),
        detectnet("detectnet-v2, fine", 8),
    ]
}
