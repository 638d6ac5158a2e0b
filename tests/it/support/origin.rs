//! The application: keeps every request byte for byte, and answers as it is told.

use super::{PATIENCE, eventually, strict};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::collections::{HashMap, VecDeque};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU16, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
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
        let named = self
            .headers
            .iter()
            .filter(|(other, _)| other.eq_ignore_ascii_case(name));
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
    /// Sends these bytes once it is told to, and keeps the connection.
    When(Arc<Mutex<mpsc::Receiver<()>>>, String),
}

impl Reply {
    pub(crate) fn ok(body: &str) -> Self {
        Self::Raw(format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nX-App: yes\r\n\r\n{body}",
            body.len()
        ))
    }

    /// [`Reply::ok`], once something is sent to what is returned with it.
    pub(crate) fn when_told(body: &str) -> (mpsc::Sender<()>, Self) {
        let (tell, told) = mpsc::channel();
        let text = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        (tell, Self::When(Arc::new(Mutex::new(told)), text))
    }
}

/// What a health check asks for; it is answered apart from everything else.
const HEALTH: &str = "/healthz";

#[derive(Default)]
struct State {
    received: Mutex<Vec<Received>>,
    replies: Mutex<VecDeque<Reply>>,
    /// How many milliseconds an answer takes that is not among them.
    delay: AtomicU64,
    connections: AtomicUsize,
    /// What [`HEALTH`] is answered with; 0 is 200.
    health: AtomicU16,
    /// The only host under which it answers them, if it is particular.
    only_host: Mutex<Option<String>>,
    checks: Mutex<Vec<Received>>,
    /// The names that TLS clients asked for.
    server_names: Mutex<Vec<String>>,
    is_stopped: AtomicBool,
    /// It does not mind what a strict application would.
    is_lenient: AtomicBool,
    /// What it minded.
    complaints: Mutex<Vec<String>>,
    /// Requests by their source.
    open: Mutex<HashMap<SocketAddr, TcpStream>>,
}

/// Where another process may listen: no other one takes the port meanwhile, for the address is its
/// own.
pub(crate) fn free_address() -> SocketAddr {
    TcpListener::bind((own_address(), 0))
        .unwrap()
        .local_addr()
        .unwrap()
}

/// An address of this machine that nothing else here uses.
fn own_address() -> Ipv4Addr {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let [_, _, high, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, high | 1, low, NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Resets a connection, whatever else holds it.
pub(crate) fn reset(connection: &TcpStream) {
    // An error says that it has ended.
    let _ = rustix::net::connect_unspec(connection);
}

/// The application.
pub(crate) struct Origin {
    state: Arc<State>,
    pub(crate) url: String,
    address: Option<SocketAddr>,
    tls: Option<Arc<ServerConfig>>,
}

impl Origin {
    pub(crate) fn spawn() -> Self {
        Self::listen(Ipv4Addr::LOCALHOST, None)
    }

    /// One at an address of this machine.
    pub(crate) fn spawn_at(address: Ipv4Addr) -> Self {
        Self::listen(address, None)
    }

    /// This one, taking what clients and other proxies say, HTTP/1.0 and `Connection: close`
    /// included. The others end their test with what a strict application would not take.
    pub(crate) fn lenient(self) -> Self {
        self.state.is_lenient.store(true, Ordering::SeqCst);
        self
    }

    /// One that can be stopped and started again: no other process takes its port meanwhile, for its
    /// address is its own.
    pub(crate) fn spawn_apart() -> Self {
        Self::listen(own_address(), None)
    }

    /// Likewise, on the port of `other`.
    pub(crate) fn spawn_beside(other: &Self) -> Self {
        Self::accepting(
            TcpListener::bind((own_address(), other.address().port())).unwrap(),
            None,
        )
    }

    /// Where it listens, by TCP.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address.expect("it listens on TCP")
    }

    /// One that speaks TLS.
    pub(crate) fn spawn_tls(config: ServerConfig) -> Self {
        Self::listen(Ipv4Addr::LOCALHOST, Some(Arc::new(config)))
    }

    fn listen(address: Ipv4Addr, tls: Option<Arc<ServerConfig>>) -> Self {
        Self::accepting(TcpListener::bind((address, 0)).unwrap(), tls)
    }

    fn accepting(listener: TcpListener, tls: Option<Arc<ServerConfig>>) -> Self {
        let address = listener.local_addr().unwrap();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let origin = Self {
            state: Arc::default(),
            url: format!("{scheme}://{address}"),
            address: Some(address),
            tls,
        };
        origin.accept_on(listener);
        origin
    }

    fn accept_on(&self, listener: TcpListener) {
        let (state, tls) = (self.state.clone(), self.tls.clone());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if state.is_stopped.load(Ordering::SeqCst) {
                    return;
                }
                let (Ok(peer), Ok(handle)) = (stream.peer_addr(), stream.try_clone()) else {
                    continue;
                };
                state.open.lock().unwrap().insert(peer, handle);
                let (state, tls) = (state.clone(), tls.clone());
                thread::spawn(move || {
                    // An error is the end of the connection.
                    let _ = match tls {
                        None => state.connected(stream),
                        Some(tls) => state.handshake(stream, tls),
                    };
                    state.open.lock().unwrap().remove(&peer);
                });
            }
        });
    }

    /// Ends as a process does that closes what it has: nothing listens any more, and every
    /// connection is closed.
    pub(crate) fn stop(&self) {
        self.end(|connection| {
            let _ = connection.shutdown(Shutdown::Both);
        });
    }

    /// Ends as a process does that is killed with requests unread: nothing listens any more, and
    /// every connection is reset.
    pub(crate) fn kill(&self) {
        self.end(reset);
    }

    fn end(&self, cut: impl Fn(&TcpStream)) {
        self.state.is_stopped.store(true, Ordering::SeqCst);
        let cut_all = || {
            self.state
                .open
                .lock()
                .unwrap()
                .drain()
                .for_each(|(_, connection)| cut(&connection))
        };
        // At once, with the requests that are being answered.
        cut_all();
        let address = self.address();
        // Wakes the thread that accepts, which then drops the listener.
        let _ = TcpStream::connect(address);
        eventually("the end of an application", || {
            TcpStream::connect(address).is_err().then_some(())
        });
        // Whatever was accepted meanwhile.
        cut_all();
    }

    /// Listens again, where it did.
    pub(crate) fn start(&self) {
        let address = self.address();
        let listener = eventually("an address to listen on", || {
            TcpListener::bind(address).ok()
        });
        self.state.is_stopped.store(false, Ordering::SeqCst);
        self.accept_on(listener);
    }

    pub(crate) fn spawn_on_socket(path: &Path) -> Self {
        let listener = UnixListener::bind(path).unwrap();
        let url = format!("unix:{}", path.display());
        let origin = Self {
            state: Arc::default(),
            url,
            address: None,
            tls: None,
        };
        let state = origin.state.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = state.clone();
                thread::spawn(move || state.connected(stream));
            }
        });
        origin
    }

    /// What it does about the next requests, in their order; after that, and without, it answers
    /// 200.
    pub(crate) fn will(&self, replies: impl IntoIterator<Item = Reply>) {
        self.state.replies.lock().unwrap().extend(replies);
    }

    /// Answers the next requests as every other, whatever was said before.
    pub(crate) fn forget_replies(&self) {
        self.state.replies.lock().unwrap().clear();
    }

    /// Takes so long for each answer, from now on.
    pub(crate) fn answers_after(&self, delay: Duration) {
        let millis = u64::try_from(delay.as_millis()).unwrap();
        self.state.delay.store(millis, Ordering::SeqCst);
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.minds_nothing();
        self.state.received.lock().unwrap().clone()
    }

    /// Nothing that came is what a strict application would not take.
    fn minds_nothing(&self) {
        let complaints = self.state.complaints.lock().unwrap().clone();
        assert!(
            complaints.is_empty(),
            "a strict application refuses this: {complaints:?}"
        );
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
        eventually("a request at the application", || {
            Some(self.received()).filter(|all| all.len() >= count)
        })
    }

    /// How many connections were made to it.
    pub(crate) fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }

    /// What it answers health checks with from now on.
    pub(crate) fn answers_checks_with(&self, status: u16) {
        self.state.health.store(status, Ordering::SeqCst);
    }

    /// How many health checks it was asked.
    pub(crate) fn checks(&self) -> usize {
        self.state.checks.lock().unwrap().len()
    }

    /// The next health check that it is asked.
    pub(crate) fn next_check(&self) -> Received {
        let before = self.checks();
        eventually("a health check", || {
            self.state.checks.lock().unwrap().get(before).cloned()
        })
    }

    /// Answers 400 to health checks under any other host from now on, as Django does.
    pub(crate) fn only_answers_checks_as(&self, host: &str) {
        *self.state.only_host.lock().unwrap() = Some(host.to_owned());
    }

    /// The names that TLS clients asked for.
    pub(crate) fn server_names(&self) -> Vec<String> {
        self.state.server_names.lock().unwrap().clone()
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        if !thread::panicking() {
            self.minds_nothing();
        }
    }
}

impl State {
    fn handshake(&self, mut stream: TcpStream, config: Arc<ServerConfig>) -> std::io::Result<()> {
        let mut tls = ServerConnection::new(config).map_err(std::io::Error::other)?;
        tls.complete_io(&mut stream)?;
        self.server_names
            .lock()
            .unwrap()
            .push(tls.server_name().unwrap_or_default().to_owned());
        self.connected(StreamOwned::new(tls, stream))
    }

    fn connected<S: Read + Write>(&self, stream: S) -> std::io::Result<()> {
        self.connections.fetch_add(1, Ordering::SeqCst);
        self.serve(stream)
    }

    fn serve<S: Read + Write>(&self, mut stream: S) -> std::io::Result<()> {
        let mut bytes = Vec::new();
        while let Some((received, head)) = read_request(&mut stream, &mut bytes)? {
            if received.request_line == format!("GET {HEALTH} HTTP/1.1") {
                let is_known = self
                    .only_host
                    .lock()
                    .unwrap()
                    .as_ref()
                    .is_none_or(|host| received.header("Host") == host);
                let status = if is_known {
                    self.health.load(Ordering::SeqCst).max(200)
                } else {
                    400
                };
                self.checks.lock().unwrap().push(received);
                write!(
                    stream,
                    "HTTP/1.1 {status} Health\r\nContent-Length: 0\r\n\r\n"
                )?;
                continue;
            }
            if !self.is_lenient.load(Ordering::SeqCst) {
                self.complaints
                    .lock()
                    .unwrap()
                    .extend(strict::complaint(&head));
            }
            self.received.lock().unwrap().push(received);
            let reply = self.replies.lock().unwrap().pop_front();
            let reply = reply.unwrap_or_else(|| {
                thread::sleep(Duration::from_millis(self.delay.load(Ordering::SeqCst)));
                Reply::ok("ok")
            });
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
                Reply::When(told, text) => {
                    // An error says that the test is over.
                    let _ = told.lock().unwrap().recv_timeout(PATIENCE);
                    stream.write_all(text.as_bytes())?;
                }
            }
        }
        Ok(())
    }
}

/// Reads a request with a Content-Length; the proxy sends no others.
fn read_request(
    stream: &mut impl Read,
    bytes: &mut Vec<u8>,
) -> std::io::Result<Option<(Received, String)>> {
    let mut buffer = [0; 65536];
    loop {
        if let Some((received, head, length)) = parse(bytes) {
            bytes.drain(..length);
            return Ok(Some((received, head)));
        }
        match stream.read(&mut buffer)? {
            0 => return Ok(None),
            read => bytes.extend_from_slice(&buffer[..read]),
        }
    }
}

fn parse(bytes: &[u8]) -> Option<(Received, String, usize)> {
    let head_length = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&bytes[..head_length - 4]).into_owned();
    let mut lines = head.split("\r\n");
    let request_line = lines.next()?.to_owned();
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.into(), value.into()))
        .collect();
    let length = headers
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let length: usize = length.map_or(0, |(_, value)| value.parse().unwrap());
    let body = bytes.get(head_length..head_length + length)?.to_vec();
    Some((
        Received {
            request_line,
            headers,
            body,
        },
        head,
        head_length + length,
    ))
}
