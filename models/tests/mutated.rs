//! Real networks with their bytes flipped, cut off and spliced: whatever comes of them, everything that `egret model inspect` does with
//! a file, and what the precision tools do first, answers without a panic and in bounded memory.
#![allow(clippy::unwrap_used)]

use std::{env, fs, ops::Range, path::PathBuf};

use egret_models::{
    manifest::{Manifest, class_names, describe, recognise, without_manifest},
    onnx::{self, edit::Model},
    precision::{Fp16Options, Plan, QdqOptions, convert},
    text,
};
use proptest::{prelude::*, sample::Index};

const STREET: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/street");
/// What a mutated file of at most 4 MB may add to the largest resident size of this process.
const MOST_MIB: u64 = 96;

const CASES: u32 = 300;

/// A network and where in it the bytes lie that are no weights.
struct Network {
    bytes: Vec<u8>,
    structure: Vec<Range<usize>>,
    /// The file's own fields but its graph, and the graph's fields: nodes, constants, declared values.
    around: Vec<u8>,
    records: Vec<Vec<u8>>,
}

/// The street detector, its INT8 file, and YOLOX-nano where the shared data is.
fn networks() -> Vec<Network> {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data");
    let data = env::var_os("EGRET_TEST_DATA").map_or_else(|| PathBuf::from(default), PathBuf::from);
    let nano = data.join("models/yolox_nano.onnx");
    let mut files =
        vec![PathBuf::from(format!("{STREET}/street.onnx")), PathBuf::from(format!("{STREET}/street-int8/street-int8.onnx"))];
    if nano.exists() {
        files.push(nano);
    } else {
        eprintln!("SKIPPED in part: no {} (set EGRET_TEST_DATA)", nano.display());
    }
    let network = |file: PathBuf| {
        let bytes = fs::read(&file).unwrap();
        onnx::read(&bytes).unwrap().sound().unwrap();
        let structure = structure(&bytes);
        let len: usize = structure.iter().map(Range::len).sum();
        assert!(len > 1000 && len < bytes.len() / 2, "{}: {len} of {}", file.display(), bytes.len());
        let (around, records) = records(&bytes);
        Network { bytes, structure, around, records }
    };
    files.into_iter().map(network).collect()
}

/// The fields of a message: number, and where in the file its payload lies.
fn fields(bytes: &[u8], mut at: usize, end: usize) -> Vec<(u64, Range<usize>)> {
    let mut found = Vec::new();
    while at < end {
        let varint = |mut at: usize| {
            let (mut value, start) = (0_u64, at);
            while bytes[at] >= 0x80 {
                value |= u64::from(bytes[at] & 0x7f) << (7 * (at - start));
                at += 1;
            }
            (value | u64::from(bytes[at]) << (7 * (at - start)), at + 1)
        };
        let (key, after) = varint(at);
        let payload = match key & 7 {
            0 => after..varint(after).1,
            1 => after..after + 8,
            5 => after..after + 4,
            _ => {
                let (len, start) = varint(after);
                start..start + len as usize
            }
        };
        at = payload.end;
        found.push((key >> 3, payload));
    }
    found
}

/// Everything but the raw data (9) of the initializers (5) of the graph (7).
fn structure(bytes: &[u8]) -> Vec<Range<usize>> {
    let graph = fields(bytes, 0, bytes.len()).into_iter().find(|(number, _)| *number == 7).unwrap().1;
    let tensors = fields(bytes, graph.start, graph.end).into_iter().filter(|(number, _)| *number == 5);
    let raw = tensors.flat_map(|(_, tensor)| fields(bytes, tensor.start, tensor.end)).filter(|(number, _)| *number == 9);
    let (mut ranges, mut at) = (Vec::new(), 0);
    for (_, raw) in raw.filter(|(_, raw)| raw.len() > 64) {
        ranges.push(at..raw.start);
        at = raw.end;
    }
    ranges.push(at..bytes.len());
    ranges
}

/// The whole fields of a message, with their keys.
fn whole(bytes: &[u8], message: Range<usize>) -> Vec<(u64, Vec<u8>)> {
    let mut start = message.start;
    let whole = |(number, payload): (u64, Range<usize>)| {
        let field = bytes[start..payload.end].to_vec();
        start = payload.end;
        (number, field)
    };
    fields(bytes, message.start, message.end).into_iter().map(whole).collect()
}

fn records(bytes: &[u8]) -> (Vec<u8>, Vec<Vec<u8>>) {
    let graph = fields(bytes, 0, bytes.len()).into_iter().find(|(number, _)| *number == 7).unwrap().1;
    let around = whole(bytes, 0..bytes.len()).into_iter().filter(|(number, _)| *number != 7).flat_map(|(_, field)| field);
    (around.collect(), whole(bytes, graph).into_iter().map(|(_, field)| field).collect())
}

/// What becomes of whole nodes, constants and declarations: a file that still is one, of another graph.
#[derive(Clone, Debug)]
enum Change {
    Drop(Index),
    Repeat(Index, Index),
    Swap(Index, Index),
}

fn change() -> impl Strategy<Value = Change> {
    let at = any::<Index>;
    prop_oneof![
        at().prop_map(Change::Drop),
        (at(), at()).prop_map(|(from, to)| Change::Repeat(from, to)),
        (at(), at()).prop_map(|(a, b)| Change::Swap(a, b)),
    ]
}

#[derive(Clone, Debug)]
enum Damage {
    Flip(Index, u8),
    Set(Index, u8),
    CutOff(Index),
    Remove(Index, usize),
    /// Some bytes of the structure once more, elsewhere.
    Splice(Index, Index, usize),
    /// The same over what is there.
    Overwrite(Index, Index, usize),
}

fn damage() -> impl Strategy<Value = Damage> {
    let at = any::<Index>;
    prop_oneof![
        4 => (at(), any::<u8>()).prop_map(|(at, bits)| Damage::Flip(at, bits | 1)),
        4 => (at(), prop_oneof![Just(0), Just(0x7f), Just(0x80), Just(0xff), any::<u8>()]).prop_map(|(at, to)| Damage::Set(at, to)),
        1 => at().prop_map(Damage::CutOff),
        2 => (at(), 1..200_usize).prop_map(|(at, len)| Damage::Remove(at, len)),
        2 => (at(), at(), 1..2000_usize).prop_map(|(from, to, len)| Damage::Splice(from, to, len)),
        2 => (at(), at(), 1..200_usize).prop_map(|(from, to, len)| Damage::Overwrite(from, to, len)),
    ]
}

impl Network {
    /// A place in the structure.
    fn place(&self, index: Index) -> usize {
        let total = self.structure.iter().map(Range::len).sum();
        let mut left = index.index(total);
        for range in &self.structure {
            if left < range.len() {
                return range.start + left;
            }
            left -= range.len();
        }
        0
    }

    fn changed(&self, changes: &[Change]) -> Vec<u8> {
        let mut records: Vec<&Vec<u8>> = self.records.iter().collect();
        for change in changes {
            let len = records.len();
            match change {
                Change::Drop(at) => drop(records.remove(at.index(len))),
                Change::Repeat(from, to) => records.insert(to.index(len), records[from.index(len)]),
                Change::Swap(a, b) => records.swap(a.index(len), b.index(len)),
            }
        }
        let graph: Vec<u8> = records.into_iter().flatten().copied().collect();
        let mut bytes = [self.around.as_slice(), &[7 << 3 | 2]].concat();
        let mut len = graph.len();
        while len >= 0x80 {
            bytes.push(len as u8 | 0x80);
            len >>= 7;
        }
        bytes.push(len as u8);
        bytes.extend(graph);
        bytes
    }

    fn damaged(&self, changes: &[Change], damages: &[Damage]) -> Vec<u8> {
        let mut bytes = if changes.is_empty() { self.bytes.clone() } else { self.changed(changes) };
        for damage in damages {
            let within = |at: usize, len: usize, bytes: &Vec<u8>| at.min(bytes.len())..(at + len).min(bytes.len());
            match *damage {
                Damage::Flip(at, bits) => bytes.get_mut(self.place(at)).into_iter().for_each(|byte| *byte ^= bits),
                Damage::Set(at, to) => bytes.get_mut(self.place(at)).into_iter().for_each(|byte| *byte = to),
                Damage::CutOff(at) => bytes.truncate(self.place(at)),
                Damage::Remove(at, len) => {
                    let range = within(self.place(at), len, &bytes);
                    bytes.drain(range);
                }
                Damage::Splice(from, to, len) => {
                    let range = within(self.place(from), len, &bytes);
                    let (part, at) = (bytes[range].to_vec(), self.place(to).min(bytes.len()));
                    bytes.splice(at..at, part);
                }
                Damage::Overwrite(from, to, len) => {
                    let range = within(self.place(from), len, &bytes);
                    let target = within(self.place(to), range.len(), &bytes);
                    bytes.copy_within(range.start..range.start + target.len(), target.start);
                }
            }
        }
        bytes
    }
}

/// All that `egret model inspect` asks of a file.
fn inspect(bytes: &[u8], manifest: &Manifest) -> bool {
    let plain = |text: &str| assert!(text::is_plain(text), "{text:?}");
    let model = match onnx::read_named("net.onnx", bytes) {
        Ok(model) => model,
        Err(refused) => {
            plain(&format!("{refused}; {}", refused.remedy()));
            return false;
        }
    };
    if let Err(refused) = model.sound() {
        plain(&format!("{refused}; {}", refused.remedy()));
    }
    model.graph.inputs.iter().chain(&model.graph.outputs).for_each(|value| plain(&describe(value)));
    model.graph.nodes.iter().for_each(|node| plain(&format!("{} {}", node.label(), node.kind())));
    let _names = class_names(&model).map_err(|bad| plain(&bad.to_string()));
    match recognise(&model, "net.onnx") {
        Ok(recognised) => recognised.to_toml().lines().for_each(plain),
        Err(unrecognised) => plain(&unrecognised.to_string()),
    }
    if let Err(refused) = without_manifest(&model, None) {
        plain(&refused.to_string());
    }
    manifest.contradictions(&model).iter().for_each(|problem| plain(&problem.to_string()));
    true
}

/// What the precision tools do before they run anything.
fn convert_it(bytes: &[u8]) {
    let Ok(model) = Model::read(bytes) else { return };
    let _report = convert(&mut model.clone(), &Fp16Options::default(), None);
    let _plan = Plan::new(model, &QdqOptions::default());
}

/// Of this process, in KiB.
fn status(key: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
    line.trim_matches([':', '\t', ' ']).trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn damaged_networks_are_answered_in_bounded_memory() {
    let (networks, manifest) = (networks(), fs::read_to_string(format!("{STREET}/model.toml")).unwrap());
    let manifest = Manifest::parse(&manifest).unwrap();
    for network in &networks {
        assert!(inspect(&network.bytes, &manifest));
        convert_it(&network.bytes);
    }
    let before = status("VmHWM");
    let cases = (any::<Index>(), prop::collection::vec(change(), 0..4), prop::collection::vec(damage(), 0..3));
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: CASES,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let read = std::cell::Cell::new(0_u32);
    let outcome = runner.run(&cases, |(which, changes, damages)| {
        let bytes = which.get(&networks).damaged(&changes, &damages);
        if inspect(&bytes, &manifest) {
            read.set(read.get() + 1);
            convert_it(&bytes);
        }
        Ok(())
    });
    let read = read.get();
    if let Err(error) = outcome {
        panic!("{error}");
    }
    let grown = (status("VmHWM") - before) / 1024;
    eprintln!("{read} of {CASES} damaged files were still read; the largest resident size grew by {grown} MiB");
    // Damage that nothing reads any further proves little.
    assert!(read > CASES / 10, "{read}");
    assert!(grown < MOST_MIB, "{grown} MiB");
}
