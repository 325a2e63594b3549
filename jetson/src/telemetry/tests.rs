use std::fs;

use proptest::prelude::*;

use super::*;

/// A tree of files, as a board has them.
struct Board(tempfile::TempDir);

impl Board {
    fn new(files: &[(&str, &str)]) -> Self {
        let board = Self(tempfile::tempdir().expect("a folder"));
        for (path, text) in files {
            board.put(path, text);
        }
        board
    }

    fn put(&self, path: &str, text: &str) {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("room");
        fs::write(path, text).expect("room");
    }

    fn read(&self) -> Reading {
        Telemetry::new(self.0.path()).read()
    }
}

/// Orin Nano with JetPack 6.
const ORIN_NANO: &[(&str, &str)] = &[
    ("sys/class/devfreq/15340000.vic/device/of_node/name", "vic\0"),
    ("sys/class/devfreq/15340000.vic/cur_freq", "435200000\n"),
    ("sys/class/devfreq/17000000.gpu/device/of_node/name", "gpu\0"),
    ("sys/class/devfreq/17000000.gpu/device/load", "437\n"),
    ("sys/class/devfreq/17000000.gpu/cur_freq", "612000000\n"),
    ("sys/class/devfreq/17000000.gpu/max_freq", "1020000000\n"),
    ("sys/class/thermal/thermal_zone0/type", "cpu-thermal\n"),
    ("sys/class/thermal/thermal_zone0/temp", "48531\n"),
    ("sys/class/thermal/thermal_zone1/type", "gpu-thermal\n"),
    ("sys/class/thermal/thermal_zone1/temp", "51000\n"),
    // Switched off.
    ("sys/class/thermal/thermal_zone2/type", "cv0-thermal\n"),
    ("sys/class/thermal/thermal_zone2/temp", ""),
    ("sys/class/thermal/thermal_zone3/type", "soc2-thermal\n"),
    ("sys/class/thermal/thermal_zone3/temp", "-256000\n"),
    ("sys/class/thermal/thermal_zone10/type", "tj-thermal\n"),
    ("sys/class/thermal/thermal_zone10/temp", "51500\n"),
    ("sys/class/thermal/cooling_device0/type", "cpufreq-cpu0\n"),
    ("sys/class/thermal/cooling_device0/cur_state", "0\n"),
    ("sys/class/thermal/cooling_device0/max_state", "20\n"),
    ("sys/class/thermal/cooling_device1/type", "pwm-fan\n"),
    ("sys/class/thermal/cooling_device1/cur_state", "2\n"),
    ("sys/class/thermal/cooling_device1/max_state", "3\n"),
    ("sys/class/hwmon/hwmon0/name", "pwmfan\n"),
    ("sys/class/hwmon/hwmon0/pwm1", "128\n"),
    ("sys/class/hwmon/hwmon1/name", "pwm_tach\n"),
    ("sys/class/hwmon/hwmon1/rpm", "2980\n"),
    ("sys/class/hwmon/hwmon2/name", "soctherm_oc\n"),
    ("sys/class/hwmon/hwmon2/oc1_event_cnt", "7\n"),
    ("sys/bus/i2c/devices/1-0040/name", "ina3221\n"),
    ("sys/bus/i2c/devices/1-0040/hwmon/hwmon3/in1_label", "VDD_IN\n"),
    ("sys/bus/i2c/devices/1-0040/hwmon/hwmon3/in1_input", "5040\n"),
    ("sys/bus/i2c/devices/1-0040/hwmon/hwmon3/curr1_input", "1176\n"),
    ("sys/bus/i2c/devices/1-0040/hwmon/hwmon3/curr1_crit_alarm", "0\n"),
    ("sys/bus/i2c/devices/1-0040/hwmon/hwmon3/in2_label", "VDD_CPU_GPU_CV\n"),
    ("sys/bus/i2c/devices/1-0040/hwmon/hwmon3/in2_input", "5032\n"),
    ("sys/bus/i2c/devices/1-0040/hwmon/hwmon3/curr2_input", "-8\n"),
    ("sys/bus/i2c/devices/1-0040/hwmon/hwmon3/in3_label", "NC\n"),
    ("sys/bus/i2c/devices/1-0040/hwmon/hwmon3/in3_input", "1\n"),
    ("sys/bus/i2c/devices/1-0040/hwmon/hwmon3/curr3_input", "1\n"),
    ("sys/bus/i2c/devices/1-0050/name", "24c02\n"),
    ("var/lib/nvpmodel/status", "pmode:0002 fmode:quiet\n"),
    ("etc/nvpmodel.conf", "# modes\n< POWER_MODEL ID=0 NAME=15W >\nCPU_ONLINE CORE_0 1\n< POWER_MODEL ID=2 NAME=MAXN_SUPER >\n"),
    ("proc/meminfo", "MemTotal:        7802488 kB\nMemFree:          100000 kB\nMemAvailable:    5210004 kB\n"),
];

#[test]
fn an_orin_nano() {
    let board = Board::new(ORIN_NANO);
    let reading = board.read();
    let gpu = Gpu { load: Some(0.437), frequency_hz: 612_000_000, max_frequency_hz: Some(1_020_000_000) };
    assert_eq!(reading.gpu, Some(gpu));
    assert_eq!((reading.emc_hz, reading.nvdec), (None, None), "for root alone");
    let zones: Vec<(&str, f32)> = reading.temperatures.iter().map(|t| (t.zone.as_str(), t.celsius)).collect();
    assert_eq!(zones, [("cpu-thermal", 48.531), ("gpu-thermal", 51.0), ("tj-thermal", 51.5)]);
    assert_eq!(reading.hottest().map(|t| t.zone.as_str()), Some("tj-thermal"));
    let rail = |name: &str, millivolts, milliamps| Rail { name: name.into(), millivolts, milliamps };
    assert_eq!(reading.rails, [rail("VDD_IN", 5040, 1176), rail("VDD_CPU_GPU_CV", 5032, 0)]);
    assert!((reading.rails[0].watts() - 5.927_04).abs() < 1e-9);
    assert_eq!(reading.fan, Some(Fan { pwm: 128, rpm: Some(2980) }));
    assert_eq!(reading.power_mode, Some(PowerMode { id: 2, name: Some("MAXN_SUPER".into()) }));
    assert_eq!(reading.memory, Some(Memory { total: 7_802_488 << 10, available: 5_210_004 << 10 }));
    assert_eq!(reading.throttling, []);
    board.put("sys/kernel/debug/bpmp/debug/clk/emc/rate", "2133000000\n");
    board.put("sys/kernel/debug/clk/nvdec/clk_enable_count", "1\n");
    board.put("sys/kernel/debug/clk/nvdec/clk_rate", "998400000\n");
    let reading = board.read();
    assert_eq!(reading.emc_hz, Some(2_133_000_000));
    assert_eq!(reading.nvdec, Some(Nvdec { on: true, frequency_hz: 998_400_000 }));
}

#[test]
fn what_slows_a_board_down_is_told() {
    let board = Board::new(ORIN_NANO);
    let mut telemetry = Telemetry::new(board.0.path());
    assert_eq!(telemetry.read().throttling, [], "its counters count since the board's start");
    board.put("sys/class/hwmon/hwmon2/oc1_event_cnt", "10\n");
    board.put("sys/bus/i2c/devices/1-0040/hwmon/hwmon3/curr1_crit_alarm", "1\n");
    board.put("sys/class/thermal/cooling_device0/cur_state", "4\n");
    let told = [
        Throttling::OverCurrent { rail: "VDD_IN".into() },
        Throttling::Events { counter: "oc1".into(), count: 3 },
        Throttling::Cooling { device: "cpufreq-cpu0".into(), state: (4, 20) },
    ];
    assert_eq!(telemetry.read().throttling, told);
    board.put("sys/bus/i2c/devices/1-0040/hwmon/hwmon3/curr1_crit_alarm", "0\n");
    board.put("sys/class/thermal/cooling_device0/cur_state", "0\n");
    assert_eq!(telemetry.read().throttling, [], "over");
}

/// JetPack 5's names, and the rails of AGX Orin: two sensors, none for the whole.
#[test]
fn an_agx_orin_of_jetpack_5() {
    let monitor = |at: u32, number: u32, channel: u32, label: &str| {
        let path = format!("sys/bus/i2c/devices/1-00{at}/hwmon/hwmon{number}");
        let file = |name: &str, text: &str| (format!("{path}/{name}"), text.to_owned());
        [
            file(&format!("in{channel}_label"), label),
            file(&format!("in{channel}_input"), "5000"),
            file(&format!("curr{channel}_input"), "1000"),
        ]
    };
    let mut files = vec![
        ("sys/class/devfreq/17000000.ga10b/device/of_node/name".to_owned(), "ga10b".to_owned()),
        ("sys/class/devfreq/17000000.ga10b/device/load".to_owned(), "1000".to_owned()),
        ("sys/class/devfreq/17000000.ga10b/cur_freq".to_owned(), "0".to_owned()),
        ("sys/bus/i2c/devices/1-0040/name".to_owned(), "ina3221".to_owned()),
        ("sys/bus/i2c/devices/1-0041/name".to_owned(), "ina3221".to_owned()),
    ];
    files.extend(monitor(40, 3, 1, "VDD_GPU_SOC").into_iter().chain(monitor(40, 3, 2, "VDD_CPU_CV")));
    files.extend(monitor(41, 4, 1, "NC").into_iter().chain(monitor(41, 4, 2, "VDDQ_VDD2_1V8AO")));
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    let reading = Board::new(&files).read();
    assert_eq!(reading.gpu, Some(Gpu { load: Some(1.0), frequency_hz: 0, max_frequency_hz: None }));
    let names: Vec<&str> = reading.rails.iter().map(|rail| rail.name.as_str()).collect();
    assert_eq!(names, ["VDD_GPU_SOC", "VDD_CPU_CV", "VDDQ_VDD2_1V8AO"]);
}

#[test]
fn a_thor_has_other_names_and_no_load() {
    let board = Board::new(&[
        ("sys/class/devfreq/bwmgr/cur_freq", "4266000000"),
        ("sys/class/devfreq/gpu-gpc-0/cur_freq", "1575000000"),
        ("sys/class/devfreq/gpu-gpc-0/max_freq", "1575000000"),
        ("sys/class/devfreq/gpu-nvd-0/cur_freq", "0"),
    ]);
    let reading = board.read();
    let gpu = Gpu { load: None, frequency_hz: 1_575_000_000, max_frequency_hz: Some(1_575_000_000) };
    assert_eq!((reading.gpu, reading.emc_hz), (Some(gpu), Some(4_266_000_000)));
    assert_eq!(reading.nvdec, Some(Nvdec { on: false, frequency_hz: 0 }));
}

#[test]
fn what_less_work_would_not_help_is_told_apart() {
    let cooling = |device: &str| Throttling::Cooling { device: device.into(), state: (1, 3) };
    for device in
        ["cpufreq-cpu0", "devfreq-17000000.gpu", "17000000.ga10b", "gpu-throttle-alert", "Processor", "cv0-throttle-alert"]
    {
        assert!(cooling(device).is_relieved_by_less_work(), "{device}");
    }
    for device in ["LCD", "hot-surface-alert", "TCC Offset", "iwlwifi_1", "Battery"] {
        assert!(!cooling(device).is_relieved_by_less_work(), "{device}");
    }
    let held = |by| Throttling::Held { device: 0, by };
    assert!(!held(Hold::PowerCap).is_relieved_by_less_work());
    assert!(held(Hold::HardwareThermal).is_relieved_by_less_work() && held(Hold::PowerBrake).is_relieved_by_less_work());
    assert_eq!(held(Hold::PowerBrake).to_string(), "GPU 0 is held back: power_brake");
    assert_eq!(cooling("cpufreq-cpu0").to_string(), "cpufreq-cpu0 is cooled at 1 of 3");
}

#[cfg(feature = "doubles")]
#[test]
fn what_thor_s_files_do_not_tell_its_driver_does() {
    use crate::nvml::doubles::{Double, Kind};

    let board = Board::new(&[("sys/class/devfreq/gpu-gpc-0/cur_freq", "1575000000")]);
    let double = Double::new(Kind::Sparse).expect("compiled");
    double.set("reasons", 0x44);
    let reading = Telemetry::with(board.0.path(), double.open().ok()).read();
    assert_eq!(reading.gpu.and_then(|gpu| gpu.load), Some(0.37));
    let held = |by| Throttling::Held { device: 0, by };
    assert_eq!(reading.throttling, [held(Hold::PowerCap), held(Hold::HardwareThermal)]);
    assert_eq!(reading.devices.len(), 1);
    double.set("count", 15);
    let reading = Telemetry::with(board.0.path(), double.open().ok()).read();
    assert_eq!((reading.devices, reading.throttling), (vec![], vec![]), "the rest is there");
    assert_eq!(reading.gpu.map(|gpu| (gpu.load, gpu.frequency_hz)), Some((None, 1_575_000_000)));
    drop(double);
    let double = Double::new(Kind::Desktop).expect("compiled");
    let reading = Telemetry::with(board.0.path(), double.open().ok()).read();
    assert_eq!(reading.gpu.and_then(|gpu| gpu.load), None, "of two devices nobody knows which it is");
}

#[test]
fn another_machine_has_little_of_it() {
    assert_eq!(Telemetry::new(Path::new("/nonexistent")).read(), Reading::default());
    let here = Telemetry::new(Path::new("/")).read();
    assert!(here.memory.is_some_and(|memory| memory.available <= memory.total));
    assert!(here.temperatures.iter().all(|t| t.celsius > -60.0) && here.rails.iter().all(|rail| rail.name != "NC"));
}

proptest! {
    // Each is a tree of files.
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// A kernel that says anything at all is no reason to fail.
    #[test]
    fn nonsense_is_left_out(texts in prop::collection::vec("[\\PC\\n]{0,12}|-?[0-9]{1,25}", ORIN_NANO.len())) {
        let files: Vec<(&str, &str)> = ORIN_NANO.iter().zip(&texts).map(|((path, _), text)| (*path, text.as_str())).collect();
        let board = Board::new(&files);
        let mut telemetry = Telemetry::new(board.0.path());
        telemetry.read();
        let reading = telemetry.read();
        prop_assert!(reading.gpu.and_then(|gpu| gpu.load).is_none_or(|load| (0.0..=1.0).contains(&load)));
        prop_assert!(reading.temperatures.iter().all(|t| (-60.0..=200.0).contains(&t.celsius)));
    }
}
