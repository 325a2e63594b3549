//! `egret check`.

use std::{
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use crate::{
    config::{self, Config, Origin, Overrides, Problem, Rejected, Sources},
    infer::{self, Flaw},
};

/// `EX_CONFIG` of sysexits.h: what `RestartPreventExitStatus=` of the unit names.
const EX_CONFIG: u8 = 78;

/// Arguments of `egret check`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The configuration file.
    #[arg(long, value_name = "FILE", help = format!("The configuration file [default: {}]", config::DEFAULT_FILE))]
    config: Option<PathBuf>,
    /// Print JSON instead of text.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    overrides: Overrides,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let sources = Sources { checking: true, ..Sources::of_process(args.config.clone(), args.overrides.clone()) };
    let outcome = config::examine(&sources).and_then(|loaded| {
        let problems = models(&loaded.config);
        if problems.is_empty() { Ok(loaded) } else { Err(Rejected { problems, advice: loaded.advice }) }
    });
    let (problems, advice, summary) = match &outcome {
        Ok(loaded) => {
            let summary =
                format!("ok: {}, {}", count(loaded.config.cameras.len(), "camera"), count(loaded.config.models.len(), "model"));
            (&[][..], loaded.advice.as_slice(), summary)
        }
        Err(Rejected { problems, advice }) => (problems.as_slice(), advice.as_slice(), count(problems.len(), "problem")),
    };
    let mut out = io::stdout().lock();
    if args.json {
        let report = serde_json::json!({ "ok": problems.is_empty(), "problems": problems, "advice": advice });
        writeln!(out, "{report:#}")?;
    } else {
        print(&mut out, "error", problems)?;
        print(&mut out, "advice", advice)?;
        writeln!(out, "{summary}")?;
    }
    Ok(if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(EX_CONFIG) })
}

/// What is wrong with the model files, as far as that can be told without running them.
fn models(config: &Config) -> Vec<Problem> {
    let examined = config.models.iter().filter_map(|model| Some((model, infer::examine(model).err()?)));
    let flaws = examined.flat_map(|(model, error)| error.flaws().into_iter().map(move |flaw| (model, flaw)));
    flaws
        .map(|(model, Flaw { reason, remedy })| Problem::new(Origin::Nowhere, format!("model.{}", model.name), reason, remedy))
        .collect()
}

fn print(out: &mut impl io::Write, what: &str, problems: &[Problem]) -> io::Result<()> {
    for problem in problems {
        writeln!(out, "{what}: {problem}\n")?;
    }
    Ok(())
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}
