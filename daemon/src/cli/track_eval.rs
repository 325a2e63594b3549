//! `egret track-eval`.

use std::{
    io::{self, BufWriter, IsTerminal, Write},
    path::PathBuf,
    process::ExitCode,
};

use crate::{
    track::associate::Kind,
    trackeval::{self, Options, Rates},
};

/// Arguments of `egret track-eval`.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Args {
    /// Trackers to run; a name that is none is answered with those that are.
    #[arg(long = "tracker", value_name = "NAME[,NAME…]", value_delimiter = ',')]
    trackers: Vec<Kind>,
    /// Let sort, bytetrack and ocsort count frames, as their authors' programs do, and not time.
    #[arg(long, requires = "trackers")]
    as_published: bool,
    /// A folder of sequences in the form of MOTChallenge (SEQ/gt/gt.txt, SEQ/det/det.txt), or one such sequence.
    #[arg(long, value_name = "DIR")]
    sequences: PathBuf,
    /// Results of other programs: a folder of SEQ.txt files, or a path in which {} stands for the sequence. Repeat for more.
    #[arg(long, value_name = "DIR")]
    results: Vec<PathBuf>,
    /// Take every Nth frame, as if the camera had been that much slower.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    every: u32,
    /// Frames per second of all sequences, or of those of a name.
    #[arg(long, value_name = "RATE|NAME=RATE[,…]", value_delimiter = ',')]
    fps: Vec<String>,
    /// Write what the trackers told to DIR/TRACKER/SEQ.txt.
    #[arg(long, value_name = "DIR", requires = "trackers")]
    write: Option<PathBuf>,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    json: bool,
}

const AFTER_HELP: &str = "\
The figures are those of MOTChallenge, digit by digit TrackEval's: HOTA, DetA, AssA, MOTA and IDF1 in percent; identity switches, fragments,
false positives and false negatives counted. COMBINED is of all sequences together. us/frame is the tracker's CPU time. --json has more.

Truth with classes (MOT16, MOT17, MOT20) is judged by MOTChallenge's rules: pedestrians count, tracks on distractors are taken out.
A name in --fps also stands for the sequences that go on after it with a hyphen: MOT17-02 for MOT17-02-SDP. Without --fps, the rate is
that of fps.txt beside the sequences (`NAME RATE` a line), or frameRate of the sequence's seqinfo.ini.

Examples:
  egret track-eval --tracker bytetrack,ocsort --sequences mot17 --fps MOT17-02=30,MOT17-05=14,MOT17-09=30,MOT17-13=25
  egret track-eval --tracker bytetrack --sequences mot17 --every 4       a camera of a quarter of the frames
  egret track-eval --results other/out --results 'out/sort__{}.txt' --sequences mot17";

pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let options = Options {
        sequences: args.sequences,
        trackers: args.trackers,
        as_published: args.as_published,
        results: args.results,
        every: args.every,
        rates: Rates::new(&args.fps)?,
        write: args.write,
    };
    // Its text says what lies beneath already.
    let report = trackeval::run(&options, &mut progress).map_err(|error| anyhow::anyhow!("{error}"))?;
    let mut out = BufWriter::new(io::stdout().lock());
    if args.json {
        serde_json::to_writer(&mut out, &report)?;
        writeln!(out)?;
    } else {
        trackeval::write_table(&mut out, &report)?;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// A line that people can watch, where they can.
fn progress(sequence: &str) {
    let mut err = io::stderr().lock();
    if err.is_terminal() {
        // Nobody is lost if it cannot be shown.
        let _ = writeln!(err, "{sequence}");
    }
}

#[cfg(test)]
mod tests {
    use crate::cli::refused;

    #[test]
    fn what_does_not_go_together_is_refused() {
        for (words, said) in [
            ("track-eval --sequences .", "nothing to judge"),
            ("track-eval --tracker sort", "--sequences"),
            ("track-eval --tracker deepsort --sequences .", "no tracker is called"),
            ("track-eval --tracker sort,sort --sequences .", "named twice"),
            ("track-eval --tracker sort --sequences . --every 0", "0 is not in"),
            ("track-eval --tracker sort --sequences . --fps fast", "is no frame rate"),
            ("track-eval --results . --sequences . --write out", "--tracker"),
            ("track-eval --results . --sequences nowhere", "with --sequences"),
        ] {
            let error = refused(words);
            assert!(error.contains(said), "{words}: {error}");
        }
    }
}
