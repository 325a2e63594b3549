//! Where passwords come from, and that they stay there.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use egret::config::{self, Config, Loaded, Problem, Secret, SourceConfig, Sources};

use super::{PASSWORD, loaded, problems, told};

fn camera(keys: &str) -> String {
    format!("[[model]]\nname = \"m\"\nbuiltin = \"null\"\n[[camera]]\nname = \"door\"\n{keys}\n")
}

fn load_at(directory: &Path, text: &str, variables: &[(&str, &str)], checking: bool) -> Result<Loaded, Vec<Problem>> {
    let path = directory.join("egret.toml");
    fs::write(&path, text).expect("a file");
    let variables = variables.iter().map(|(name, value)| (name.into(), value.into())).collect();
    config::load(&Sources { file: Some(path), variables, checking, ..Sources::default() })
}

fn credentials(config: &Config) -> Option<(&str, &str)> {
    let SourceConfig::Rtsp(rtsp) = &config.cameras[0].source else { panic!("no RTSP") };
    assert_eq!((rtsp.url.username(), rtsp.url.password()), ("", None));
    rtsp.credentials.as_ref().map(|credentials| (credentials.username.as_str(), credentials.password.expose()))
}

const RTSP: &str = "url = \"rtsp://10.0.0.1/1\"\nusername = \"viewer\"\n";

#[test]
fn a_password_comes_from_a_file_without_its_line_end() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("door.password");
    for (content, mode, advised) in
        [("hunter2\n", 0o600, 0), ("hunter2\r\n", 0o640, 0), ("hunter2", 0o644, 1), ("hunter2", 0o660, 1)]
    {
        fs::write(&file, content).expect("a file");
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).expect("a mode");
        let loaded = loaded(load_at(directory.path(), &camera(&format!("{RTSP}password_file = \"door.password\"")), &[], false));
        assert_eq!(credentials(&loaded.config), Some(("viewer", PASSWORD)));
        assert_eq!(loaded.advice.len(), advised, "{mode:o}: {:?}", loaded.advice);
        assert!(!format!("{loaded:?}").contains(PASSWORD));
    }
}

#[test]
fn or_from_a_variable_or_a_systemd_credential() {
    let directory = tempfile::tempdir().expect("a directory");
    let text = camera(&format!("{RTSP}password_env = \"DOOR\""));
    assert_eq!(
        credentials(&loaded(load_at(directory.path(), &text, &[("DOOR", PASSWORD)], false)).config),
        Some(("viewer", PASSWORD))
    );
    let found = problems(load_at(directory.path(), &text, &[], false));
    assert_eq!((found.len(), found[0].reason.as_str()), (1, "there is no such variable"));

    fs::write(directory.path().join("door"), PASSWORD).expect("a file");
    let text = camera(&format!("{RTSP}password_credential = \"door\""));
    let passed = [("CREDENTIALS_DIRECTORY", directory.path().to_str().expect("UTF-8"))];
    assert_eq!(credentials(&loaded(load_at(directory.path(), &text, &passed, false)).config), Some(("viewer", PASSWORD)));
    let found = problems(load_at(directory.path(), &text, &[], false));
    assert!(found[0].remedy.contains("LoadCredential=door:"));
    let checked = loaded(load_at(directory.path(), &text, &[], true));
    assert!(checked.advice[0].reason.contains("only systemd provides it"), "check from a shell cannot know");
    let outside = camera(&format!("{RTSP}password_credential = \"../door\""));
    assert_eq!(problems(load_at(directory.path(), &outside, &passed, true))[0].reason, "a credential's name holds no slash");
}

#[test]
fn bad_password_files_are_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    for (name, content) in [("empty", &b""[..]), ("lines", b"a\nb\n"), ("long", &[b'x'; 5000]), ("binary", b"\xff\xfe")] {
        fs::write(directory.path().join(name), content).expect("a file");
        let text = camera(&format!("{RTSP}password_file = \"{name}\""));
        assert_eq!(problems(load_at(directory.path(), &text, &[], false)).len(), 1, "{name}");
    }
    for name in ["nowhere", ".", "/dev/zero"] {
        let text = camera(&format!("{RTSP}password_file = \"{name}\""));
        let refused = load_at(directory.path(), &text, &[], false);
        assert!(!format!("{refused:?}").contains("chmod"), "{name}: {refused:?}");
        assert_eq!(problems(refused).len(), 1, "{name}");
    }
}

#[test]
fn a_url_gives_its_credentials_up_and_is_advised_against() {
    let directory = tempfile::tempdir().expect("a directory");
    for (url, password) in [
        ("rtsp://admin:hunter2@10.0.0.1/1", "hunter2"),
        ("rtsp://admin:hunter2%40%3A%2F%23%25%2B@10.0.0.1/1", "hunter2@:/#%+"),
        ("rtsp://admin:hunter2@:/#%+@10.0.0.1/1", "hunter2@:/#%+"),
    ] {
        let loaded = loaded(load_at(directory.path(), &camera(&format!("url = \"{url}\"")), &[], false));
        assert_eq!(credentials(&loaded.config), Some(("admin", password)), "{url}");
        assert_eq!(loaded.advice.len(), 1);
        assert!(loaded.advice[0].remedy.contains("password_file"));
        assert!(!told(&loaded.advice[0]).contains(PASSWORD) && !format!("{loaded:?}").contains(PASSWORD));
    }
}

#[test]
fn the_later_layer_wins_and_one_layer_says_it_once() {
    let directory = tempfile::tempdir().expect("a directory");
    fs::create_dir(directory.path().join("conf.d")).expect("a directory");
    let later = |text: &str| {
        fs::write(directory.path().join("conf.d/a.toml"), camera(text).replace("name = \"m\"", "name = \"n\"")).expect("a file");
    };
    let base = camera("url = \"rtsp://old:old@10.0.0.1/1\"");
    later("password_env = \"DOOR\"\nusername = \"new\"");
    let variables = [("DOOR", "new")];
    assert_eq!(credentials(&loaded(load_at(directory.path(), &base, &variables, false)).config), Some(("new", "new")));
    later("url = \"rtsp://new:new@10.0.0.1/1\"");
    let base = camera(&format!("{RTSP}password_env = \"NOT_LOOKED_AT\""));
    assert_eq!(credentials(&loaded(load_at(directory.path(), &base, &[], false)).config), Some(("new", "new")));
    later("");
    for twice in [
        "url = \"rtsp://a:b@10.0.0.1/1\"\nusername = \"a\"",
        "url = \"rtsp://a:b@10.0.0.1/1\"\npassword = \"hunter2\"",
        "url = \"rtsp://10.0.0.1/1\"\nusername = \"a\"\npassword = \"hunter2\"\npassword_env = \"DOOR\"",
        "url = \"rtsp://10.0.0.1/1\"\nusername = \"a\"\npassword_file = \"egret.toml\"\npassword_credential = \"x\"",
    ] {
        let found = problems(load_at(directory.path(), &camera(twice), &variables, true));
        assert!(found.iter().any(|problem| problem.reason.contains("too")), "{twice}: {found:?}");
        assert!(!format!("{found:?}").contains(PASSWORD));
    }
}

#[test]
fn the_brokers_login_works_the_same_way() {
    let directory = tempfile::tempdir().expect("a directory");
    let text = "[mqtt]\nurl = \"mqtts://egret:p%23w@broker\"\n";
    let mqtt = loaded(load_at(directory.path(), text, &[], false)).config.mqtt.expect("a broker");
    assert_eq!(
        (mqtt.first.port, mqtt.first.username.as_deref(), mqtt.first.password.as_ref().map(Secret::expose)),
        (8883, Some("egret"), Some("p#w"))
    );
    assert!(mqtt.first.tls.is_some());
    let text = "[mqtt]\nurl = \"mqtt://[::1]:1884\"\nusername = \"egret\"\npassword = \"hunter2\"\n";
    let loaded = loaded(load_at(directory.path(), text, &[], false));
    let mqtt = loaded.config.mqtt.expect("a broker");
    assert_eq!(
        (mqtt.first.host.as_str(), mqtt.first.port, mqtt.first.password.as_ref().map(Secret::expose)),
        ("::1", 1884, Some(PASSWORD))
    );
    assert_eq!(loaded.advice.len(), 1, "in clear in the file, but not on a network: {:?}", loaded.advice);
}
