//! One file over HTTP: resumed where it broke off, bounded, through a proxy, TLS verified.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use ureq::{
    Agent, Body, Proxy,
    http::{Response, header},
    tls::{Certificate, RootCerts, TlsConfig, TlsProvider},
};
use url::Url;

use super::{StoreError, proxy::Proxies};

/// Redirects that are followed.
const MAX_HOPS: usize = 8;
/// Attempts in a row that bring nothing.
const MAX_BARREN: usize = 2;

/// How the network is reached.
#[derive(Clone, Debug)]
pub(super) struct Client {
    pub(super) proxies: Proxies,
    pub(super) authorities: Authorities,
    /// Longest time without a byte.
    pub(super) patience: Duration,
    /// Largest file.
    pub(super) limit: u64,
}

/// Who signs for servers: what `SSL_CERT_FILE` and `SSL_CERT_DIR` name, else the authorities of the system.
#[derive(Clone, Debug)]
pub(super) struct Authorities {
    file: Option<PathBuf>,
    directory: Option<PathBuf>,
}

impl Authorities {
    pub(super) fn of(variable: &dyn Fn(&str) -> Option<String>) -> Self {
        let path = |name| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        Self { file: path("SSL_CERT_FILE"), directory: path("SSL_CERT_DIR") }
    }

    /// Their certificates; `Err`: why there are none.
    fn certificates(&self) -> Result<Vec<Certificate<'static>>, String> {
        let named = self.file.is_some() || self.directory.is_some();
        let found = if named {
            rustls_native_certs::load_certs_from_paths(self.file.as_deref(), self.directory.as_deref())
        } else {
            rustls_native_certs::load_native_certs()
        };
        if found.certs.is_empty() {
            let places = [("SSL_CERT_FILE", &self.file), ("SSL_CERT_DIR", &self.directory)];
            let places = places.iter().filter_map(|(name, path)| Some(format!("{name} {}", path.as_ref()?.display())));
            let place = if named { places.collect::<Vec<_>>().join(" and ") } else { "the system".to_owned() };
            let error = found.errors.first().map_or_else(String::new, |error| format!(" ({error})"));
            return Err(format!("{place} has no certificate authorities{error}"));
        }
        Ok(found.certs.iter().map(|certificate| Certificate::from_der(certificate).to_owned()).collect())
    }
}

/// Where a `.part` file comes from: it is continued only from there.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Origin {
    url: String,
    /// A strong `ETag`, or `Last-Modified`: what `If-Range` wants.
    validator: Option<String>,
}

/// Why one attempt ended.
enum Failure {
    /// The connection broke: another attempt goes on from there.
    Broken(StoreError),
    Final(StoreError),
}

/// Progress: bytes so far, and in all where the server says it.
pub(super) type Progress<'p> = &'p mut dyn FnMut(u64, Option<u64>);

impl Client {
    /// Downloads `url` to `part`, going on where an earlier download broke off, and returns how many bytes were there already.
    /// `certain`: a checksum tells afterwards whether both halves are of one file, so that no validator is needed.
    pub(super) fn download(&self, url: &str, part: &Path, certain: bool, progress: Progress<'_>) -> Result<u64, StoreError> {
        let kept = self.kept(url, part, certain).1;
        let mut barren = 0;
        loop {
            let before = len(part);
            match self.attempt(url, part, certain, progress) {
                Ok(()) => return Ok(kept),
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Broken(error)) => {
                    barren = if len(part) > before { 0 } else { barren + 1 };
                    if barren == MAX_BARREN {
                        return Err(error);
                    }
                }
            }
        }
    }

    /// What of an earlier download can be continued: its origin and its length.
    fn kept(&self, url: &str, part: &Path, certain: bool) -> (Option<Origin>, u64) {
        let origin = fs::read(origin_of(part)).ok().and_then(|text| serde_json::from_slice::<Origin>(&text).ok());
        let same = origin.filter(|origin| origin.url == url && (certain || origin.validator.is_some()));
        let length = if same.is_some() { len(part) } else { 0 };
        (same, if length <= self.limit { length } else { 0 })
    }

    fn attempt(&self, url: &str, part: &Path, certain: bool, progress: Progress<'_>) -> Result<(), Failure> {
        let (origin, offset) = self.kept(url, part, certain);
        let validator = origin.and_then(|origin| origin.validator);
        let mut response = self.ask(url, offset, validator.as_deref()).map_err(Failure::Final)?;
        let status = response.status().as_u16();
        let total = match status {
            200 => response.body().content_length(),
            206 => match content_range(&response) {
                Some((start, total)) if start == offset => total,
                _ => return Err(start_again(url, part, "it sent another part than was asked for")),
            },
            // Nothing is left to send, or the file is another one now.
            416 if content_range_total(&response) == Some(offset) => return Ok(()),
            416 => return Err(start_again(url, part, "it has no such part of the file")),
            _ => return Err(Failure::Final(refused(url, status))),
        };
        if total.is_some_and(|total| total > self.limit) {
            return Err(Failure::Final(self.too_large(url)));
        }
        let offset = if status == 206 { offset } else { 0 };
        let mut file = open(url, part, offset, &response).map_err(Failure::Final)?;
        self.copy(url, (&mut response, &mut file, part), offset, total, progress)
    }

    fn copy(
        &self,
        url: &str,
        (response, file, part): (&mut Response<Body>, &mut File, &Path),
        offset: u64,
        total: Option<u64>,
        progress: Progress<'_>,
    ) -> Result<(), Failure> {
        let broken = |reason: String| {
            Failure::Broken(StoreError::Download {
                url: shown(url),
                reason,
                remedy: "run the same command again: it goes on from there; a file that always ends early is broken at its source",
            })
        };
        let mut done = offset;
        let mut body = response.body_mut().with_config().limit(u64::MAX).reader();
        let mut buffer = vec![0; 1 << 16];
        progress(done, total);
        loop {
            let count = match body.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) => return Err(broken(format!("the connection broke after {done} bytes: {error}"))),
            };
            done += count as u64;
            if done > self.limit {
                forget(part);
                return Err(Failure::Final(self.too_large(url)));
            }
            let written = file.write_all(&buffer[..count]);
            written.map_err(|source| Failure::Final(StoreError::File { path: part.to_owned(), source }))?;
            progress(done, total);
        }
        if let Some(total) = total.filter(|total| *total != done) {
            return Err(broken(format!("{done} bytes came of {total}")));
        }
        file.sync_all().map_err(|source| Failure::Final(StoreError::File { path: part.to_owned(), source }))
    }

    /// Sends the request and follows redirects.
    fn ask(&self, url: &str, offset: u64, validator: Option<&str>) -> Result<Response<Body>, StoreError> {
        let fail = |url: &str, reason: String, remedy| StoreError::Download { url: shown(url), reason, remedy };
        let parse =
            |text: &str| Url::parse(text).map_err(|error| fail(text, error.to_string(), "correct the url in the manifest"));
        let mut at = parse(url)?;
        for _ in 0..MAX_HOPS {
            let mut request = self.agent(&at)?.get(at.as_str());
            if offset > 0 {
                request = request.header(header::RANGE, format!("bytes={offset}-"));
                if let Some(validator) = validator {
                    request = request.header(header::IF_RANGE, validator);
                }
            }
            let remedy = "check the network, the proxy (https_proxy, http_proxy, no_proxy) and the address; `egret model add` takes a file \
                          that was downloaded elsewhere";
            let response = request.call().map_err(|error| {
                let remedy = if distrusted(&error) { DISTRUSTED } else { remedy };
                fail(at.as_str(), error.to_string(), remedy)
            })?;
            let moved = matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308);
            let location = response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
            let Some(location) = location.filter(|_| moved) else { return Ok(response) };
            let next =
                at.join(location).map_err(|error| fail(at.as_str(), format!("redirected to {location}: {error}"), remedy))?;
            let plain = at.scheme() == "https" && next.scheme() != "https";
            if plain || !matches!(next.scheme(), "http" | "https") {
                let reason = format!("redirected to {}, away from TLS", shown(next.as_str()));
                return Err(fail(at.as_str(), reason, "write an address in the manifest that stays with https"));
            }
            at = next;
        }
        Err(fail(url, format!("more than {MAX_HOPS} redirects"), "correct the url in the manifest"))
    }

    fn agent(&self, url: &Url) -> Result<Agent, StoreError> {
        let proxy = match self.proxies.of_url(url) {
            None => None,
            Some(proxy) => Some(Proxy::new(proxy).map_err(|error| StoreError::Download {
                url: shown(url.as_str()),
                reason: format!("the proxy {} cannot be used: {error}", shown(proxy)),
                remedy: "write http://host:port into https_proxy or http_proxy",
            })?),
        };
        let mut config = Agent::config_builder()
            .proxy(proxy)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .timeout_resolve(Some(self.patience))
            .timeout_connect(Some(self.patience))
            .timeout_per_read(Some(self.patience))
            .user_agent(concat!("egret/", env!("CARGO_PKG_VERSION")));
        if url.scheme() == "https" {
            config = config.tls_config(self.tls(url)?);
        }
        Ok(config.build().new_agent())
    }

    /// rustls with ring; certificates are always verified.
    fn tls(&self, url: &Url) -> Result<TlsConfig, StoreError> {
        let roots = self.authorities.certificates().map_err(|reason| StoreError::Download {
            url: shown(url.as_str()),
            reason,
            remedy: "install ca-certificates, or name a PEM file of certificates in SSL_CERT_FILE",
        })?;
        let config = TlsConfig::builder()
            .provider(TlsProvider::Rustls)
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .root_certs(RootCerts::new_with_certs(&roots));
        Ok(config.build())
    }

    fn too_large(&self, url: &str) -> StoreError {
        let reason = format!("the file has more than the {} bytes that are read of a network", self.limit);
        StoreError::Download { url: shown(url), reason, remedy: "use a smaller network, or correct the url in the manifest" }
    }
}

const DISTRUSTED: &str = "nothing was downloaded: if the server or a proxy that reads along has an authority of its own, name that \
                          authority's certificate in SSL_CERT_FILE (PEM); else somebody else answers in the server's place";

/// Whether a request failed because the server's certificate is not trusted.
fn distrusted(error: &ureq::Error) -> bool {
    let of_tls = match error {
        ureq::Error::Rustls(error) => Some(error),
        ureq::Error::Io(error) => error.get_ref().and_then(|inner| inner.downcast_ref()),
        _ => None,
    };
    matches!(of_tls, Some(rustls::Error::InvalidCertificate(_)))
}

/// The `.part` file, cut to what is kept of it, and its origin beside it.
fn open(url: &str, part: &Path, offset: u64, response: &Response<Body>) -> Result<File, StoreError> {
    let failed = |source| StoreError::File { path: part.to_owned(), source };
    if offset == 0 {
        let text = |name: header::HeaderName| response.headers().get(name).and_then(|value| value.to_str().ok());
        let validator = text(header::ETAG).filter(|tag| !tag.starts_with("W/")).or_else(|| text(header::LAST_MODIFIED));
        let origin = Origin { url: url.to_owned(), validator: validator.map(ToOwned::to_owned) };
        let json = serde_json::to_vec(&origin).map_err(|error| failed(error.into()))?;
        fs::write(origin_of(part), json).map_err(failed)?;
    }
    let file = OpenOptions::new().create(true).write(true).truncate(false).open(part).map_err(failed)?;
    file.set_len(offset).map_err(failed)?;
    let mut file = file;
    io::Seek::seek(&mut file, io::SeekFrom::End(0)).map_err(failed)?;
    Ok(file)
}

/// Nothing of what came can be continued.
fn start_again(url: &str, part: &Path, reason: &str) -> Failure {
    forget(part);
    let remedy = "run the same command again: it starts from the beginning";
    Failure::Broken(StoreError::Download { url: shown(url), reason: reason.to_owned(), remedy })
}

fn refused(url: &str, status: u16) -> StoreError {
    let remedy = match status {
        401 | 403 => "the file wants a login: download it in a browser and use `egret model add`",
        404 | 410 => "the file is not there any more: look for it at the model's `source` and correct the url",
        407 => "the proxy wants a login: write http://user:password@host:port into https_proxy",
        _ => "try again later, or download it elsewhere and use `egret model add`",
    };
    StoreError::Download { url: shown(url), reason: format!("the server answers {status}"), remedy }
}

/// Start and total of `Content-Range: bytes 500-999/1000`.
fn content_range(response: &Response<Body>) -> Option<(u64, Option<u64>)> {
    let value = response.headers().get(header::CONTENT_RANGE)?.to_str().ok()?;
    let (range, total) = value.strip_prefix("bytes ")?.split_once('/')?;
    Some((range.split_once('-')?.0.parse().ok()?, total.parse().ok()))
}

/// Total of `Content-Range: bytes */1000`.
fn content_range_total(response: &Response<Body>) -> Option<u64> {
    let value = response.headers().get(header::CONTENT_RANGE)?.to_str().ok()?;
    value.strip_prefix("bytes */")?.parse().ok()
}

pub(super) fn origin_of(part: &Path) -> std::path::PathBuf {
    part.with_added_extension("origin")
}

/// Removes what came so far.
pub(super) fn forget(part: &Path) {
    let _ = (fs::remove_file(part), fs::remove_file(origin_of(part)));
}

fn len(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |metadata| metadata.len())
}

/// An address without its password.
pub(super) fn shown(url: &str) -> String {
    match Url::parse(url) {
        Ok(mut url) if url.password().is_some() => {
            let _ = url.set_password(Some("***"));
            url.to_string()
        }
        _ => url.to_owned(),
    }
}
