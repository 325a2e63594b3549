//! How good detections are: average precision by COCO's definition ([`coco`]), and the agreement of two detectors on the same
//! frames with the gate that a smaller file of a network must pass ([`agreement`]).
//!
//! Pure arithmetic over boxes: no pictures, no files, no runtime.

pub mod agreement;
pub mod coco;
