//! Output tensors on their way to the host.

use std::sync::Arc;

use cudarc::driver::{CudaStream, result};

use super::{Executor, LineError};
use crate::{
    memory::{Memory, failed},
    pinned::Pinned,
    tensorrt::DataType,
};

/// Outputs begin at multiples of this.
const ALIGNED: u64 = 256;

/// An output of a batch, on the host.
#[derive(Clone, Copy, Debug)]
pub struct Fetched<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its shape.
    pub shape: &'a [usize],
    /// Its elements.
    pub data_type: DataType,
    /// They themselves, row-major, in this machine's byte order.
    pub bytes: &'a [u8],
}

impl<'a> Fetched<'a> {
    /// The elements, where they are 32-bit floats.
    pub fn floats(&self) -> Option<&'a [f32]> {
        if self.data_type != DataType::Float {
            return None;
        }
        // SAFETY: any four bytes are a float; what is not aligned is left out and looked at below.
        let (before, floats, after) = unsafe { self.bytes.align_to::<f32>() };
        (before.is_empty() && after.is_empty()).then_some(floats)
    }

    /// The elements' bits, where they are 16-bit floats (IEEE 754).
    pub fn halves(&self) -> Option<&'a [u16]> {
        if self.data_type != DataType::Half {
            return None;
        }
        // SAFETY: any two bytes are a number; what is not aligned is left out and looked at below.
        let (before, halves, after) = unsafe { self.bytes.align_to::<u16>() };
        (before.is_empty() && after.is_empty()).then_some(halves)
    }
}

/// Pinned memory for all outputs of a batch.
pub(super) struct Fetch {
    host: Pinned,
    offsets: Vec<usize>,
}

impl Fetch {
    /// Room for the largest batch.
    pub(super) fn new(executor: &Executor) -> Result<Self, LineError> {
        let most = *executor.batches().end();
        let mut bytes = 0;
        let mut offsets = Vec::new();
        for output in 0..executor.outputs().len() {
            offsets.push(bytes as usize);
            let largest = executor.batches().map(|batch| executor.output_bytes(output, batch)).max();
            bytes += largest.unwrap_or_else(|| executor.output_bytes(output, most)).next_multiple_of(ALIGNED);
        }
        Ok(Self { host: Pinned::new(executor.kernels.context(), bytes as usize)?, offsets })
    }

    /// Puts on the stream what copies the outputs of a batch.
    pub(super) fn enqueue(
        &mut self,
        executor: &Executor,
        stream: &CudaStream,
        outputs: &[Arc<dyn Memory>],
        batch: usize,
    ) -> Result<(), LineError> {
        for (output, (memory, at)) in outputs.iter().zip(&self.offsets).enumerate() {
            let bytes = executor.output_bytes(output, batch) as usize;
            if bytes > 0 {
                let to = &mut self.host.bytes_mut()[*at..*at + bytes];
                // SAFETY: the device's memory holds the largest batch, and so does this; neither is touched before the lane has waited
                // for the stream.
                unsafe { result::memcpy_dtoh_async(to, memory.address(), stream.cu_stream()) }
                    .map_err(failed("cuMemcpyDtoHAsync"))?;
            }
        }
        Ok(())
    }

    /// What has come, when the stream has been waited for.
    pub(super) fn fetched<'a>(&'a self, executor: &'a Executor, batch: usize) -> impl Iterator<Item = Fetched<'a>> {
        executor.outputs().iter().zip(&self.offsets).enumerate().map(move |(i, (output, at))| Fetched {
            name: &output.name,
            shape: executor.shape(i, batch),
            data_type: output.data_type,
            bytes: &self.host.bytes()[*at..*at + executor.output_bytes(i, batch) as usize],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_and_halves_are_seen_where_they_lie_and_nothing_else_is() {
        let words = [0x3f80_0000_u32, 0xc000_3c00];
        // SAFETY: any byte of a number is a byte, and bytes need no alignment.
        let (_, bytes, _) = unsafe { words.align_to::<u8>() };
        let of = |data_type, bytes| Fetched { name: "y", shape: &[2], data_type, bytes };
        let float = of(DataType::Float, bytes);
        assert_eq!(float.floats().and_then(|floats| floats.first().copied()), Some(1.0));
        assert_eq!(float.halves(), None);
        let half = of(DataType::Half, &bytes[4..]);
        let mut bits = half.halves().expect("halves").to_vec();
        bits.sort_unstable();
        assert_eq!((bits, half.floats()), (vec![0x3c00, 0xc000], None));
        // Not where such numbers may lie.
        assert_eq!((of(DataType::Half, &bytes[1..3]).halves(), of(DataType::Float, &bytes[2..6]).floats()), (None, None));
    }
}
