//! Pebble, the authority for tests of Let's Encrypt, with a relay in front of it that plays faults.

use super::origin::free_address;
use super::{Pki, eventually, skip_unless_required};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection, StreamOwned};
use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, LazyLock, Mutex};
use std::thread;
use std::time::Duration;

/// A running authority, which ends with this.
pub(crate) struct Pebble {
    server: Child,
    dns: Child,
    listen: SocketAddr,
    dns_address: SocketAddr,
    /// Where names lead, and where validations are made.
    pub(crate) validated: SocketAddr,
    relay: Arc<Relay>,
    setup: Setup,
}

/// How an authority is started.
#[derive(Clone, Default)]
pub(crate) struct Setup {
    /// Seconds for which certificates are valid.
    pub(crate) validity: Option<u32>,
    /// Further profiles. Without one in an order, it takes any.
    pub(crate) profiles: &'static str,
    /// Keys in its configuration.
    pub(crate) more: String,
    pub(crate) variables: Vec<(&'static str, String)>,
}

/// What the relay does with the next request for a path that contains a text.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// Answers itself with this response.
    Answer(String),
    /// Ends this process, before the authority has the request.
    KillBefore(u32),
    /// Ends this process, once the authority has answered; the answer gets lost.
    KillAfter(u32),
    /// Sends SIGUSR2 to this process, and passes the request on.
    Upgrade(u32),
    /// Replaces a text of the first response that has it.
    Rewrite(String, String),
}

struct Relay {
    pki: (Arc<ServerConfig>, Arc<ClientConfig>),
    to: SocketAddr,
    faults: Mutex<Vec<(String, Fault)>>,
    /// The paths that were asked for.
    requests: Mutex<Vec<String>>,
    address: SocketAddr,
    /// Requests wait while this is `true`.
    is_held: (Mutex<bool>, Condvar),
}

impl Pebble {
    /// Starts an authority, unless it is not installed; then the test is skipped with a note.
    pub(crate) fn start(pki: &Pki) -> Option<Self> {
        Self::start_with(pki, Setup::default())
    }

    pub(crate) fn start_with(pki: &Pki, setup: Setup) -> Option<Self> {
        let is_there = |program| {
            let asked = Command::new(program)
                .arg("-help")
                .stderr(Stdio::null())
                .status();
            asked.is_ok()
        };
        if !is_there("pebble") || !is_there("pebble-challtestsrv") {
            skip_unless_required(
                "NWP_REQUIRE_PEBBLE",
                "pebble is not installed, so nothing is issued",
            );
            return None;
        }
        let (validated, dns_address, listen) = (free_address(), free_address(), free_address());
        let dns_address_of = match is_recent() {
            true => ["-doh", "", "-dnsserver"].as_slice(),
            false => &["-dns01"],
        };
        let dns = Command::new("pebble-challtestsrv")
            .args(dns_address_of)
            .arg(dns_address.to_string())
            .args([
                "-defaultIPv4",
                &validated.ip().to_string(),
                "-defaultIPv6",
                "",
            ])
            .args(["-http01", "", "-https01", "", "-tlsalpn01", ""])
            .args(["-management", &free_address().to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self::spawn(pki, &setup, listen, validated, dns_address);
        let relay = Relay::start(pki, listen);
        let pebble = Self {
            server,
            dns,
            listen,
            dns_address,
            validated,
            relay,
            setup,
        };
        eventually("pebble", || TcpStream::connect(listen).ok());
        eventually("names", || TcpStream::connect(dns_address).ok());
        Some(pebble)
    }

    fn spawn(
        pki: &Pki,
        setup: &Setup,
        listen: SocketAddr,
        validated: SocketAddr,
        dns: SocketAddr,
    ) -> Child {
        let path = |name: &str| pki.path().join(name).display().to_string();
        let validity = setup.validity.unwrap_or(90 * 24 * 60 * 60);
        let config = format!(
            "{{\"pebble\": {{\"listenAddress\": \"{listen}\", \"certificate\": {:?}, \"privateKey\": {:?}, \
             \"httpPort\": 1, \"tlsPort\": {}, \"retryAfter\": {{\"authz\": 1, \"order\": 1}}, \
             \"certificateValidityPeriod\": {validity}, \
             \"profiles\": {{\"default\": {{\"description\": \"d\", \"validityPeriod\": {validity}}}{}}}{} }}}}",
            path("server.pem"),
            path("server.key"),
            validated.port(),
            setup.profiles,
            setup.more
        );
        let config = pki.write("pebble.json", &config);
        Command::new("pebble")
            .args(["-dnsserver", &dns.to_string(), "-config"])
            .arg(config)
            .env("PEBBLE_VA_NOSLEEP", "1")
            .env("PEBBLE_WFE_NONCEREJECT", "0")
            .env("PEBBLE_AUTHZREUSE", "0")
            .envs(setup.variables.iter().cloned())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    /// The URL of a path, through the relay.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.relay.address)
    }

    /// The table `tls.acme` for these domains.
    pub(crate) fn acme(&self, domains: &str) -> String {
        format!(
            "acme = {{ domains = {domains}, directory = \"{}\", directory_ca = \"ca.pem\", state = \"state\" }}",
            self.url("/dir")
        )
    }

    /// The next request for a path that contains `path` meets a fault.
    pub(crate) fn plays(&self, path: &str, fault: Fault) {
        self.relay.faults.lock().unwrap().push((path.into(), fault));
    }

    /// Lets requests wait until this is called with `false`.
    pub(crate) fn holds(&self, is_held: bool) {
        *self.relay.is_held.0.lock().unwrap() = is_held;
        self.relay.is_held.1.notify_all();
    }

    /// How many requests there were for paths that contain `path`.
    pub(crate) fn requests(&self, path: &str) -> usize {
        let requests = self.relay.requests.lock().unwrap();
        requests.iter().filter(|asked| asked.contains(path)).count()
    }

    /// Forgets everything, as after a new installation.
    pub(crate) fn restart(&mut self, pki: &Pki) {
        self.server.kill().unwrap();
        self.server.wait().unwrap();
        self.server = Self::spawn(
            pki,
            &self.setup,
            self.listen,
            self.validated,
            self.dns_address,
        );
        let listen = self.listen;
        eventually("pebble", || TcpStream::connect(listen).ok());
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        for child in [&mut self.server, &mut self.dns] {
            // An error says that it has ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Returns `true` if the authority suggests when to renew (RFC 9773), and offers profiles: Debian's
/// stable release has one of 2022, which does not.
pub(crate) fn is_recent() -> bool {
    static IS_RECENT: LazyLock<bool> = LazyLock::new(|| {
        let help = Command::new("pebble-challtestsrv").arg("-help").output();
        help.is_ok_and(|help| String::from_utf8_lossy(&help.stderr).contains("-dnsserver"))
    });
    *IS_RECENT
}

impl Relay {
    fn start(pki: &Pki, to: SocketAddr) -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let relay = Arc::new(Self {
            pki: (
                Arc::new(pki.own_server_config()),
                Arc::new(super::client_config(None, rustls::ALL_VERSIONS)),
            ),
            to,
            faults: Mutex::default(),
            requests: Mutex::default(),
            address: listener.local_addr().unwrap(),
            is_held: Default::default(),
        });
        let serving = relay.clone();
        thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                let relay = serving.clone();
                // A client that has gone is no failure of the test.
                thread::spawn(move || drop(relay.serve(socket)));
            }
        });
        relay
    }

    fn serve(&self, socket: TcpStream) -> io::Result<()> {
        let connection = ServerConnection::new(self.pki.0.clone()).map_err(io::Error::other)?;
        let mut client = BufReader::new(StreamOwned::new(connection, socket));
        let request = read_message(&mut client)?;
        let path = first_line(&request)
            .split(' ')
            .nth(1)
            .unwrap_or_default()
            .to_owned();
        let held = self.is_held.0.lock().unwrap();
        drop(self.is_held.1.wait_while(held, |is_held| *is_held).unwrap());
        self.requests.lock().unwrap().push(path.clone());
        let fault = {
            let mut faults = self.faults.lock().unwrap();
            let found = faults
                .iter()
                .position(|(part, _)| path.contains(part.as_str()));
            found.map(|index| match &faults[index].1 {
                rewrite @ Fault::Rewrite(..) => rewrite.clone(),
                _ => faults.remove(index).1,
            })
        };
        let response = match fault {
            None => self.pass(&request)?,
            Some(Fault::Answer(response)) => response.into_bytes(),
            Some(Fault::KillBefore(process)) => return kill("KILL", process),
            Some(Fault::KillAfter(process)) => {
                self.pass(&request)?;
                return kill("KILL", process);
            }
            Some(Fault::Upgrade(process)) => {
                kill("USR2", process)?;
                self.pass(&request)?
            }
            Some(Fault::Rewrite(from, to)) => {
                let response = self.pass(&request)?;
                let has_text = String::from_utf8_lossy(&response).contains(&from);
                match has_text && self.has_played(&path) {
                    true => rewrite(&response, &from, &to),
                    false => response,
                }
            }
        };
        client.get_mut().write_all(&response)?;
        client.get_mut().conn.send_close_notify();
        client.get_mut().flush()
    }

    /// Removes the next fault of a path, unless another request has met it.
    fn has_played(&self, path: &str) -> bool {
        let mut faults = self.faults.lock().unwrap();
        let found = faults
            .iter()
            .position(|(part, _)| path.contains(part.as_str()));
        found.map(|index| faults.remove(index)).is_some()
    }

    /// The authority's response. It sees the host that the client asked, which is signed.
    fn pass(&self, request: &[u8]) -> io::Result<Vec<u8>> {
        let name = ServerName::try_from("localhost").unwrap();
        let connection =
            ClientConnection::new(self.pki.1.clone(), name).map_err(io::Error::other)?;
        let socket = TcpStream::connect(self.to)?;
        socket.set_read_timeout(Some(Duration::from_secs(10)))?;
        let mut server = BufReader::new(StreamOwned::new(connection, socket));
        let end = request.windows(2).position(|it| it == b"\r\n").unwrap() + 2;
        server.get_mut().write_all(&request[..end])?;
        server.get_mut().write_all(b"Connection: close\r\n")?;
        server.get_mut().write_all(&request[end..])?;
        let is_head = request.starts_with(b"HEAD ");
        match is_head {
            true => read_head(&mut server),
            false => read_message(&mut server),
        }
    }
}

fn kill(signal: &str, process: u32) -> io::Result<()> {
    let status = Command::new("kill")
        .args([&format!("-{signal}"), &process.to_string()])
        .status()?;
    assert!(status.success());
    Ok(())
}

fn first_line(message: &[u8]) -> String {
    let line = message
        .split(|byte| *byte == b'\r')
        .next()
        .unwrap_or_default();
    String::from_utf8_lossy(line).into_owned()
}

fn read_head(stream: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read_until(b'\n', &mut head)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(head)
}

/// A message with its body, of which the length is known.
fn read_message(stream: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let head = read_head(stream)?;
    let lines = String::from_utf8_lossy(&head).into_owned();
    let field = |name: &str| {
        let mut fields = lines.lines().filter_map(|line| line.split_once(": "));
        fields
            .find(|(other, _)| other.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.to_owned())
    };
    if field("transfer-encoding").is_some() {
        let body = read_chunks(stream)?;
        return Ok(with_body(&lines, &body));
    }
    let length = field("content-length").and_then(|length| length.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body)?;
    Ok([head, body].concat())
}

fn read_chunks(stream: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line)?;
        let length = usize::from_str_radix(line.trim(), 16).map_err(io::Error::other)?;
        let mut chunk = vec![0; length + 2];
        stream.read_exact(&mut chunk)?;
        body.extend(&chunk[..length]);
        if length == 0 {
            return Ok(body);
        }
    }
}

/// The message with another body, whose length it states.
fn with_body(head: &str, body: &[u8]) -> Vec<u8> {
    let is_framing = |line: &&str| {
        let line = line.to_ascii_lowercase();
        line.is_empty()
            || line.starts_with("content-length:")
            || line.starts_with("transfer-encoding:")
    };
    let lines: Vec<_> = head.lines().filter(|line| !is_framing(line)).collect();
    let head = format!(
        "{}\r\nContent-Length: {}\r\n\r\n",
        lines.join("\r\n"),
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// Replaces a text of a response.
fn rewrite(response: &[u8], from: &str, to: &str) -> Vec<u8> {
    let text = String::from_utf8(response.to_vec()).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    with_body(head, body.replace(from, to).as_bytes())
}
