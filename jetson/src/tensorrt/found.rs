//! Which TensorRT is installed.

use std::path::Path;

use libloading::os::unix::Library;

use super::{
    Version,
    open::{self, OpenError},
};

/// Why the installed TensorRT is of no use, or that there is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// No `libnvinfer` of any version.
    #[error("no TensorRT")]
    Absent,
    /// An older release, which has no strongly typed networks or another ABI.
    #[error("TensorRT {0} is installed, egret needs {oldest} or later: JetPack 6.1 or later has it", oldest = Version::OLDEST)]
    TooOld(Version),
    /// A major that came after this egret.
    #[error("TensorRT {0} is installed, this egret knows 10 and 11: install one of those or a later egret")]
    TooNew(Version),
    /// The library is there and does not load, or is none.
    #[error("{library} is of no use: {reason}")]
    Broken {
        /// The soname.
        library: String,
        /// The loader's words.
        reason: String,
    },
}

/// Asks the installed library for its version, from `folder` or where the system's loader finds it: 11, 10, then the others in order to
/// refuse them by name.
///
/// # Errors
/// [`Unusable`].
pub fn installed(folder: Option<&Path>) -> Result<Version, Unusable> {
    find(folder).map(|(version, _)| version)
}

pub(super) fn find(folder: Option<&Path>) -> Result<(Version, &'static Library), Unusable> {
    let (mut broken, mut uncompiled) = (None, None);
    for major in Version::MAJORS.into_iter().chain([12, 9, 8, 7]) {
        let name = format!("libnvinfer.so.{major}");
        let library = match open::open(folder, &name) {
            Ok(library) => library,
            Err(OpenError::Absent) => continue,
            Err(OpenError::Refused(reason)) => {
                broken = broken.or(Some(Unusable::Broken { library: name, reason }));
                continue;
            }
        };
        let Some(raw) = open::infer_version(library) else {
            broken = broken.or(Some(Unusable::Broken { library: name, reason: "it has no getInferLibVersion".into() }));
            continue;
        };
        let version = Version::from_raw(raw);
        return match version {
            _ if version < Version::OLDEST => Err(Unusable::TooOld(version)),
            _ if version.major > 11 => Err(Unusable::TooNew(version)),
            // The virtual tables differ between majors: what calls itself by another's name is not called at all.
            _ if version.major != major => {
                Err(Unusable::Broken { library: name, reason: format!("it says of itself that it is TensorRT {version}") })
            }
            // Where both majors are installed, one that this build has a part for is preferred.
            _ if !compiled(major) => {
                uncompiled = uncompiled.or(Some((version, library)));
                continue;
            }
            _ => Ok((version, library)),
        };
    }
    uncompiled.ok_or_else(|| broken.unwrap_or(Unusable::Absent))
}

#[cfg(feature = "tensorrt")]
fn compiled(major: u32) -> bool {
    super::sys::api(major).is_some()
}

/// Without the shim every release is as good as the other: to be named, and not used.
#[cfg(not(feature = "tensorrt"))]
fn compiled(_major: u32) -> bool {
    true
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn nothing_and_something_that_is_no_library() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(installed(Some(folder.path())), Err(Unusable::Absent));
        fs::write(folder.path().join("libnvinfer.so.10"), "no library").expect("written");
        let refused = installed(Some(folder.path())).expect_err("refused");
        assert!(matches!(&refused, Unusable::Broken { library, .. } if library == "libnvinfer.so.10"), "{refused}");
    }

    #[test]
    fn refusals_name_the_version_and_the_remedy() {
        let text = Unusable::TooOld(Version::from_raw(8602)).to_string();
        assert_eq!(text, "TensorRT 8.6.2 is installed, egret needs 10.3.0 or later: JetPack 6.1 or later has it");
    }
}
