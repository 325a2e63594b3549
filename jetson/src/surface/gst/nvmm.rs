//! Buffers that hold an `NvBufSurface`.

use std::{ffi::c_void, sync::Arc};

use gstreamer::{self as gst, ffi, glib};

use crate::surface::{DevicePicture, Expected, MemoryKind, Registration, Surface, SurfaceError, Surfaces};

/// Where a buffer's memory keeps its registration.
const KEY: &str = "egret-surface-registration";

/// The picture of a buffer. A surface that has to be registered is so once: its registration belongs to the buffer's memory, which a pool
/// uses again and again, and goes with it, before the pool frees the surface. Buffers of a new pool, as after a change of size, have none.
pub(super) fn picture(surfaces: &Arc<Surfaces>, expected: Expected, buffer: gst::Buffer) -> Result<DevicePicture, SurfaceError> {
    if buffer.n_memory() != 1 {
        return Err(SurfaceError::NoSurface("it is in several pieces"));
    }
    let memory: *mut ffi::GstMemory = buffer.peek_memory(0).as_mut_ptr();
    let map = buffer.map_readable().map_err(|_| SurfaceError::NoSurface("it cannot be mapped"))?;
    let (raw, bytes) = (map.as_slice().as_ptr(), map.as_slice().len());
    let surface = Surface::read(raw as u64, bytes, expected)?;
    // The struct belongs to the memory and stays where it is.
    drop(map);
    if surface.memory() != MemoryKind::SurfaceArray {
        // SAFETY: the decoder leaves a buffer's surface alone until the buffer comes back to it, and `hold` is the buffer.
        return unsafe { surfaces.picture(&surface, None, Box::new(buffer)) };
    }
    // SAFETY: the memory is the buffer's, which is held here.
    let registration = unsafe { registration(surfaces, memory, raw.cast_mut().cast(), &surface) }?;
    // SAFETY: as above. Of what is held the registration goes first.
    unsafe { surfaces.picture(&surface, Some(&registration), Box::new((Arc::clone(&registration), buffer))) }
}

/// The registration of a memory, made where it has none or one of another surface.
///
/// # Safety
/// The memory lives, and `raw` is the surface that it holds, from which `surface` was read.
unsafe fn registration(
    surfaces: &Arc<Surfaces>,
    memory: *mut ffi::GstMemory,
    raw: *mut c_void,
    surface: &Surface,
) -> Result<Arc<Registration>, SurfaceError> {
    let key = glib::Quark::from_str(KEY);
    let object: *mut ffi::GstMiniObject = memory.cast();
    // SAFETY: the memory is a mini object that lives.
    let kept: *const Registration = unsafe { ffi::gst_mini_object_get_qdata(object, quark(key)) }.cast_const().cast();
    if !kept.is_null() {
        // SAFETY: what is kept under the key is an `Arc` that this function put there, and it is taken away with the memory only, or below
        // by the one decoder whose thread this is.
        let kept = unsafe {
            Arc::increment_strong_count(kept);
            Arc::from_raw(kept)
        };
        if kept.is_of(surface) {
            return Ok(kept);
        }
    }
    // SAFETY: the surface is freed after its memory, whose last moment is when the registration is given up.
    let made = Arc::new(unsafe { surfaces.register(raw, surface) }?);
    let kept = Arc::into_raw(Arc::clone(&made)).cast_mut().cast();
    // SAFETY: the memory lives; what was kept before is given up by its own function.
    unsafe { ffi::gst_mini_object_set_qdata(object, quark(key), kept, Some(give_up)) };
    Ok(made)
}

fn quark(quark: glib::Quark) -> glib::ffi::GQuark {
    use glib::translate::IntoGlib;
    quark.into_glib()
}

/// The memory goes.
unsafe extern "C" fn give_up(kept: glib::ffi::gpointer) {
    // SAFETY: what `registration` put there, once.
    drop(unsafe { Arc::from_raw(kept.cast_const().cast::<Registration>()) });
}
