//! Writes small networks as ONNX files (`onnx.proto`), for tests that need one that really computes something.

/// A protobuf message under construction.
#[derive(Clone, Default)]
struct Message(Vec<u8>);

impl Message {
    fn number(mut self, field: u64, value: u64) -> Self {
        self.varint(field << 3);
        self.varint(value);
        self
    }

    fn bytes(mut self, field: u64, bytes: impl AsRef<[u8]>) -> Self {
        self.varint(field << 3 | 2);
        self.varint(bytes.as_ref().len() as u64);
        self.0.extend_from_slice(bytes.as_ref());
        self
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

/// A network under construction: one input `f32[N,…]` with an open batch axis, operators in their order.
pub(crate) struct Network {
    graph: Message,
}

/// An attribute of an operator.
pub(crate) enum Attribute {
    Int(i64),
    Ints(Vec<i64>),
}

impl Network {
    /// With the input `images` of this shape behind the batch axis.
    pub(crate) fn new(shape: &[i64]) -> Self {
        Self { graph: Message::default().bytes(2, "g").bytes(11, value("images", shape).0) }
    }

    /// A constant.
    pub(crate) fn constant(mut self, name: &str, shape: &[i64], values: &[f32]) -> Self {
        let dims = shape.iter().fold(Message::default(), |message, dim| message.number(1, *dim as u64));
        let raw: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.graph = self.graph.bytes(5, dims.number(2, 1).bytes(8, name).bytes(9, raw).0);
        self
    }

    /// An operator.
    pub(crate) fn node(mut self, op: &str, inputs: &[&str], output: &str, attributes: &[(&str, Attribute)]) -> Self {
        let node = inputs.iter().fold(Message::default(), |message, input| message.bytes(1, input));
        let node = node.bytes(2, output).bytes(3, output).bytes(4, op);
        let node = attributes.iter().fold(node, |node, (name, attribute)| {
            let message = Message::default().bytes(1, name);
            let message = match attribute {
                Attribute::Int(value) => message.number(3, *value as u64).number(20, 2),
                Attribute::Ints(values) => values.iter().fold(message, |m, v| m.number(8, *v as u64)).number(20, 7),
            };
            node.bytes(5, message.0)
        });
        self.graph = self.graph.bytes(1, node.0);
        self
    }

    /// The file, with an output of this shape behind the batch axis.
    pub(crate) fn output(self, name: &str, shape: &[i64]) -> Self {
        Self { graph: self.graph.bytes(12, value(name, shape).0) }
    }

    /// The file.
    pub(crate) fn file(self) -> Vec<u8> {
        let opset = Message::default().bytes(1, "").number(2, 13);
        Message::default().number(1, 8).bytes(2, "test").bytes(7, self.graph.0).bytes(8, opset.0).0
    }
}

fn value(name: &str, shape: &[i64]) -> Message {
    let open = Message::default().bytes(2, "N");
    let shape = shape.iter().map(|dim| Message::default().number(1, *dim as u64));
    let shape = std::iter::once(open).chain(shape).fold(Message::default(), |shape, dim| shape.bytes(1, dim.0));
    let tensor = Message::default().number(1, 1).bytes(2, shape.0);
    Message::default().bytes(1, name).bytes(2, Message::default().bytes(1, tensor.0).0)
}

/// A classifier that tells red pictures from blue ones by their mean colour: `[N,3,side,side]` RGB 0..1 → logits `[N,2]`.
pub(crate) fn colours(side: i64) -> Vec<u8> {
    Network::new(&[3, side, side])
        .constant("weights", &[3, 2], &[8.0, -8.0, 0.0, 0.0, -8.0, 8.0])
        .node("GlobalAveragePool", &["images"], "mean", &[])
        .node("Flatten", &["mean"], "flat", &[("axis", Attribute::Int(1))])
        .node("MatMul", &["flat", "weights"], "logits", &[])
        .output("logits", &[2])
        .file()
}

/// The manifest of [`colours`].
pub(crate) fn colours_manifest(side: i64) -> String {
    format!(
        "name = \"colours\"\nfile = \"colours.onnx\"\n[input]\nname = \"images\"\nwidth = {side}\nheight = {side}\norder = \"rgb\"\n\
         scale = 0.00392156862745098\nfit = \"stretch\"\n[output]\nnames = [\"logits\"]\n[task]\nkind = \"classify\"\nsoftmax = true\n\
         [classes]\nnames = [\"red\", \"blue\"]\n"
    )
}

/// A network that always says the same, whatever it is shown: outputs of these names, shapes behind the batch axis (of two or three
/// dimensions) and values. Its input is `images`, `[N,3,side,side]`.
#[allow(dead_code, reason = "the tests of the line use it")]
pub(crate) fn always(side: i64, outputs: &[(&str, &[i64], &[f32])]) -> Vec<u8> {
    let mean = |axes: &[i64], keep| [("axes", Attribute::Ints(axes.to_vec())), ("keepdims", Attribute::Int(keep))];
    // [N,1,1,W] and [N,1,W].
    let mut network = Network::new(&[3, side, side]).node("ReduceMean", &["images"], "rank4", &mean(&[1, 2], 1)).node(
        "ReduceMean",
        &["rank4"],
        "rank3",
        &mean(&[1], 0),
    );
    for (name, shape, values) in outputs {
        let last = *shape.last().expect("a dimension");
        let [zeros, nothing, what] = ["zeros", "nothing", "what"].map(|part| format!("{name}_{part}"));
        let rank = if shape.len() == 2 { "rank3" } else { "rank4" };
        network = network
            .constant(&zeros, &[side, last], &vec![0.0; (side * last) as usize])
            .constant(&what, shape, values)
            .node("MatMul", &[rank, &zeros], &nothing, &[])
            .node("Add", &[&nothing, &what], name, &[]);
    }
    outputs.iter().fold(network, |network, (name, shape, _)| network.output(name, shape)).file()
}
