//! ONNX files of a few nodes, written byte by byte (onnx.proto3).

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn number(out: &mut Vec<u8>, field: u64, value: i64) {
    varint(out, field << 3);
    varint(out, value as u64);
}

fn bytes(out: &mut Vec<u8>, field: u64, value: &[u8]) {
    varint(out, field << 3 | 2);
    varint(out, value.len() as u64);
    out.extend_from_slice(value);
}

fn message(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out);
    out
}

/// A network in the making.
#[derive(Default)]
pub(crate) struct Onnx {
    graph: Vec<u8>,
    nodes: usize,
}

impl Onnx {
    fn value(mut self, field: u64, name: &str, shape: &[i64]) -> Self {
        let dims = message(|out| {
            for &d in shape {
                let dim = message(|out| if d < 0 { bytes(out, 2, b"batch") } else { number(out, 1, d) });
                bytes(out, 1, &dim);
            }
        });
        let tensor = message(|out| {
            number(out, 1, 1);
            bytes(out, 2, &dims);
        });
        let kind = message(|out| bytes(out, 1, &tensor));
        let info = message(|out| {
            bytes(out, 1, name.as_bytes());
            bytes(out, 2, &kind);
        });
        bytes(&mut self.graph, field, &info);
        self
    }

    pub(crate) fn input(self, name: &str, shape: &[i64]) -> Self {
        self.value(11, name, shape)
    }

    pub(crate) fn output(self, name: &str, shape: &[i64]) -> Self {
        self.value(12, name, shape)
    }

    pub(crate) fn constant(mut self, name: &str, shape: &[i64], numbers: &[f32]) -> Self {
        let raw: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        let tensor = message(|out| {
            for &d in shape {
                number(out, 1, d);
            }
            number(out, 2, 1);
            bytes(out, 8, name.as_bytes());
            bytes(out, 9, &raw);
        });
        bytes(&mut self.graph, 5, &tensor);
        self
    }

    pub(crate) fn node(mut self, op: &str, inputs: &[&str], output: &str, attributes: &[(&str, &[i64])]) -> Self {
        let name = format!("n{}", self.nodes);
        let node = message(|out| {
            for input in inputs {
                bytes(out, 1, input.as_bytes());
            }
            bytes(out, 2, output.as_bytes());
            bytes(out, 3, name.as_bytes());
            bytes(out, 4, op.as_bytes());
            for (key, values) in attributes {
                let attribute = message(|out| {
                    bytes(out, 1, key.as_bytes());
                    for &value in *values {
                        number(out, 8, value);
                    }
                    number(out, 20, 7);
                });
                bytes(out, 5, &attribute);
            }
        });
        bytes(&mut self.graph, 1, &node);
        self.nodes += 1;
        self
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        message(|out| {
            number(out, 1, 8);
            bytes(out, 7, &self.graph);
        })
    }
}
