//! The whole way, ONNX → plan → engine → numbers, through the real shim and the real loader, with doubles of TensorRT's libraries
//! behind: for both majors, in one process.
#![cfg(feature = "doubles")]

mod build;
#[cfg(feature = "cpu-kernels")]
mod driver;
mod graphs;
#[cfg(feature = "cpu-kernels")]
#[path = "../nvtx/heard.rs"]
mod heard;
mod infer;
#[cfg(feature = "cpu-kernels")]
mod lane;
mod life;
#[cfg(feature = "cpu-kernels")]
mod line;
mod load;
mod onnx;

use std::sync::Arc;

use egret_jetson::tensorrt::{
    Builder, Built, Deserialize, Engine, ExecutionContext, Library, Options, Range, Runtime, Shape, Stream,
    doubles::{Double, HostMemory},
};
use onnx::Onnx;

pub(crate) const MAJORS: [u32; 2] = [10, 11];

pub(crate) fn shape(d: &[i64]) -> Shape {
    Shape::new(d).expect("few dimensions")
}

pub(crate) fn stream(double: &Double) -> Arc<dyn Stream> {
    double.stream().expect("a stream")
}

pub(crate) fn load(double: &Double) -> Arc<Library> {
    Library::load(&double.location(), |_, _| {}).expect("the double loads")
}

/// y = Relu(Conv(x, w) + b): `[batch, 1, 4, 4]` → `[batch, 2, 4, 4]`, the second channel the first negated.
pub(crate) fn network() -> Vec<u8> {
    let w: Vec<f32> = (0..9).map(|i| if i == 4 { 2.0 } else { 0.25 }).collect();
    let w: Vec<f32> = w.iter().copied().chain(w.iter().map(|w| -w)).collect();
    Onnx::default()
        .input("x", &[-1, 1, 4, 4])
        .constant("w", &[2, 1, 3, 3], &w)
        .constant("b", &[1, 2, 1, 1], &[0.5, -0.5])
        .node("Conv", &["x", "w"], "c", &[("pads", &[1, 1, 1, 1]), ("strides", &[1, 1])])
        .node("Add", &["c", "b"], "a", &[])
        .node("Relu", &["a"], "y", &[])
        .output("y", &[-1, 2, 4, 4])
        .finish()
}

/// What [`network`] yields for one picture, computed apart from the double.
pub(crate) fn expected(x: &[f32]) -> Vec<f32> {
    let at = |r: i32, c: i32| if (0..4).contains(&r) && (0..4).contains(&c) { x[(r * 4 + c) as usize] } else { 0.0 };
    let sum = |r: i32, c: i32| {
        let around: f32 = (-1..=1).flat_map(|i| (-1..=1).map(move |j| (i, j))).map(|(i, j)| at(r + i, c + j)).sum();
        0.25 * (around - at(r, c)) + 2.0 * at(r, c)
    };
    let plane = |sign: f32| (0..16).map(move |i| (sign * (sum(i / 4, i % 4) + 0.5)).max(0.0));
    plane(1.0).chain(plane(-1.0)).collect()
}

pub(crate) fn batch(n: i64) -> Shape {
    shape(&[n, 1, 4, 4])
}

pub(crate) fn profile() -> Vec<Range> {
    vec![Range { name: "x".into(), min: batch(1), opt: batch(4), max: batch(8) }]
}

pub(crate) fn build(library: &Arc<Library>, options: &Options) -> Built {
    let mut builder = Builder::new(library, None).expect("a builder");
    builder.parse(&network(), None).expect("the network");
    builder.add_profile(profile()).expect("the profile");
    builder.configure(options).expect("the options");
    builder.build().expect("built")
}

pub(crate) fn engine(library: &Arc<Library>) -> Engine {
    let plan = build(library, &Options::default()).plan;
    Runtime::new(library).expect("a runtime").deserialize(&plan, Deserialize::default()).expect("the engine")
}

/// Memory for `n` pictures in and out, bound.
pub(crate) fn bind(context: &mut ExecutionContext, n: usize) -> [Arc<HostMemory>; 2] {
    let [x, y] = [HostMemory::new(n * 16 * 4).expect("memory"), HostMemory::new(n * 32 * 4).expect("memory")];
    context.bind("x", Arc::clone(&x) as _).expect("bound");
    context.bind("y", Arc::clone(&y) as _).expect("bound");
    [x, y]
}

pub(crate) fn pictures(n: usize, seed: usize) -> Vec<f32> {
    (0..n * 16).map(|i| ((i * 7 + seed * 13) % 11) as f32 - 5.0).collect()
}
