//! What a model runs on.

use std::{collections::BTreeSet, ops::Deref};

use super::SECTION;
use crate::{
    batch::Queues,
    config::{
        ModelSource,
        keys::{Model, On},
        ledger::Ledger,
    },
    placement::{Machine, Processor},
};

/// The processors of its instances, each of which the machine has. The machine is asked for more than its CPU only.
pub(super) fn check(
    name: &str,
    model: &Model,
    ledger: &mut Ledger,
    machine: &impl Deref<Target = Machine>,
) -> Option<Vec<Processor>> {
    let path = |key: &str| SECTION.path(Some(name), key);
    let words = model.devices.as_ref()?;
    // Words that are none were refused where they were read.
    let devices: Vec<Processor> = words.iter().filter_map(|word| word.parse().ok()).collect();
    if ledger.is_set(&path("workers")) {
        ledger.clash(
            &path("workers"),
            &path("devices"),
            "devices has an entry for each instance",
            "remove it, or write \"cpu\" as often as there are to be instances on the CPU",
        );
    }
    for processor in devices.iter().filter(|processor| **processor != Processor::Cpu).collect::<BTreeSet<_>>() {
        if let Err(missing) = machine.check(*processor) {
            ledger.problem(&path("devices"), missing.reason, missing.remedy);
        }
    }
    Some(devices)
}

/// What is no network runs nowhere but here.
pub(super) fn runs(name: &str, source: &ModelSource, devices: Option<&[Processor]>, ledger: &mut Ledger) {
    let elsewhere = devices.into_iter().flatten().find(|processor| **processor != Processor::Cpu);
    if let (ModelSource::Null | ModelSource::Scripted(_), Some(processor)) = (source, elsewhere) {
        let reason = format!("this model is no network that {processor} could run");
        ledger.problem(&SECTION.path(Some(name), "devices"), reason, "name an ONNX file as the model, or write \"cpu\"");
    }
}

/// Whose frames the devices take.
pub(super) fn queues(name: &str, model: &Model, devices: Option<&[Processor]>, ledger: &mut Ledger) -> Queues {
    let path = |key: &str| SECTION.path(Some(name), key);
    let queues = model.queues.0;
    let distinct = devices.into_iter().flatten().collect::<BTreeSet<_>>().len();
    if model.on.0 != On::Cameras {
        if ledger.is_set(&path("queues")) && !ledger.is_spoilt(&path("on")) {
            let reason = "a step has one queue, of which all its instances take";
            ledger.problem(&path("queues"), reason, "remove it, or write on = \"cameras\"");
        }
    } else if queues == Queues::PerDevice && distinct < 2 && !ledger.is_spoilt(&path("devices")) {
        let remedy = "name several under devices, or write \"shared\"";
        let reason = match devices {
            Some([_, _, ..]) => "all entries of devices are the same one, whose instances share a queue",
            _ => "the model has one device alone",
        };
        ledger.problem(&path("queues"), reason, remedy);
    }
    queues
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::config::{Config, Rejected, Sources, examine};

    /// An AGX Orin with JetPack 6.
    fn orin() -> Machine {
        Machine {
            built_for_tensorrt: true,
            gpus: vec!["Orin".into()],
            tensorrt: Some((10, 3, 0)),
            compatible: vec!["nvidia,p3701-0005".into(), "nvidia,tegra234".into()],
            ..Machine::default()
        }
    }

    fn read(keys: &str, machine: Machine) -> Result<Config, Vec<String>> {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("egret.toml");
        fs::write(folder.path().join("net.onnx"), "a network").expect("written");
        fs::write(&file, format!("[[model]]\nname = \"yard\"\n{keys}")).expect("written");
        let sources = Sources { file: Some(file), checking: true, machine: Some(machine), ..Sources::default() };
        examine(&sources).map(|loaded| loaded.config).map_err(|Rejected { problems, .. }| {
            problems.iter().map(|problem| format!("{}: {}; {}", problem.key, problem.reason, problem.remedy)).collect()
        })
    }

    #[test]
    fn an_entry_for_each_instance() {
        let keys = "file = \"net.onnx\"\ndevices = [\"gpu\", \"gpu\", \"dla:1\", \"cpu\"]\nqueues = \"per_device\"";
        let model = read(keys, orin()).expect("good").models.remove(0);
        let devices = [Processor::Gpu(0), Processor::Gpu(0), Processor::Dla(1), Processor::Cpu];
        assert_eq!((model.devices.as_deref(), model.workers, model.queues), (Some(&devices[..]), 4, Queues::PerDevice));
        let plain = read("file = \"net.onnx\"", orin()).expect("good").models.remove(0);
        assert_eq!((plain.devices, plain.queues), (None, Queues::Shared));
        // The CPU is asked of no machine.
        let cpu = read("builtin = \"null\"\ndevices = [\"cpu\", \"cpu\"]", Machine::default()).expect("good").models.remove(0);
        assert_eq!(cpu.workers, 2);
    }

    #[test]
    fn what_cannot_be_is_named_with_its_key_and_a_remedy() {
        let nano = Machine { compatible: vec!["nvidia,p3767-0003".into()], ..orin() };
        let bare = Machine { no_tensorrt: "TensorRT is not installed".into(), tensorrt: None, ..orin() };
        for (keys, machine, expected) in [
            ("devices = [\"dla:0\"]", nano, "model.yard.devices: an Orin Nano 8GB has no DLA; write \"gpu\" instead"),
            ("devices = [\"dla:2\"]", orin(), "model.yard.devices: there is no dla:2: an AGX Orin has dla:0 and dla:1"),
            ("devices = [\"gpu:1\"]", orin(), "model.yard.devices: there is no gpu:1; this machine has gpu:0 (Orin)"),
            ("devices = [\"gpu\"]", bare, "model.yard.devices: gpu:0 needs TensorRT: TensorRT is not installed; install it"),
            ("devices = [\"tpu\"]", orin(), "model.yard.devices: \"tpu\" is no processor; write a list of processors"),
            ("devices = [\"gpu\"]\nworkers = 2", orin(), "model.yard.workers: devices has an entry for each instance; remove it"),
            ("queues = \"per_device\"", orin(), "model.yard.queues: the model has one device alone; name several"),
            ("devices = [\"gpu\", \"gpu\"]\nqueues = \"per_device\"", orin(), "all entries of devices are the same one"),
        ] {
            let problems = read(&format!("file = \"net.onnx\"\n{keys}"), machine).expect_err(keys);
            assert!(problems.len() == 1 && problems[0].contains(expected), "{keys}: {problems:?}");
        }
        let script = read("builtin = \"null\"\ndevices = [\"cpu\", \"gpu\"]", orin()).expect_err("no network");
        assert!(script[0].contains("no network that gpu:0 could run"), "{script:?}");
        let step = "file = \"net.onnx\"\n[[model]]\nname = \"faces\"\nfile = \"net.onnx\"\non = \"tracks\"\nqueues = \"shared\"";
        assert!(read(step, orin()).expect_err("a step")[0].contains("model.faces.queues: a step has one queue"));
    }
}
