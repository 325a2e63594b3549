//! A client of the local listener, as small as the listener is: one GET, one answer, then the connection ends.

use std::{io, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use url::Url;

/// The whole exchange may take this long.
const DEADLINE: Duration = Duration::from_secs(20);
/// An answer may be this long.
const LONGEST: u64 = 64 << 20;

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// Header lines as they came.
    pub headers: String,
    /// The text.
    pub body: String,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum GetError {
    /// Only plain `http` is spoken.
    #[error("{url}: not an http:// address with a host")]
    Address {
        /// What was given.
        url: String,
    },
    /// Nothing listens there, or the connection broke.
    #[error("no egret answers at {authority}: {source}")]
    Connection {
        /// Host and port.
        authority: String,
        /// The operating system's words.
        source: io::Error,
    },
    /// Something else answers.
    #[error("what answers at {authority} does not speak HTTP, or says too much")]
    Answer {
        /// Host and port.
        authority: String,
    },
}

/// Gets `url`.
///
/// # Errors
/// [`GetError`]. An HTTP status other than 200 is an answer, no error.
pub async fn get(url: &Url) -> Result<Reply, GetError> {
    let (Some(host), Some(port), "http") = (url.host_str(), url.port_or_known_default(), url.scheme()) else {
        return Err(GetError::Address { url: url.to_string() });
    };
    let authority = format!("{host}:{port}");
    let exchange = tokio::time::timeout(DEADLINE, exchange(&authority, url.path())).await;
    let text = match exchange.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
        Ok(text) => text,
        Err(source) => return Err(GetError::Connection { authority, source }),
    };
    parse(&text).ok_or(GetError::Answer { authority })
}

/// HTTP/1.0, so that the answer is neither chunked nor kept open.
async fn exchange(authority: &str, path: &str) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(authority).await?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: {authority}\r\nAccept: */*\r\n\r\n").as_bytes()).await?;
    let mut text = Vec::new();
    stream.take(LONGEST + 1).read_to_end(&mut text).await?;
    Ok(text)
}

fn parse(text: &[u8]) -> Option<Reply> {
    if text.len() as u64 > LONGEST {
        return None;
    }
    let text = std::str::from_utf8(text).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let (line, headers) = head.split_once("\r\n").unwrap_or((head, ""));
    let status = line.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
    Some(Reply { status, headers: headers.to_owned(), body: body.to_owned() })
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn nobody_listens() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/graph", listener.local_addr().expect("bound"));
        drop(listener);
        let error = get(&url.parse().expect("a URL")).await.expect_err("nobody is there");
        assert!(error.to_string().starts_with("no egret answers at 127.0.0.1:"), "{error}");
    }

    #[tokio::test]
    async fn another_protocol_answers() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url: Url = format!("http://{}/graph", listener.local_addr().expect("bound")).parse().expect("a URL");
        let server = async {
            let (mut peer, _) = listener.accept().await.expect("a client");
            let mut request = [0; 1024];
            let _ = peer.read(&mut request).await;
            peer.write_all(b"220 mail.example ESMTP\r\n\r\n").await.expect("sent");
        };
        let (answer, ()) = tokio::join!(get(&url), server);
        assert!(matches!(answer, Err(GetError::Answer { .. })), "{answer:?}");
    }

    #[tokio::test]
    async fn other_schemes_are_refused() {
        for url in ["https://localhost/graph", "unix:/run/egret"] {
            assert!(matches!(get(&url.parse().expect("a URL")).await, Err(GetError::Address { .. })), "{url}");
        }
    }
}
