//! Whether the configuration is right.

use std::path::Path;

use super::{Finding, Level, Read};
use crate::config::Problem;

pub(super) const AREA: &str = "configuration";

pub(super) fn examine(read: &Read, file: &Path) -> Vec<Finding> {
    let found = |level: Level, problem: &Problem| {
        let mut says = problem.origin.to_string();
        match (problem.key.as_str(), &problem.value) {
            ("", _) => {}
            (key, Some(value)) => says.extend([": ", key, " = ", value]),
            (key, None) => says.extend([": ", key]),
        }
        let says = format!("{says}: {}", problem.reason);
        Finding { remedy: Some(problem.remedy.clone()), ..Finding::new(AREA, level, says) }
    };
    let (problems, advice) = match read {
        None => {
            let says = format!("there is none at {}: no broker and no camera is looked at", file.display());
            return vec![Finding::note(AREA, says)];
        }
        Some(Ok(loaded)) => (&[][..], loaded.advice.as_slice()),
        Some(Err(rejected)) => (rejected.problems.as_slice(), rejected.advice.as_slice()),
    };
    let mut findings: Vec<_> = problems.iter().map(|problem| found(Level::Error, problem)).collect();
    if let Some(Ok(loaded)) = read {
        let (cameras, models) = (loaded.config.cameras.len(), loaded.config.models.len());
        findings.push(Finding::ok(AREA, format!("{}: cameras {cameras}, models {models}", file.display())));
    }
    findings.extend(advice.iter().map(|problem| found(Level::Warning, problem)));
    findings
}
