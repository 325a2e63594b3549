//! `egret schema`.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use serde_json::{Map, Value, json};

use crate::{
    config,
    publish::{asyncapi, message},
};

/// Arguments of `egret schema`.
#[derive(Debug, clap::Args)]
#[group(multiple = false)]
pub(super) struct Args {
    /// Print the JSON Schemas of the messages instead, by kind.
    #[arg(long)]
    messages: bool,
    /// Print the AsyncAPI document of the topics and messages instead.
    #[arg(long)]
    asyncapi: bool,
    /// Write the AsyncAPI document and the schemas of the messages below this folder: asyncapi.yaml and schemas/KIND.json.
    #[arg(long, value_name = "DIR")]
    write: Option<PathBuf>,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let mut out = io::stdout().lock();
    if let Some(folder) = &args.write {
        write(folder)?;
    } else if args.asyncapi {
        write!(out, "{}", asyncapi::yaml())?;
    } else if args.messages {
        let all: Map<String, Value> =
            message::schemas().into_iter().map(|(kind, schema)| (kind.to_owned(), json!(schema))).collect();
        writeln!(out, "{:#}", Value::Object(all))?;
    } else {
        writeln!(out, "{:#}", config::schema())?;
    }
    Ok(ExitCode::SUCCESS)
}

fn write(folder: &Path) -> anyhow::Result<()> {
    let schemas = folder.join("schemas");
    fs::create_dir_all(&schemas).with_context(|| schemas.display().to_string())?;
    let put = |path: PathBuf, text: String| fs::write(&path, text).with_context(|| path.display().to_string());
    put(folder.join("asyncapi.yaml"), asyncapi::yaml())?;
    for (kind, schema) in message::schemas() {
        put(schemas.join(format!("{kind}.json")), format!("{:#}\n", json!(schema)))?;
    }
    Ok(())
}
