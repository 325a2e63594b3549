//! The head behind a [`HeadSpec`].

use super::{
    Extra, HeadSpec,
    detectnet::DetectNet,
    detr::Detr,
    distribution::Distribution,
    end_to_end::{EfficientNms, EndToEnd},
    error::At,
    forms::Form,
    grid,
    picture::{Picture, Work},
    ssd::{Boxes, Ssd},
    yolov5::Yolov5,
    yolov8::{More, Yolov8},
    yolox::Yolox,
};

pub(super) enum Reader {
    Yolox(Yolox),
    Yolov5(Yolov5),
    Yolov8(Yolov8),
    EndToEnd(EndToEnd),
    EfficientNms(EfficientNms),
    Ssd(Ssd),
    Detr(Detr),
    Distribution(Distribution),
    DetectNet(DetectNet),
}

impl Reader {
    pub(super) fn new(spec: &HeadSpec, input: (usize, usize), classes: usize) -> Result<Self, String> {
        let yolov8 = |more: More, end_to_end: bool| Ok(Self::Yolov8(Yolov8 { classes, more: more.check()?, end_to_end, input }));
        match *spec {
            HeadSpec::Yolox { ref strides } => {
                grid::check(strides, input)?;
                Ok(Self::Yolox(Yolox::with_strides(strides, input, classes)))
            }
            HeadSpec::Yolov5 { ref strides, ref anchors } => Yolov5::new(strides, anchors, input, classes).map(Self::Yolov5),
            HeadSpec::Yolov8 {} => yolov8(More::Nothing, false),
            HeadSpec::Obb { end_to_end } => yolov8(More::Angle, end_to_end),
            HeadSpec::Pose { keypoints, values, end_to_end } => yolov8(More::Keypoints { count: keypoints, values }, end_to_end),
            HeadSpec::Segment { coefficients, end_to_end } => yolov8(More::Coefficients(coefficients), end_to_end),
            HeadSpec::EndToEnd { ref columns, normalised } => {
                EndToEnd::new(columns, normalised, input, classes).map(Self::EndToEnd)
            }
            HeadSpec::EfficientNms { normalised, y_first, first_class } => {
                Ok(Self::EfficientNms(EfficientNms { normalised, input, y_first, first_class, classes }))
            }
            HeadSpec::Ssd { ref priors, variances, activation, background, y_first, clip } => {
                let boxes = Boxes { priors, variances, y_first, clip };
                Ssd::new(boxes, (activation, background), input, classes).map(Self::Ssd)
            }
            HeadSpec::Detr { activation, top_k, normalised } => {
                Detr::new(activation, top_k, normalised, input, classes).map(Self::Detr)
            }
            HeadSpec::NanoDet { ref strides, reg_max, point } => {
                Distribution::nanodet(strides, reg_max, point, input, classes).map(Self::Distribution)
            }
            HeadSpec::PicoDet { ref strides, reg_max } => {
                Distribution::picodet(strides, reg_max, input, classes).map(Self::Distribution)
            }
            HeadSpec::DetectNetV2 { stride, scale, offset } => {
                DetectNet::new(stride, scale, offset, input, classes).map(Self::DetectNet)
            }
        }
    }

    /// The ways to export such a network, the usual one first.
    pub(super) fn forms(&self) -> Vec<Form> {
        match self {
            Self::Yolox(head) => head.forms(),
            Self::Yolov5(head) => head.forms(),
            Self::Yolov8(head) => head.forms(),
            Self::EndToEnd(head) => head.forms(),
            Self::EfficientNms(_) => EfficientNms::forms(),
            Self::Ssd(head) => head.forms(),
            Self::Detr(head) => head.forms(),
            Self::Distribution(head) => head.forms(),
            Self::DetectNet(head) => head.forms(),
        }
    }

    /// Appends the candidates of one picture.
    pub(super) fn read(&self, picture: &Picture<'_>, work: &mut Work) -> Result<(), At> {
        match self {
            Self::Yolox(head) => head.read(picture, work),
            Self::Yolov5(head) => head.read(picture, work),
            Self::Yolov8(head) => head.read(picture, work),
            Self::EndToEnd(head) => head.read(picture, work),
            Self::EfficientNms(head) => head.read(picture, work),
            Self::Ssd(head) => head.read(picture, work),
            Self::Detr(head) => head.read(picture, work),
            Self::Distribution(head) => head.read(picture, work),
            Self::DetectNet(head) => head.read(picture, work),
        }
    }

    /// Whether the outputs are of the whole batch, not picture by picture.
    pub(super) fn whole(&self, form: usize) -> bool {
        matches!(self, Self::EndToEnd(_)) && EndToEnd::whole(form)
    }

    /// Which output holds boxes that are in pixels as they come, if any.
    pub(super) fn pixels(&self, form: usize) -> Option<usize> {
        match self {
            Self::Yolov5(_) => Yolov5::decodes(form).then_some(0),
            Self::Yolov8(_) => Some(0),
            Self::EndToEnd(head) => (!head.normalised).then_some(0),
            Self::EfficientNms(head) => (!head.normalised).then_some(1),
            Self::Detr(head) => head.in_pixels(form).then_some(1),
            Self::Distribution(head) => head.decoded(form).then_some(0),
            Self::Yolox(_) | Self::Ssd(_) | Self::DetectNet(_) => None,
        }
    }

    /// Whether what belongs to a candidate is a mask.
    pub(super) fn makes_masks(&self) -> bool {
        matches!(self, Self::Yolov8(head) if matches!(head.more, More::Coefficients(_)))
    }

    /// What belongs to a candidate that stays.
    pub(super) fn extra(&self, picture: &Picture<'_>, row: u32, bbox: &[f32; 4]) -> Result<Extra, At> {
        match self {
            Self::Yolov8(head) => head.extra(picture, row, bbox),
            _ => Ok(Extra::Nothing),
        }
    }
}
