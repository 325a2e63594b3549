//! How many frames per second each sequence was taken at. MOTChallenge's files often do not say.

use std::path::Path;

use super::{TrackEvalError, lines};

const MAX_TABLE_BYTES: u64 = 1 << 20;

/// The file beside the sequences in which their rates may stand: `NAME RATE` a line, `#` begins a remark.
pub(super) const TABLE: &str = "fps.txt";

/// Rates by name. A name also stands for the sequences whose names go on after it with a hyphen: `MOT17-02` for `MOT17-02-SDP`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rates {
    all: Option<f64>,
    named: Vec<(String, f64)>,
}

impl Rates {
    /// From what `--fps` was given: each a rate for all sequences, or `NAME=RATE`.
    ///
    /// # Errors
    /// A rate that is none, and two rates for the same.
    pub fn new(entries: &[String]) -> Result<Self, TrackEvalError> {
        let mut rates = Self::default();
        for entry in entries {
            let wrong = |what: String| TrackEvalError::Options(format!("--fps {entry}: {what}"));
            match entry.split_once('=') {
                None => {
                    if rates.all.replace(rate(entry).map_err(wrong)?).is_some() {
                        return Err(wrong("a second rate for all sequences; say NAME=RATE".to_owned()));
                    }
                }
                Some((name, value)) => rates.name(name, value).map_err(wrong)?,
            }
        }
        Ok(rates)
    }

    /// Reads the table in `folder`, if there is one.
    pub(super) fn beside(folder: &Path) -> Result<Self, TrackEvalError> {
        const REMEDY: &str = "write a sequence's name and its frames per second a line, such as `MOT17-02 30`";
        let path = folder.join(TABLE);
        let mut rates = Self::default();
        if !path.exists() {
            return Ok(rates);
        }
        let text = lines::text(&path, MAX_TABLE_BYTES, REMEDY)?;
        for (number, line) in text.lines().enumerate() {
            let wrong = |what: String| TrackEvalError::Form { file: path.clone(), line: Some(number + 1), what, remedy: REMEDY };
            let line = line.split('#').next().unwrap_or_default().trim();
            if line.is_empty() {
                continue;
            }
            let (name, value) = line.split_once([' ', '\t', ',', '=', ':']).ok_or_else(|| wrong("no rate".to_owned()))?;
            rates.name(name, value).map_err(wrong)?;
        }
        Ok(rates)
    }

    fn name(&mut self, name: &str, value: &str) -> Result<(), String> {
        let name = name.trim();
        if name.is_empty() {
            return Err("no sequence's name".to_owned());
        }
        if self.named.iter().any(|(known, _)| known == name) {
            return Err(format!("a second rate for {name}"));
        }
        self.named.push((name.to_owned(), rate(value)?));
        Ok(())
    }

    /// The rate of a sequence: the one with the longest name that stands for it, else the one for all.
    pub(super) fn of(&self, sequence: &str) -> Option<f64> {
        let best = self.named.iter().filter(|(name, _)| stands_for(name, sequence)).max_by_key(|(name, _)| name.len());
        best.map(|&(_, rate)| rate).or(self.all)
    }

    /// A name that stands for none of the sequences.
    pub(super) fn stray<'a>(&'a self, sequences: &[&str]) -> Option<&'a str> {
        let stray = |name: &&(String, f64)| !sequences.iter().any(|sequence| stands_for(&name.0, sequence));
        self.named.iter().find(stray).map(|(name, _)| name.as_str())
    }
}

fn stands_for(name: &str, sequence: &str) -> bool {
    sequence.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

/// Frames per second.
pub(super) fn rate(text: &str) -> Result<f64, String> {
    match text.trim().parse::<f64>() {
        Ok(rate) if (0.01..=1000.0).contains(&rate) => Ok(rate),
        _ => Err(format!("{text:?} is no frame rate between 0.01 and 1000")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(entries: &str) -> Result<Rates, String> {
        let entries: Vec<String> = entries.split(',').map(str::to_owned).collect();
        Rates::new(&entries).map_err(|error| error.to_string())
    }

    #[test]
    fn the_longest_name_that_stands_for_a_sequence_says() {
        let rates = rates("30,MOT17-05=14,MOT17-05-SDP=15,TUD=25").expect("rates");
        for (sequence, rate) in
            [("MOT17-05-DPM", 14.0), ("MOT17-05-SDP", 15.0), ("MOT17-050", 30.0), ("TUD-Campus", 25.0), ("TUDelft", 30.0)]
        {
            assert_eq!(rates.of(sequence), Some(rate), "{sequence}");
        }
        assert_eq!(rates.stray(&["MOT17-05-SDP", "TUD-Campus"]), None);
        assert_eq!(rates.stray(&["MOT17-05-SDP"]), Some("TUD"));
        assert_eq!(Rates::default().of("TUD-Campus"), None);
    }

    #[test]
    fn what_is_no_rate_is_refused() {
        for (entries, said) in [
            ("zero", "\"zero\" is no frame rate"),
            ("0", "\"0\" is no frame rate"),
            ("nan", "\"nan\" is no frame rate"),
            ("-30", "is no frame rate"),
            ("1e9", "is no frame rate"),
            ("30,25", "--fps 25: a second rate for all"),
            ("TUD=25,TUD=30", "--fps TUD=30: a second rate for TUD"),
            ("=25", "no sequence's name"),
            ("TUD=", "\"\" is no frame rate"),
        ] {
            let error = rates(entries).expect_err(entries);
            assert!(error.contains(said), "{entries}: {error}");
        }
    }

    #[test]
    fn a_table_beside_the_data_says_too() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(Rates::beside(folder.path()).expect("none"), Rates::default());
        std::fs::write(folder.path().join(TABLE), "# taken from the web page\nMOT17-02 30\n\nTUD\t25 # both\n").expect("written");
        let rates = Rates::beside(folder.path()).expect("a table");
        assert_eq!((rates.of("MOT17-02-SDP"), rates.of("TUD-Campus"), rates.of("else")), (Some(30.0), Some(25.0), None));
        for (text, said) in
            [("MOT17-02\n", "line 1: no rate"), ("a 30\nb x\n", "line 2: \"x\" is no frame rate"), ("a 1\na 2\n", "second")]
        {
            std::fs::write(folder.path().join(TABLE), text).expect("written");
            let error = Rates::beside(folder.path()).expect_err(text).to_string();
            assert!(error.contains(said) && error.contains("fps.txt"), "{text}: {error}");
        }
    }
}
