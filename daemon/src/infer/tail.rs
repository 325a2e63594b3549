//! The tail of a network that was cut: what an engine's builder refuses, run by ONNX Runtime over what the engine hands over, a whole
//! batch at once. On the GPU where the library has the CUDA provider and it works, else on the CPU.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
};

use egret_models::head::Tensor;
use half::f16;
use ort::{
    ep::{CUDA, ExecutionProvider},
    session::{Session, SessionInputValue},
    value::TensorRef,
};

use super::onnxruntime::{self, Library};

/// A tail that is loaded and ready.
pub struct Tail {
    session: Session,
    /// Its inputs, in the file's order.
    inputs: Vec<String>,
    outputs: Vec<String>,
    /// Outputs that are not of 32-bit floats, as such.
    floats: Vec<Vec<f32>>,
    cuda: bool,
    /// Of the library.
    version: String,
}

/// What a tail is given: a tensor of the cut, or an input of the whole network.
#[derive(Clone, Copy, Debug)]
pub struct Given<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its shape, the batch first.
    pub shape: &'a [usize],
    /// Its values, row-major.
    pub values: Values<'a>,
}

/// Values as the engine hands them over.
#[derive(Clone, Copy, Debug)]
pub enum Values<'a> {
    /// 32-bit floats.
    Floats(&'a [f32]),
    /// 16-bit floats.
    Halves(&'a [f16]),
    /// Integers, of inputs such as the sizes of pictures.
    Ints(&'a [i64]),
}

/// Why a tail does not run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TailError {
    /// There is no ONNX Runtime.
    #[error("the tail of the network needs ONNX Runtime ({0}): set runtime.onnxruntime_library or EGRET_ONNXRUNTIME")]
    NoRuntime(String),
    /// ONNX Runtime does not take it.
    #[error("ONNX Runtime refuses the tail of the network: {0}")]
    Refused(String),
    /// It reads something that it is not given.
    #[error("the tail of the network reads `{name}`, which it is not given: build the engine anew")]
    Missing {
        /// The input.
        name: String,
    },
    /// A batch fails.
    #[error("the tail of the network fails: {0}")]
    Run(String),
}

impl Tail {
    /// Loads a tail, an ONNX file of [`egret_models::onnx::cut`]. `library`: where ONNX Runtime is, if the configuration says so.
    ///
    /// # Errors
    /// [`TailError::NoRuntime`], [`TailError::Refused`].
    pub fn new(model: &[u8], library: Option<&Path>) -> Result<Self, TailError> {
        let library = Library::find(library).map_err(TailError::NoRuntime)?;
        let made = catch_unwind(AssertUnwindSafe(|| best(&library, model)));
        let (session, cuda) =
            made.unwrap_or_else(|_| Err("the binding panicked".into())).map_err(|reason| TailError::Refused(plain(&reason)))?;
        let inputs = session.inputs().iter().map(|input| input.name().to_owned()).collect();
        let outputs: Vec<String> = session.outputs().iter().map(|output| output.name().to_owned()).collect();
        let floats = vec![Vec::new(); outputs.len()];
        Ok(Self { session, inputs, outputs, floats, cuda, version: library.version })
    }

    /// Names of what it reads.
    pub fn inputs(&self) -> &[String] {
        &self.inputs
    }

    /// Names of what it makes.
    pub fn outputs(&self) -> &[String] {
        &self.outputs
    }

    /// Whether it runs on the GPU, by ONNX Runtime's CUDA provider.
    pub fn is_on_gpu(&self) -> bool {
        self.cuda
    }

    /// What runs it, e.g. `onnxruntime 1.31.1 (CPU)`.
    pub fn runtime(&self) -> String {
        format!("onnxruntime {} ({})", self.version, if self.cuda { "GPU" } else { "CPU" })
    }

    /// Runs a batch: one run, however many frames. What it is given beyond its inputs is left alone. `read` sees all outputs, in the file's
    /// order; whole numbers and halves as 32-bit floats.
    ///
    /// # Errors
    /// [`TailError`]; what `read` says is [`TailError::Run`].
    pub fn run(
        &mut self,
        given: &[Given<'_>],
        read: &mut dyn FnMut(&[Tensor<'_>]) -> Result<(), String>,
    ) -> Result<(), TailError> {
        let failed = |error: ort::Error| TailError::Run(plain(&error.to_string()));
        let mut inputs: Vec<(&str, SessionInputValue<'_>)> = Vec::with_capacity(self.inputs.len());
        for name in &self.inputs {
            let found = given.iter().find(|given| given.name == name);
            let Given { shape, values, .. } = *found.ok_or_else(|| TailError::Missing { name: name.clone() })?;
            // Views: nothing is copied.
            let value: SessionInputValue<'_> = match values {
                Values::Floats(values) => TensorRef::from_array_view((shape, values)).map_err(failed)?.into(),
                Values::Halves(values) => TensorRef::from_array_view((shape, values)).map_err(failed)?.into(),
                Values::Ints(values) => TensorRef::from_array_view((shape, values)).map_err(failed)?.into(),
            };
            inputs.push((name, value));
        }
        let made = self.session.run(inputs).map_err(failed)?;
        let mut found = Vec::with_capacity(self.outputs.len());
        for (name, floats) in self.outputs.iter().zip(&mut self.floats) {
            let value = made.get(name).ok_or_else(|| TailError::Run(format!("it has no output `{name}`")))?;
            found.push((name, onnxruntime::floats(value, name, floats).map_err(TailError::Run)?));
        }
        let tensors: Vec<Tensor<'_>> = found.iter().map(|(name, (shape, data))| Tensor { name, shape, data }).collect();
        read(&tensors).map_err(TailError::Run)
    }
}

/// A session on the GPU, else on the CPU.
fn best(library: &Library, model: &[u8]) -> Result<(Session, bool), String> {
    if CUDA::is_available().unwrap_or(false) {
        match onnxruntime::session_on(library, model, &[CUDA::default().build().error_on_failure()]) {
            Ok(session) => return Ok((session, true)),
            Err(error) => tracing::info!(reason = plain(&error.to_string()), "the tail of the network runs on the CPU"),
        }
    }
    onnxruntime::session(library, model).map(|session| (session, false)).map_err(|error| error.to_string())
}

/// A runtime quotes names of the graph.
fn plain(reason: &str) -> String {
    egret_models::text::plain(&reason.replace('\n', " ")).into_owned()
}

#[cfg(test)]
mod tests {
    use egret_models::onnx::{
        cut::{CutOptions, Objection, cut},
        edit::Model,
    };

    use super::*;

    const STREET: &[u8] = include_bytes!("../../../models/street/street.onnx");

    fn tail(model: &[u8]) -> Option<Tail> {
        match Tail::new(model, None) {
            Ok(tail) => Some(tail),
            Err(TailError::NoRuntime(reason)) => {
                eprintln!("SKIPPED: no ONNX Runtime: {reason} (set EGRET_ONNXRUNTIME)");
                None
            }
            Err(error) => panic!("{error}"),
        }
    }

    type Owned = Vec<(String, Vec<usize>, Vec<f32>)>;

    fn run(part: &mut Tail, given: &Owned) -> Owned {
        let given: Vec<Given<'_>> =
            given.iter().map(|(name, shape, values)| Given { name, shape, values: Values::Floats(values) }).collect();
        let mut made = Vec::new();
        part.run(&given, &mut |outputs| {
            made = outputs.iter().map(|o| (o.name.to_owned(), o.shape.to_vec(), o.data.to_vec())).collect();
            Ok(())
        })
        .expect("it runs");
        made
    }

    /// The network as one, and in two parts one after the other, over batches of several frames: the same values.
    #[test]
    fn a_batch_goes_through_both_parts_as_through_the_whole() {
        let model = Model::read(STREET).expect("the street network");
        let last = model.graph.nodes.len() - 4;
        let objection = Objection { node: Some(last), reason: "a test".into(), ..Objection::default() };
        let parts = cut(&model, &[objection], &CutOptions::default()).expect("a cut");
        // What plays the engine here is ONNX Runtime as well.
        let Some(mut whole) = tail(STREET) else { return };
        let (mut engine, mut rest) = (tail(&parts.engine.write()).expect("there"), tail(&parts.tail.write()).expect("there"));
        let names: Vec<&str> = parts.at.iter().map(|crossing| crossing.name.as_str()).collect();
        assert!(rest.inputs().iter().all(|name| names.contains(&name.as_str())) && !rest.is_on_gpu());
        let input = model.graph.inputs[0].dims().expect("declared");
        let sides: Vec<usize> = input[1..]
            .iter()
            .map(|dim| match dim {
                egret_models::onnx::edit::Dimension::Fixed(n) => *n as usize,
                other => panic!("{other:?}"),
            })
            .collect();
        let each: usize = sides.iter().product();
        for frames in [1, 3, 2] {
            let values = (0..frames * each).map(|i| ((i * 31 + i / 97) % 256) as f32).collect();
            let shape = [vec![frames], sides.clone()].concat();
            let picture = vec![(model.graph.inputs[0].name.clone(), shape, values)];
            let handed = run(&mut engine, &picture);
            let (expected, found) = (run(&mut whole, &picture), run(&mut rest, &handed));
            assert_eq!(expected.len(), found.len());
            for ((name, shape, values), (other, dims, made)) in expected.iter().zip(&found) {
                assert_eq!((name, shape), (other, dims));
                let error = values.iter().zip(made).map(|(a, b)| (a - b).abs()).fold(0.0_f32, f32::max);
                eprintln!("{frames} frames, `{name}` {shape:?}: max error {error}");
                assert!(error < 1e-5 && values.len() == made.len());
            }
        }
    }

    #[test]
    fn what_is_not_given_and_what_does_not_fit_is_told() {
        let Some(mut whole) = tail(STREET) else { return };
        let error = whole.run(&[], &mut |_| Ok(())).expect_err("nothing is given");
        assert!(matches!(&error, TailError::Missing { name } if *name == whole.inputs()[0]), "{error}");
        let name = whole.inputs()[0].clone();
        let given = Given { name: &name, shape: &[1, 2], values: Values::Floats(&[0.0, 0.0]) };
        assert!(matches!(whole.run(&[given], &mut |_| Ok(())), Err(TailError::Run(_))));
        let error = Tail::new(b"no network", None).map(|_| ()).expect_err("refused");
        assert!(matches!(error, TailError::Refused(_)), "{error}");
    }
}
