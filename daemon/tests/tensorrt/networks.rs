//! Networks of operators that the doubles know.

use crate::onnx::{Attribute, Network};

pub(crate) const WIDTH: i64 = 96;
pub(crate) const HEIGHT: i64 = 64;
const CELL: i64 = 8;

fn weights(count: usize, step: usize, scale: f32) -> Vec<f32> {
    (0..count).map(|i| ((i * step % 23) as f32 - 11.0) * scale).collect()
}

fn strides(side: i64) -> [(&'static str, Attribute); 2] {
    [("strides", Attribute::Ints(vec![side, side])), ("kernel_shape", Attribute::Ints(vec![side, side]))]
}

/// A detector of two classes: coverage and edges per cell of 8 pixels, both convolutions of the picture.
pub(crate) fn detector() -> Vec<u8> {
    let (columns, rows) = (WIDTH / CELL, HEIGHT / CELL);
    let each = (3 * CELL * CELL) as usize;
    Network::new(&[3, HEIGHT, WIDTH])
        .constant("w", &[2, 3, CELL, CELL], &weights(2 * each, 7, 3e-4))
        .constant("v", &[8, 3, CELL, CELL], &weights(8 * each, 5, 1e-5))
        .constant("b", &[1, 8, 1, 1], &[0.4, 0.3, 0.5, 0.4, 0.2, 0.4, 0.3, 0.5])
        .node("Conv", &["images", "w"], "c", &strides(CELL))
        .node("Sigmoid", &["c"], "coverage", &[])
        .node("Conv", &["images", "v"], "d", &strides(CELL))
        .node("Add", &["d", "b"], "edges", &[])
        .output("coverage", &[2, rows, columns])
        .output("edges", &[8, rows, columns])
        .file()
}

/// The manifest of [`detector`].
pub(crate) fn detector_manifest() -> String {
    format!(
        "name = \"net\"\nfile = \"net.onnx\"\n[input]\nname = \"images\"\nwidth = {WIDTH}\nheight = {HEIGHT}\norder = \"rgb\"\n\
         fit = \"letterbox\"\n[output]\nnames = [\"coverage\", \"edges\"]\n[task]\nkind = \"detect\"\n[head]\nkind = \"detectnet-v2\"\n\
         stride = {CELL}\nscale = 35.0\noffset = 0.5\n[thresholds]\nconfidence = 0.4\n[classes]\nnames = [\"person\", \"car\"]\n"
    )
}

/// Two numbers of the whole picture.
pub(crate) fn two_numbers() -> Vec<u8> {
    let side = 16;
    Network::new(&[3, side, side])
        .constant("w", &[2, 3, side, side], &weights(2 * 3 * 256, 5, 2e-3))
        .node("Conv", &["images", "w"], "out", &strides(side))
        .output("out", &[2, 1, 1])
        .file()
}

/// A network that tells a score for every sample of a clip of 2 pictures of 2x2 pixels.
pub(crate) fn clip() -> Vec<u8> {
    Network::new(&[3, 2, 2, 2])
        .constant("scale", &[1, 3, 1, 1, 1], &[0.5, 1.0, 2.0])
        .node("Mul", &["images", "scale"], "a", &[])
        .node("Sigmoid", &["a"], "out", &[])
        .output("out", &[3, 2, 2, 2])
        .file()
}

pub(crate) fn task_manifest(side: i64, task: &str, classes: usize, more: &str) -> String {
    let names: Vec<_> = (0..classes).map(|i| format!("\"c{i}\"")).collect();
    format!(
        "name = \"net\"\nfile = \"net.onnx\"\n[input]\nname = \"images\"\nwidth = {side}\nheight = {side}\norder = \"bgr\"\n\
         scale = 0.00392156862745098\nfit = \"stretch\"\n{more}[output]\nnames = [\"out\"]\n[task]\n{task}\n[classes]\nnames = [{}]\n",
        names.join(", ")
    )
}

#[cfg(feature = "demo")]
const SIDE: i64 = 64;
#[cfg(feature = "demo")]
const LARGE: i64 = 16;

/// Sees something of 14 pixels in every cell of every picture, with a score of about a half.
#[cfg(feature = "demo")]
pub(crate) fn cells() -> Vec<u8> {
    let each = (3 * LARGE * LARGE) as usize;
    Network::new(&[3, SIDE, SIDE])
        .constant("w", &[1, 3, LARGE, LARGE], &weights(each, 7, 1e-5))
        .constant("v", &[4, 3, LARGE, LARGE], &vec![0.0; 4 * each])
        .constant("b", &[1, 4, 1, 1], &[0.2; 4])
        .node("Conv", &["images", "w"], "c", &strides(LARGE))
        .node("Sigmoid", &["c"], "coverage", &[])
        .node("Conv", &["images", "v"], "d", &strides(LARGE))
        .node("Add", &["d", "b"], "edges", &[])
        .output("coverage", &[1, SIDE / LARGE, SIDE / LARGE])
        .output("edges", &[4, SIDE / LARGE, SIDE / LARGE])
        .file()
}

/// The manifest of [`cells`].
#[cfg(feature = "demo")]
pub(crate) fn cells_manifest() -> String {
    format!(
        "name = \"net\"\nfile = \"net.onnx\"\n[input]\nname = \"images\"\nwidth = {SIDE}\nheight = {SIDE}\norder = \"rgb\"\n\
         fit = \"letterbox\"\n[output]\nnames = [\"coverage\", \"edges\"]\n[task]\nkind = \"detect\"\n[head]\nkind = \"detectnet-v2\"\n\
         stride = {LARGE}\nscale = 35.0\noffset = 8.0\n[thresholds]\nconfidence = 0.4\n[classes]\nnames = [\"thing\"]\n"
    )
}

/// The picture itself, as the engine is given it.
pub(crate) fn mirror() -> Vec<u8> {
    Network::new(&[3, HEIGHT, WIDTH]).node("Identity", &["images"], "out", &[]).output("out", &[3, HEIGHT, WIDTH]).file()
}
