//! The configuration as its users meet it: files, variables, options in; a checked configuration, or every problem at once, out.
#![cfg(test)]

mod check;
mod fuzz;
mod layers;
mod logins;
mod models;
mod rejections;
mod rules;
mod ten_errors;

use std::{fs, path::Path};

use egret::config::{self, Loaded, Origin, Problem, Sources};

/// What tests use as a password: it must never come out again.
const PASSWORD: &str = "hunter2";

fn load_file(path: &Path) -> Result<Loaded, Vec<Problem>> {
    config::load(&Sources { file: Some(path.to_owned()), ..Sources::default() })
}

/// Loads a text from a directory of its own.
fn load(text: &str) -> Result<Loaded, Vec<Problem>> {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("egret.toml");
    fs::write(&path, text).expect("a file");
    load_file(&path)
}

fn loaded(outcome: Result<Loaded, Vec<Problem>>) -> Loaded {
    outcome.unwrap_or_else(|problems| panic!("{}", list(&problems)))
}

fn problems(outcome: Result<Loaded, Vec<Problem>>) -> Vec<Problem> {
    outcome.map_or_else(|problems| problems, |loaded| panic!("no problem in {:?}", loaded.config))
}

fn list(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn line(problem: &Problem) -> Option<usize> {
    match &problem.origin {
        Origin::File { line, .. } => *line,
        _ => None,
    }
}

/// Everything that could be printed about a problem.
fn told(problem: &Problem) -> String {
    format!("{problem}\n{problem:?}\n{}", serde_json::to_string(problem).expect("JSON"))
}
