//! `egret check`.

use std::{
    collections::BTreeMap,
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use egret_models::text;

use crate::{
    config::{self, Config, Loaded, Origin, Overrides, Problem, Rejected, Sources},
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
    let outcome = examine(args.config.clone(), args.overrides.clone());
    let (problems, advice, summary) = match &outcome {
        Ok(loaded) => {
            let summary =
                format!("ok: {}, {}", count(loaded.config.cameras.len(), "camera"), count(loaded.config.models.len(), "model"));
            (&[][..], loaded.advice.as_slice(), summary)
        }
        Err(Rejected { problems, advice, .. }) => (problems.as_slice(), advice.as_slice(), count(problems.len(), "problem")),
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

/// The configuration, checked with the class names of its models.
pub(super) fn examine(config: Option<PathBuf>, overrides: Overrides) -> Result<Loaded, Rejected> {
    let sources = Sources { checking: true, ..Sources::of_process(config, overrides) };
    config::examine(&sources).and_then(|loaded| {
        let Models { classes, problems, mut advice } = models(&loaded.config);
        // Once more, now that it is known what the models see.
        let again = config::examine(&Sources { classes, ..sources });
        let (mut wrong, of_config) = match again {
            Ok(Loaded { advice, .. }) => (Vec::new(), advice),
            Err(Rejected { problems, advice, .. }) => (problems, advice),
        };
        wrong.extend(problems);
        advice.splice(0..0, of_config);
        if wrong.is_empty() {
            return Ok(Loaded { advice, ..loaded });
        }
        Err(Rejected { problems: wrong, advice, config: Some(Box::new(loaded.config)), withheld: loaded.withheld })
    })
}

/// What can be told of the model files without running them.
#[derive(Default)]
struct Models {
    /// Class names by model, of those that can be read.
    classes: BTreeMap<String, Vec<String>>,
    problems: Vec<Problem>,
    advice: Vec<Problem>,
}

fn models(config: &Config) -> Models {
    let mut found = Models::default();
    for model in &config.models {
        let told = |flaws: Vec<Flaw>| {
            let problem =
                |Flaw { reason, remedy }| Problem::new(Origin::Nowhere, format!("model.{}", model.name), reason, remedy);
            flaws.into_iter().map(problem).collect::<Vec<_>>()
        };
        match infer::examine(model) {
            Ok(examined) => {
                found.advice.extend(told(examined.advice));
                found.classes.insert(model.name.clone(), examined.classes);
            }
            Err(error) => found.problems.extend(told(error.flaws())),
        }
    }
    found
}

fn print(out: &mut impl io::Write, what: &str, problems: &[Problem]) -> io::Result<()> {
    for problem in problems {
        writeln!(out, "{what}: {}\n", text::lines(&problem.to_string()))?;
    }
    Ok(())
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}
