//! Downloads from a server in this process, good and bad ones.

mod server;
mod tls;

use std::{fs, path::Path};

use egret_models::manifest::Manifest;
use tempfile::TempDir;

use super::*;
use crate::{file::sha256 as digest, store::Store};
use server::{Reply, Server};

/// The demo's detector: a real network, 2.2 MB.
const NETWORK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/street/street.onnx");

struct Bench {
    _folder: TempDir,
    store: Store,
    network: Network,
    content: Vec<u8>,
}

impl Bench {
    fn new() -> Self {
        let folder = TempDir::new().expect("a folder");
        let store = Store::new(folder.path().join("models"));
        let network = Network::new(&|_| None);
        Self { store, network, _folder: folder, content: fs::read(NETWORK).expect("the demo's network") }
    }

    fn manifest(&self, url: &str, sha256: &str) -> String {
        let text = fs::read_to_string(Path::new(NETWORK).with_file_name("model.toml")).expect("its manifest");
        let text = text.replace(&digest(&self.content), sha256);
        format!("# kept comment\nurl = \"{url}\"\n{text}")
    }

    fn pull(&self, url: &str, sha256: &str) -> Result<Pulled, StoreError> {
        self.pull_text(&self.manifest(url, sha256))
    }

    fn pull_text(&self, text: &str) -> Result<Pulled, StoreError> {
        let manifest = Manifest::parse(text).unwrap_or_else(|problems| panic!("{problems:?}"));
        pull(&self.store, (manifest, text), false, &self.network, &mut |_, _| {})
    }

    fn right(&self) -> String {
        digest(&self.content)
    }

    fn is_stored(&self) -> bool {
        let entry = self.store.entry("street").expect("an entry");
        let verdict = self.store.verify("street").expect("a verdict");
        assert_eq!(verdict.problems, [] as [String; 0]);
        let left: Vec<_> = fs::read_dir(self.store.directory().join("street"))
            .expect("its directory")
            .map(|entry| entry.expect("an entry").file_name())
            .collect();
        assert_eq!(left.len(), 2, "{left:?}");
        fs::read(entry.file).expect("the file") == self.content
    }

    /// Nothing came of a download, and nothing is left of it.
    fn is_empty(&self) -> bool {
        let left = fs::read_dir(self.store.directory().join(DOWNLOADS)).map_or(0, Iterator::count);
        !self.store.directory().join("street").exists() && left == 0
    }
}

fn refusal(result: Result<Pulled, StoreError>) -> String {
    result.expect_err("a refusal").to_string()
}

/// A file whose checksum is right and that no device could run is not stored.
#[test]
fn what_cannot_be_run_is_not_stored() {
    let mut bench = Bench::new();
    let mut network = egret_models::onnx::edit::Model::read(&bench.content).expect("a network");
    network.opsets[0].1 = 99;
    let whole = std::mem::replace(&mut bench.content, network.write());
    let server = Server::files(&bench.content);
    let text = bench.manifest(&server.url("/street.onnx"), &bench.right()).replace(&digest(&whole), &bench.right());
    let refused = refusal(bench.pull_text(&text));
    assert!(refused.contains("its operator set is 99"), "{refused}");
    assert!(bench.is_empty());
}

#[test]
fn a_whole_file_is_pulled_once() {
    let bench = Bench::new();
    let server = Server::files(&bench.content);
    let mut heard = Vec::new();
    let text = bench.manifest(&server.url("/street.onnx"), &bench.right());
    let manifest = Manifest::parse(&text).expect("a manifest");
    let pulled = pull(&bench.store, (manifest, &text), false, &bench.network, &mut |done, total| heard.push((done, total)))
        .expect("pulled");
    let size = bench.content.len() as u64;
    assert_eq!((pulled.already, pulled.resumed, pulled.bytes, pulled.pinned), (false, 0, size, false));
    assert_eq!((heard[0], heard[heard.len() - 1]), ((0, Some(size)), (size, Some(size))));
    assert!(bench.is_stored());
    assert!(bench.pull_text(&text).expect("again").already);
    assert_eq!(server.requests().len(), 1);
    assert_eq!(bench.store.names().expect("names"), ["street"]);
}

#[test]
fn an_unknown_checksum_is_pinned_and_kept_from_then_on() {
    let bench = Bench::new();
    let server = Server::files(&bench.content);
    let pulled = bench.pull(&server.url("/street.onnx"), "unknown").expect("pulled");
    assert!(pulled.pinned && bench.is_stored());
    let text = fs::read_to_string(&pulled.entry.path).expect("the manifest");
    assert!(text.contains("# kept comment") && text.contains(&format!("sha256 = \"{}\"", bench.right())), "{text}");
    // The same manifest, still without a checksum, means the same model.
    assert!(bench.pull(&server.url("/street.onnx"), "unknown").expect("again").already);
    // Another file at the address is noticed, as long as the store keeps its manifest.
    fs::remove_file(&pulled.entry.file).expect("removed");
    let address = server.address();
    drop(server);
    let _other = Server::files_at(address, b"something else");
    for text in [&text, &text.replace(&bench.right(), "unknown")] {
        let error = refusal(bench.pull_text(text));
        assert!(error.contains(&bench.right()) && error.contains("nothing was stored"), "{error}");
    }
}

#[test]
fn what_is_pinned_and_what_is_there_are_replaced_on_request_alone() {
    let bench = Bench::new();
    let server = Server::files(&bench.content);
    let (url, other) = (server.url("/street.onnx"), "0".repeat(64));
    bench.pull(&url, "unknown").expect("pulled");
    // Another checksum for the same model.
    let error = refusal(bench.pull(&url, &other));
    assert!(error.contains(&bench.right()) && error.contains(&other) && error.contains("--replace"), "{error}");
    // Another model of the same name, with the same file or from elsewhere.
    let text = bench.manifest(&url, &bench.right()).replace("confidence = 0.4", "confidence = 0.5");
    for text in [&text, &bench.manifest(&server.url("/another.onnx"), "unknown")] {
        let error = refusal(bench.pull_text(text));
        assert!(error.contains("street exists already") && error.contains("--replace"), "{error}");
    }
    assert!(bench.is_stored());
    assert_eq!(server.requests().len(), 1, "refused before anything was asked for");
    // On request: of the same file the manifest alone.
    let replace = |text: &str| {
        let manifest = Manifest::parse(text).expect("a manifest");
        pull(&bench.store, (manifest, text), true, &bench.network, &mut |_, _| {})
    };
    assert!(replace(&text).expect("replaced").already);
    assert!(bench.is_stored());
    assert!((bench.store.entry("street").expect("it").manifest.spec.confidence - 0.5).abs() < 1e-6);
    // The graph must agree with it all the same.
    let error = refusal(replace(&text.replace("width = 448", "width = 416")));
    assert!(error.contains("input.width = 416"), "{error}");
    assert!(!replace(&bench.manifest(&server.url("/another.onnx"), "unknown")).expect("replaced").already);
    assert!(bench.is_stored());
    assert!(refusal(replace(&bench.manifest(&url, &other))).contains("nothing was stored"));
    assert!(bench.is_stored(), "what was there stays where its replacement fails");
}

#[test]
fn a_broken_download_goes_on_where_it_ended() {
    let bench = Bench::new();
    let half = bench.content.len() / 2;
    // The first connection breaks in the middle; the server knows ranges.
    let server = Server::start({
        let content = bench.content.clone();
        move |request, number| match number {
            0 => Reply::whole(&content).cut(half),
            _ => Reply::ranged(request, &content),
        }
    });
    bench.pull(&server.url("/street.onnx"), &bench.right()).expect("pulled");
    assert!(bench.is_stored());
    let requests = server.requests();
    assert_eq!(requests.len(), 2);
    assert!(
        requests[1].contains(&format!("range: bytes={half}-")) && requests[1].contains("if-range: \"v1\""),
        "{}",
        requests[1]
    );
}

#[test]
fn a_later_command_goes_on_too() {
    let bench = Bench::new();
    let half = bench.content.len() / 2;
    let content = bench.content.clone();
    let breaks = Server::start(move |request, number| {
        let reply = if number == 0 { Reply::whole(&content) } else { Reply::ranged(request, &content) };
        reply.cut(if number == 0 { half } else { 0 })
    });
    let url = breaks.url("/street.onnx");
    let error = refusal(bench.pull(&url, "unknown"));
    assert!(error.contains(&format!("broke after {half} bytes")) && error.contains("again"), "{error}");
    let address = breaks.address();
    drop(breaks);
    let server = Server::files_at(address, &bench.content);
    let pulled = bench.pull(&url, "unknown").expect("pulled");
    assert_eq!(pulled.resumed, half as u64);
    assert!(bench.is_stored());
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn a_file_that_changed_meanwhile_is_fetched_anew() {
    let bench = Bench::new();
    let half = bench.content.len() / 2;
    let server = Server::start({
        let content = bench.content.clone();
        // After the break the validator is another one: `If-Range` gives the whole file.
        move |_, number| {
            if number == 0 { Reply::whole(&vec![0; 4_000_000]).cut(half) } else { Reply::whole(&content).tagged("v2") }
        }
    });
    bench.pull(&server.url("/street.onnx"), &bench.right()).expect("pulled");
    assert!(bench.is_stored());
}

#[test]
fn a_server_without_ranges_starts_from_the_beginning() {
    let bench = Bench::new();
    let content = bench.content.clone();
    let server = Server::start(move |_, number| {
        let reply = Reply::whole(&content).tagged("");
        if number == 0 { reply.cut(1000) } else { reply }
    });
    bench.pull(&server.url("/street.onnx"), &bench.right()).expect("pulled");
    assert!(bench.is_stored());
}

#[test]
fn a_file_that_always_ends_early_is_an_error() {
    let bench = Bench::new();
    let content = bench.content.clone();
    let server = Server::start(move |_, _| Reply::whole(&content).cut(1000));
    let error = refusal(bench.pull(&server.url("/street.onnx"), &bench.right()));
    assert!(error.contains("broke after 1000 bytes"), "{error}");
    assert_eq!(server.requests().len(), 3);
    assert!(bench.store.names().expect("names").is_empty());
}

#[test]
fn a_server_that_sends_another_part_is_asked_for_the_whole() {
    let bench = Bench::new();
    let server = Server::start({
        let content = bench.content.clone();
        move |_, number| match number {
            0 | 2 => Reply::whole(&content).cut(5000),
            1 => Reply::new("206 Partial Content", content[10..].to_vec())
                .with("Content-Range", format!("bytes 10-{}/{}", content.len() - 1, content.len())),
            3 => Reply::new("416 Range Not Satisfiable", Vec::new()).with("Content-Range", "bytes */17"),
            _ => Reply::whole(&content),
        }
    });
    bench.pull(&server.url("/street.onnx"), &bench.right()).expect("pulled");
    assert!(bench.is_stored());
}

#[test]
fn wrong_bytes_leave_nothing_behind() {
    let bench = Bench::new();
    let mut wrong = bench.content.clone();
    wrong[1_000_000] ^= 1;
    let server = Server::files(&wrong);
    let error = refusal(bench.pull(&server.url("/street.onnx"), &bench.right()));
    assert!(error.contains(&digest(&wrong)) && error.contains(&bench.right()), "{error}");
    assert!(bench.is_empty());
    for (content, word) in
        [(&b"<!DOCTYPE html><html>Log in"[..], "web page"), (b"", "empty"), (b"PK\x03\x04..archive/data.pkl", "PyTorch")]
    {
        let server = Server::files(content);
        let error = refusal(bench.pull(&server.url("/street.onnx"), "unknown"));
        assert!(error.contains(word) && error.contains(&server.url("/street.onnx")), "{error}");
        assert!(bench.is_empty());
    }
}

#[test]
fn a_network_that_its_manifest_is_not_about_is_refused() {
    let bench = Bench::new();
    let server = Server::files(&bench.content);
    let text = bench.manifest(&server.url("/street.onnx"), "unknown").replace("width = 448", "width = 416");
    let error = refusal(bench.pull_text(&text));
    assert!(error.contains("input.width = 416") && error.contains("write 448"), "{error}");
    assert!(bench.is_empty());
}

#[test]
fn answers_that_are_no_file_say_what_to_do() {
    let bench = Bench::new();
    for (status, word) in [("404 Not Found", "not there any more"), ("403 Forbidden", "browser"), ("503 Busy", "later")] {
        let server = Server::start(move |_, _| Reply::new(status, b"no".to_vec()));
        let error = refusal(bench.pull(&server.url("/street.onnx"), "unknown"));
        assert!(error.contains(&status[..3]) && error.contains(word), "{error}");
        assert!(bench.is_empty());
    }
    let unused = Server::files(b"").url("/x");
    let error = refusal(bench.pull(&unused, "unknown"));
    assert!(error.contains(&unused) && error.contains("check the network"), "{error}");
    let error = refusal(bench.pull_text(
        &bench.manifest("https://x.example/y", "unknown").replace("url = \"https://x.example/y\"", "export = \"bake it\""),
    ));
    assert!(error.contains("bake it") && error.contains("egret model add"), "{error}");
}

#[test]
fn redirects_are_followed_but_not_for_ever() {
    let bench = Bench::new();
    let files = Server::files(&bench.content);
    let to = files.url("/real.onnx");
    let server = Server::start(move |request, _| match request.split(' ').nth(1) {
        Some("/loop") => Reply::new("302 Found", Vec::new()).with("Location", "/loop"),
        Some("/away") => Reply::new("302 Found", Vec::new()).with("Location", "file:///etc/passwd"),
        _ => Reply::new("301 Moved", Vec::new()).with("Location", &to),
    });
    let error = refusal(bench.pull(&server.url("/loop"), "unknown"));
    assert!(error.contains("more than 8 redirects"), "{error}");
    let error = refusal(bench.pull(&server.url("/away"), "unknown"));
    assert!(error.contains("away from TLS"), "{error}");
    bench.pull(&server.url("/street.onnx"), &bench.right()).expect("pulled");
    assert!(bench.is_stored());
    assert!(files.requests()[0].starts_with("GET /real.onnx"));
}

#[test]
fn a_file_that_is_too_large_is_not_taken() {
    let mut bench = Bench::new();
    bench.network.client.limit = 1_000_000;
    let server = Server::files(&bench.content);
    let error = refusal(bench.pull(&server.url("/street.onnx"), "unknown"));
    assert!(error.contains("more than the 1000000 bytes"), "{error}");
    // The same where the server does not say how much it sends.
    let content = bench.content.clone();
    let silent = Server::start(move |_, _| Reply::whole(&content).without_length());
    let error = refusal(bench.pull(&silent.url("/street.onnx"), "unknown"));
    assert!(error.contains("more than the 1000000 bytes"), "{error}");
    assert!(bench.is_empty());
}

#[test]
fn the_proxy_of_the_environment_is_used() {
    let bench = Bench::new();
    let files = Server::files(&bench.content);
    let proxy = server::Proxy::start(files.address());
    let through = proxy.url();
    let network = Network::new(&move |name| (name == "http_proxy").then(|| through.clone()));
    let bench = Bench { network, ..bench };
    // The name does not exist: only the proxy knows where it leads.
    bench.pull("http://models.invalid/street.onnx", &bench.right()).expect("pulled");
    assert!(bench.is_stored());
    assert_eq!(proxy.asked(), ["models.invalid:80"]);
}

#[test]
fn two_at_once_do_not_mix() {
    let bench = Bench::new();
    let directory = bench.store.directory().join(DOWNLOADS);
    fs::create_dir_all(&directory).expect("a directory");
    let _lock = Lock::wait(&directory.join("street.lock")).expect("locked");
    let error = refusal(bench.pull("http://127.0.0.1:9/x", "unknown"));
    assert!(error.contains("another egret"), "{error}");
}
