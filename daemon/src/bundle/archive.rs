//! The archive: a gzipped tar file with one folder.

use std::{
    io::{self, Write},
    time::{Duration, SystemTime},
};

use flate2::{Compression, write::GzEncoder};
use tar::{Builder, Header};

use super::{Part, Redaction};

/// Writes the parts, cleaned, below `folder`, and a page of contents that says what is missing.
///
/// # Errors
/// Whatever `out` says.
pub fn archive<W: Write>(out: W, folder: &str, parts: &[Part], redaction: &Redaction, at: SystemTime) -> io::Result<W> {
    let mut tar = Builder::new(GzEncoder::new(out, Compression::default()));
    let seconds = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
    let mut put = |name: &str, content: &str| {
        let mut header = Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o600);
        header.set_mtime(seconds);
        tar.append_data(&mut header, format!("{folder}/{name}"), content.as_bytes())
    };
    put("README", &redaction.clean(&contents(parts)))?;
    for part in parts {
        if let Ok(content) = &part.content {
            put(part.name, &redaction.clean(content))?;
        }
    }
    tar.into_inner()?.finish()
}

fn contents(parts: &[Part]) -> String {
    let mut text =
        "What `egret bundle` found on this device. Passwords were taken out; names of cameras, addresses and what is on the \
                    network were not: look through it before you send it to somebody.\n\n"
            .to_owned();
    for Part { name, about, content } in parts {
        let line = match content {
            Ok(_) => format!("{name}: {about}\n"),
            Err(reason) => format!("{name}: {about}. NOT HERE: {reason}\n"),
        };
        text.push_str(&line);
    }
    text
}

/// The name of the archive of a device at a time, without `.tar.gz`: `egret-gate-1-20261122T001500Z`.
pub fn file_name(device: &str, at: SystemTime) -> String {
    let at = jiff::Timestamp::try_from(at).unwrap_or_default().strftime("%Y%m%dT%H%M%SZ").to_string();
    format!("egret-{device}-{at}")
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use flate2::read::GzDecoder;
    use tar::Archive;

    use super::*;

    #[test]
    fn what_is_there_is_in_it_and_what_is_not_is_named() {
        let part = |name, content| Part { name, about: "something", content };
        let parts = [part("a.txt", Ok("rtsp://u:p@h/".to_owned())), part("b.txt", Err("nobody answers".to_owned()))];
        let packed = archive(Vec::new(), "x", &parts, &Redaction::default(), SystemTime::UNIX_EPOCH).unwrap();
        let mut archive = Archive::new(GzDecoder::new(&packed[..]));
        let mut files = Vec::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let (name, mut text) = (entry.path().unwrap().display().to_string(), String::new());
            entry.read_to_string(&mut text).unwrap();
            files.push((name, text));
        }
        let names: Vec<_> = files.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["x/README", "x/a.txt"]);
        assert!(files[0].1.contains("b.txt: something. NOT HERE: nobody answers"), "{}", files[0].1);
        assert_eq!(files[1].1, "rtsp://***@h/");
    }

    #[test]
    fn its_name_tells_the_device_and_the_time() {
        assert_eq!(file_name("gate-1", SystemTime::UNIX_EPOCH + Duration::from_hours(24)), "egret-gate-1-19700102T000000Z");
    }
}
