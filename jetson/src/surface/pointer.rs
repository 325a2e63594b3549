//! Whether a pointer that a decoder handed over is one of the driver's.

use std::{ffi::c_void, sync::Arc};

use cudarc::driver::{CudaContext, sys};

use super::SurfaceError;
use crate::CudaError;

/// What tensors and pictures are aligned to.
const ALIGNMENT: u64 = 256;

/// An attribute of a pointer as the driver knows it.
///
/// # Safety
/// `T` is what the driver writes for the attribute.
unsafe fn attribute<T: Default>(attribute: sys::CUpointer_attribute, pointer: u64) -> Result<T, SurfaceError> {
    let mut value = T::default();
    // SAFETY: the driver writes one value of that attribute's type; any pointer may be asked about.
    let result = unsafe { sys::cuPointerGetAttribute((&raw mut value).cast::<c_void>(), attribute, pointer) };
    match result {
        sys::CUresult::CUDA_SUCCESS => Ok(value),
        sys::CUresult::CUDA_ERROR_INVALID_VALUE => Err(SurfaceError::Pointer("the driver does not know it")),
        error => Err(CudaError::Call { call: "cuPointerGetAttribute", code: error as u32 }.into()),
    }
}

/// Holds a pointer against what the driver knows: there are `bytes` bytes of one allocation, the context is this one where the driver
/// names one, and kernels may read them as they are.
///
/// # Errors
/// [`SurfaceError::Pointer`] and [`SurfaceError::Cuda`].
pub(super) fn check(context: &Arc<CudaContext>, pointer: u64, bytes: u64) -> Result<(), SurfaceError> {
    use sys::CUpointer_attribute_enum as Attribute;
    context.bind_to_thread().map_err(|error| CudaError::Call { call: "cuCtxSetCurrent", code: error.0 as u32 })?;
    if !pointer.is_multiple_of(ALIGNMENT) {
        return Err(SurfaceError::Pointer("it is not aligned to 256 bytes"));
    }
    // SAFETY: a device pointer and a size.
    let start: u64 = unsafe { attribute(Attribute::CU_POINTER_ATTRIBUTE_RANGE_START_ADDR, pointer) }?;
    // SAFETY: a size.
    let size: usize = unsafe { attribute(Attribute::CU_POINTER_ATTRIBUTE_RANGE_SIZE, pointer) }?;
    if start > pointer || pointer.saturating_add(bytes) > start.saturating_add(size as u64) {
        return Err(SurfaceError::Pointer("its memory is too small"));
    }
    // SAFETY: a context's handle, which is an address.
    let of: usize = unsafe { attribute(Attribute::CU_POINTER_ATTRIBUTE_CONTEXT, pointer) }?;
    // Memory of pools belongs to none.
    if of != 0 && of != context.cu_ctx() as usize {
        return Err(SurfaceError::Pointer("it is of another CUDA context"));
    }
    Ok(())
}
