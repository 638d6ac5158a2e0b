//! Netdata Cloud, or a forger: a TLS client whose requests a test writes.

use super::proxy::WEBHOOK;
use super::{Leaf, PATIENCE, Proxy};
use netdata_webhook_proxy::internals::AnyServer;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned, SupportedProtocolVersion};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

/// An answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(other, _)| other.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// The refusal's code.
    pub(crate) fn code(&self) -> String {
        let problem: serde_json::Value = serde_json::from_str(&self.body).unwrap_or_default();
        problem["code"].as_str().unwrap_or_default().to_owned()
    }

    /// Asserts that this is a refusal with `status` and `code`, in the form that is promised.
    #[track_caller]
    pub(crate) fn refuses(&self, status: u16, code: &str) {
        assert_eq!(
            (self.status, self.code().as_str()),
            (status, code),
            "{self:?}"
        );
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json")
        );
        assert_eq!(self.header("cache-control"), Some("no-store"));
        let problem: serde_json::Value = serde_json::from_str(&self.body).unwrap();
        assert_eq!(problem["status"], status);
        for key in ["type", "title", "detail", "request_id"] {
            assert!(
                problem[key].as_str().is_some_and(|text| !text.is_empty()),
                "{key}: {problem}"
            );
        }
    }
}

/// A client that has not connected yet.
#[derive(Clone)]
pub(crate) struct Sender {
    pub(crate) address: SocketAddr,
    pub(crate) config: Arc<ClientConfig>,
}

/// A connection that can be used again.
pub(crate) struct Connection {
    stream: StreamOwned<ClientConnection, TcpStream>,
    read: Vec<u8>,
}

impl Sender {
    /// To the first listener of `proxy`, with `leaf`'s certificate or without.
    pub(crate) fn to(proxy: &Proxy, leaf: Option<&Leaf>) -> Self {
        Self::with_versions(proxy, leaf, rustls::ALL_VERSIONS)
    }

    pub(crate) fn with_versions(
        proxy: &Proxy,
        leaf: Option<&Leaf>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Self {
        Self {
            address: proxy.address(0),
            config: Arc::new(client_config(leaf, versions)),
        }
    }

    /// Sends a request, of which `headers` are further header lines, on a connection of its own.
    ///
    /// An error is a refused handshake or a broken connection.
    pub(crate) fn send(
        &self,
        method: &str,
        target: &str,
        headers: &str,
        body: &str,
    ) -> std::io::Result<Answer> {
        self.connect()?.send(method, target, headers, body)
    }

    /// Posts JSON to the webhook.
    #[track_caller]
    pub(crate) fn post(&self, body: &str) -> Answer {
        self.send("POST", WEBHOOK, "Content-Type: application/json\r\n", body)
            .unwrap()
    }

    /// Gets from the webhook, with this query.
    #[track_caller]
    pub(crate) fn get(&self, query: &str) -> Answer {
        self.send("GET", &format!("{WEBHOOK}{query}"), "", "")
            .unwrap()
    }

    /// Sends bytes as they are, and reads an answer.
    pub(crate) fn raw(&self, bytes: &[u8]) -> std::io::Result<Answer> {
        let mut connection = self.connect()?;
        connection.write(bytes)?;
        connection.read()
    }

    /// What the proxy presents.
    pub(crate) fn server_certificate(&self) -> Vec<u8> {
        let mut connection = self.connect().unwrap().stream;
        while connection.conn.is_handshaking() {
            connection.conn.complete_io(&mut connection.sock).unwrap();
        }
        connection.conn.peer_certificates().unwrap()[0].to_vec()
    }

    pub(crate) fn connect(&self) -> std::io::Result<Connection> {
        self.connect_to(TcpStream::connect(self.address)?)
    }

    /// Speaks TLS on a connection that exists.
    pub(crate) fn connect_to(&self, socket: TcpStream) -> std::io::Result<Connection> {
        self.connect_to_name(socket, "localhost")
    }

    /// Likewise, asking for a server of this name.
    pub(crate) fn connect_to_name(
        &self,
        socket: TcpStream,
        name: &str,
    ) -> std::io::Result<Connection> {
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_nodelay(true)?;
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let connection =
            ClientConnection::new(self.config.clone(), name).map_err(std::io::Error::other)?;
        Ok(Connection {
            stream: StreamOwned::new(connection, socket),
            read: Vec::new(),
        })
    }
}

/// Trusts any certificate of the proxy: these tests are about clients.
pub(crate) fn client_config(
    leaf: Option<&Leaf>,
    versions: &[&'static SupportedProtocolVersion],
) -> ClientConfig {
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyServer::default()));
    match leaf {
        None => builder.with_no_client_auth(),
        Some(leaf) => {
            // rustls refuses to present what is obviously not a client certificate, so it is not
            // asked.
            let key = aws_lc_rs::sign::any_supported_type(&leaf.key()).unwrap();
            let certified = rustls::sign::CertifiedKey::new(leaf.chain.clone(), key);
            builder.with_client_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(
                certified,
            )))
        }
    }
}

impl Connection {
    pub(crate) fn send(
        &mut self,
        method: &str,
        target: &str,
        headers: &str,
        body: &str,
    ) -> std::io::Result<Answer> {
        let length = if body.is_empty() && method == "GET" {
            String::new()
        } else {
            format!("Content-Length: {}\r\n", body.len())
        };
        let request =
            format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n{headers}{length}\r\n{body}");
        self.write(request.as_bytes())?;
        self.read()
    }

    pub(crate) fn post(&mut self, body: &str) -> std::io::Result<Answer> {
        self.send("POST", WEBHOOK, "Content-Type: application/json\r\n", body)
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes)?;
        self.stream.flush()
    }

    /// Whether the handshake resumed an earlier session.
    pub(crate) fn is_resumed(&self) -> bool {
        self.stream.conn.handshake_kind() == Some(rustls::HandshakeKind::Resumed)
    }

    /// The next answer.
    pub(crate) fn read(&mut self) -> std::io::Result<Answer> {
        let mut answer = self.read_head()?;
        answer.body = self.read_body(&answer)?;
        Ok(answer)
    }

    /// The head of the next answer.
    pub(crate) fn read_head(&mut self) -> std::io::Result<Answer> {
        let head_length = loop {
            match self
                .read
                .windows(4)
                .position(|window| window == b"\r\n\r\n")
            {
                Some(start) => break start + 4,
                None => self.fill()?,
            }
        };
        let head = String::from_utf8_lossy(&self.read[..head_length - 4]).into_owned();
        self.read.drain(..head_length);
        let mut lines = head.split("\r\n");
        let status = lines
            .next()
            .and_then(|line| line.split(' ').nth(1)?.parse().ok())
            .unwrap_or_default();
        let headers = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.into(), value.into()))
            .collect();
        Ok(Answer {
            status,
            headers,
            body: String::new(),
        })
    }

    /// The next byte, or `None` at the end of the connection.
    pub(crate) fn byte(&mut self) -> std::io::Result<Option<u8>> {
        if self.read.is_empty() {
            match self.fill() {
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
                filled => filled?,
            }
        }
        Ok(Some(self.read.remove(0)))
    }

    /// Some of what comes next, but no more than `limit` bytes; none at the end of the connection.
    pub(crate) fn some(&mut self, limit: usize) -> std::io::Result<Vec<u8>> {
        if self.read.is_empty() {
            match self.fill() {
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(Vec::new()),
                filled => filled?,
            }
        }
        Ok(self.read.drain(..limit.min(self.read.len())).collect())
    }

    fn read_body(&mut self, answer: &Answer) -> std::io::Result<String> {
        if answer.header("transfer-encoding").is_some() {
            return self.read_chunked();
        }
        let length: usize = answer
            .header("content-length")
            .map_or(0, |length| length.parse().unwrap());
        self.take(length)
    }

    fn read_chunked(&mut self) -> std::io::Result<String> {
        let mut body = String::new();
        loop {
            let line = loop {
                match self.read.windows(2).position(|window| window == b"\r\n") {
                    Some(end) => break end,
                    None => self.fill()?,
                }
            };
            let size = String::from_utf8_lossy(&self.read[..line]).into_owned();
            self.read.drain(..line + 2);
            let size = usize::from_str_radix(&size, 16).map_err(std::io::Error::other)?;
            body += &self.take(size)?;
            self.take(2)?;
            if size == 0 {
                return Ok(body);
            }
        }
    }

    fn take(&mut self, length: usize) -> std::io::Result<String> {
        while self.read.len() < length {
            self.fill()?;
        }
        Ok(String::from_utf8_lossy(&self.read.drain(..length).collect::<Vec<_>>()).into_owned())
    }

    fn fill(&mut self) -> std::io::Result<()> {
        let mut buffer = [0; 16384];
        match self.stream.read(&mut buffer)? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            read => {
                self.read.extend_from_slice(&buffer[..read]);
                Ok(())
            }
        }
    }

    /// Whether the proxy has closed the connection, which it does soon or never.
    #[track_caller]
    pub(crate) fn is_closed(&mut self) {
        match self.fill() {
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                panic!("it is open")
            }
            Err(_) => {}
            Ok(()) => panic!("there is more: {:?}", String::from_utf8_lossy(&self.read)),
        }
    }
}
