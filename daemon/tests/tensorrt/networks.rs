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

/// A detector: coverage and edges per cell, both convolutions of the picture. A bias of the edges for each side of each class.
fn of_cells((width, height): (i64, i64), cell: i64, [coverage, edges]: [f32; 2], bias: &[f32]) -> Vec<u8> {
    let (sides, classes) = (bias.len() as i64, bias.len() as i64 / 4);
    let each = (3 * cell * cell) as usize;
    let (columns, rows) = (width / cell, height / cell);
    Network::new(&[3, height, width])
        .constant("w", &[classes, 3, cell, cell], &weights(classes as usize * each, 7, coverage))
        .constant("v", &[sides, 3, cell, cell], &weights(bias.len() * each, 5, edges))
        .constant("b", &[1, sides, 1, 1], bias)
        .node("Conv", &["images", "w"], "c", &strides(cell))
        .node("Sigmoid", &["c"], "coverage", &[])
        .node("Conv", &["images", "v"], "d", &strides(cell))
        .node("Add", &["d", "b"], "edges", &[])
        .output("coverage", &[classes, rows, columns])
        .output("edges", &[sides, rows, columns])
        .file()
}

fn manifest_of_cells((width, height): (i64, i64), cell: i64, offset: f32, classes: &str) -> String {
    format!(
        "name = \"net\"\nfile = \"net.onnx\"\n[input]\nname = \"images\"\nwidth = {width}\nheight = {height}\norder = \"rgb\"\n\
         fit = \"letterbox\"\n[output]\nnames = [\"coverage\", \"edges\"]\n[task]\nkind = \"detect\"\n[head]\nkind = \"detectnet-v2\"\n\
         stride = {cell}\nscale = 35.0\noffset = {offset:?}\n[thresholds]\nconfidence = 0.4\n[classes]\nnames = [{classes}]\n"
    )
}

/// A detector of two classes with cells of 8 pixels.
pub(crate) fn detector() -> Vec<u8> {
    of_cells((WIDTH, HEIGHT), CELL, [3e-4, 1e-5], &[0.4, 0.3, 0.5, 0.4, 0.2, 0.4, 0.3, 0.5])
}

/// The manifest of [`detector`].
pub(crate) fn detector_manifest() -> String {
    manifest_of_cells((WIDTH, HEIGHT), CELL, 0.5, "\"person\", \"car\"")
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
    of_cells((SIDE, SIDE), LARGE, [1e-5, 0.0], &[0.2; 4])
}

/// The manifest of [`cells`].
#[cfg(feature = "demo")]
pub(crate) fn cells_manifest() -> String {
    manifest_of_cells((SIDE, SIDE), LARGE, 8.0, "\"thing\"")
}

/// The picture itself, as the engine is given it.
pub(crate) fn mirror() -> Vec<u8> {
    Network::new(&[3, HEIGHT, WIDTH]).node("Identity", &["images"], "out", &[]).output("out", &[3, HEIGHT, WIDTH]).file()
}
