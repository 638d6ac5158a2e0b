//! The stand-in for Netdata Cloud: a TLS client that sends a request and sees what comes back.

use super::pki::{Authority, Leaf};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::ServerName;
use rustls::{AlertDescription, ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::io::{self, Read, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// In which Netdata Cloud wants its answer.
const DEADLINE: Duration = Duration::from_secs(5);

/// What a sender sends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Message<'a> {
    /// GET or POST.
    pub(super) method: &'static str,
    /// The path and the query.
    pub(super) target: &'a str,
    /// The Bearer token.
    pub(super) token: &'a str,
    /// JSON, or what is to be taken for it.
    pub(super) body: &'a str,
}

/// What a sender sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// An HTTP response.
    Response {
        /// Of the status line.
        status: u16,
        /// Whole.
        body: String,
    },
    /// The connection was refused before there was HTTP on it.
    Alert(AlertDescription),
    /// Neither; says what happened.
    Failure(String),
}

/// A client with one identity, or none.
pub(super) struct Sender {
    proxy: SocketAddr,
    tls: Arc<ClientConfig>,
}

impl Sender {
    /// Sends to `proxy`, whose certificate `root` issued, and presents `identity`.
    pub(super) fn new(proxy: SocketAddr, root: &Authority, identity: Option<&Leaf>) -> Result<Self, rustls::Error> {
        let mut roots = RootCertStore::empty();
        roots.add(root.certificate().clone())?;
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots);
        let tls = match identity {
            Some(leaf) => builder.with_client_auth_cert(vec![leaf.certificate.clone()], leaf.key())?,
            None => builder.with_no_client_auth(),
        };
        Ok(Self { proxy, tls: Arc::new(tls) })
    }

    /// Sends `message` over a connection of its own.
    pub(super) fn send(&self, message: &Message<'_>) -> Answer {
        self.exchange(message).unwrap_or_else(|error| explain(&error))
    }

    fn exchange(&self, message: &Message<'_>) -> io::Result<Answer> {
        let deadline = Instant::now() + DEADLINE;
        let socket = TcpStream::connect_timeout(&self.proxy, DEADLINE)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(DEADLINE))?;
        socket.set_write_timeout(Some(DEADLINE))?;
        let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
        let connection = ClientConnection::new(self.tls.clone(), name).map_err(io::Error::other)?;
        let mut stream = StreamOwned::new(connection, socket);
        let written = stream.write_all(&self.request(message)).and_then(|()| stream.flush());
        // In TLS 1.3 a refusal comes when the client thinks that it is through: what was written may have failed, and
        // the reason is still to be read.
        match read_response(&mut stream, deadline) {
            Err(error) if alert(&error).is_none() => written.and(Err(error)),
            read => read,
        }
    }

    fn request(&self, message: &Message<'_>) -> Vec<u8> {
        let Message { method, target, token, body } = message;
        let mut request = format!(
            "{method} {target} HTTP/1.1\r\nHost: localhost:{}\r\nUser-Agent: Go-http-client/1.1\r\n\
             Authorization: Bearer {token}\r\nConnection: close\r\n",
            self.proxy.port()
        );
        if *method == "POST" {
            request += &format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
        }
        format!("{request}\r\n{body}").into_bytes()
    }
}

fn read_response(stream: &mut StreamOwned<ClientConnection, TcpStream>, deadline: Instant) -> io::Result<Answer> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 16 * 1024];
    loop {
        if let Some(answer) = parse_response(&bytes) {
            return Ok(answer);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.sock.set_read_timeout(Some(left))?;
        match stream.read(&mut chunk)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            length => bytes.extend_from_slice(&chunk[..length]),
        }
    }
}

/// A whole response; the proxy and the application both say how long theirs are.
fn parse_response(bytes: &[u8]) -> Option<Answer> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    let mut fields = head.lines().filter_map(|line| line.split_once(':'));
    let (_, length) = fields.find(|(name, _)| name.eq_ignore_ascii_case("Content-Length"))?;
    let body = body.get(..length.trim().parse().ok()?)?;
    Some(Answer::Response { status, body: body.to_owned() })
}

fn explain(error: &io::Error) -> Answer {
    match (alert(error), error.kind()) {
        (Some(alert), _) => Answer::Alert(alert),
        (None, io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock) => {
            Answer::Failure(format!("no whole answer in {} s", DEADLINE.as_secs()))
        }
        (None, _) => Answer::Failure(error.to_string()),
    }
}

/// The alert that an error stands for.
fn alert(error: &io::Error) -> Option<AlertDescription> {
    match error.get_ref()?.downcast_ref()? {
        rustls::Error::AlertReceived(alert) => Some(*alert),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_is_read_when_it_is_whole() {
        let whole = "HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\n{}";
        assert_eq!(parse_response(&whole.as_bytes()[..whole.len() - 1]), None);
        let expected = Answer::Response { status: 403, body: "{}".into() };
        assert_eq!(parse_response(whole.as_bytes()), Some(expected));
    }

    #[test]
    fn an_alert_is_told_from_other_errors() {
        let refused = io::Error::other(rustls::Error::AlertReceived(AlertDescription::CertificateRequired));
        assert_eq!(explain(&refused), Answer::Alert(AlertDescription::CertificateRequired));
        assert!(matches!(explain(&io::ErrorKind::ConnectionReset.into()), Answer::Failure(_)));
    }
}
