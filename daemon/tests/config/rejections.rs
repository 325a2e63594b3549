//! Each thing that is refused, one by one.

use super::{PASSWORD, list, load, loaded, problems, told};

const MODEL: &str = "[[model]]\nname = \"m\"\nbuiltin = \"null\"\nclasses = [\"person\", \"car\"]\n";

/// The text has exactly one problem: about this key, with this in its reason or remedy.
fn refused(text: &str, key: &str, part: &str) {
    let found = problems(load(text));
    let list = list(&found);
    assert_eq!(found.len(), 1, "{text}\n{list}");
    assert_eq!(found[0].key, key, "{list}");
    assert!(list.contains(part), "{part:?} is not in\n{list}");
    assert!(!told(&found[0]).contains(PASSWORD), "{list}");
}

/// The same for a camera with a model.
fn camera_refused(keys: &str, key: &str, part: &str) {
    refused(&format!("{MODEL}[[camera]]\nname = \"door\"\n{keys}\n"), &format!("camera.door.{key}"), part);
}

#[test]
fn values_of_a_wrong_kind_or_out_of_range() {
    for (text, key, part) in [
        ("device = 5", "device", "a whole number"),
        ("device = \"a/b\"", "device", "letters"),
        ("device = \"\"", "device", "empty"),
        ("shutdown_deadline = \"1h\"", "shutdown_deadline", "out of range"),
        ("shutdown_deadline = -1", "shutdown_deadline", "out of range"),
        ("shutdown_deadline = 1979-05-27", "shutdown_deadline", "a date"),
        ("device = 99999999999999999999", "device", "beyond all range"),
        ("[log]\nformat = \"xml\"", "log.format", "\"journald\""),
        ("[log]\nfilter = \"egret=loud=x\"", "log.filter", "is no level"),
        ("[log]\nfilter = \"inof\"", "log.filter", "did you mean info?"),
        ("[log]\nfilter = \"info,egert::source=debug\"", "log.filter", "did you mean egret::source?"),
        ("[http]\nenabled = \"yes\"", "http.enabled", "true or false"),
        ("[http]\nlisten = \"localhost:9180\"", "http.listen", "IP address"),
        ("[http]\nlisten = \"127.0.0.1\"", "http.listen", "and a port"),
        ("[http]\nlisten = \"off\"", "http.listen", "enabled = false"),
        ("[runtime]\ncpu = \"tract\"", "runtime.cpu", "\"rten\""),
        ("[runtime]\nonnxruntime_library = \"/nowhere.so\"", "runtime.onnxruntime_library", "no such file"),
        ("[runtime]\ntensorrt = \"/nowhere\"", "runtime.tensorrt", "no such folder"),
        ("[runtime]\ntensorrt_plugins = [\"/nowhere.so\"]", "runtime.tensorrt_plugins", "no file /nowhere.so"),
        ("[runtime]\nengine_level = 6", "runtime.engine_level", "0 to 5"),
        ("[runtime]\ndevice_memory = 0", "runtime.device_memory", "from 1 to 1048576"),
        (
            "[mqtt]\nurl = \"mqtt://h\"\n[queue]\ndirectory = \"/etc/passwd/queue\"",
            "queue.directory",
            "/etc/passwd is no directory",
        ),
        ("[batch]\nmax_wait = \"2s\"", "batch.max_wait", "out of range"),
        ("[batch]\nmax_wait = \"100ms\"\nstaleness = \"50ms\"", "batch.staleness", "longer than batch.max_wait"),
        ("[track]\nmatch_iou = 1.01", "track.match_iou", "from 0 to 1"),
        ("[track]\nmatch_iou = nan", "track.match_iou", "out of range"),
        ("[track]\nlow_confidence = 0.7\nnew_confidence = 0.9", "track.low_confidence", "above track.high_confidence"),
        ("[track]\nnew_confidence = 0.05", "track.new_confidence", "below track.low_confidence"),
        ("[track]\nconfirm_after = \"11s\"", "track.confirm_after", "out of range"),
        ("[track]\nconfirm_after = \"soon\"", "track.confirm_after", "no duration"),
        ("[track]\nappearance_limit = 1.5", "track.appearance_limit", "from 0 to 1"),
        ("[track]\nappearance_margin = -0.1", "track.appearance_margin", "from 0 to 1"),
        ("[track]\nappearance_memory = \"0s\"", "track.appearance_memory", "out of range"),
        ("[track]\nappearance_entries = 0", "track.appearance_entries", "from 1 to 1000"),
    ] {
        refused(text, key, part);
    }
}

#[test]
fn keys_and_tables_that_are_none() {
    for (text, key, part) in [
        ("[mqqt]\nurl = \"mqtt://egret:hunter2@b\"", "mqqt", "did you mean mqtt?"),
        ("pasword = \"hunter2\"", "pasword", "known here"),
        ("[mqtt]\nurl = \"mqtt://b\"\npasword = \"hunter2\"", "mqtt.pasword", "did you mean password?"),
        ("keep_alive = \"1m\"", "keep_alive", "belongs in [mqtt]"),
        ("mqtt = \"mqtt://egret:hunter2@b\"", "mqtt", "write it as [mqtt]"),
        ("[[mqtt]]\nurl = \"mqtt://egret:hunter2@b\"", "mqtt", "write it as [mqtt]"),
        ("[camera.door]\nurl = \"rtsp://egret:hunter2@b\"", "camera", "[[camera]]"),
        ("camera = [\"rtsp://egret:hunter2@b\"]", "camera.#1", "it is no table"),
        ("[top]\ndevice = \"x\"", "top", "no such key"),
        ("[mqtt]\nu.l = \"mqtt://egret:hunter2@b\"", "mqtt.u", "no such key"),
        ("[mqtt]\nurl.password = \"hunter2\"", "mqtt.url", "a table"),
        ("device.password = \"hunter2\"", "device", "a table"),
        ("device = [{ password = \"hunter2\" }]", "device", "a list"),
        ("pass.word.x = \"hunter2\"", "pass", "no such key"),
        ("[mqtt]\nurl = { host = \"b\", password = \"hunter2\" }", "mqtt.url", "a table"),
    ] {
        refused(text, key, part);
    }
}

#[test]
fn what_is_no_toml() {
    for text in [
        "device = ",
        "device = \"a",
        "= 5",
        "[mqtt",
        "device = \"a\"\ndevice = \"b\"",
        "[mqtt]\npassword = \"hunter2",
        "[mqtt]\npassword = \"hunter2\\q\"",
        "[mqtt]\npassword = \"\"\"\nhunter2\\q\"\"\"",
        "[mqtt]\npassword = hunter2",
        "[mqtt]\npasswrod = hunter2",
        "[[camera]]\nname = \"a\"\nurl = rtsp://u:hunter2@cam/1",
        "[[camera]]\nname = \"a\"\nurl = \"rtsp://u:hunter2@cam/1",
        "\"hunter2",
        "device = [\"gate\"\n[mqtt]\nurl = \"mqtt://egret:hunter2@b\"",
        "device = \"\"\"gate\"\n[mqtt]\npassword = \"hunter2\"",
        "[[model]]\nname = \"m\"\nclasses = [\"a\", \"a\"\n[mqtt]\npassword = \"hunter2\"",
    ] {
        let found = problems(load(text));
        assert!(found.iter().any(|problem| problem.remedy.contains("TOML")), "{text}: {found:?}");
        for problem in found {
            assert!(!told(&problem).contains(PASSWORD), "{text}\n{problem}");
        }
    }
}

#[test]
fn brokers() {
    for (keys, key, part) in [
        ("url = \"http://broker\"", "url", "mqtt://host"),
        ("url = \"broker:1883\"", "url", "mqtt://host"),
        ("url = \"mqtt://\"", "url", "mqtt://host"),
        ("url = \"mqtt://egret:hunter2@broker:0\"", "url", "port 0"),
        ("url = \"mqtt://broker:123456\"", "url", "port"),
        ("url = \"mqtt://broker/a/+/b\"", "url", "wildcard"),
        ("url = \"mqtt://broker/a\"\nbase_topic = \"b\"", "base_topic", "say it once"),
        ("url = \"mqtt://broker\"\nbase_topic = \"a/#\"", "base_topic", "wildcard"),
        ("url = \"mqtt://broker\"\nbase_topic = \"a//b\"", "base_topic", "empty"),
        ("url = \"mqtt://broker\"\nbase_topic = \"/a\"", "base_topic", "empty"),
        ("url = \"mqtt://broker\"\nbase_topic = \"$SYS\"", "base_topic", "the broker's own"),
        ("url = \"mqtt://broker\"\nversion = 4", "version", "3.1.1"),
        ("url = \"mqtt://broker\"\nkeep_alive = \"19h\"", "keep_alive", "18h"),
        ("url = \"mqtt://broker\"\nca_file = \"/etc/hostname\"", "ca_file", "without TLS"),
        ("url = \"mqtts://broker\"\nca_file = \"/nowhere.pem\"", "ca_file", "PEM"),
        ("username = \"egret\"", "url", "enabled = false"),
        ("ulr = \"mqtt://egret:hunter2@broker\"\nusername = \"egret\"", "ulr", "did you mean url?"),
        ("enabled = \"no\"", "enabled", "true or false"),
        ("url = \"mqtt://broker\"\nversion = \"3.1.1\"\npassword = \"hunter2\"", "username", "3.1.2.9"),
        ("url = \"mqtt://broker\"\npassword = \"\"", "password", "empty"),
    ] {
        refused(&format!("[mqtt]\n{keys}"), &format!("mqtt.{key}"), part);
    }
    refused(&format!("[mqtt]\nurl = \"mqtt://b\"\nclient_id = \"{}\"", "x".repeat(129)), "mqtt.client_id", "longer than 128");
}

#[test]
fn models() {
    for (keys, key, part) in [
        ("name = \"m\"", "m.file", "file ="),
        ("name = \"m\"\nfile = \"/nowhere.onnx\"", "m.file", "No such file"),
        ("name = \"m\"\nstored = \"no-such-model\"", "m.stored", "egret model add FILE --name no-such-model"),
        ("name = \"m\"\nstored = \"../m\"", "m.stored", "no model"),
        ("name = \"m\"\nfile = \"/etc/hostname\"\nstored = \"m\"", "m.stored", "keep one"),
        ("name = \"m\"\nfile = \"/etc\"", "m.file", "no regular file"),
        ("name = \"m\"\nfile = \"/dev/null\"", "m.file", "no regular file"),
        ("name = \"m\"\nbuiltin = \"yolo\"", "m.builtin", "\"demo\", \"null\""),
        ("name = \"m\"\nbuiltin = \"null\"\nscripted = \"/etc/hostname\"", "m.scripted", "keep one"),
        ("name = \"m\"\nbuiltin = \"null\"\nclasses = [\"a\"]\nclasses_file = \"/etc/hostname\"", "m.classes_file", "keep one"),
        ("name = \"m\"\nbuiltin = \"null\"\nclasses_file = \"/nowhere\"", "m.classes_file", "one class name per line"),
        ("name = \"m\"\nbuiltin = \"null\"\nclasses = []", "m.classes", "empty"),
        ("name = \"m\"\nbuiltin = \"null\"\nclasses = [\"a\", \"a\"]", "m.classes", "twice"),
        ("name = \"m\"\nbuiltin = \"null\"\nconfidence = -0.1", "m.confidence", "from 0 to 1"),
        ("name = \"m\"\nbuiltin = \"null\"\nnms_iou = 2", "m.nms_iou", "from 0 to 1"),
        ("name = \"m\"\nbuiltin = \"null\"\nmax_batch = 0", "m.max_batch", "from 1 to 64"),
        ("name = \"m\"\nbuiltin = \"null\"\nworkers = 10000", "m.workers", "from 1 to 256"),
        ("builtin = \"null\"", "#1.name", "no name"),
        ("name = \"m m\"\nbuiltin = \"null\"", "#1.name", "letters"),
    ] {
        refused(&format!("[[model]]\n{keys}"), &format!("model.{key}"), part);
    }
    refused(&format!("{MODEL}{MODEL}"), "model.m.name", "line 2");
}

#[test]
fn cameras() {
    for (keys, key, part) in [
        ("", "url", "where the pictures come from"),
        ("url = \"http://cam/video.mjpg\"", "url", "rtsp://"),
        ("url = \"192.168.1.20\"", "url", "rtsp://"),
        ("url = \"admin:hunter2@192.168.1.20\"", "url", "rtsp://"),
        ("url = \"rtsp:cam\"", "url", "://"),
        ("url = \"rtsp://admin:hunter2@cam:0/\"", "url", "port 0"),
        ("url = \"rtsp://admin:hunter2@/stream\"", "url", "rtsp://host"),
        ("url = \"rtsp://admin:hunter2%0d%0a@cam/\"", "url", "control characters"),
        ("url = \"v4l2:video0\"", "url", "v4l2:/dev/video0"),
        ("url = \"test:smtpe\"", "url", "did you mean test:smpte?"),
        ("url = \"gst:\"", "url", "separated by !"),
        ("url = \"gst:rtspsrc location=rtsp://u:hunter2@cam !\"", "url", "separated by !"),
        ("url = \"test:\"\nrepeat = true", "repeat", "only for file"),
        ("url = \"rtsp://cam\"\nwidth = 100", "width", "only for test"),
        ("url = \"rtsp://cam\"\nca_file = \"/nowhere\"", "ca_file", "only for rtsps"),
        ("url = \"file:/x.mp4\"\nusername = \"a\"", "username", "only for rtsp"),
        ("url = \"rtsps://cam\"\nca_file = \"/etc/hostname\"", "ca_file", "PEM"),
        ("url = \"rtsp://cam\"\nstream = \"sub\"", "stream", "no sub_stream_url"),
        ("url = \"rtsp://cam\"\nstream = \"third\"", "stream", "\"sub\""),
        ("url = \"rtsp://cam\"\npassword = \"hunter2\"", "username", "no user name"),
        ("url = \"rtsp://cam\"\nmodel = \"n\"", "model", "did you mean m?"),
        ("url = \"rtsp://cam\"\nmodel = \"something\"", "model", "define it"),
        ("url = \"rtsp://cam\"\nclasses = [\"persn\"]", "classes", "did you mean \"person\"?"),
        ("url = \"rtsp://cam\"\nclasses = [\"dog\"]", "classes", "it knows person, car"),
        ("url = \"rtsp://cam\"\nmax_fps = 0", "max_fps", "above 0"),
        ("url = \"rtsp://cam\"\nweight = -1", "weight", "above 0"),
        ("url = \"rtsp://cam\"\nmax_fps = 5\nidle_fps = 6", "idle_fps", "at most max_fps"),
        ("url = \"rtsp://cam\"\nstill_interval = \"1s\"", "still_interval", "motion_gate = true"),
        ("url = \"rtsp://cam\"\nmotion_gate = false\nmotion_tracks = false", "motion_tracks", "motion_gate = true"),
        ("url = \"rtsp://cam\"\nmotion_gate = true\nmotion_threshold = 0", "motion_threshold", "1"),
        ("url = \"rtsp://cam\"\nmotion_gate = true\nstill_interval = \"1ms\"", "still_interval", "100ms"),
        ("url = \"rtsp://cam\"\ncalm_interval = \"9s\"", "calm_interval", "track.lost_after"),
        ("url = \"rtsp://cam\"\nmoved_timeout = \"25h\"", "moved_timeout", "24h"),
        ("url = \"rtsp://cam\"\nno_data_timeout = \"10ms\"", "no_data_timeout", "from 1s"),
        ("url = \"rtsp://cam\"\ntransport = \"quic\"", "transport", "\"udp\""),
        ("url = \"rtsp://cam\"\nenabled = 1", "enabled", "true or false"),
    ] {
        camera_refused(keys, key, part);
    }
}

#[test]
fn a_camera_without_a_model_is_told_what_to_do_once() {
    let text = "[[camera]]\nname = \"a\"\nurl = \"rtsp://cam\"\n[[camera]]\nname = \"b\"\nurl = \"rtsp://cam\"\n";
    refused(text, "model", "file = \"/path/of/yolox_nano.onnx\"");
}

#[test]
fn one_mistake_is_one_problem_whatever_follows_from_it() {
    let camera = "[[camera]]\nname = \"door\"\nurl = \"test:\"\n";
    for (text, key, part) in [
        // A camera without a URL, a model without a source, cameras without a model: all because of one letter.
        (
            format!("{MODEL}[[camera]]\nname = \"door\"\nulr = \"rtsp://egret:hunter2@cam\""),
            "camera.door.ulr",
            "did you mean url?",
        ),
        (format!("{camera}[[model]]\nname = \"m\"\nfiel = \"/m.onnx\""), "model.m.fiel", "did you mean file?"),
        (format!("{camera}[[model]]\nname = \"m\"\nbiultin = \"null\""), "model.m.biultin", "did you mean builtin?"),
        (format!("{camera}model = \"m\"\n[[modle]]\nname = \"m\"\nbuiltin = \"null\""), "modle", "did you mean model?"),
        (format!("{camera}[[model]]\nname = \"m\""), "model.m.file", "nothing says where the model comes from"),
        (format!("{camera}[[model]]\nnmae = \"m\"\nbuiltin = \"null\""), "model.#1.nmae", "did you mean name?"),
        (format!("{camera}[model]\nname = \"m\"\nbuiltin = \"null\""), "model", "[[model]]"),
        (format!("{camera}model = \"m m\"\n[[model]]\nname = \"m\"\nbuiltin = \"null\""), "camera.door.model", "letters"),
        // What is compared with a value that could not be read.
        ("[batch]\nmax_wait = \"5msec\"\nstaleness = \"20ms\"".to_owned(), "batch.max_wait", "duration"),
        ("[batch]\nmax_wait = \"1s\"\nstaleness = \"soon\"".to_owned(), "batch.staleness", "duration"),
        ("[track]\nhigh_confidence = 5\nlow_confidence = 0.6".to_owned(), "track.high_confidence", "from 0 to 1"),
        ("[track]\nlow_confidence = -1\nnew_confidence = 0.05".to_owned(), "track.low_confidence", "from 0 to 1"),
        (format!("{MODEL}tile_columns = 9\ntile_overlap = 0.3\ntile_whole = false"), "model.m.tile_columns", "from 1 to 8"),
        (
            format!("{MODEL}[[model]]\nname = \"n\"\nbuiltin = \"null\"\non = \"frame\"\nof = \"m\"\nevery = \"2s\""),
            "model.n.on",
            "\"frames\"",
        ),
        (
            format!("{MODEL}[[camera]]\nname = \"a\"\nsub_stream_url = \"rtsp://cam\"\nstream = \"subb\""),
            "camera.a.stream",
            "\"sub\"",
        ),
        ("[mqtt]\nurl = \"mqtt://b/x\"\nbase_topic = 5".to_owned(), "mqtt.base_topic", "a whole number"),
    ] {
        refused(&text, key, part);
    }
    // A model that is nowhere is missing once, however many cameras name it.
    let several = [0, 1, 2].map(|i| format!("[[camera]]\nname = \"c{i}\"\nurl = \"test:\"\nmodel = \"yolox\"\n")).concat();
    refused(&several, "camera.c0.model", "define it");
    refused(&format!("{MODEL}{several}"), "camera.c0.model", "define it");
    // Where a text is no TOML, the model may stand in the part that could not be read.
    let broken = format!("{several}[[model]]\nname = yolox\nbuiltin = \"null\"\n");
    assert!(problems(load(&broken)).iter().all(|problem| problem.key.is_empty()), "{}", list(&problems(load(&broken))));
}

#[test]
fn publishing_can_be_turned_off_with_all_else_left_as_it_is() {
    let off = loaded(load("[mqtt]\nenabled = false\nusername = \"egret\"\nkeep_alive = \"1m\""));
    assert_eq!((off.config.mqtt, off.advice.len()), (None, 0));
    let off = loaded(load("[mqtt]\nurl = \"mqtt://broker\"\nenabled = false"));
    assert_eq!(off.config.mqtt, None);
}

#[test]
fn too_many_of_anything() {
    let many = |what: &str, keys: &str, count: usize| {
        (0..count).map(|i| format!("[[{what}]]\nname = \"n{i}\"\n{keys}\n")).collect::<Vec<_>>().concat()
    };
    let cameras = |count| format!("{MODEL}{}", many("camera", "url = \"test:\"", count));
    assert_eq!(loaded(load(&cameras(256))).config.cameras.len(), 256);
    refused(&cameras(257), "camera.n256", "more than 256 cameras");
    refused(&many("model", "builtin = \"null\"", 65), "model.n64", "more than 64 models");
    let found = problems(load(&(0..5_000).map(|i| format!("k{i} = 1\n")).collect::<Vec<_>>().concat()));
    assert!(found.len() < 300 && found.last().is_some_and(|last| last.reason.ends_with("more problems")));
}

#[test]
fn what_works_but_is_unwise_is_advised() {
    for (text, key, part) in [
        ("[http]\nlisten = \"0.0.0.0:9180\"", "http.listen", "no authentication"),
        ("graph_dir = \"/nowhere\"", "graph_dir", "mkdir"),
        ("[mqtt]\nurl = \"mqtt://b\"\nversion = \"3.1.1\"\nclient_id = \"abcdefghijklmnopqrstuvwxyz\"", "mqtt.client_id", "23"),
        ("[[model]]\nname = \"m\"\nbuiltin = \"demo\"", "model.m.builtin", "simulator"),
        (
            "[[model]]\nname = \"m\"\nbuiltin = \"null\"\n[[camera]]\nname = \"a\"\nurl = \"file:/nowhere.mp4\"",
            "camera.a.url",
            "not_found",
        ),
        (
            "[[model]]\nname = \"m\"\nbuiltin = \"null\"\n[[camera]]\nname = \"a\"\nurl = \"rtsp://c/user=a&password=hunter2&x=1\"",
            "camera.a.url",
            "the path holds a password",
        ),
        (
            "[[model]]\nname = \"m\"\nbuiltin = \"null\"\n[[camera]]\nname = \"a\"\nurl = \"gst:rtspsrc location=rtsp://c/ user-pw=hunter2\"",
            "camera.a.url",
            "password in a GStreamer fragment",
        ),
        ("device = \"tensorrt\"", "device", "[runtime]"),
    ] {
        let advice = loaded(load(text)).advice;
        assert_eq!(advice.len(), 1, "{advice:?}");
        assert_eq!(advice[0].key, key);
        assert!(advice[0].to_string().contains(part), "{}", advice[0]);
        assert!(!told(&advice[0]).contains(PASSWORD));
    }
}

/// A model of cameras that knows two classes, and another one with these keys.
fn step_refused(keys: &str, key: &str, part: &str) {
    let onnx = std::env::current_exe().expect("this test is a file");
    let text = format!("{MODEL}[[model]]\nname = \"step\"\nfile = {onnx:?}\n{keys}\n");
    refused(&text, &format!("model.step.{key}"), part);
}

#[test]
fn steps_that_cannot_be() {
    for (keys, key, part) in [
        ("on = \"cars\"", "on", "\"tracks\", \"frames\""),
        ("on = \"tracks\"\nof = \"another\"", "of", "known: m"),
        ("on = \"tracks\"\nof = \"mm\"", "of", "did you mean m?"),
        ("on = \"tracks\"\nof = \"step\"", "of", "cannot look at what it has seen itself"),
        ("on = \"tracks\"\nof_classes = [\"cart\"]", "of_classes", "did you mean \"car\"?"),
        ("on = \"tracks\"\nof_classes = []", "of_classes", "empty"),
        ("on = \"tracks\"\nmax_batch = 0", "max_batch", "from 1 to 64"),
        ("on = \"tracks\"\nmin_size = 0", "min_size", "from 1 to 4096"),
        ("on = \"tracks\"\nevery = \"2h\"", "every", "out of range"),
        ("on = \"tracks\"\nclips = 17", "clips", "from 1 to 16"),
        ("on = \"tracks\"\nspan = \"1ms\"", "span", "out of range"),
        ("on = \"frames\"\nmin_size = 20", "min_size", "on = \"tracks\""),
        ("on = \"frames\"\nof_classes = [\"car\"]", "of_classes", "whole frames"),
        ("of = \"m\"", "of", "on = \"tracks\" or on = \"frames\""),
        ("every = \"1s\"", "every", "model of cameras"),
        ("on = \"tracks\"\ntile_columns = 2", "tile_columns", "only a model that looks at cameras"),
        ("tile_columns = 9", "tile_columns", "from 1 to 8"),
        ("tile_rows = 0", "tile_rows", "from 1 to 8"),
        ("tile_rows = 2\ntile_overlap = 0.6", "tile_overlap", "from 0 to 0.5"),
        ("tile_overlap = 0.3", "tile_overlap", "only one tile"),
        ("tile_whole = false", "tile_whole", "only one tile"),
        ("class_confidence = [\"person\"]", "class_confidence", "[\"person=0.5\"]"),
        ("class_confidence = [\"person=1.5\"]", "class_confidence", "no class with a confidence"),
        ("class_confidence = [\"person=0.5\", \"person = 0.6\"]", "class_confidence", "twice"),
        ("classes = [\"a\", \"b\"]\nclass_confidence = [\"zebra=0.5\"]", "class_confidence", "it knows a, b"),
        ("max_detections = 0", "max_detections", "from 1 to 1000"),
        ("max_candidates = 30001", "max_candidates", "from 1 to 30000"),
        ("class_agnostic = 1", "class_agnostic", "true or false"),
        ("devices = [\"cuda:0\"]", "devices", "[\"gpu\", \"gpu:1\", \"dla:0\", \"cpu\"]"),
        ("devices = \"cpu\"", "devices", "a list of processors"),
        ("devices = [\"cpu\"]\nworkers = 2", "workers", "an entry for each instance"),
        ("queues = \"each\"", "queues", "\"shared\", \"per_device\""),
        ("devices = [\"cpu\", \"cpu\"]\nqueues = \"per_device\"", "queues", "all entries of devices are the same one"),
    ] {
        step_refused(keys, key, part);
    }
    let onnx = std::env::current_exe().expect("this test is a file");
    let other = |name: &str, of: &str| format!("[[model]]\nname = {name:?}\nfile = {onnx:?}\non = \"tracks\"\nof = {of:?}\n");
    // In a circle, each of them is refused.
    let circle = problems(load(&format!("{MODEL}{}{}", other("a", "b"), other("b", "a"))));
    assert_eq!(circle.iter().map(|problem| problem.key.as_str()).collect::<Vec<_>>(), ["model.a.of", "model.b.of"]);
    assert!(circle.iter().all(|problem| problem.reason.contains("circles") && problem.remedy.contains("e.g. m")), "{circle:?}");
    let camera = format!("{MODEL}{}[[camera]]\nname = \"door\"\nurl = \"test:smpte\"\nmodel = \"a\"\n", other("a", "m"));
    refused(&camera, "camera.door.model", "looks at what another one has seen");
    refused(&other("a", "m").replace("of = \"m\"\n", ""), "model.a.on", "no model looks at cameras");
    refused(
        &format!("{MODEL}[[model]]\nname = \"n\"\nbuiltin = \"null\"\non = \"tracks\""),
        "model.n.builtin",
        "sees no regions",
    );
}

#[test]
fn steps_find_the_model_that_they_look_at() {
    let onnx = std::env::current_exe().expect("this test is a file");
    let text = format!(
        "[[model]]\nname = \"reid\"\nfile = {onnx:?}\non = \"tracks\"\nclips = 3\nspan = \"10s\"\n{MODEL}\
         class_confidence = [\"car=0.7\"]\ntile_columns = 2\n[[camera]]\nname = \"door\"\nurl = \"test:smpte\"\n"
    );
    let config = loaded(load(&text)).config;
    let [reid, m] = &config.models[..] else { panic!("{config:?}") };
    let step = reid.step.as_ref().expect("a step");
    assert_eq!((step.of.as_str(), step.clips, step.every.as_secs()), ("m", 3, 1), "the first one of cameras");
    assert_eq!(config.cameras[0].model, "m");
    assert_eq!((m.class_confidence["car"], m.confidence), (0.7, None));
    let tiles = m.tiles.expect("tiles");
    assert_eq!((tiles.columns, tiles.rows, tiles.whole), (2, 1, true));
}
