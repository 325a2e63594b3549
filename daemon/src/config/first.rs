//! A first configuration, written out of what the command line says. Passwords go into files of their own.

use std::path::{Path, PathBuf, absolute};

use super::{Origin, Overrides, Problem, Secret, address, fragment, load_options, overrides::model_entry};

/// What is to be written.
#[derive(Debug, PartialEq, Eq)]
pub struct First {
    /// The configuration, without any password that stood in a URL's place for it.
    pub text: String,
    /// Passwords, each in a file beside the configuration, which names it.
    pub passwords: Vec<Password>,
    /// Sources that hold a password where it cannot be taken out: within the path, the query or a GStreamer fragment.
    pub kept: Vec<Kept>,
}

impl First {
    /// The configuration as it may be shown to anybody.
    pub fn shown(&self) -> String {
        let hide = |text: String, kept: &Kept| text.replace(&quoted(kept.source.expose()), &quoted(&kept.shown));
        self.kept.iter().fold(self.text.clone(), hide)
    }
}

/// A source whose password stays in the text.
#[derive(Debug, PartialEq, Eq)]
pub struct Kept {
    /// Whose it is, e.g. `camera door`.
    pub whose: String,
    source: Secret,
    shown: String,
}

/// A password and the name of its file.
#[derive(Debug, PartialEq, Eq)]
pub struct Password {
    /// Name of the file.
    pub file: String,
    /// What is to be in it.
    pub secret: Secret,
}

/// URLs that may hold a user name and a password.
const WITH_LOGIN: [&str; 4] = ["mqtt", "mqtts", "rtsp", "rtsps"];

/// Writes the configuration that these options are. Paths are made absolute, from `folder` on.
///
/// # Errors
/// Every problem that the options have, as the daemon would tell them.
pub fn first(options: &Overrides, host_name: &str, folder: &Path) -> Result<First, Vec<Problem>> {
    load_options(options, host_name)?;
    nameless(options)?;
    let first = First { text: HEAD.to_owned(), passwords: Vec::new(), kept: Vec::new() };
    let mut writing = Writing { folder, first };
    if let Some(device) = &options.device {
        writing.text(&format!("\n# Name of this device: a level of every topic.\ndevice = {}\n", quoted(device)));
    }
    if let Some(broker) = &options.broker {
        writing.text("\n[mqtt]\n");
        if broker.expose() == "off" {
            writing.text("enabled = false\n");
        } else {
            writing.address(broker.expose(), "mqtt.password", "broker");
        }
    }
    if let Some(listen) = &options.http {
        let line = if listen == "off" { "enabled = false".to_owned() } else { format!("listen = {}", quoted(listen)) };
        writing.text(&format!("\n[http]\n{line}\n"));
    }
    if let Some(filter) = &options.log {
        writing.text(&format!("\n[log]\nfilter = {}\n", quoted(filter)));
    }
    if let Some(model) = &options.model {
        let (key, value, name) = model_entry(model);
        let value = if ["file", "scripted"].contains(&key) { writing.path(value) } else { value.to_owned() };
        writing.text(&format!("\n[[model]]\nname = {}\n{key} = {}\n", quoted(&name), quoted(&value)));
    }
    for camera in &options.cameras {
        // What is no NAME=URL was refused above.
        let Some((name, url)) = camera.expose().split_once('=') else { continue };
        writing.text(&format!("\n[[camera]]\nname = {}\n", quoted(name)));
        match url.strip_prefix("file:") {
            Some(path) => {
                let url = format!("file:{}", writing.path(path));
                writing.text(&format!("url = {}\n", quoted(&url)));
            }
            None => writing.address(url, &format!("camera-{name}.password"), &format!("camera {name}")),
        }
    }
    Ok(writing.first)
}

/// Refuses URLs with a login without a user name: no file can say that.
fn nameless(options: &Overrides) -> Result<(), Vec<Problem>> {
    let cameras = options.cameras.iter().filter_map(|camera| {
        let (name, url) = camera.expose().split_once('=')?;
        Some(("--camera", format!("camera.{name}.url"), url))
    });
    let broker = options.broker.iter().map(|url| ("--broker", "mqtt.url".to_owned(), url.expose()));
    let is_nameless =
        |url: &str| address::parse(url, &WITH_LOGIN).is_ok_and(|address| address.username.is_some_and(|name| name.is_empty()));
    let problems: Vec<_> = broker
        .chain(cameras)
        .filter(|(_, _, url)| is_nameless(url))
        .map(|(option, key, _)| {
            let (reason, remedy) = ("it has a password and no user name", "write USER:PASSWORD@ before the host, or nothing");
            Problem::new(Origin::CommandLine { option: option.to_owned() }, key, reason.to_owned(), remedy.to_owned())
        })
        .collect();
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

const HEAD: &str = "\
# The configuration of egret, begun by `egret init`. Every key there is, with its default and what it means, stands in the sample
# configuration that comes with egret (egret.toml(5)). Check changes with `egret check`; `systemctl reload egret` takes them over.
";

struct Writing<'a> {
    folder: &'a Path,
    first: First,
}

impl Writing<'_> {
    fn text(&mut self, text: &str) {
        self.first.text.push_str(text);
    }

    /// A URL, and what stands in it about a login in keys of its own.
    fn address(&mut self, url: &str, file: &str, whose: &str) {
        let Ok(address) = address::parse(url, &WITH_LOGIN) else {
            if url.strip_prefix("gst:").is_some_and(|fragment| fragment::secrets(fragment).next().is_some()) {
                self.keep(whose, url, "gst:***");
            }
            return self.text(&format!("url = {}\n", quoted(url)));
        };
        let plain = if address.username.is_some() || address.password.is_some() { address.url.as_str() } else { url };
        if address::password_parameter(plain).is_some() {
            self.keep(whose, plain, &address::shown(plain).unwrap_or_else(|| "***".to_owned()));
        }
        self.text(&format!("url = {}\n", quoted(plain)));
        if let Some(username) = &address.username {
            self.text(&format!("username = {}\n", quoted(username)));
        }
        if let Some(secret) = address.password.filter(|secret| !secret.expose().is_empty()) {
            self.text(&format!("password_file = {}\n", quoted(file)));
            self.first.passwords.push(Password { file: file.to_owned(), secret });
        }
    }

    fn keep(&mut self, whose: &str, source: &str, shown: &str) {
        self.first.kept.push(Kept { whose: whose.to_owned(), source: Secret::new(source), shown: shown.to_owned() });
    }

    /// A file as it was named here.
    fn path(&self, text: &str) -> String {
        let path: PathBuf = self.folder.join(text);
        absolute(&path).unwrap_or(path).display().to_string()
    }
}

/// As a TOML string.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::{SourceConfig, load_text};

    fn options(cameras: &[&str], broker: Option<&str>) -> Overrides {
        let cameras = cameras.iter().map(|camera| Secret::new(*camera)).collect();
        let model = Some("builtin:null".to_owned());
        Overrides { cameras, broker: broker.map(Secret::new), model, ..Overrides::default() }
    }

    #[test]
    fn passwords_leave_the_text_and_stand_in_files() {
        let mut options = options(
            &["door=rtsp://viewer:p%40ss/wort@192.168.1.20/stream1", "yard=file:yard.mp4", "free=rtsp://10.0.0.9/"],
            Some("mqtts://egret:hunter2@broker.local:8883/site"),
        );
        let folder = tempfile::tempdir().unwrap();
        let net = folder.path().join("my net.onnx").display().to_string();
        std::fs::write(&net, "not looked into").unwrap();
        options.model = Some(net.clone());
        options.device = Some("gate-1".into());
        let First { text, passwords, kept } = first(&options, "host", Path::new("/srv")).unwrap();
        assert!(kept.is_empty());
        assert!(!text.contains("hunter2") && !text.contains("wort"), "{text}");
        let expected = HEAD.to_owned()
            + r#"
# Name of this device: a level of every topic.
device = "gate-1"

[mqtt]
url = "mqtts://broker.local:8883/site"
username = "egret"
password_file = "mqtt.password"

[[model]]
name = "my_net"
file = "NET"

[[camera]]
name = "door"
url = "rtsp://192.168.1.20/stream1"
username = "viewer"
password_file = "camera-door.password"

[[camera]]
name = "yard"
url = "file:/srv/yard.mp4"

[[camera]]
name = "free"
url = "rtsp://10.0.0.9/"
"#;
        assert_eq!(text, expected.replace("NET", &net));
        let secrets: Vec<_> = passwords.iter().map(|password| (password.file.as_str(), password.secret.expose())).collect();
        assert_eq!(secrets, [("mqtt.password", "hunter2"), ("camera-door.password", "p@ss/wort")]);
    }

    #[test]
    fn what_the_daemon_would_refuse_is_refused() {
        for (cameras, broker, option) in [
            (&["door rtsp://10.0.0.1/"][..], None, "--camera"),
            (&["a=rtsp://10.0.0.1/", "a=rtsp://10.0.0.2/"], None, "--camera"),
            (&["a=http://10.0.0.1/"], None, "--camera"),
            (&["a=rtsp://:pw@10.0.0.1/"], None, "--camera"),
            (&[], Some("amqp://broker"), "--broker"),
            (&[], Some("mqtt://:pw@broker"), "--broker"),
        ] {
            let problems = first(&options(cameras, broker), "host", Path::new("/")).unwrap_err();
            assert!(problems.iter().all(|problem| problem.origin.to_string() == format!("option {option}")), "{problems:?}");
        }
    }

    #[test]
    fn passwords_that_stay_in_a_url_are_named_and_not_shown() {
        let cameras = [
            "door=rtsp://u:one@10.0.0.1/s?password=hunter2",
            "yard=gst:rtspsrc location=rtsp://10.0.0.2/ user-pw=\"hunter3\" ! rtph264depay",
            "free=rtsp://10.0.0.9/",
        ];
        let first = first(&options(&cameras, None), "host", Path::new("/srv")).unwrap();
        assert!(first.text.contains("?password=hunter2") && first.text.contains("hunter3"), "{}", first.text);
        let shown = first.shown();
        assert!(!shown.contains("hunter") && shown.contains("url = \"rtsp://10.0.0.1/s?password=***\""), "{shown}");
        assert!(shown.contains("url = \"gst:***\"") && shown.contains("\"rtsp://10.0.0.9/\""), "{shown}");
        let whose: Vec<_> = first.kept.iter().map(|kept| kept.whose.as_str()).collect();
        assert_eq!(whose, ["camera door", "camera yard"]);
    }

    proptest! {
        /// Whatever the names, hosts, users and passwords are: the file says what the options said.
        #[test]
        fn the_file_says_what_the_options_said(
            name in "[A-Za-z0-9_-]{1,20}",
            user in "[A-Za-z0-9\"'\\\\#=éß][A-Za-z0-9é ]{0,11}",
            password in "[!-~é]{1,20}",
            path in "[A-Za-z0-9/_.?=&-]{0,20}",
        ) {
            let mut url = url::Url::parse(&format!("rtsp://10.1.2.3:8554/{path}")).unwrap();
            url.set_username(&user).unwrap();
            url.set_password(Some(&password.replace('%', "%25"))).unwrap();
            let options = options(&[&format!("{name}={url}")], None);
            let read = load_options(&options, "host").unwrap().config;
            let First { text, passwords, .. } = first(&options, "host", Path::new("/srv")).unwrap();
            let folder = tempfile::tempdir().unwrap();
            for Password { file, secret } in &passwords {
                std::fs::write(folder.path().join(file), secret.expose()).unwrap();
            }
            let written = load_text(&folder.path().join("egret.toml"), &text).unwrap().config;
            prop_assert_eq!(&written.cameras, &read.cameras);
            let SourceConfig::Rtsp(rtsp) = &written.cameras[0].source else { unreachable!() };
            prop_assert_eq!(rtsp.credentials.as_ref().unwrap().password.expose(), password);
        }
    }
}
