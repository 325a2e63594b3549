//! What an engine instance runs on.

use std::{fmt, str::FromStr};

/// Highest number of a GPU or a core: more than any machine has.
const HIGHEST: u32 = 63;

/// A processor that runs networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Processor {
    /// The CPU, by ONNX Runtime or rten: one thread.
    Cpu,
    /// A GPU, from 0.
    Gpu(u32),
    /// A core of the deep learning accelerator, from 0. It works beside the first GPU, out of the same memory.
    Dla(u32),
}

impl Processor {
    /// The GPU whose memory it works with.
    pub fn memory(self) -> Option<u32> {
        match self {
            Self::Cpu => None,
            Self::Gpu(number) => Some(number),
            Self::Dla(_) => Some(0),
        }
    }
}

/// A word that names no processor.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{word:?} is no processor")]
pub struct NotAProcessor {
    /// The word.
    pub word: String,
}

impl FromStr for Processor {
    type Err = NotAProcessor;

    /// `cpu`, `gpu` or `gpu:0`, `gpu:1` …, `dla:0`, `dla:1`.
    fn from_str(word: &str) -> Result<Self, NotAProcessor> {
        let number = |digits: &str| {
            let plain = !digits.is_empty() && digits.len() <= 2 && digits.bytes().all(|b| b.is_ascii_digit());
            digits.parse().ok().filter(|number| plain && *number <= HIGHEST)
        };
        let found = match word.split_once(':') {
            None if word == "cpu" => Some(Self::Cpu),
            None if word == "gpu" => Some(Self::Gpu(0)),
            Some(("gpu", digits)) => number(digits).map(Self::Gpu),
            Some(("dla", digits)) => number(digits).map(Self::Dla),
            _ => None,
        };
        found.ok_or_else(|| NotAProcessor { word: word.to_owned() })
    }
}

impl fmt::Display for Processor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Gpu(number) => write!(f, "gpu:{number}"),
            Self::Dla(core) => write!(f, "dla:{core}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_name_processors() {
        for (word, processor) in [
            ("cpu", Processor::Cpu),
            ("gpu", Processor::Gpu(0)),
            ("gpu:0", Processor::Gpu(0)),
            ("gpu:12", Processor::Gpu(12)),
            ("dla:1", Processor::Dla(1)),
        ] {
            assert_eq!(word.parse(), Ok(processor));
            assert_eq!(processor.to_string().parse(), Ok(processor));
        }
        for word in ["", "GPU", "gpu:", "gpu:-1", "gpu:64", "gpu:001", "gpu:+1", "dla", "cpu:0", "cuda:0", "gpu:0:1", " gpu"] {
            assert_eq!(word.parse::<Processor>(), Err(NotAProcessor { word: word.into() }));
        }
    }

    #[test]
    fn a_dla_core_works_out_of_the_first_gpus_memory() {
        assert_eq!([Processor::Cpu, Processor::Gpu(1), Processor::Dla(1)].map(Processor::memory), [None, Some(1), Some(0)]);
    }
}
