//! The application: keeps every request byte for byte, and answers as it is told.

use super::{PATIENCE, eventually};
use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) request_line: String,
    /// Name and value, in their order.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Received {
    /// Every value of a header, whose name is compared without its case.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        let named = self.headers.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_str()).collect()
    }

    /// The value of a header that is there once.
    pub(crate) fn header(&self, name: &str) -> &str {
        match self.all(name)[..] {
            [value] => value,
            ref values => panic!("{name} is there {} times: {self:?}", values.len()),
        }
    }
}

/// What the application does about a request.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// Sends these bytes, and keeps the connection.
    Raw(String),
    /// Sends these bytes, and closes the connection.
    Last(String),
    /// Answers 200, and closes the connection without having said so.
    Stale,
    /// Sends these bytes after a while, and keeps the connection.
    Late(Duration, String),
}

impl Reply {
    pub(crate) fn ok(body: &str) -> Self {
        Self::Raw(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nX-App: yes\r\n\r\n{body}", body.len()))
    }
}

#[derive(Default)]
struct State {
    received: Mutex<Vec<Received>>,
    replies: Mutex<VecDeque<Reply>>,
    connections: AtomicUsize,
}

/// The application.
pub(crate) struct Origin {
    state: Arc<State>,
    pub(crate) url: String,
}

impl Origin {
    pub(crate) fn spawn() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address: SocketAddr = listener.local_addr().unwrap();
        let origin = Self { state: Arc::default(), url: format!("http://{address}") };
        let state = origin.state.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                state.serve_in_background(stream);
            }
        });
        origin
    }

    pub(crate) fn spawn_on_socket(path: &Path) -> Self {
        let listener = UnixListener::bind(path).unwrap();
        let origin = Self { state: Arc::default(), url: format!("unix:{}", path.display()) };
        let state = origin.state.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                state.serve_in_background(stream);
            }
        });
        origin
    }

    /// What it does about the next requests, in their order; after that, and without, it answers 200.
    pub(crate) fn will(&self, replies: impl IntoIterator<Item = Reply>) {
        self.state.replies.lock().unwrap().extend(replies);
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.state.received.lock().unwrap().clone()
    }

    /// The one request it received.
    pub(crate) fn received_one(&self) -> Received {
        match &self.received()[..] {
            [one] => one.clone(),
            others => panic!("received {}: {others:?}", others.len()),
        }
    }

    pub(crate) fn received_nothing(&self) {
        assert!(self.received().is_empty(), "{:?}", self.received());
    }

    pub(crate) fn wait_for(&self, count: usize) -> Vec<Received> {
        eventually("a request at the application", || Some(self.received()).filter(|all| all.len() >= count))
    }

    /// How many connections were made to it.
    pub(crate) fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }
}

impl State {
    fn serve_in_background<S: Read + Write + Send + 'static>(self: &Arc<Self>, stream: S) {
        self.connections.fetch_add(1, Ordering::SeqCst);
        let state = self.clone();
        // An error is the end of the connection.
        thread::spawn(move || state.serve(stream).ok());
    }

    fn serve<S: Read + Write>(&self, mut stream: S) -> std::io::Result<()> {
        let mut bytes = Vec::new();
        while let Some(received) = read_request(&mut stream, &mut bytes)? {
            self.received.lock().unwrap().push(received);
            let reply = self.replies.lock().unwrap().pop_front().unwrap_or_else(|| Reply::ok("ok"));
            match reply {
                Reply::Raw(text) => stream.write_all(text.as_bytes())?,
                Reply::Last(text) => return stream.write_all(text.as_bytes()),
                Reply::Stale => {
                    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")?;
                    return Ok(());
                }
                Reply::Late(delay, text) => {
                    thread::sleep(delay.min(PATIENCE));
                    stream.write_all(text.as_bytes())?;
                }
            }
        }
        Ok(())
    }
}

/// Reads a request with a Content-Length; the proxy sends no others.
fn read_request(stream: &mut impl Read, bytes: &mut Vec<u8>) -> std::io::Result<Option<Received>> {
    let mut buffer = [0; 65536];
    loop {
        if let Some((received, length)) = parse(bytes) {
            bytes.drain(..length);
            return Ok(Some(received));
        }
        match stream.read(&mut buffer)? {
            0 => return Ok(None),
            read => bytes.extend_from_slice(&buffer[..read]),
        }
    }
}

fn parse(bytes: &[u8]) -> Option<(Received, usize)> {
    let head_length = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&bytes[..head_length - 4]).into_owned();
    let mut lines = head.split("\r\n");
    let request_line = lines.next()?.to_owned();
    let headers: Vec<(String, String)> =
        lines.filter_map(|line| line.split_once(": ")).map(|(name, value)| (name.into(), value.into())).collect();
    let length = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let length: usize = length.map_or(0, |(_, value)| value.parse().unwrap());
    let body = bytes.get(head_length..head_length + length)?.to_vec();
    Some((Received { request_line, headers, body }, head_length + length))
}
