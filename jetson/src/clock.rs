//! Whether the system's clock is synchronised, as the kernel has been told.

use std::io;

/// Whether whoever sets the system's clock says that it is right: the kernel's `STA_UNSYNC` is off (adjtimex(2)). systemd-timesyncd,
/// ntpd, chrony (with `rtcsync`) and linuxptp's phc2sys tell it. The kernel takes it back 16 s of possible error later: some nine hours
/// without an answer. Needs no right.
///
/// # Errors
/// The kernel does not answer, as in a sandbox that forbids the call.
pub fn is_synchronised() -> io::Result<bool> {
    // SAFETY: a `timex` is integers only; all zero is a question that changes nothing.
    let mut timex: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a `timex` that lives through the call.
    match unsafe { libc::adjtimex(&raw mut timex) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(timex.status & libc::STA_UNSYNC == 0),
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn another_caller_is_told_the_same() {
        let ask = "import ctypes; print(ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(1024)))";
        let output = Command::new("python3").args(["-c", ask]).output().expect("python3");
        let said = match String::from_utf8_lossy(&output.stdout).trim() {
            "-1" => None,
            // TIME_ERROR
            "5" => Some(false),
            "0" | "1" | "2" | "3" | "4" => Some(true),
            other => panic!("{other:?}"),
        };
        assert_eq!(is_synchronised().ok(), said);
    }
}
