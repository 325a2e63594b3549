//! Reads the outputs of a network that is no detector.

use super::{
    appearance::normalise,
    areas::{Areas, Window},
    scores::Scores,
};
use crate::{head::Tensor, spec::TaskSpec};

/// What a network that is no detector says of one picture or clip.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// One score per class.
    Scores(Scores),
    /// What it looks like: a vector of unit length, or zero.
    Embedding(std::sync::Arc<[f32]>),
    /// Which class covers what of it.
    Areas(std::sync::Arc<Areas>),
}

/// Why a network's outputs are not what its task says. Each names the output.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TaskError {
    /// Detectors are read by their heads.
    #[error("a detector is read by its head")]
    Detector,
    /// The network has another number of outputs.
    #[error("it gives {outputs} outputs, a {task} network has one; name the right one under `outputs` in the manifest")]
    Outputs {
        /// The task.
        task: &'static str,
        /// How many.
        outputs: usize,
    },
    /// The output has another shape.
    #[error(
        "its output `{output}` has the shape {shape:?}, a {task} network has {expected}; correct the manifest's task or classes"
    )]
    Shape {
        /// Its name.
        output: String,
        /// Its shape.
        shape: Vec<usize>,
        /// The task.
        task: &'static str,
        /// What it should be.
        expected: String,
    },
    /// A value is no number.
    #[error("its output `{output}` holds NaN or infinity for picture {picture} of the batch; export it again, in float32")]
    NotFinite {
        /// Its name.
        output: String,
        /// Index in the batch.
        picture: usize,
    },
    /// A score is no probability.
    #[error("its output `{output}` holds {value}, no score of 0..1; set softmax = true in the manifest if these are logits")]
    NotAScore {
        /// Its name.
        output: String,
        /// The value.
        value: String,
    },
}

/// Scores computed in floating point stay within this of 0..1.
const SLACK: f32 = 1e-3;

/// The reader of one network.
#[derive(Clone, Debug)]
pub struct TaskReader {
    kind: Kind,
    classes: usize,
    word: &'static str,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Scores { softmax: bool },
    Embedding { len: usize },
    Areas,
}

impl TaskReader {
    /// A reader of that task for outputs of these shapes, of which the first dimension is the batch.
    ///
    /// # Errors
    /// [`TaskError`]: the outputs do not fit.
    pub fn new(task: &TaskSpec, classes: usize, outputs: &[(&str, &[usize])]) -> Result<Self, TaskError> {
        let kind = match *task {
            TaskSpec::Detect { .. } => return Err(TaskError::Detector),
            TaskSpec::Classify { softmax } | TaskSpec::Clip { softmax, .. } => Kind::Scores { softmax },
            TaskSpec::Embed { len } => Kind::Embedding { len },
            TaskSpec::Semantic => Kind::Areas,
        };
        let reader = Self { kind, classes, word: task.word() };
        let [(name, shape)] = outputs else {
            return Err(TaskError::Outputs { task: reader.word, outputs: outputs.len() });
        };
        reader.check(name, shape)?;
        Ok(reader)
    }

    fn check(&self, name: &str, shape: &[usize]) -> Result<(), TaskError> {
        let flat = |len: usize| shape.len() >= 2 && shape[1..].iter().product::<usize>() == len && len > 0;
        let (fits, expected) = match self.kind {
            Kind::Scores { .. } => (flat(self.classes), format!("[N,{}]", self.classes)),
            Kind::Embedding { len } => (flat(len), format!("[N,{len}]")),
            Kind::Areas => {
                let fits = match shape {
                    [_, c, h, w] => (*c == self.classes || *c == 1) && h * w > 0,
                    [_, h, w] => h * w > 0,
                    _ => false,
                };
                (fits, format!("[N,{},h,w] or [N,h,w]", self.classes))
            }
        };
        if fits {
            return Ok(());
        }
        Err(TaskError::Shape { output: name.to_owned(), shape: shape.to_vec(), task: self.word, expected })
    }

    /// Reads the first `count` pictures of a batch; `covered` tells what part of the network's input each one covers, in fractions
    /// `[x1,y1,x2,y2]` of its width and height (for areas; the rest is padding).
    ///
    /// # Errors
    /// [`TaskError`]: nothing of this batch can be believed.
    pub fn read(
        &self,
        outputs: &[Tensor<'_>],
        count: usize,
        covered: impl Fn(usize) -> [f32; 4],
        answers: &mut Vec<Answer>,
    ) -> Result<(), TaskError> {
        let [output] = outputs else {
            return Err(TaskError::Outputs { task: self.word, outputs: outputs.len() });
        };
        self.check(output.name, output.shape)?;
        let each: usize = output.shape[1..].iter().product();
        if output.data.len() < count * each {
            let (output, shape, expected) = (output.name.to_owned(), output.shape.to_vec(), format!("a batch of {count}"));
            return Err(TaskError::Shape { output, shape, task: self.word, expected });
        }
        for (picture, values) in output.data.chunks_exact(each).take(count).enumerate() {
            if values.iter().any(|value| !value.is_finite()) {
                return Err(TaskError::NotFinite { output: output.name.to_owned(), picture });
            }
            answers.push(self.answer(output, values, || covered(picture))?);
        }
        Ok(())
    }

    fn answer(&self, output: &Tensor<'_>, values: &[f32], covered: impl Fn() -> [f32; 4]) -> Result<Answer, TaskError> {
        match self.kind {
            Kind::Scores { softmax: true } => Ok(Answer::Scores(Scores::softmax(values))),
            Kind::Scores { softmax: false } => {
                if let Some(value) = values.iter().find(|value| !(-SLACK..=1.0 + SLACK).contains(*value)) {
                    return Err(TaskError::NotAScore { output: output.name.to_owned(), value: value.to_string() });
                }
                let scores: Vec<f32> = values.iter().map(|value| value.clamp(0.0, 1.0)).collect();
                Ok(Answer::Scores(Scores::new(&scores)))
            }
            Kind::Embedding { .. } => {
                let mut vector = values.to_vec();
                // All zero, as of a black picture, it has no direction and stays zero: like nothing else.
                normalise(&mut vector);
                Ok(Answer::Embedding(vector.into()))
            }
            Kind::Areas => Ok(Answer::Areas(self.areas(output.shape, values, covered()).into())),
        }
    }

    /// `[C,h,w]`: the class with the highest score at each pixel (the first of equals); `[h,w]`: the class itself.
    fn areas(&self, shape: &[usize], values: &[f32], covered: [f32; 4]) -> Areas {
        let (height, width) = (shape[shape.len() - 2], shape[shape.len() - 1]);
        let plane = height * width;
        let window = Window::of(covered, width, height);
        let channels = values.len() / plane;
        if channels > 1 {
            let best = |x: usize, y: usize| {
                let at = y * width + x;
                let better = |best: usize, next: usize| {
                    if values[next * plane + at] > values[best * plane + at] { next } else { best }
                };
                (1..channels).fold(0, better) as u16
            };
            return Areas::collect(self.classes, window, best);
        }
        if self.classes == 2 && shape.len() == 4 {
            // One channel for two classes: what speaks for the second.
            return Areas::collect(2, window, |x, y| u16::from(values[y * width + x] > 0.5));
        }
        Areas::collect(self.classes, window, |x, y| values[y * width + x].clamp(0.0, 65535.0) as u16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: [f32; 4] = [0.0, 0.0, 1.0, 1.0];

    fn read(task: &TaskSpec, classes: usize, shape: &[usize], data: &[f32]) -> Result<Vec<Answer>, TaskError> {
        let reader = TaskReader::new(task, classes, &[("out", shape)])?;
        let mut answers = Vec::new();
        reader.read(&[Tensor { name: "out", shape, data }], shape[0], |_| WHOLE, &mut answers)?;
        Ok(answers)
    }

    #[test]
    fn each_task_reads_its_output() {
        let logits = read(&TaskSpec::Classify { softmax: true }, 2, &[2, 2], &[0.0, 0.0, 1.0, 3.0]).unwrap();
        let Answer::Scores(scores) = &logits[1] else { panic!("{logits:?}") };
        assert!((scores.values()[1] - 0.880_797).abs() < 1e-6);
        let scores = read(&TaskSpec::Clip { frames: 8, softmax: false }, 2, &[1, 2, 1, 1], &[0.25, 1.0005]).unwrap();
        assert_eq!(scores, [Answer::Scores(Scores::new(&[0.25, 1.0]))]);
        let vector = read(&TaskSpec::Embed { len: 2 }, 0, &[1, 2], &[3.0, 4.0]).unwrap();
        assert_eq!(vector, [Answer::Embedding([0.6, 0.8].into())]);
        assert_eq!(read(&TaskSpec::Embed { len: 1 }, 0, &[1, 1], &[0.0]).unwrap(), [Answer::Embedding([0.0].into())]);
        let planes = [0.1, 0.9, 0.5, 0.5, 0.9, 0.1, 0.5, 0.6];
        let areas = read(&TaskSpec::Semantic, 2, &[1, 2, 2, 2], &planes).unwrap();
        let Answer::Areas(areas) = &areas[0] else { panic!("{areas:?}") };
        assert_eq!(areas.shares, [0.5, 0.5]);
        assert_eq!(areas.runs.iter().map(|run| (run.class, run.length)).collect::<Vec<_>>(), [(1, 1), (0, 2), (1, 1)]);
        let indices = read(&TaskSpec::Semantic, 3, &[1, 1, 4], &[2.0, 2.0, 0.0, 9.0]).unwrap();
        let Answer::Areas(areas) = &indices[0] else { panic!("{indices:?}") };
        assert_eq!(areas.shares, [0.25, 0.0, 0.5], "a class that nobody knows belongs to none");
    }

    #[test]
    fn what_does_not_fit_is_refused_by_name() {
        let classify = TaskSpec::Classify { softmax: false };
        for (task, classes, shape, data, word) in [
            (&classify, 3, &[1, 2][..], &[0.0, 0.0][..], "[N,3]"),
            (&classify, 2, &[1, 2], &[0.0, 7.5], "softmax = true"),
            (&classify, 2, &[1, 2], &[0.0, f32::NAN], "NaN"),
            (&TaskSpec::Embed { len: 4 }, 0, &[1, 2], &[0.0, 0.0], "[N,4]"),
            (&TaskSpec::Embed { len: 2 }, 0, &[1, 2], &[f32::INFINITY, 0.0], "NaN or infinity"),
            (&TaskSpec::Semantic, 3, &[1, 2, 1, 1], &[0.0, 0.0], "[N,3,h,w]"),
            (&TaskSpec::Semantic, 3, &[1, 3], &[0.0, 0.0, 0.0], "[N,3,h,w]"),
        ] {
            let error = read(task, classes, shape, data).unwrap_err().to_string();
            assert!(error.contains(word) && error.contains("out"), "{error}");
        }
        let two = [("a", &[1, 2][..]), ("b", &[1, 2][..])];
        assert!(TaskReader::new(&classify, 2, &two).unwrap_err().to_string().contains("2 outputs"));
        let reader = TaskReader::new(&classify, 2, &two[..1]).unwrap();
        let short = Tensor { name: "a", shape: &[1, 2], data: &[0.5, 0.5] };
        assert!(reader.read(&[short], 2, |_| WHOLE, &mut Vec::new()).is_err());
    }
}
