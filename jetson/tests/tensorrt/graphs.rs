//! Batches repeated by graphs.

use std::sync::Arc;

use egret_jetson::tensorrt::{
    Capture, Engine, Error, Graphs, Ran,
    doubles::{Double, HostMemory},
};

use crate::{MAJORS, batch, engine, expected, load, pictures, shape};

struct Rig {
    graphs: Graphs,
    x: Arc<HostMemory>,
    y: Arc<HostMemory>,
}

fn rig(double: &Double) -> Rig {
    let engine: Arc<Engine> = Arc::new(engine(&load(double)));
    let activations = HostMemory::new(engine.context_bytes(Some(0)).expect("bytes") as usize).expect("memory");
    let stream: Arc<dyn Capture> = double.stream().expect("a stream");
    let mut graphs = Graphs::new(&engine, 0, activations, stream).expect("graphs");
    let [x, y] = [HostMemory::new(8 * 64).expect("memory"), HostMemory::new(8 * 128).expect("memory")];
    graphs.bind("x", Arc::clone(&x) as _).expect("bound");
    graphs.bind("y", Arc::clone(&y) as _).expect("bound");
    Rig { graphs, x, y }
}

impl Rig {
    /// Runs a batch on fresh pictures and holds the result against what it should be.
    fn run(&mut self, n: usize, seed: usize) -> Ran {
        let input = pictures(n, seed);
        self.x.write(&input);
        let ran = self.graphs.run(&[("x", batch(n as i64))]).expect("run");
        self.graphs.wait().expect("done");
        let wanted: Vec<f32> = input.chunks(16).flat_map(expected).collect();
        assert_eq!(self.y.read(n * 32), wanted, "batch of {n}: {ran:?}");
        ran
    }
}

/// The double spoils the outputs of a graph whose context has changed since, so the sizes must not share one.
#[test]
fn each_size_is_recorded_once_and_repeated_with_new_pictures() {
    for major in MAJORS {
        let double = Double::new(major).expect("the double");
        let mut rig = rig(&double);
        let ran: Vec<Ran> = [4, 4, 1, 4, 1, 8, 4].iter().enumerate().map(|(seed, &n)| rig.run(n, seed)).collect();
        assert_eq!(ran, [Ran::First, Ran::Graph, Ran::First, Ran::Graph, Ran::Graph, Ran::First, Ran::Graph]);
        drop(rig);
        assert_eq!(double.objects(), Some(0));
    }
}

#[test]
fn other_memory_means_other_graphs() {
    let double = Double::new(11).expect("the double");
    let mut rig = rig(&double);
    assert_eq!([rig.run(2, 0), rig.run(2, 1)], [Ran::First, Ran::Graph]);
    rig.y = HostMemory::new(8 * 128).expect("memory");
    rig.graphs.bind("y", Arc::clone(&rig.y) as _).expect("bound");
    assert_eq!([rig.run(2, 2), rig.run(2, 3)], [Ran::First, Ran::Graph]);
}

#[test]
fn work_that_cannot_be_recorded_is_done_plainly() {
    let double = Double::new(10).expect("the double");
    let mut rig = rig(&double);
    assert!(double.set("capture_fails", 1));
    assert_eq!([rig.run(2, 0), rig.run(2, 1), rig.run(2, 2)], [Ran::First, Ran::Plain, Ran::Plain]);
    let why = rig.graphs.refused(&[("x", batch(2))]);
    assert_eq!(why, Some(&Error::Cuda { call: "cuStreamEndCapture", code: 901 }));
    assert!(double.set("capture_fails", 0));
    assert_eq!([rig.run(3, 3), rig.run(3, 4)], [Ran::First, Ran::Graph]);
    assert_eq!(rig.graphs.refused(&[("x", batch(3))]), None);
}

#[test]
fn what_does_not_fit_is_refused_and_leaves_the_rest_as_it_was() {
    let double = Double::new(10).expect("the double");
    let mut rig = rig(&double);
    rig.run(2, 0);
    for inputs in [[("x", batch(9))], [("x", shape(&[2, 1, 4]))], [("y", batch(2))], [("z", batch(2))]] {
        assert!(matches!(rig.graphs.run(&inputs), Err(Error::Binding(_))), "{inputs:?}");
    }
    assert!(rig.graphs.bind("z", Arc::clone(&rig.x) as _).is_err());
    assert_eq!(rig.run(2, 1), Ran::Graph);
    let small = HostMemory::new(64).expect("memory");
    rig.graphs.bind("x", small).expect("bound");
    assert!(matches!(rig.graphs.run(&[("x", batch(2))]), Err(Error::Binding(_))), "room for one picture only");
}
