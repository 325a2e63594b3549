//! A launch as data.

/// Threads of a block of every kernel; the sources declare the same (`__launch_bounds__`).
pub(super) const BLOCK_THREADS: u32 = 256;

/// What a kernel is given: one struct by value, laid out as in its source.
///
/// # Safety
/// The type is `repr(C)`, and the kernels that take it take a struct of the same layout.
pub unsafe trait Params: Copy {}

/// One launch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Launch<P> {
    /// The kernel's name in its source.
    pub entry: &'static str,
    /// Blocks.
    pub grid: [u32; 3],
    /// Threads of a block.
    pub block: [u32; 3],
    /// What it is given.
    pub params: P,
}
