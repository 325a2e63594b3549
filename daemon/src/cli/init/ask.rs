//! What `egret init` asks.

use std::io::{self, BufRead, Write};

use rustix::{
    stdio::stdin,
    termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr},
};
use url::Url;

use crate::config::{Overrides, Secret};

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
    let device = asking.line(&format!("Name of this device [{host_name}]: "))?;
    let broker = asking.login("Broker, mqtt://HOST or mqtts://HOST (empty: none): ")?;
    let model = asking.line(MODEL)?;
    let mut cameras = Vec::new();
    while cameras.len() < MOST_CAMERAS {
        let name = asking.line("Name of a camera, e.g. door (empty: no more): ")?;
        if name.is_empty() {
            break;
        }
        if let Some(url) = asking.login("Its URL, e.g. rtsp://192.168.1.20/stream1: ")? {
            cameras.push(Secret::new(format!("{name}={}", url.expose())));
        }
    }
    let given = |text: String| (!text.is_empty()).then_some(text);
    let built_in = (cfg!(feature = "demo") && !cameras.is_empty()).then(|| "builtin:demo".to_owned());
    Ok(Overrides { device: given(device), broker, model: given(model).or(built_in), cameras, ..Overrides::default() })
}

#[cfg(feature = "demo")]
const MODEL: &str = "Network, an ONNX file or stored:NAME (empty: the built-in street detector): ";
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

    /// A URL with the login that belongs to it; `None`: there is none.
    fn login(&mut self, question: &str) -> io::Result<Option<Secret>> {
        let text = self.line(question)?;
        if text.is_empty() {
            return Ok(None);
        }
        let plain = Url::parse(&text).ok().filter(|url| url.has_host() && url.username().is_empty() && url.password().is_none());
        let Some(mut url) = plain else { return Ok(Some(Secret::new(text))) };
        let user = self.line("User name (empty: none): ")?;
        if user.is_empty() {
            return Ok(Some(Secret::new(text)));
        }
        write!(self.out, "Password (not shown): ")?;
        self.out.flush()?;
        let password = (self.hidden)(&mut || answer(self.input))?;
        writeln!(self.out)?;
        // A URL with a host takes both. What is a per cent sign is to stay one.
        let [user, password] = [user, password].map(|text| text.replace('%', "%25"));
        let _taken = url.set_username(&user).and_then(|()| url.set_password(Some(&password)));
        Ok(Some(Secret::new(url)))
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
    fn nothing_but_enter_is_nothing() {
        assert!(asked("\n\n\n\n").0.unwrap().is_empty());
    }

    #[test]
    fn an_end_in_between_is_told() {
        let error = asked("gate-1\nmqtt://b\n").0.unwrap_err();
        assert!(error.to_string().contains("nothing was written"), "{error}");
    }
}
