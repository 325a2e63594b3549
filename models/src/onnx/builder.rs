//! Writes small ONNX files for the tests, right and wrong ones.

/// A message under construction.
#[derive(Clone, Debug, Default)]
pub(crate) struct Message(pub(crate) Vec<u8>);

impl Message {
    pub(crate) fn varint(mut self, number: u64, value: u64) -> Self {
        self.push(number << 3);
        self.push(value);
        self
    }

    pub(crate) fn bytes(mut self, number: u64, bytes: impl AsRef<[u8]>) -> Self {
        self.push(number << 3 | 2);
        self.push(bytes.as_ref().len() as u64);
        self.0.extend_from_slice(bytes.as_ref());
        self
    }

    pub(crate) fn message(self, number: u64, message: Self) -> Self {
        self.bytes(number, message.0)
    }

    fn push(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

pub(crate) fn value_info(name: &str, element: u64, dims: &[i64]) -> Message {
    let shape = dims.iter().fold(Message::default(), |shape, dim| {
        let dim = if *dim == 0 { Message::default().bytes(2, "n") } else { Message::default().varint(1, *dim as u64) };
        shape.message(1, dim)
    });
    let tensor = Message::default().varint(1, element).message(2, shape);
    Message::default().bytes(1, name).message(2, Message::default().message(1, tensor))
}

pub(crate) fn tensor(name: &str, element: u64, dims: &[i64], raw: &[u8]) -> Message {
    let dims = dims.iter().fold(Message::default(), |message, dim| message.varint(1, *dim as u64));
    dims.varint(2, element).bytes(8, name).bytes(9, raw)
}

pub(crate) fn ints(name: &str, values: &[i64]) -> Message {
    let raw: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    tensor(name, 7, &[values.len() as i64], &raw)
}

pub(crate) fn node(op: &str, inputs: &[&str], output: &str) -> Message {
    let inputs = inputs.iter().fold(Message::default(), |message, input| message.bytes(1, input));
    inputs.bytes(2, output).bytes(3, format!("{op}_1")).bytes(4, op)
}

/// A graph with a detector's input and output and `more` in it.
pub(crate) fn detector(input: &[i64], output: &[i64], more: &[(u64, Message)]) -> Message {
    let graph =
        more.iter().fold(Message::default().bytes(2, "g"), |graph, (number, message)| graph.message(*number, message.clone()));
    model(graph.message(11, value_info("images", 1, input)).message(12, value_info("output", 1, output)))
}

pub(crate) fn model(graph: Message) -> Message {
    let opset = Message::default().bytes(1, "").varint(2, 13);
    Message::default().varint(1, 8).bytes(2, "test").message(7, graph).message(8, opset)
}
