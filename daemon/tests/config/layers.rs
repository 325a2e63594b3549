//! Which source wins.

use std::{ffi::OsString, fs, os::unix::ffi::OsStringExt as _, path::Path, time::Duration};

use egret::config::{self, LogFormat, ModelSource, MqttVersion, Origin, Overrides, Secret, SourceConfig, Sources};

use super::{load, loaded, problems};

fn variables(pairs: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
    pairs.iter().map(|(name, value)| (name.into(), value.into())).collect()
}

const FILE: &str = r#"
    device = "from-file"
    [mqtt]
    url = "mqtt://file-broker/site"
    keep_alive = "20s"
    [batch]
    max_wait = "5ms"
    [[model]]
    name = "null"
    builtin = "null"
    [[camera]]
    name = "door"
    url = "rtsp://10.0.0.1/main"
    max_fps = 5
    weight = 2
"#;

fn directory(conf_d: &[(&str, &str)]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    fs::write(directory.path().join("egret.toml"), FILE).expect("a file");
    fs::create_dir(directory.path().join("conf.d")).expect("a directory");
    for (name, text) in conf_d {
        fs::write(directory.path().join("conf.d").join(name), text).expect("a file");
    }
    directory
}

fn sources(directory: &Path) -> Sources {
    Sources { file: Some(directory.join("egret.toml")), host_name: "a host.example".to_owned(), ..Sources::default() }
}

#[test]
fn an_empty_file_gives_the_defaults() {
    let config = loaded(load("")).config;
    assert_eq!(config.device, "egret");
    assert_eq!(config.mqtt, None);
    assert_eq!(config.http.map(|http| http.listen.to_string()).as_deref(), Some("127.0.0.1:9180"));
    assert_eq!((config.batch.max_wait, config.batch.staleness), (Duration::from_millis(30), Duration::from_millis(500)));
    assert_eq!((config.log.filter.as_str(), config.log.format), ("info", LogFormat::Auto));
    assert_eq!(config.track.confirm_after, Duration::from_millis(30));
    assert!(config.models.is_empty() && config.cameras.is_empty());
}

#[test]
fn the_host_gives_the_device_its_name() {
    let config = loaded(config::load(&Sources { host_name: "a host.example\n".to_owned(), ..camera_only() })).config;
    assert_eq!(config.device, "a-host-example");
}

fn camera_only() -> Sources {
    Sources {
        overrides: Overrides {
            cameras: vec![Secret::new("door=rtsp://u:p@10.0.0.9/live")],
            model: Some("builtin:null".to_owned()),
            broker: Some(Secret::new("mqtt://a:b@broker/base")),
            ..Overrides::default()
        },
        file: None,
        ..Sources::default()
    }
}

#[test]
fn a_first_try_needs_no_file() {
    let loaded = loaded(config::load(&camera_only()));
    let config = loaded.config;
    let mqtt = config.mqtt.expect("a broker");
    assert_eq!((mqtt.first.host.as_str(), mqtt.first.port, mqtt.base_topic.as_str()), ("broker", 1883, "base"));
    assert_eq!(mqtt.first.username.as_deref(), Some("a"));
    let SourceConfig::Rtsp(rtsp) = &config.cameras[0].source else { panic!("no RTSP source") };
    assert_eq!(rtsp.url.as_str(), "rtsp://10.0.0.9/live");
    assert_eq!(rtsp.credentials.as_ref().map(|c| (c.username.as_str(), c.password.expose())), Some(("u", "p")));
    assert_eq!((config.cameras[0].model.as_str(), &config.models[0].source), ("null", &ModelSource::Null));
    assert!(loaded.advice.iter().any(|advice| advice.origin == Origin::CommandLine { option: "--camera".to_owned() }));
}

#[test]
fn nothing_at_all_is_a_problem_that_says_what_to_do() {
    let found = problems(config::load(&Sources::default()));
    assert_eq!(found.len(), 1);
    assert!(found[0].remedy.contains("--camera"));
}

#[test]
fn later_files_win_key_by_key_and_cameras_merge_by_name() {
    let directory = directory(&[
        ("20-b.toml", "[batch]\nmax_wait = \"7ms\"\n[[camera]]\nname = \"door\"\nmax_fps = 7\n"),
        (
            "10-a.toml",
            "[batch]\nmax_wait = \"6ms\"\nstaleness = 1\n[[camera]]\nname = \"yard\"\nurl = \"test:ball\"\n[[camera]]\nname = \"door\"\nmax_fps = 6\n",
        ),
        ("ignored.txt", "nonsense"),
        (".hidden.toml", "nonsense"),
    ]);
    let config = loaded(config::load(&sources(directory.path()))).config;
    assert_eq!((config.batch.max_wait, config.batch.staleness), (Duration::from_millis(7), Duration::from_secs(1)));
    assert_eq!(config.cameras.iter().map(|camera| camera.name.as_str()).collect::<Vec<_>>(), ["door", "yard"]);
    assert_eq!((config.cameras[0].max_fps, config.cameras[0].weight), (Some(7.0), 2.0));
    assert!(matches!(&config.cameras[0].source, SourceConfig::Rtsp(rtsp) if rtsp.url.as_str() == "rtsp://10.0.0.1/main"));
}

#[test]
fn the_environment_wins_over_files_and_options_over_all() {
    let directory = directory(&[("a.toml", "device = \"from-conf-d\"")]);
    let mut sources = sources(directory.path());
    sources.variables = variables(&[
        ("EGRET__DEVICE", "from-env"),
        ("EGRET__MQTT__KEEP_ALIVE", "1m"),
        ("EGRET__MQTT__VERSION", "3.1.1"),
        ("EGRET__MQTT__FRAMES", "false"),
        ("EGRET__MQTT__USERNAME", "egret"),
        ("EGRET__MQTT__PASSWORD", "0123"),
        ("EGRET__TRACK__CONFIRM_AFTER", "400ms"),
        ("EGRET__TRACK__MATCH_IOU", "0.25"),
        ("EGRET__LOG__FILTER", ""),
        ("EGRET_ONNXRUNTIME", "/not/ours"),
    ]);
    let config = loaded(config::load(&sources)).config;
    let mqtt = config.mqtt.expect("a broker");
    assert_eq!(
        (config.device.as_str(), mqtt.first.keep_alive, mqtt.first.version),
        ("from-env", Duration::from_mins(1), MqttVersion::V311)
    );
    assert!(!mqtt.first.publish_frames);
    assert_eq!(mqtt.first.password.as_ref().map(Secret::expose), Some("0123"), "a password of digits stays a text");
    let confirm_after = Duration::from_millis(400);
    assert_eq!((config.track.confirm_after, config.track.match_iou, config.log.filter.as_str()), (confirm_after, 0.25, "info"));
    assert_eq!(mqtt.base_topic, "site");

    sources.overrides = Overrides {
        device: Some("from-option".to_owned()),
        broker: Some(Secret::new("mqtt://option-broker")),
        cameras: vec![Secret::new("door=rtsp://10.0.0.2/other")],
        log: Some("debug".to_owned()),
        http: Some("off".to_owned()),
        ..Overrides::default()
    };
    let config = loaded(config::load(&sources)).config;
    let mqtt = config.mqtt.expect("a broker");
    assert_eq!(
        (config.device.as_str(), mqtt.first.host.as_str(), mqtt.base_topic.as_str()),
        ("from-option", "option-broker", "egret")
    );
    assert_eq!((config.log.filter.as_str(), config.http), ("debug", None));
    assert!(matches!(&config.cameras[0].source, SourceConfig::Rtsp(rtsp) if rtsp.url.as_str() == "rtsp://10.0.0.2/other"));
    assert_eq!(config.cameras[0].max_fps, Some(5.0), "the rest of the camera stays");

    sources.overrides.broker = Some(Secret::new("off"));
    assert_eq!(loaded(config::load(&sources)).config.mqtt, None);
}

#[test]
fn a_model_on_the_command_line_becomes_the_default() {
    let directory = directory(&[]);
    let model = directory.path().join("yolox nano.onnx");
    fs::write(&model, "x").expect("a file");
    let mut sources = sources(directory.path());
    sources.overrides.model = Some(model.to_string_lossy().into_owned());
    let config = loaded(config::load(&sources)).config;
    assert_eq!(config.models.iter().map(|model| model.name.as_str()).collect::<Vec<_>>(), ["yolox_nano", "null"]);
    assert_eq!(config.cameras[0].model, "yolox_nano");
}

#[test]
fn problems_of_variables_and_options_name_them() {
    let mut sources = camera_only();
    sources.variables = variables(&[
        ("EGRET__MQTT__KEEPALIVE", "1m"),
        ("EGRET__BATCH__MAX_WAIT", "soon"),
        ("EGRET__CAMERA__DOOR__URL", "rtsp://x"),
        ("EGRET__", "x"),
    ]);
    sources.variables.push(("EGRET__DEVICE".into(), OsString::from_vec(vec![0xff, 0xfe])));
    sources.overrides.cameras.push(Secret::new("rtsp://u:hunter2@cam/nameless"));
    sources.overrides.cameras.push(Secret::new("door=rtsp://twice"));
    let found = problems(config::load(&sources));
    let told: Vec<_> = found.iter().map(|problem| (problem.origin.to_string(), problem.remedy.clone())).collect();
    let find = |origin: &str| told.iter().find(|(known, _)| known == origin).map(|(_, remedy)| remedy.as_str());
    assert_eq!(find("environment variable EGRET__MQTT__KEEPALIVE"), Some("did you mean EGRET__MQTT__KEEP_ALIVE?"));
    for variable in ["EGRET__BATCH__MAX_WAIT", "EGRET__CAMERA__DOOR__URL", "EGRET__", "EGRET__DEVICE"] {
        assert!(find(&format!("environment variable {variable}")).is_some(), "{variable}: {told:?}");
    }
    assert_eq!(told.iter().filter(|(origin, _)| origin == "option --camera").count(), 2);
    assert!(!format!("{found:?}").contains("hunter2"));
}

#[test]
fn relative_paths_start_at_the_file_that_names_them() {
    let directory = directory(&[(
        "m.toml",
        "[[model]]\nname = \"m\"\nfile = \"../m.onnx\"\n[[camera]]\nname = \"clip\"\nurl = \"file:a b.mp4\"\n",
    )]);
    fs::write(directory.path().join("m.onnx"), "x").expect("a file");
    let config = loaded(config::load(&sources(directory.path()))).config;
    assert_eq!(config.models[1].source, ModelSource::Onnx(directory.path().join("conf.d/../m.onnx")));
    assert!(
        matches!(&config.cameras[1].source, SourceConfig::File(file) if file.path == directory.path().join("conf.d/a b.mp4"))
    );
}

#[test]
fn files_that_cannot_be_read_are_problems_beside_the_others() {
    let directory = directory(&[("a.toml", "colour = 1"), ("c.toml", &format!("# {}", "x".repeat(1 << 20)))]);
    fs::write(directory.path().join("conf.d/b.toml"), b"a = 1\nb = \"\xff\"").expect("a file");
    fs::create_dir(directory.path().join("conf.d/d.toml")).expect("a directory");
    let found = problems(config::load(&sources(directory.path())));
    let reasons: Vec<_> = found.iter().map(|problem| problem.reason.as_str()).collect();
    assert_eq!(
        reasons,
        ["there is no such key", "line 2 is no UTF-8", "it is larger than 1048576 bytes", "it is no regular file"]
    );
    let missing = problems(config::load(&Sources { file: Some("/nowhere/egret.toml".into()), ..Sources::default() }));
    assert_eq!(missing[0].to_string().lines().next(), Some("/nowhere/egret.toml: No such file or directory (os error 2)"));
}
