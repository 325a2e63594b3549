//! What `egret init` asks.

use std::{
    io::{self, BufRead, Write},
    path::Path,
};

use rustix::{
    stdio::stdin,
    termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr},
};
use url::Url;

use crate::config::{self, Overrides, Problem, Secret};

/// Most cameras that are asked for.
const MOST_CAMERAS: usize = 256;

/// Asks for a device name, a broker, a network and cameras. `hidden` runs what reads a password.
///
/// # Errors
/// Standard input or output fails, or ends.
pub(super) fn options(
    input: &mut dyn BufRead,
    out: &mut dyn Write,
    host_name: &str,
    hidden: fn(&mut dyn FnMut() -> io::Result<String>) -> io::Result<String>,
) -> io::Result<Overrides> {
    let mut asking = Asking { input, out, hidden };
    let given = |text: String| (!text.is_empty()).then_some(text);
    let device = asking.good(
        |asking| Ok(given(asking.line(&format!("Name of this device [{host_name}]: "))?)),
        |device| Overrides { device: device.clone(), ..Overrides::default() },
    )?;
    let broker = asking.good(
        |asking| Ok(given(asking.line("Broker, mqtt://HOST or mqtts://HOST (empty: none): ")?).map(Secret::new)),
        |broker| Overrides { broker: broker.clone(), ..Overrides::default() },
    )?;
    let broker = broker.map(|url| asking.login(url)).transpose()?;
    let asked_model = |asking: &mut Asking<'_>| {
        asking.good(|asking| Ok(given(asking.line(MODEL)?)), |model| Overrides { model: model.clone(), ..Overrides::default() })
    };
    let mut model = asked_model(&mut asking)?;
    let mut cameras: Vec<Secret> = Vec::new();
    // Whatever the network is: it has been asked for.
    let with = |cameras: &[Secret], name: &str, url: &str| {
        let camera = Secret::new(format!("{name}={url}"));
        let cameras = cameras.iter().cloned().chain([camera]).collect();
        Overrides { cameras, model: Some("builtin:null".to_owned()), ..Overrides::default() }
    };
    while cameras.len() < MOST_CAMERAS {
        let name = asking.good(
            |asking| Ok(given(asking.line("Name of a camera, e.g. door (empty: no more): ")?)),
            |name| name.as_ref().map_or_else(Overrides::default, |name| with(&cameras, name, "test:smpte")),
        )?;
        let Some(name) = name else { break };
        let url = asking.good(
            |asking| {
                let url = asking.line("Its URL, e.g. rtsp://192.168.1.20/stream1 (empty: not this camera): ")?;
                Ok(given(url).map(Secret::new))
            },
            |url| url.as_ref().map_or_else(Overrides::default, |url| with(&cameras, &name, url.expose())),
        )?;
        if let Some(url) = url {
            let url = asking.login(url)?;
            cameras.push(Secret::new(format!("{name}={}", url.expose())));
        }
    }
    while model.is_none() && !cameras.is_empty() {
        if cfg!(feature = "demo") {
            model = Some("builtin:demo".to_owned());
        } else {
            writeln!(asking.out, "  Cameras need a network that looks at their pictures.")?;
            model = asked_model(&mut asking)?;
        }
    }
    Ok(Overrides { cameras, broker, model, device, ..Overrides::default() })
}

#[cfg(feature = "demo")]
const MODEL: &str = "Network, an ONNX file or stored:NAME (empty: the built-in one, which knows drawn streets alone): ";
#[cfg(not(feature = "demo"))]
const MODEL: &str = "Network, an ONNX file or stored:NAME: ";

struct Asking<'a> {
    input: &'a mut dyn BufRead,
    out: &'a mut dyn Write,
    hidden: fn(&mut dyn FnMut() -> io::Result<String>) -> io::Result<String>,
}

impl Asking<'_> {
    fn line(&mut self, question: &str) -> io::Result<String> {
        write!(self.out, "{question}")?;
        self.out.flush()?;
        answer(self.input)
    }

    /// Asks until the answer is one that `options` can be made of, and says at once why one is not.
    fn good<T>(&mut self, mut ask: impl FnMut(&mut Self) -> io::Result<T>, options: impl Fn(&T) -> Overrides) -> io::Result<T> {
        loop {
            let answer = ask(self)?;
            let Err(problems) = config::first(&options(&answer), "", Path::new("")) else { return Ok(answer) };
            for Problem { reason, remedy, .. } in problems {
                writeln!(
                    self.out,
                    "  No: {reason} -> {}",
                    remedy.replace("--camera NAME=URL, e.g. --camera ", "NAME=URL, e.g. ")
                )?;
            }
        }
    }

    /// A URL with the login that belongs to it.
    fn login(&mut self, text: Secret) -> io::Result<Secret> {
        let is_plain = |url: &Url| url.has_host() && url.username().is_empty() && url.password().is_none();
        let Some(mut url) = Url::parse(text.expose()).ok().filter(is_plain) else { return Ok(text) };
        let user = self.line("User name (empty: none): ")?;
        if user.is_empty() {
            return Ok(text);
        }
        write!(self.out, "Password (not shown): ")?;
        self.out.flush()?;
        let password = (self.hidden)(&mut || answer(self.input))?;
        writeln!(self.out)?;
        // A URL with a host takes both. What is a per cent sign is to stay one.
        let [user, password] = [user, password].map(|text| text.replace('%', "%25"));
        let _taken = url.set_username(&user).and_then(|()| url.set_password(Some(&password)));
        Ok(Secret::new(url))
    }
}

fn answer(input: &mut dyn BufRead) -> io::Result<String> {
    let mut line = String::new();
    if input.read_line(&mut line)? == 0 {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the answers ended: nothing was written"));
    }
    Ok(line.trim().to_owned())
}

/// Reads from the terminal without showing what is typed. Where standard input is none, it is read as it is.
pub(super) fn without_echo(read: &mut dyn FnMut() -> io::Result<String>) -> io::Result<String> {
    let Ok(before) = tcgetattr(stdin()) else { return read() };
    let mut quiet = before.clone();
    quiet.local_modes.remove(LocalModes::ECHO);
    tcsetattr(stdin(), OptionalActions::Flush, &quiet)?;
    let answer = read();
    tcsetattr(stdin(), OptionalActions::Flush, &before)?;
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(answers: &str) -> (io::Result<Overrides>, String) {
        let mut out = Vec::new();
        let options = options(&mut answers.as_bytes(), &mut out, "box", |read| read());
        (options, String::from_utf8(out).unwrap())
    }

    #[test]
    fn answers_become_options() {
        let (options, out) = asked(
            "gate-1\nmqtts://broker.local\negret\nhunter2 @/100%25\n\ndoor\nrtsp://10.0.0.1/s\n\nyard\nrtsp://u:p@10.0.0.2/\n\n",
        );
        let Overrides { device, broker, model, cameras, .. } = options.unwrap();
        let built_in = cfg!(feature = "demo").then_some("builtin:demo");
        assert_eq!((device.as_deref(), model.as_deref()), (Some("gate-1"), built_in));
        assert_eq!(broker.unwrap().expose(), "mqtts://egret:hunter2%20%40%2F100%2525@broker.local");
        let cameras: Vec<_> = cameras.iter().map(Secret::expose).collect();
        assert_eq!(cameras, ["door=rtsp://10.0.0.1/s", "yard=rtsp://u:p@10.0.0.2/"]);
        assert!(out.contains("[box]") && !out.contains("hunter2"), "{out}");
    }

    #[test]
    fn what_is_wrong_is_told_at_once_and_asked_again() {
        let (options, out) = asked(
            "gate 1\ngate-1\nhttp://x\nmqtt://b\n\n/nowhere/net.onnx\nbuiltin:null\na/b\ndoor\nhttp://10.0.0.1/\n\
             rtsp://:pw@10.0.0.1/\nrtsp://10.0.0.1/\n\ndoor\nyard\ntest:smtpe\n\n\n",
        );
        let Overrides { device, broker, model, cameras, .. } = options.unwrap();
        assert_eq!((device.as_deref(), model.as_deref()), (Some("gate-1"), Some("builtin:null")));
        assert_eq!(broker.unwrap().expose(), "mqtt://b");
        assert_eq!(cameras.iter().map(Secret::expose).collect::<Vec<_>>(), ["door=rtsp://10.0.0.1/"]);
        for said in [
            "mqtt://host:1883",
            "path of the ONNX file",
            "1 to 64 characters",
            "rtsps://",
            "no user name",
            "two cameras",
            "test:smpte",
        ] {
            assert!(out.contains(said), "{said}: {out}");
        }
        assert!(out.matches("  No: ").count() >= 8 && !out.contains("--camera"), "{out}");
    }

    #[test]
    fn nothing_but_enter_is_nothing() {
        assert!(asked("\n\n\n\n").0.unwrap().is_empty());
    }

    #[test]
    fn an_end_in_between_is_told() {
        let error = asked("gate-1\nmqtt://b\n").0.unwrap_err();
        assert!(error.to_string().contains("nothing was written"), "{error}");
    }
}
