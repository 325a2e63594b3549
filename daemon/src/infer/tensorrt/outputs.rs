//! Output tensors on the host, as the heads and tasks of the models crate read them.

use egret_jetson::{
    line::{Fetched, OutputTensor},
    tensorrt::DataType,
};
use egret_models::head::Tensor;
use half::{bf16, f16};

use crate::infer::reader::{Batch, Reader, Results};

/// Reads the outputs of one network; memory is reused.
pub(super) struct Outputs {
    reader: Reader,
    /// For each output that is read, its place among the engine's.
    order: Vec<usize>,
    /// Outputs that are no 32-bit floats, as such.
    floats: Vec<Vec<f32>>,
}

impl Outputs {
    pub(super) fn new(reader: Reader, order: Vec<usize>) -> Self {
        let floats = vec![Vec::new(); order.len()];
        Self { reader, order, floats }
    }

    /// Takes what the network says of a batch.
    pub(super) fn read(
        &mut self,
        fetched: &mut dyn Iterator<Item = Fetched<'_>>,
        batch: &Batch<'_>,
        results: &mut Results,
    ) -> Result<(), String> {
        let fetched: Vec<Fetched<'_>> = fetched.collect();
        let read = self.order.iter().filter_map(|output| fetched.get(*output));
        for (output, floats) in read.clone().zip(&mut self.floats) {
            as_floats(output, floats)?;
        }
        let tensors: Vec<_> = read
            .zip(&self.floats)
            .map(|(output, floats)| Tensor { name: output.name, shape: output.shape, data: output.floats().unwrap_or(floats) })
            .collect();
        self.reader.read(&tensors, batch, results)
    }
}

/// Whether an output's elements can be read.
///
/// # Errors
/// That they cannot.
pub(super) fn readable(output: &OutputTensor) -> Result<(), String> {
    match output.data_type {
        DataType::Other(_) => {
            Err(format!("the engine's output `{}` is of {:?}: let it end in floats", output.name, output.data_type))
        }
        _ => Ok(()),
    }
}

/// Unpacks an output's elements to floats where they are none.
///
/// # Errors
/// That they have no values.
pub(super) fn as_floats(output: &Fetched<'_>, floats: &mut Vec<f32>) -> Result<(), String> {
    if output.floats().is_some() {
        return Ok(());
    }
    unpack(output, floats).ok_or_else(|| format!("output `{}` is of {:?}", output.name, output.data_type))
}

/// The elements of an output as floats; `None`: of a type that has none.
fn unpack(output: &Fetched<'_>, floats: &mut Vec<f32>) -> Option<()> {
    fn each<const N: usize>(bytes: &[u8], floats: &mut Vec<f32>, value: impl Fn([u8; N]) -> f32) {
        floats.extend(bytes.as_chunks::<N>().0.iter().map(|bytes| value(*bytes)));
    }
    floats.clear();
    let bytes = output.bytes;
    match output.data_type {
        DataType::Float => each(bytes, floats, f32::from_ne_bytes),
        DataType::Half => each(bytes, floats, |b| f16::from_ne_bytes(b).to_f32()),
        DataType::Bf16 => each(bytes, floats, |b| bf16::from_ne_bytes(b).to_f32()),
        DataType::Int32 => each(bytes, floats, |b| i32::from_ne_bytes(b) as f32),
        DataType::Int64 => each(bytes, floats, |b| i64::from_ne_bytes(b) as f32),
        DataType::Int8 => each(bytes, floats, |b| f32::from(i8::from_ne_bytes(b))),
        DataType::Uint8 => each(bytes, floats, |[b]| f32::from(b)),
        DataType::Bool => each(bytes, floats, |[b]| f32::from(u8::from(b != 0))),
        DataType::Other(_) => return None,
    }
    Some(())
}

/// Floats as elements of an input; what is left of `bytes` is zero.
pub(super) fn pack(values: &[f32], element: DataType, bytes: &mut [u8]) {
    fn each<const N: usize>(values: &[f32], bytes: &mut [u8], value: impl Fn(f32) -> [u8; N]) {
        let (chunks, _) = bytes.as_chunks_mut::<N>();
        chunks.iter_mut().zip(values).for_each(|(to, from)| *to = value(*from));
        let rest = chunks.len().min(values.len());
        chunks[rest..].fill([0; N]);
    }
    match element {
        DataType::Half => each(values, bytes, |v| f16::from_f32(v).to_ne_bytes()),
        // `as` saturates.
        DataType::Uint8 => each(values, bytes, |v| [v.round() as u8]),
        _ => each(values, bytes, f32::to_ne_bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_element_is_read_as_a_number() {
        let cases: [(DataType, Vec<u8>, f32); 8] = [
            (DataType::Float, 1.5_f32.to_ne_bytes().into(), 1.5),
            (DataType::Half, f16::from_f32(-2.5).to_ne_bytes().into(), -2.5),
            (DataType::Bf16, bf16::from_f32(3.0).to_ne_bytes().into(), 3.0),
            (DataType::Int32, (-7_i32).to_ne_bytes().into(), -7.0),
            (DataType::Int64, 9_i64.to_ne_bytes().into(), 9.0),
            (DataType::Int8, vec![0xff], -1.0),
            (DataType::Uint8, vec![0xff], 255.0),
            (DataType::Bool, vec![2], 1.0),
        ];
        for (data_type, bytes, expected) in cases {
            let mut floats = Vec::new();
            let output = Fetched { name: "y", shape: &[1], data_type, bytes: &bytes };
            assert!(unpack(&output, &mut floats).is_some());
            assert_eq!(floats, [expected], "{data_type:?}");
        }
        let other = Fetched { name: "y", shape: &[1], data_type: DataType::Other(6), bytes: &[0] };
        assert!(as_floats(&other, &mut Vec::new()).expect_err("no values").contains("output `y` is of Other(6)"));
    }

    #[test]
    fn floats_become_elements_and_the_rest_is_zero() {
        let mut bytes = [9; 12];
        pack(&[1.0, -2.0], DataType::Float, &mut bytes);
        assert_eq!(bytes[..8], [1.0_f32.to_ne_bytes(), (-2.0_f32).to_ne_bytes()].concat()[..]);
        assert_eq!(bytes[8..], [0; 4]);
        pack(&[300.0, 1.6], DataType::Uint8, &mut bytes);
        assert_eq!(bytes, [255, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        pack(&[0.5], DataType::Half, &mut bytes);
        assert_eq!(bytes[..4], [f16::from_f32(0.5).to_ne_bytes(), [0; 2]].concat()[..]);
    }
}
