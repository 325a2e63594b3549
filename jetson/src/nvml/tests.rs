use super::*;

#[test]
fn a_machine_without_it_says_so() {
    let absent = Nvml::open_at(Path::new("/nonexistent/libnvidia-ml.so.1"));
    assert!(matches!(absent, Err(NvmlError::Absent(_))), "{absent:?}");
    // Whatever machine this runs on: an answer and no panic.
    match Nvml::open() {
        Ok(nvml) => eprintln!("{nvml:?}: {:#?}", nvml.devices()),
        Err(error) => eprintln!("{error}"),
    }
}

#[test]
fn what_is_no_library_is_refused_with_the_loader_s_words() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(SONAME);
    std::fs::write(&path, "no library").expect("room");
    let Err(NvmlError::Refused { library, reason }) = Nvml::open_at(&path) else { panic!("it was taken") };
    assert_eq!(library, path);
    assert!(reason.contains("file too short") || reason.contains("invalid ELF header"), "{reason}");
}

#[test]
fn bits_are_holds() {
    assert_eq!(Hold::of(0), []);
    assert_eq!(Hold::of(0x1 | 0x2 | 0x10 | 0x100), [], "idle, chosen clocks, synchronised boards, the display");
    assert_eq!(Hold::of(0x68), [Hold::Hardware, Hold::SoftwareThermal, Hold::HardwareThermal]);
    assert_eq!(Hold::of(u64::MAX).len(), Hold::ALL.len());
}

#[cfg(feature = "doubles")]
mod with_the_double {
    use super::{
        super::doubles::{Double, Kind},
        *,
    };

    #[test]
    fn a_desktop_driver_tells_everything() {
        let double = Double::new(Kind::Desktop).expect("compiled");
        let nvml = double.open().expect("a driver");
        assert_eq!(nvml.driver().as_deref(), Some("580.65.06"));
        double.set("reasons", 0x4 | 0x40);
        let devices = nvml.devices().expect("devices");
        assert_eq!(devices.len(), 2);
        let first = Device {
            index: 0,
            name: Some("NVIDIA Thor".into()),
            load: Some(0.37),
            memory_load: Some(0.12),
            decoder_load: Some(0.05),
            encoder_load: Some(0.0),
            celsius: Some(61.0),
            watts: Some(71.5),
            limit_watts: Some(130.0),
            frequency_hz: Some(1_575_000_000),
            max_frequency_hz: Some(1_575_000_000),
            memory_hz: Some(4_266_000_000),
            video_hz: None,
            memory: Some((128 << 30, 8 << 30)),
            held_by: Some(vec![Hold::PowerCap, Hold::HardwareThermal]),
        };
        assert_eq!(devices[0], first);
        assert_eq!((devices[1].index, devices[1].name.as_deref()), (1, Some("NVIDIA Other")));
    }

    #[test]
    fn what_a_small_driver_lacks_is_left_out() {
        let double = Double::new(Kind::Sparse).expect("compiled");
        let nvml = double.open().expect("a driver");
        double.set("reasons", 0x20);
        let devices = nvml.devices().expect("devices");
        let [device] = devices.as_slice() else { panic!("{devices:?}") };
        assert_eq!((device.load, device.decoder_load, device.celsius), (Some(0.37), None, None));
        assert_eq!((device.watts, device.limit_watts, device.max_frequency_hz), (None, None, None));
        assert_eq!(device.held_by, Some(vec![Hold::SoftwareThermal]), "under its older name");
        assert!(double.set("utilization_code", 3), "not supported");
        assert_eq!(nvml.devices().expect("devices")[0].load, None, "and the rest is there");
        double.set("utilization_code", 0);
        double.set("load", 101);
        assert_eq!(nvml.devices().expect("devices")[0].load, None, "no share of anything");
    }

    #[test]
    fn failures_are_told_in_nvml_s_words() {
        let double = Double::new(Kind::Desktop).expect("compiled");
        double.set("init", 9);
        let error = double.open().expect_err("no driver");
        assert_eq!(error.to_string(), "NVML fails in nvmlInit_v2: Driver Not Loaded (error 9)");
        double.set("init", 0);
        let nvml = double.open().expect("a driver");
        double.set("lost", 1);
        assert_eq!(nvml.devices().expect("devices").len(), 1, "the other one");
        double.set("count", 15);
        assert_eq!(nvml.devices().expect_err("lost").to_string(), "NVML fails in nvmlDeviceGetCount_v2: GPU is lost (error 15)");
    }

    #[test]
    fn it_is_shut_down_when_it_is_dropped() {
        let double = Double::new(Kind::Desktop).expect("compiled");
        assert!(double.set("sessions", 0));
        let nvml = double.open().expect("a driver");
        assert!(double.set("sessions", 1));
        drop(nvml);
        assert!(double.set("sessions", 0));
    }
}
