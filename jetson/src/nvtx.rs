//! Ranges for profilers (NVTX 3): what a thread is about, beside what the device does meanwhile.
//!
//! Nsight Systems and its like name the library that listens in `NVTX_INJECTION64_PATH` before they start a program. Without it a range is one load and
//! one branch. No header and no library of NVIDIA's is needed; `libnvToolsExt`, which CUDA 13 has no more, is not used.

mod result;
mod sys;

use std::{env, ffi::CStr, marker::PhantomData, path::PathBuf, sync::OnceLock};

use result::Tool;

/// Names the tool's library, as NVTX's own headers have it.
const VARIABLE: &str = "NVTX_INJECTION64_PATH";

/// Why the tool that was named does not listen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{VARIABLE} names {}, which is of no use: {reason}", library.display())]
pub struct NvtxError {
    library: PathBuf,
    reason: String,
}

/// The tool, looked for once.
fn tool() -> &'static Result<Option<Tool>, NvtxError> {
    static TOOL: OnceLock<Result<Option<Tool>, NvtxError>> = OnceLock::new();
    TOOL.get_or_init(|| {
        let Some(library) = env::var_os(VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from) else { return Ok(None) };
        Tool::inject(&library).map(Some).map_err(|reason| NvtxError { library, reason })
    })
}

/// Whether a tool listens.
///
/// # Errors
/// One was named and does not.
pub fn is_heard() -> Result<bool, &'static NvtxError> {
    tool().as_ref().map(Option::is_some)
}

/// A range of this thread's, until it is dropped.
#[must_use = "the range ends as soon as this is dropped"]
#[derive(Debug)]
pub struct Range {
    tool: Option<Tool>,
    /// Ranges of a thread end on it, the innermost first.
    _here: PhantomData<*const ()>,
}

/// Begins a range; nothing at all where no tool listens.
pub fn range(name: &'static CStr) -> Range {
    let tool = tool().as_ref().ok().copied().flatten();
    if let Some(tool) = tool {
        tool.push(name);
    }
    Range { tool, _here: PhantomData }
}

impl Drop for Range {
    fn drop(&mut self) {
        if let Some(tool) = self.tool {
            tool.pop();
        }
    }
}

/// For tests: a tool that writes what it hears into the file named by `EGRET_NVTX_HEARD` (`doubles/nvtx/nvtx.cpp`), and one that refuses.
#[cfg(feature = "doubles")]
pub mod doubles {
    use std::path::{Path, PathBuf};

    /// A tool that listens.
    pub fn listener() -> PathBuf {
        Path::new(env!("EGRET_NVTX_DOUBLES")).join("libnvtx-listener.so")
    }

    /// A tool whose initialisation fails.
    pub fn refuser() -> PathBuf {
        Path::new(env!("EGRET_NVTX_DOUBLES")).join("libnvtx-refuser.so")
    }
}
