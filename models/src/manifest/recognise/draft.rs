//! A manifest while it is being recognised.

use super::{Assumption, Recognised};
use crate::{
    head::HeadSpec,
    manifest::{Card, Digest, Manifest, agree, class_names, imgsz},
    onnx::{Model, Node},
    spec::{
        BatchAxis, COCO_80, ChannelOrder, ConstantInput, ElementKind, Fit, InputSpec, Layout, ModelSpec, NmsSpec, Place,
        TaskSpec, coco_91,
    },
    text,
};

const IMAGENET_MEAN: [f32; 3] = [0.485, 0.456, 0.406];
const IMAGENET_STD: [f32; 3] = [0.229, 0.224, 0.225];
/// 1/255.
const BYTE: f32 = 1.0 / 255.0;

/// How a family's authors prepare a picture.
#[derive(Clone, Copy)]
pub(super) enum Preparation {
    /// YOLOX: BGR 0..255 as they are, letterboxed at the top left.
    Yolox,
    /// Ultralytics: RGB 0..1, letterboxed in the middle.
    Ultralytics,
    /// RGB 0..1, stretched (RT-DETR, D-FINE, TAO).
    Stretched,
    /// RGB 0..1 with ImageNet's mean and standard deviation, stretched.
    ImageNet,
    /// The same, the middle 224/256 cut out.
    ImageNetCrop,
    /// RGB 0..1, the middle cut out (Ultralytics' classifiers).
    PlainCrop,
    /// NanoDet: BGR with ImageNet's mean and standard deviation over 0..255, stretched.
    NanoDet,
    /// RGB -1..1, stretched (SSD-MobileNet).
    Centred,
    /// torchvision's video networks: RGB 0..1 with Kinetics' mean and standard deviation, 112 cut out of 128.
    Kinetics,
}

/// An output as it is declared.
pub(super) struct Output<'m> {
    pub(super) name: &'m str,
    pub(super) element: i32,
    /// Empty where the shape is not declared.
    pub(super) dims: Vec<Option<usize>>,
}

impl Output<'_> {
    pub(super) fn dim(&self, axis: usize) -> Option<usize> {
        self.dims.get(axis).copied().flatten()
    }

    pub(super) fn is_float(&self) -> bool {
        matches!(self.element, 1 | 10)
    }
}

/// The draft: its input is known from the start, the rest is filled in by the family.
pub(super) struct Draft<'m, 'a> {
    pub(super) model: &'m Model<'a>,
    pub(super) outputs: Vec<Output<'m>>,
    pub(super) input: InputSpec,
    /// Whether the graph leaves width or height open.
    pub(super) open_size: bool,
    /// Width and height as the graph has them.
    declared: (Option<usize>, Option<usize>),
    file: String,
    names: Vec<String>,
    task: Option<TaskSpec>,
    classes: Vec<String>,
    confidence: f32,
    multiple: usize,
    assumed: Vec<Assumption>,
    constants: Vec<ConstantInput>,
}

impl<'m, 'a> Draft<'m, 'a> {
    pub(super) fn of(model: &'m Model<'a>, file: &str) -> Result<Self, (String, &'static str)> {
        let mut pictures = model.graph.inputs.iter().filter_map(|value| {
            let dims = agree::dims(value)?;
            let colours = [1, dims.len().checked_sub(1)?].into_iter().find(|axis| dims.get(*axis) == Some(&Some(3)));
            matches!(dims.len(), 4 | 5).then_some((value, dims, colours))
        });
        let Some((value, dims, colours)) = pictures.next() else {
            let reason = "none of its inputs is a picture [N,3,H,W] or [N,H,W,3], or a clip [N,3,T,H,W]".to_owned();
            return Err((reason, super::WRITE_BY_HAND));
        };
        let element = match value.element {
            1 => ElementKind::F32,
            10 => ElementKind::F16,
            2 => ElementKind::U8,
            11 => {
                let reason = format!("its input `{}` is f64", text::short(value.name, 60));
                return Err((
                    reason,
                    "export it in FP32 (in PyTorch: model.float() before torch.onnx.export); no accelerator runs FP64",
                ));
            }
            other => {
                let reason = format!("its input `{}` is {}", text::short(value.name, 60), agree::element_text(other));
                return Err((reason, "export it with an input of f32, f16 or u8"));
            }
        };
        let layout = match colours {
            Some(1) | None => Layout::Nchw,
            Some(_) => Layout::Nhwc,
        };
        let first = 1 + usize::from(layout == Layout::Nchw);
        let clip = (dims.len() == 5).then(|| dims[first].unwrap_or(8));
        let (h, w) = (dims[first + usize::from(clip.is_some())], dims[first + 1 + usize::from(clip.is_some())]);
        if dims[if layout == Layout::Nchw { 1 } else { dims.len() - 1 }].is_some_and(|n| n != 3) {
            let reason = format!("its input {} has not three colours", agree::shape_text(value));
            return Err((reason, super::WRITE_BY_HAND));
        }
        let batch = dims[0].map_or(BatchAxis::Dynamic, BatchAxis::Fixed);
        let (width, height) = (w.unwrap_or(640), h.unwrap_or(640));
        let input = InputSpec { layout, element, clip, ..InputSpec::yolox(value.name, batch, width, height) };
        let outputs = model.graph.outputs.iter().map(|output| Output {
            name: output.name,
            element: output.element,
            dims: agree::dims(output).unwrap_or_default(),
        });
        let mut draft = Self {
            model,
            outputs: outputs.collect(),
            input,
            open_size: w.is_none() || h.is_none(),
            declared: (w, h),
            file: file.to_owned(),
            names: Vec::new(),
            task: None,
            classes: Vec::new(),
            confidence: 0.25,
            multiple: 1,
            assumed: Vec::new(),
            constants: Vec::new(),
        };
        draft.open_size_assumed();
        if colours.is_none() {
            draft.assume("input.layout", "the colours come first, as the graph does not say", "the exporter's input shape");
        }
        Ok(draft)
    }

    fn open_size_assumed(&mut self) {
        if let (true, Some((width, height))) = (self.open_size, imgsz(self.model)) {
            self.size(width, height);
        }
    }

    /// Takes what of a size the graph leaves open.
    fn size(&mut self, width: usize, height: usize) {
        (self.input.width, self.input.height) = (self.declared.0.unwrap_or(width), self.declared.1.unwrap_or(height));
    }

    /// The size to run at, where the graph leaves it open and nothing in the file says it.
    pub(super) fn usual_size(&mut self, width: usize, height: usize, multiple: usize) {
        if !self.open_size {
            return;
        }
        if imgsz(self.model).is_none() {
            self.size(width, height);
        }
        self.multiple = multiple;
        let (width, height) = (self.input.width, self.input.height);
        let what = format!("the graph takes any size, {width}x{height} is used");
        self.assume("input.width", &what, "the size that the network was trained at; width and height may be others");
    }

    pub(super) fn assume(&mut self, key: &str, what: &str, check: &str) {
        self.assumed.push(Assumption { key: key.to_owned(), what: what.to_owned(), check: check.to_owned() });
    }

    /// Takes the family's preparation of pictures. Nothing in a graph says it.
    pub(super) fn prepare(&mut self, preparation: Preparation, family: &str) {
        let (order, scale, mean, std, fit) = match preparation {
            Preparation::Yolox => (ChannelOrder::Bgr, 1.0, [0.0; 3], [1.0; 3], Fit::Letterbox(Place::TopLeft)),
            Preparation::Ultralytics => (ChannelOrder::Rgb, BYTE, [0.0; 3], [1.0; 3], Fit::Letterbox(Place::Centre)),
            Preparation::Stretched => (ChannelOrder::Rgb, BYTE, [0.0; 3], [1.0; 3], Fit::Stretch),
            Preparation::ImageNet => (ChannelOrder::Rgb, BYTE, IMAGENET_MEAN, IMAGENET_STD, Fit::Stretch),
            Preparation::ImageNetCrop => {
                (ChannelOrder::Rgb, BYTE, IMAGENET_MEAN, IMAGENET_STD, Fit::CentreCrop { fraction: 0.875 })
            }
            Preparation::PlainCrop => (ChannelOrder::Rgb, BYTE, [0.0; 3], [1.0; 3], Fit::CentreCrop { fraction: 1.0 }),
            Preparation::NanoDet => (ChannelOrder::Bgr, 1.0, [103.53, 116.28, 123.675], [57.375, 57.12, 58.395], Fit::Stretch),
            Preparation::Centred => (ChannelOrder::Rgb, 1.0, [127.5; 3], [127.5; 3], Fit::Stretch),
            Preparation::Kinetics => {
                let (mean, std) = ([0.432_16, 0.394_666, 0.376_45], [0.228_03, 0.221_45, 0.216_989]);
                (ChannelOrder::Rgb, BYTE, mean, std, Fit::CentreCrop { fraction: 0.875 })
            }
        };
        self.input = InputSpec { order, scale, mean, std, fit, ..self.input.clone() };
        if self.input.element == ElementKind::U8 {
            self.input = InputSpec { scale: 1.0, mean: [0.0; 3], std: [1.0; 3], ..self.input.clone() };
        }
        let what = format!("colour order, scale, mean, std and fit are as the authors of {family} prepare pictures");
        self.assume("input.order", &what, "the preparation in the code that trained this network");
    }

    /// The outputs to read, by their places in the graph.
    pub(super) fn read(&mut self, outputs: &[usize]) {
        self.names = outputs.iter().filter_map(|i| Some(self.outputs.get(*i)?.name.to_owned())).collect();
    }

    /// A detector with this head and this many classes, where that is known.
    pub(super) fn detect(&mut self, head: HeadSpec, classes: Option<usize>) {
        self.task = Some(TaskSpec::Detect { head, nms: NmsSpec::default() });
        self.name_classes(classes);
    }

    pub(super) fn task(&mut self, task: TaskSpec, classes: Option<usize>) {
        let unnamed = matches!(task, TaskSpec::Embed { .. });
        self.task = Some(task);
        if !unnamed {
            self.name_classes(classes);
        }
    }

    /// Names that belong to a published network with this many classes.
    pub(super) fn published_names(&mut self, names: &[&str], network: &str) {
        if self.classes.len() == names.len() && matches!(class_names(self.model), Ok(None)) {
            self.classes = names.iter().map(ToString::to_string).collect();
            self.assumed.retain(|assumption| !assumption.key.starts_with("classes"));
            self.assume("classes.names", &format!("the classes are those of {network}"), "the network's own list of labels");
        }
    }

    fn name_classes(&mut self, count: Option<usize>) {
        let why_not = match class_names(self.model) {
            Ok(Some(names)) if count.is_none_or(|count| count == names.len()) => {
                self.classes = names;
                return;
            }
            Ok(Some(names)) => {
                let count = count.unwrap_or_default();
                format!("the file's own property `names` lists {} classes, but its outputs have {count}: ", names.len())
            }
            Err(bad) => format!("{bad}: "),
            Ok(None) => String::new(),
        };
        let (key, what) = match count {
            Some(80) | None => {
                self.classes = COCO_80.iter().map(ToString::to_string).collect();
                ("classes.preset", "the classes are the 80 of COCO")
            }
            Some(91) => {
                self.classes = coco_91();
                ("classes.preset", "the classes are COCO's category numbers 0 to 90")
            }
            Some(count) => {
                self.classes = (0..count.min(32_768)).map(|i| format!("class_{i}")).collect();
                let what = if why_not.is_empty() {
                    "the file has no class names; they are numbered"
                } else {
                    "the classes are numbered"
                };
                ("classes.count", what)
            }
        };
        let check = "the list that the network was trained with; write names = [...] in the order of its outputs";
        self.assume(key, &format!("{why_not}{what}"), check);
    }

    pub(super) fn confidence(&mut self, confidence: f32) {
        self.confidence = confidence;
    }

    /// The classes that the file names, or this many.
    pub(super) fn named(&self) -> Option<usize> {
        class_names(self.model).ok().flatten().map(|names| names.len())
    }

    /// RT-DETR's and D-FINE's second input: the size that boxes are scaled to.
    pub(super) fn scale_boxes_to_input(&mut self) {
        let (width, height) = (self.input.width as i64, self.input.height as i64);
        let sizes = self.model.graph.inputs.iter().find(|input| {
            input.element == 7 && input.name != self.input.name && agree::dims(input).is_some_and(|dims| dims.len() == 2)
        });
        if let Some(sizes) = sizes {
            self.constants.push(ConstantInput { name: sizes.name.to_owned(), values: vec![width, height] });
            let what = "this input is width and height that boxes are scaled to; the network's own size is given";
            self.assume("input.constant", what, "the export script's `orig_target_sizes`");
        }
    }

    /// The operator that makes an output, behind what only renames it.
    pub(super) fn maker(&self, output: usize) -> Option<&'m Node<'a>> {
        let mut name = self.outputs.get(output)?.name;
        for _ in 0..4 {
            let node = self.model.graph.nodes.iter().rev().find(|node| node.outputs.contains(&name))?;
            match node.op {
                "Identity" | "Cast" => name = node.inputs.first()?,
                _ => return Some(node),
            }
        }
        None
    }

    pub(super) fn finish(self, family: &'static str) -> Recognised {
        let stem = self.file.strip_suffix(".onnx").unwrap_or(&self.file);
        let name: String =
            stem.chars().map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' }).take(64).collect();
        let name = name.trim_start_matches(|c: char| !c.is_ascii_alphanumeric()).to_owned();
        let name = if name.is_empty() { "model".to_owned() } else { name };
        let card = Card { name, file: self.file, sha256: Digest::Unknown, ..Card::default() };
        let spec = ModelSpec {
            input: self.input,
            constants: self.constants,
            outputs: self.names,
            // Every family sets one; a semantic task asks nothing of its outputs.
            task: self.task.unwrap_or(TaskSpec::Semantic),
            classes: self.classes,
            confidence: self.confidence,
            class_confidence: std::collections::BTreeMap::new(),
        };
        let manifest = Manifest { card, spec, multiple: self.multiple, precision: None };
        Recognised { manifest, family, assumed: self.assumed }
    }
}
