use std::{
    fs,
    net::TcpListener,
    time::{Instant, UNIX_EPOCH},
};

use super::*;
use crate::{
    config,
    publish::testing::{Mosquitto, free_port},
};

/// 2026-03-01.
const NOW: u64 = 1_772_323_200;

/// A machine of these files.
struct Machine {
    root: tempfile::TempDir,
    setting: Setting,
}

fn machine(files: &[(&str, &str)]) -> Machine {
    let root = tempfile::tempdir().expect("a folder");
    for (path, text) in files {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("room");
        fs::write(path, text).expect("room");
    }
    let setting = Setting {
        root: root.path().to_owned(),
        now: UNIX_EPOCH + Duration::from_secs(NOW),
        synchronised: Some(false),
        limit: Duration::from_secs(10),
        has_element: Arc::new(|_| true),
        state: Some(root.path().join("var/lib/egret")),
        config: None,
        unasked: Vec::new(),
    };
    Machine { root, setting }
}

fn configured(text: &str) -> Config {
    config::load_text(Path::new("/etc/egret/egret.toml"), text).unwrap_or_else(|problems| panic!("{problems:?}")).config
}

/// The findings of an area: level, subject, and the words with the remedy.
fn of(findings: &[Finding], area: &str) -> Vec<(Level, String)> {
    let told = |f: &Finding| {
        (f.level, format!("{} {} -> {}", f.subject.as_deref().unwrap_or(""), f.says, f.remedy.as_deref().unwrap_or("")))
    };
    findings.iter().filter(|finding| finding.area == area).map(told).collect()
}

#[track_caller]
fn one(findings: &[Finding], area: &str, level: Level, words: &[&str]) {
    let told = of(findings, area);
    let is = |(of, text): &(Level, String)| *of == level && words.iter().all(|word| text.contains(word));
    assert_eq!(told.iter().filter(|told| is(told)).count(), 1, "{area} {level:?} {words:?} in {told:#?}");
}

const HOT_NANO: &[(&str, &str)] = &[
    ("proc/device-tree/model", "NVIDIA Jetson Orin Nano Developer Kit\0"),
    ("etc/nv_tegra_release", "# R36 (release), REVISION: 4.3, GCID: 38968081\n"),
    ("sys/class/thermal/thermal_zone0/type", "tj-thermal\n"),
    ("sys/class/thermal/thermal_zone0/temp", "97500\n"),
    ("sys/class/thermal/cooling_device0/type", "cpufreq-cpu0\n"),
    ("sys/class/thermal/cooling_device0/cur_state", "4\n"),
    ("sys/class/thermal/cooling_device0/max_state", "20\n"),
    ("var/lib/nvpmodel/status", "pmode:0000 fmode:quiet\n"),
    ("etc/nvpmodel.conf", "< POWER_MODEL ID=0 NAME=15W >\n"),
    ("proc/meminfo", "MemTotal: 7802488 kB\nMemAvailable: 102400 kB\n"),
    ("dev/v4l2-nvdec", ""),
];

#[test]
fn a_hot_board_in_a_slow_mode_without_its_drivers() {
    let mut machine = machine(HOT_NANO);
    let findings = hardware::board(&machine.setting);
    one(&findings, "board", Level::Ok, &["Orin Nano", "L4T R36.4.3"]);
    one(&findings, "power", Level::Note, &["15W", "nvpmodel"]);
    one(&findings, "throttling", Level::Warning, &["cpufreq-cpu0 is cooled at 4 of 20", "runtime.throttle"]);
    one(&findings, "temperature", Level::Warning, &["97.5 °C"]);
    one(&findings, "memory", Level::Warning, &["100 of 7619 MiB"]);
    one(&findings, "permissions", Level::Ok, &["/dev/v4l2-nvdec can be used"]);
    if egret_jetson::Cuda::probe() == Err(egret_jetson::CudaError::Absent) {
        one(&findings, "cuda", Level::Error, &["libcuda.so.1", "nvidia-l4t-cuda"]);
    }
    machine.setting.has_element = Arc::new(|name| name != "nvv4l2decoder");
    let findings = decoders::examine(&machine.setting);
    one(&findings, "decoder", Level::Ok, &["H.265", "by software: avdec_h265"]);
    one(&findings, "decoder", Level::Warning, &["H.265", "nvv4l2decoder is missing", "nvidia-l4t-gstreamer"]);
    machine.setting.has_element = Arc::new(|name| name != "avdec_h264");
    let findings = decoders::examine(&machine.setting);
    one(&findings, "decoder", Level::Ok, &["H.264", "by hardware: nvv4l2decoder"]);
    one(&findings, "decoder", Level::Warning, &["H.264", "fall back", "gstreamer1.0-libav"]);
    fs::remove_file(machine.root.path().join("dev/v4l2-nvdec")).expect("it was there");
    one(&hardware::board(&machine.setting), "permissions", Level::Error, &["/dev/nvmap", "lsmod"]);
}

#[test]
fn another_machine_needs_none_of_it() {
    let machine = machine(&[]);
    let findings = hardware::board(&machine.setting);
    assert!(findings.iter().all(|finding| finding.level < Level::Error), "{findings:#?}");
    if egret_jetson::Cuda::probe() == Err(egret_jetson::CudaError::Absent) {
        one(&findings, "cuda", Level::Note, &["CPU"]);
    }
    let old = self::machine(&[("etc/nv_tegra_release", "# R35 (release), REVISION: 6.4, GCID: 1\n")]);
    one(&hardware::board(&old.setting), "board", Level::Warning, &["L4T R35.6.4", "JetPack 6.1"]);
}

#[test]
fn plug_ins_that_are_missing_are_named_with_their_package() {
    let mut machine = machine(&[]);
    let lacks = |names: &'static [&'static str]| {
        Arc::new(move |name: &str| !names.contains(&name)) as Arc<dyn Fn(&str) -> bool + Send + Sync>
    };
    machine.setting.has_element =
        lacks(&["avdec_h265", "nvv4l2decoder", "nvh265dec", "h264parse", "jpegdec", "nvjpegdec", "videoconvert"]);
    let findings = decoders::examine(&machine.setting);
    one(&findings, "decoder", Level::Error, &["H.265", "avdec_h265", "gstreamer1.0-libav"]);
    one(&findings, "decoder", Level::Error, &["H.264", "h264parse", "gstreamer1.0-plugins-bad"]);
    one(&findings, "decoder", Level::Warning, &["Motion JPEG", "jpegdec", "gstreamer1.0-plugins-good"]);
    one(&findings, "gstreamer", Level::Error, &["videoconvert", "gstreamer1.0-plugins-base"]);
    machine.setting.has_element = lacks(&["nvv4l2decoder", "nvh264dec", "nvh265dec", "nvjpegdec", "rtspsrc"]);
    let text = "[[model]]\nname = \"null\"\nbuiltin = \"null\"\n[[camera]]\nname = \"door\"\nurl = \"rtsps://door.lan/1\"\n";
    machine.setting.config = Some(Arc::new(configured(text)));
    let findings = decoders::examine(&machine.setting);
    one(&findings, "decoder", Level::Ok, &["H.264", "by software: avdec_h264"]);
    one(&findings, "gstreamer", Level::Error, &["rtspsrc", "gstreamer1.0-plugins-good"]);
}

#[test]
fn a_clock_of_1970_is_an_error_and_one_that_nobody_sets_a_warning() {
    let mut machine = machine(&[("sys/class/rtc/rtc0/since_epoch", "86\n")]);
    one(&clock::examine(&machine.setting), "clock", Level::Warning, &["2026-03-01", "nothing says that it is synchronised"]);
    one(&clock::examine(&machine.setting), "rtc", Level::Warning, &["battery"]);
    machine.setting.now = UNIX_EPOCH + Duration::from_secs(90);
    one(&clock::examine(&machine.setting), "clock", Level::Error, &["1970-01-01 00:01:30 UTC", "certificate", "timedatectl"]);
    let keeps = (NOW + 2).to_string();
    let mut good = self::machine(&[("sys/class/rtc/rtc0/since_epoch", &keeps)]);
    good.setting.synchronised = Some(true);
    assert!(clock::examine(&good.setting).iter().all(|finding| finding.level == Level::Ok));
    // Nobody but chrony may look into its folder.
    for (keeper, file, ask) in [
        ("chronyd", "run/chrony/chronyd.pid", "chronyc sources"),
        ("systemd-timesyncd", "run/systemd/timesync/clock", "timesync-status"),
        ("ntpd", "run/ntpd.pid", "ntpq"),
        ("ptp4l", "run/ptp4l", "pmc"),
    ] {
        let mut kept = self::machine(&[(file, "1")]);
        one(&clock::examine(&kept.setting), "clock", Level::Warning, &["not synchronised", keeper, ask]);
        one(&clock::examine(&kept.setting), "rtc", Level::Note, &["there is none"]);
        kept.setting.synchronised = Some(true);
        one(&clock::examine(&kept.setting), "clock", Level::Ok, &["synchronised", keeper]);
        kept.setting.synchronised = None;
        one(&clock::examine(&kept.setting), "clock", Level::Note, &[keeper]);
    }
    machine.setting.now = UNIX_EPOCH + Duration::from_secs(NOW);
    machine.setting.synchronised = None;
    one(&clock::examine(&machine.setting), "clock", Level::Warning, &["nothing says that it is synchronised"]);
    let off = self::machine(&[("sys/class/rtc/rtc0/since_epoch", &(NOW - 300_000).to_string())]);
    one(&clock::examine(&off.setting), "rtc", Level::Warning, &["83 hours off"]);
}

#[test]
fn folders_that_cannot_be_written_and_disks_that_are_worn() {
    let mut machine = machine(&[
        ("sys/class/mmc_host/mmc0/mmc0:0001/life_time", "0x02 0x0b\n"),
        ("sys/class/mmc_host/mmc1/mmc1:0001/life_time", "0x01 0x01\n"),
        ("sys/class/mmc_host/mmc2/mmc2:0001/life_time", "0x00 0x00\n"),
        ("sys/fs/ext4/mmcblk0p1/errors_count", "3\n"),
        ("sys/fs/ext4/features/nothing", ""),
    ]);
    let findings = storage::examine(&machine.setting);
    one(&findings, "storage", Level::Ok, &["state", "MiB are free"]);
    one(&findings, "disk", Level::Warning, &["mmc0:0001", "100 %", "replace it"]);
    one(&findings, "disk", Level::Ok, &["mmc1:0001", "10 %"]);
    one(&findings, "disk", Level::Warning, &["mmcblk0p1", "3 errors", "fsck"]);
    assert_eq!(of(&findings, "disk").len(), 3);
    assert!(!machine.root.path().join("var").exists(), "nothing is left");
    // Nobody can write there, not even root.
    machine.setting.state = Some("/proc/egret".into());
    one(&storage::examine(&machine.setting), "storage", Level::Error, &["state", "/proc/egret"]);
    machine.setting.state = None;
    one(&storage::examine(&machine.setting), "storage", Level::Warning, &["STATE_DIRECTORY"]);
}

#[test]
fn a_wrong_configuration_is_told_key_by_key_and_ends_with_78() {
    let file = Path::new("/etc/egret/egret.toml");
    let problems = config::load_text(file, "[mqtt]\nbrokr = \"mqtt://u:geheim@h\"\n[http]\nlisten = \"x\"\n").expect_err("wrong");
    let findings = of_configuration(&Some(Err(Rejected { problems, ..Rejected::default() })), file);
    one(&findings, "configuration", Level::Error, &["egret.toml:2", "mqtt.brokr"]);
    one(&findings, "configuration", Level::Error, &["http.listen"]);
    assert!(!format!("{findings:?}").contains("geheim"), "{findings:?}");
    assert_eq!(exit(&findings), 78);
    let none = of_configuration(&None, file);
    one(&none, "configuration", Level::Note, &["/etc/egret/egret.toml"]);
    assert_eq!(exit(&none), 0);
    assert_eq!(exit(&[Finding::warning("x", "", "")]), 0);
    assert_eq!(exit(&[Finding::warning("x", "", ""), Finding::error("x", "", "")]), 1);
}

fn broker(port: u16, login: &str) -> config::BrokerConfig {
    configured(&format!("[mqtt]\nurl = \"mqtt://{login}127.0.0.1:{port}\"\n")).mqtt.expect("a broker").first
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_takes_us_or_not_and_why_is_told_without_the_password() {
    let limit = Duration::from_secs(10);
    let dead = broker::examine(&broker(free_port(), ""), limit).await;
    one(&dead, "broker", Level::Error, &["mqtt", "unreachable", "refused", "firewall"]);
    // It takes connections and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let begun = Instant::now();
    let hangs = broker::examine(&broker(silent.local_addr().expect("bound").port(), ""), Duration::from_millis(200)).await;
    one(&hangs, "broker", Level::Error, &["no answer within 0.2 s"]);
    assert!(begun.elapsed() < limit);
    let folder = tempfile::tempdir().expect("a folder");
    let passwords = folder.path().join("passwords");
    // Of `mosquitto_passwd -b FILE box geheim`, made by openssl: nothing of mosquitto's is needed but the broker.
    let Some(hashed) = hashed("box", "geheim") else { return };
    fs::write(&passwords, hashed).expect("room");
    let lines = format!("allow_anonymous false\npassword_file {}\nuser root", passwords.display());
    let Some(mosquitto) = Mosquitto::start(folder.path(), &lines) else { return };
    let good = broker::examine(&broker(mosquitto.port, "box:geheim@"), limit).await;
    one(&good, "broker", Level::Ok, &["mqtt", "takes us"]);
    let bad = broker::examine(&broker(mosquitto.port, "box:falsch@"), limit).await;
    one(&bad, "broker", Level::Error, &["auth_failed", "password of mqtt"]);
    assert!(!format!("{good:?}{bad:?}").contains("geheim") && !format!("{bad:?}").contains("falsch"), "{bad:?}");
}

/// A line of mosquitto's password file: PBKDF2 with SHA-512, by Python's standard library.
fn hashed(user: &str, password: &str) -> Option<String> {
    let program = "import hashlib,base64,sys;s=b'123456789012';print(sys.argv[1]+':$7$101$'+base64.b64encode(s).decode()+'$'\
                   +base64.b64encode(hashlib.pbkdf2_hmac('sha512',sys.argv[2].encode(),s,101)).decode())";
    match std::process::Command::new("python3").args(["-c", program, user, password]).output() {
        Ok(output) if output.status.success() => String::from_utf8(output.stdout).ok(),
        _ => {
            eprintln!("SKIPPED: no python3 to make a password file");
            None
        }
    }
}

#[cfg(feature = "sim")]
#[tokio::test(flavor = "multi_thread")]
async fn a_camera_offers_a_stream_or_not_and_why_is_told_without_the_password() {
    use crate::sim::{Credentials, Scheme, Sim, SimCamera, SimConfig};

    let limit = Duration::from_secs(10);
    let of_camera = Credentials { user: "admin".into(), password: config::Secret::new("geheim"), scheme: Scheme::Digest };
    let guarded = SimCamera { credentials: Some(of_camera), ..SimCamera::test("gate") };
    let sim = Sim::start(SimConfig::new(vec![SimCamera::test("door"), guarded])).expect("cameras");
    let url = |name: &str| sim.url(name).expect("a camera");
    let with = |url: &str, login: &str| url.replacen("rtsp://", &format!("rtsp://{login}@"), 1);
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let quiet = format!("rtsp://127.0.0.1:{}/1", silent.local_addr().expect("bound").port());
    let base = url("gate");
    let cases = [
        (url("door"), Level::Ok, vec!["offers H.264 320x240"]),
        (with(&base, "admin:geheim"), Level::Ok, vec!["offers H.264"]),
        (with(&base, "admin:falsch"), Level::Error, vec!["auth_failed", "password"]),
        (format!("rtsp://127.0.0.1:{}/1", free_port()), Level::Error, vec!["unreachable", "power and network"]),
        (quiet, Level::Error, vec!["no answer to DESCRIBE within 0.5 s"]),
    ];
    for (url, level, words) in cases {
        let text = format!("[[model]]\nname = \"null\"\nbuiltin = \"null\"\n[[camera]]\nname = \"cam\"\nurl = \"{url}\"\n");
        let config = configured(&text);
        let limit = if words[0].contains("0.5 s") { Duration::from_millis(500) } else { limit };
        let findings = camera::examine(&config.cameras[0], limit).await;
        one(&findings, "camera", level, &words);
        assert!(!format!("{findings:?}").contains("geheim") && !format!("{findings:?}").contains("falsch"), "{findings:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_asked_at_once_and_told_in_order() {
    let mut machine = machine(&[("run/systemd/timesync/synchronized", "")]);
    let video = machine.root.path().join("film.mp4");
    fs::write(&video, "").expect("room");
    let text = format!(
        "[mqtt]\nurl = \"mqtt://127.0.0.1:{}\"\n[[model]]\nname = \"null\"\nbuiltin = \"null\"\n\
         [[camera]]\nname = \"film\"\nurl = \"file:{}\"\n[[camera]]\nname = \"usb\"\nurl = \"v4l2:/dev/video99\"\n\
         [[camera]]\nname = \"off\"\nurl = \"rtsp://10.0.0.1/1\"\nenabled = false\n",
        free_port(),
        video.display()
    );
    machine.setting.config = Some(Arc::new(configured(&text)));
    let findings = examine(machine.setting.clone()).await;
    let mut areas: Vec<_> = findings.iter().map(|finding| finding.area).collect();
    areas.dedup();
    let at = |area: &str| areas.iter().position(|is| *is == area).unwrap_or_else(|| panic!("{area} in {areas:?}"));
    assert!(at("board") < at("decoder") && at("decoder") < at("onnxruntime") && at("storage") < at("clock"), "{areas:?}");
    assert!(at("clock") < at("broker") && at("broker") < at("camera"), "{areas:?}");
    one(&findings, "camera", Level::Ok, &["film", "can be read"]);
    one(&findings, "camera", Level::Error, &["usb", "/dev/video99", "plug it in"]);
    one(&findings, "camera", Level::Note, &["off", "switched off"]);
    assert_eq!(exit(&findings), 1);
    assert!(findings.iter().all(|finding| !finding.says.contains('\n')));
}

fn read(text: &str, checking: bool) -> Result<Loaded, Rejected> {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("egret.toml");
    fs::write(&file, text).expect("room");
    config::examine(&config::Sources { file: Some(file), checking, ..config::Sources::default() })
}

async fn of_network(read: Result<Loaded, Rejected>) -> Vec<Finding> {
    let mut asked = Setting::here(Some(read), Duration::from_millis(500));
    asked.root = "/nowhere".into();
    examine(asked).await.into_iter().filter(|finding| ["broker", "camera"].contains(&finding.area)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_asked_with_a_password_that_is_not_known() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    silent.set_nonblocking(true).expect("set");
    let port = silent.local_addr().expect("bound").port();
    let text = format!(
        "[mqtt]\nurl = \"mqtt://127.0.0.1:{port}\"\nusername = \"box\"\npassword_credential = \"mqtt\"\n\
         [[mqtt.broker]]\nname = \"cloud\"\nurl = \"mqtt://127.0.0.1:{}\"\n\
         [[model]]\nname = \"null\"\nbuiltin = \"null\"\n\
         [[camera]]\nname = \"door\"\nurl = \"rtsp://127.0.0.1:{port}/1\"\nusername = \"u\"\npassword_credential = \"door\"\n",
        free_port()
    );
    let findings = of_network(read(&text, true)).await;
    one(&findings, "broker", Level::Note, &["mqtt", "not looked at", "only systemd provides mqtt.password_credential"]);
    one(&findings, "camera", Level::Note, &["door", "not looked at", "camera.door.password_credential"]);
    one(&findings, "broker", Level::Error, &["cloud", "unreachable"]);
    assert_eq!(findings.len(), 3, "{findings:#?}");
    assert!(silent.accept().is_err(), "nobody knocked");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_elsewhere_keeps_no_camera_and_no_broker_from_being_asked() {
    let port = free_port();
    let text = format!(
        "[mqtt]\nurl = \"mqtt://127.0.0.1:{port}\"\n[[model]]\nname = \"m\"\nfile = \"/nowhere/net.onnx\"\n\
         [[camera]]\nname = \"door\"\nurl = \"rtsp://127.0.0.1:{port}/1\"\n\
         [[camera]]\nname = \"yard\"\nurl = \"rtsp://127.0.0.1:{port}/1\"\nusername = \"u\"\npassword_file = \"nowhere\"\n"
    );
    let findings = of_network(read(&text, false)).await;
    one(&findings, "broker", Level::Error, &["mqtt", "unreachable"]);
    one(&findings, "camera", Level::Error, &["door", "unreachable"]);
    one(&findings, "camera", Level::Note, &["yard", "not looked at", "put camera.yard.password_file right first"]);
    assert_eq!(findings.len(), 3, "{findings:#?}");
    let findings = of_network(read("[mqtt\n", false)).await;
    one(&findings, "broker", Level::Note, &["not looked at", "the file"]);
    one(&findings, "camera", Level::Note, &["not looked at", "the file"]);
}

#[test]
fn networks_that_may_run_on_the_device_alone_are_an_error_where_there_is_none() {
    let mut machine = machine(&[]);
    let text = format!("[runtime]\ndevice = \"tensorrt\"\ntensorrt = \"{}\"\n", machine.root.path().display());
    let config = match read(&text, true) {
        Ok(loaded) => loaded.config,
        // A build without TensorRT says so of the key itself.
        Err(rejected) => *rejected.config.expect("all but that key"),
    };
    machine.setting.config = Some(Arc::new(config));
    let findings = software::examine(&machine.setting);
    one(&findings, "tensorrt", Level::Error, &["runtime.device", "will not start", "set runtime.device to `auto` or `cpu`"]);
    machine.setting.config = Some(Arc::new(configured("[runtime]\ndevice = \"cpu\"\n")));
    let findings = software::examine(&machine.setting);
    assert!(of(&findings, "tensorrt").iter().all(|(level, _)| *level < Level::Error), "{findings:#?}");
}

#[tokio::test]
async fn an_address_that_another_program_has_is_an_error() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let listen = listener.local_addr().expect("bound");
    let answers = tokio::spawn(async move {
        // It closes each connection without a word.
        while let Ok((stream, _)) = listener.accept().await {
            drop(stream);
        }
    });
    let taken = listener::examine(&config::HttpConfig { listen }).await;
    assert!(
        taken[0].level == Level::Error && taken[0].remedy.as_ref().is_some_and(|remedy| remedy.contains("http.listen")),
        "{taken:?}"
    );
    answers.abort();
    let listen = format!("127.0.0.1:{}", free_port()).parse().expect("an address");
    one(&listener::examine(&config::HttpConfig { listen }).await, "http", Level::Ok, &["is free"]);
}

#[test]
fn a_folder_that_is_a_file_is_told_as_one() {
    let mut machine = machine(&[]);
    machine.setting.state = Some("/dev/null".into());
    one(&storage::examine(&machine.setting), "storage", Level::Error, &["/dev/null is no folder", "name a folder"]);
}
