//! A small HTTP server and a CONNECT proxy, on ports of the system's choice.

use std::{
    io::{self, BufRead as _, BufReader, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// What is sent back.
pub(super) struct Reply {
    status: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    /// Bytes of the body after which the connection breaks.
    cut: Option<usize>,
    length: bool,
}

impl Reply {
    pub(super) fn new(status: &str, body: Vec<u8>) -> Self {
        Self { status: status.to_owned(), headers: Vec::new(), body, cut: None, length: true }
    }

    pub(super) fn whole(content: &[u8]) -> Self {
        Self::new("200 OK", content.to_vec()).with("ETag", "\"v1\"")
    }

    /// What a server that knows ranges answers.
    pub(super) fn ranged(request: &str, content: &[u8]) -> Self {
        let range = request.lines().find_map(|line| line.strip_prefix("range: bytes=")).and_then(|range| range.strip_suffix('-'));
        match range.and_then(|start| start.parse::<usize>().ok()) {
            Some(start) if start < content.len() => {
                let range = format!("bytes {start}-{}/{}", content.len() - 1, content.len());
                Self::new("206 Partial Content", content[start..].to_vec()).with("Content-Range", range)
            }
            Some(_) => {
                Self::new("416 Range Not Satisfiable", Vec::new()).with("Content-Range", format!("bytes */{}", content.len()))
            }
            None => Self::whole(content),
        }
    }

    pub(super) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Another `ETag`, or none.
    pub(super) fn tagged(mut self, tag: &str) -> Self {
        self.headers.retain(|(name, _)| name != "ETag");
        if tag.is_empty() { self } else { self.with("ETag", format!("\"{tag}\"")) }
    }

    pub(super) fn cut(mut self, after: usize) -> Self {
        self.cut = Some(after);
        self
    }

    pub(super) fn without_length(mut self) -> Self {
        self.length = false;
        self
    }

    fn send(&self, stream: &mut impl io::Write) -> io::Result<()> {
        write!(stream, "HTTP/1.1 {}\r\nConnection: close\r\n", self.status)?;
        if self.length {
            write!(stream, "Content-Length: {}\r\n", self.body.len())?;
        }
        for (name, value) in &self.headers {
            write!(stream, "{name}: {value}\r\n")?;
        }
        stream.write_all(b"\r\n")?;
        stream.write_all(&self.body[..self.cut.unwrap_or(self.body.len())])
    }
}

/// The head of a request: its first line as it is, then its headers in lower case.
fn head(stream: impl io::Read) -> io::Result<String> {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line == "\r\n" {
            return Ok(head);
        }
        head += if head.is_empty() { line } else { line.to_lowercase() }.trim_end();
        head.push('\n');
    }
}

/// Accepts connections on a thread until it is dropped.
struct Listener {
    address: SocketAddr,
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Listener {
    fn start(at: SocketAddr, mut serve: impl FnMut(TcpStream) + Send + 'static) -> Self {
        let listener = TcpListener::bind(at).expect("a port");
        let address = listener.local_addr().expect("bound");
        let ends = Arc::new(AtomicBool::new(false));
        let flag = ends.clone();
        let thread = thread::spawn(move || {
            for stream in listener.incoming() {
                if flag.load(Ordering::SeqCst) {
                    return;
                }
                serve(stream.expect("a connection"));
            }
        });
        Self { address, ends, thread: Some(thread) }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address));
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the server's thread");
        }
    }
}

pub(super) struct Server {
    listener: Listener,
    requests: Arc<Mutex<Vec<String>>>,
}

fn any() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

impl Server {
    /// Answers each request as `answer` says from its head and its number.
    pub(super) fn start(answer: impl Fn(&str, usize) -> Reply + Send + 'static) -> Self {
        Self::start_at(any(), answer)
    }

    fn start_at(at: SocketAddr, answer: impl Fn(&str, usize) -> Reply + Send + 'static) -> Self {
        let requests = Arc::new(Mutex::new(Vec::new()));
        let heard = requests.clone();
        let listener = Listener::start(at, move |mut stream| {
            let Ok(request) = head(&stream) else { return };
            let number = {
                let mut heard = heard.lock().expect("not poisoned");
                heard.push(request.clone());
                heard.len() - 1
            };
            // A client that has heard enough hangs up.
            let _sent = answer(&request, number).send(&mut stream);
        });
        Self { listener, requests }
    }

    /// Serves one file, whole or in parts.
    pub(super) fn files(content: &[u8]) -> Self {
        Self::files_at(any(), content)
    }

    pub(super) fn files_at(at: SocketAddr, content: &[u8]) -> Self {
        let content = content.to_vec();
        Self::start_at(at, move |request, _| Reply::ranged(request, &content))
    }

    /// Serves one file over TLS.
    pub(super) fn tls(content: &[u8], config: Arc<ServerConfig>) -> Self {
        let (content, requests) = (content.to_vec(), Arc::new(Mutex::new(Vec::new())));
        let heard = requests.clone();
        let listener = Listener::start(any(), move |stream| {
            let session = ServerConnection::new(config.clone()).expect("a session");
            let mut stream = StreamOwned::new(session, stream);
            // A client that does not trust the certificate never sends its request.
            let Ok(request) = head(&mut stream) else { return };
            let reply = Reply::ranged(&request, &content);
            heard.lock().expect("not poisoned").push(request);
            reply.send(&mut stream).expect("sent");
            stream.conn.send_close_notify();
            let _closed = stream.flush();
        });
        Self { listener, requests }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.listener.address
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.listener.address)
    }

    pub(super) fn requests(&self) -> Vec<String> {
        self.requests.lock().expect("not poisoned").clone()
    }
}

/// A proxy that leads every CONNECT to one server.
pub(super) struct Proxy {
    listener: Listener,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    pub(super) fn start(to: SocketAddr) -> Self {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let heard = asked.clone();
        let listener = Listener::start(any(), move |mut client| {
            let request = head(&client).expect("a request");
            let target = request.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next()).unwrap_or("?").to_owned();
            heard.lock().expect("not poisoned").push(target);
            client.write_all(b"HTTP/1.1 200 Connected\r\n\r\n").expect("answered");
            let mut server = TcpStream::connect(to).expect("the server");
            let (mut from, mut back) = (client.try_clone().expect("a handle"), server.try_clone().expect("a handle"));
            let up = thread::spawn(move || {
                let _ = io::copy(&mut from, &mut server);
            });
            let _ = io::copy(&mut back, &mut client);
            let _ = client.shutdown(std::net::Shutdown::Both);
            up.join().expect("the other direction");
        });
        Self { listener, asked }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.listener.address)
    }

    pub(super) fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("not poisoned").clone()
    }
}
