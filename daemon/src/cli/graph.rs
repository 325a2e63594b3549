//! `egret graph`.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use anyhow::{Context, bail};
use url::Url;

use crate::{life, observe};

/// Arguments of `egret graph`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Where the daemon listens (http.listen).
    #[arg(long, default_value = "http://127.0.0.1:9180")]
    url: Url,
    /// Only the GStreamer graph of this camera.
    #[arg(long, value_name = "NAME", conflicts_with = "line")]
    camera: Option<String>,
    /// Only egret's own line, without the cameras' GStreamer graphs.
    #[arg(long)]
    line: bool,
}

impl Args {
    /// The page that holds what was asked for.
    fn page(&self) -> anyhow::Result<Url> {
        let mut url = self.url.clone();
        let Ok(mut path) = url.path_segments_mut() else { bail!("{}: not an http:// address", self.url) };
        path.clear().push("graph");
        match &self.camera {
            Some(camera) => drop(path.push("camera").push(camera)),
            None if self.line => drop(path.push("line")),
            None => {}
        }
        drop(path);
        Ok(url)
    }
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let page = args.page()?;
    let reply = life::run(observe::get(&page)).context("no async runtime")?;
    let reply = reply.context("is the daemon running, and its http.listen set?")?;
    if reply.status != 200 {
        bail!("{page}: {} {}", reply.status, reply.body.trim_end());
    }
    match io::stdout().lock().write_all(reply.body.as_bytes()) {
        // `egret graph | head` ends early on purpose.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error).context("standard output"),
        _ => Ok(ExitCode::SUCCESS),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn page(arguments: &[&str]) -> String {
        let line = Line::try_parse_from(["graph"].iter().chain(arguments)).expect("valid");
        line.args.page().expect("a page").to_string()
    }

    #[test]
    fn each_graph_has_its_page() {
        assert_eq!(page(&[]), "http://127.0.0.1:9180/graph");
        assert_eq!(page(&["--line", "--url", "http://10.0.0.7:80"]), "http://10.0.0.7/graph/line");
        assert_eq!(page(&["--camera", "back door/2"]), "http://127.0.0.1:9180/graph/camera/back%20door%2F2");
    }

    #[test]
    fn an_address_that_is_none_is_refused() {
        let line = Line::try_parse_from(["graph", "--url", "mailto:egret@example.com"]).expect("a URL");
        assert!(line.args.page().is_err());
        assert!(Line::try_parse_from(["graph", "--url", "localhost"]).is_err());
    }

    #[test]
    fn without_a_daemon_the_error_says_so() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound").to_string();
        drop(listener);
        let args = Args { url: format!("http://{address}").parse().expect("a URL"), camera: None, line: false };
        let error = format!("{:#}", run(&args).expect_err("nothing listens"));
        assert!(error.contains("is the daemon running") && error.contains(&address), "{error}");
    }
}
