//! Reading memory that may not be there.

use super::SurfaceError;

/// Copies from an address of this process, through the kernel: an address at which nothing is, is an error and no crash.
///
/// # Errors
/// [`SurfaceError::NoSurface`]; `what` says of what.
pub(super) fn read<const N: usize>(address: u64, what: &'static str) -> Result<[u8; N], SurfaceError> {
    let mut bytes = [0_u8; N];
    let to = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: N };
    let from = libc::iovec { iov_base: address as *mut libc::c_void, iov_len: N };
    // SAFETY: one range each; the kernel writes at most N bytes to `bytes`, which has as many, and checks the other range itself
    // (process_vm_readv(2)). Threads that write there at the same time make the copy a mixture, and nothing else.
    let copied = unsafe { libc::process_vm_readv(libc::getpid(), &raw const to, 1, &raw const from, 1, 0) };
    if usize::try_from(copied) == Ok(N) { Ok(bytes) } else { Err(SurfaceError::NoSurface(what)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_read_and_what_is_not_is_an_error() {
        let there = *b"surfaces";
        assert_eq!(read::<8>(there.as_ptr() as u64, "x"), Ok(there));
        for nowhere in [0, 8, 0x7fff_ffff_f000, u64::MAX - 4] {
            assert_eq!(read::<8>(nowhere, "nothing"), Err(SurfaceError::NoSurface("nothing")), "{nowhere:x}");
        }
    }
}
