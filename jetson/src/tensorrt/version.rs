//! TensorRT's version numbers, and which of them egret runs on.

use std::fmt;

/// A TensorRT release, as the installed library reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// 10 or 11, where it is of use.
    pub major: u32,
    /// 3 of 10.3.0.
    pub minor: u32,
    /// 0 of 10.3.0.
    pub patch: u32,
}

impl Version {
    /// The first release that egret runs on: that of JetPack 6.1 and 6.2.
    pub const OLDEST: Self = Self { major: 10, minor: 3, patch: 0 };

    /// The majors that egret knows, the preferred first.
    pub const MAJORS: [u32; 2] = [11, 10];

    /// From `getInferLibVersion`: 100300 is 10.3.0, and up to TensorRT 9, 8602 was 8.6.2 (`NV_TENSORRT_VERSION` of the headers).
    pub fn from_raw(raw: i32) -> Self {
        let raw = raw.unsigned_abs();
        let unit = if raw < 10_000 { 1000 } else { 10_000 };
        Self { major: raw / unit, minor: raw % unit / 100, patch: raw % 100 }
    }

    /// As TensorRT's functions take it.
    #[cfg(feature = "tensorrt")]
    pub(super) fn raw(self) -> i32 {
        (self.major * 10_000 + self.minor * 100 + self.patch) as i32
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_both_kinds() {
        for (raw, text) in
            [(8602, "8.6.2"), (9300, "9.3.0"), (100_300, "10.3.0"), (101_602, "10.16.2"), (110_401, "11.4.1"), (0, "0.0.0")]
        {
            assert_eq!(Version::from_raw(raw).to_string(), text);
        }
        assert!(Version::from_raw(8602) < Version::OLDEST && Version::from_raw(100_200) < Version::OLDEST);
        assert!(Version::from_raw(100_300) >= Version::OLDEST && Version::from_raw(110_000) >= Version::OLDEST);
    }
}
