//! Networks that are no detectors: classification, embeddings, semantic segmentation, clips.

use super::draft::{Draft, Preparation};
use crate::spec::TaskSpec;

/// Usual lengths of embeddings, none of them a usual number of classes.
const EMBEDDINGS: [usize; 6] = [128, 256, 512, 768, 1024, 2048];
/// Classes of ImageNet, with and without a background, and of its large version.
const IMAGENET: [usize; 3] = [1000, 1001, 21_841];

/// Whether the graph itself makes scores of its last values.
fn has_softmax(draft: &Draft<'_, '_>) -> bool {
    draft.maker(0).is_some_and(|node| matches!(node.op, "Softmax" | "Sigmoid"))
}

/// `[N,C]`: classes of the picture, or a vector that tells it from others.
pub(super) fn vector(draft: &mut Draft<'_, '_>) -> Option<&'static str> {
    let len = draft.outputs[0].dim(1)?;
    if !draft.outputs[0].is_float() {
        return None;
    }
    draft.read(&[0]);
    let standing = !draft.open_size && draft.input.height == 2 * draft.input.width;
    let named = draft.named() == Some(len) || IMAGENET.contains(&len) || has_softmax(draft);
    if !named && (standing || EMBEDDINGS.contains(&len)) {
        draft.usual_size(128, 256, 1);
        draft.prepare(Preparation::ImageNet, "OSNet and fast-reid");
        let check = "a classifier has kind = \"classify\" and class names";
        draft.assume("task.kind", "the vector is an embedding, not the scores of classes", check);
        draft.task(TaskSpec::Embed { len }, None);
        return Some("embedding");
    }
    let softmax = !has_softmax(draft);
    draft.usual_size(224, 224, 1);
    draft.prepare(Preparation::ImageNetCrop, "ImageNet's classifiers");
    if !named {
        draft.assume("task.kind", "the vector is the scores of classes, not an embedding", "an embedding has kind = \"embed\"");
    }
    draft.task(TaskSpec::Classify { softmax }, Some(len));
    Some("classification")
}

/// Ultralytics' classifiers: the softmax is in the graph.
pub(super) fn ultralytics_classes(draft: &mut Draft<'_, '_>) -> Option<&'static str> {
    let len = draft.outputs.first()?.dim(1).or_else(|| draft.named());
    draft.usual_size(224, 224, 1);
    draft.prepare(Preparation::PlainCrop, "Ultralytics' classifiers");
    draft.read(&[0]);
    let softmax = !has_softmax(draft);
    draft.task(TaskSpec::Classify { softmax }, len);
    Some("classification (Ultralytics)")
}

/// `[N,C,h,w]`: scores of classes for each pixel. `[N,C,1,1]` is a vector.
pub(super) fn planes(draft: &mut Draft<'_, '_>) -> Option<&'static str> {
    let output = &draft.outputs[0];
    if output.dim(2) == Some(1) && output.dim(3) == Some(1) {
        return vector(draft);
    }
    let classes = output.dim(1).filter(|classes| *classes > 1)?;
    let coarser = |axis: usize, side: usize| output.dim(axis).is_none_or(|n| n <= side && n * 64 >= side);
    if !output.is_float() || !coarser(2, draft.input.height) || !coarser(3, draft.input.width) {
        return None;
    }
    draft.usual_size(512, 512, 32);
    draft.read(&[0]);
    draft.prepare(Preparation::ImageNet, "semantic segmentation networks");
    draft.task(TaskSpec::Semantic, Some(classes));
    Some("semantic segmentation")
}

/// `[N,h,w]` of integers: the class of each pixel.
pub(super) fn class_map(draft: &mut Draft<'_, '_>) -> Option<&'static str> {
    if !matches!(draft.outputs[0].element, 6 | 7) {
        return None;
    }
    draft.usual_size(512, 512, 32);
    draft.read(&[0]);
    draft.prepare(Preparation::ImageNet, "semantic segmentation networks");
    let classes = draft.named().unwrap_or(21);
    if draft.named().is_none() {
        draft.assume("classes.count", "21 classes (Pascal VOC), as a map of classes does not say", "the network's own list");
    }
    draft.task(TaskSpec::Semantic, Some(classes));
    Some("semantic segmentation (class map)")
}

/// `[N,3,T,H,W]` to `[N,C]`.
pub(super) fn clip(draft: &mut Draft<'_, '_>) -> Option<&'static str> {
    let frames = draft.input.clip?;
    let [output] = &draft.outputs[..] else { return None };
    let (2, Some(classes)) = (output.dims.len(), output.dim(1)) else { return None };
    let softmax = !has_softmax(draft);
    draft.usual_size(112, 112, 1);
    draft.read(&[0]);
    draft.prepare(Preparation::Kinetics, "torchvision's R(2+1)D");
    draft.task(TaskSpec::Clip { frames, softmax }, Some(classes));
    Some("clip classification")
}
