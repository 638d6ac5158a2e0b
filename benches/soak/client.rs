//! A TLS client that speaks HTTP/1.1, from an address of its choice.

use crate::Failure;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// How long anything may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(15);

/// A client that has not connected yet.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) source: Ipv4Addr,
    pub(crate) address: SocketAddr,
    pub(crate) config: Arc<ClientConfig>,
}

/// A connection that can be used again.
pub(crate) struct Connection {
    pub(crate) stream: TlsStream<TcpStream>,
    buffer: Vec<u8>,
}

/// An answer's status, its body, and whether the connection stays.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
    pub(crate) may_stay: bool,
}

impl Client {
    pub(crate) async fn tcp(&self) -> Result<TcpStream, Failure> {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind(SocketAddr::from((self.source, 0)))?;
        let stream = timeout(PATIENCE, socket.connect(self.address)).await??;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    pub(crate) async fn tls(&self) -> Result<TlsStream<TcpStream>, Failure> {
        let (name, connector) = (
            ServerName::try_from("localhost")?,
            TlsConnector::from(self.config.clone()),
        );
        let stream = self.tcp().await?;
        Ok(timeout(PATIENCE, connector.connect(name, stream)).await??)
    }

    pub(crate) async fn connect(&self) -> Result<Connection, Failure> {
        Ok(Connection {
            stream: self.tls().await?,
            buffer: Vec::new(),
        })
    }

    /// The status of a GET on a connection of its own.
    pub(crate) async fn get(&self, target: &str) -> Result<u16, Failure> {
        let request = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        Ok(self
            .connect()
            .await?
            .exchange(request.as_bytes())
            .await?
            .status)
    }
}

impl Connection {
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> Result<Answer, Failure> {
        timeout(PATIENCE, async {
            self.stream.write_all(request).await?;
            self.stream.flush().await?;
            self.answer().await
        })
        .await?
    }

    async fn answer(&mut self) -> Result<Answer, Failure> {
        loop {
            if let Some((answer, length)) = parse(&self.buffer)? {
                self.buffer.drain(..length);
                return Ok(answer);
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err("the connection was closed before the answer".into());
            }
        }
    }
}

fn parse(bytes: &[u8]) -> Result<Option<(Answer, usize)>, Failure> {
    let mut headers = [httparse::EMPTY_HEADER; 48];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(head) = response.parse(bytes)? else {
        return Ok(None);
    };
    let field = |name| {
        response
            .headers
            .iter()
            .find(|header| header.name.eq_ignore_ascii_case(name))
    };
    let length = field("content-length")
        .ok_or("an answer without Content-Length")?
        .value;
    let length: usize = std::str::from_utf8(length)?.parse()?;
    let Some(body) = bytes.get(head..head + length) else {
        return Ok(None);
    };
    let answer = Answer {
        status: response.code.unwrap_or_default(),
        body: body.to_vec(),
        may_stay: !field("connection")
            .is_some_and(|header| header.value.eq_ignore_ascii_case(b"close")),
    };
    Ok(Some((answer, head + length)))
}
