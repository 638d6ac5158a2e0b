//! A connection that speaks HTTP/1.1, one request after the other.

use super::{Answer, in_time};
use crate::Failure;
use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// A connection that can be used again.
pub(crate) struct Connection {
    pub(crate) stream: TlsStream<TcpStream>,
    buffer: BytesMut,
}

impl Connection {
    pub(super) fn new(stream: TlsStream<TcpStream>) -> Self {
        Self {
            stream,
            buffer: BytesMut::with_capacity(4096),
        }
    }

    pub(crate) async fn exchange(&mut self, request: &[u8]) -> Result<Answer, Failure> {
        in_time(async {
            self.stream.write_all(request).await?;
            self.stream.flush().await?;
            self.answer().await
        })
        .await?
    }

    async fn answer(&mut self) -> Result<Answer, Failure> {
        loop {
            if let Some(head) = Head::parse(&self.buffer)? {
                let whole = head.length + head.body;
                if self.buffer.len() >= whole {
                    return Ok(head.answer(self.buffer.split_to(whole).freeze()));
                }
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err("the connection was closed before the answer".into());
            }
        }
    }
}

/// What the head of an answer says, and the lengths of head and body.
struct Head {
    status: u16,
    may_stay: bool,
    length: usize,
    body: usize,
}

impl Head {
    fn parse(bytes: &[u8]) -> Result<Option<Self>, Failure> {
        let mut headers = [httparse::EMPTY_HEADER; 48];
        let mut response = httparse::Response::new(&mut headers);
        let httparse::Status::Complete(length) = response.parse(bytes)? else {
            return Ok(None);
        };
        let field = |name: &str| {
            let mut fields = response.headers.iter();
            fields.find(|header| header.name.eq_ignore_ascii_case(name))
        };
        let body = field("content-length").ok_or("an answer without Content-Length")?;
        let closes = field("connection").is_some_and(|it| it.value.eq_ignore_ascii_case(b"close"));
        Ok(Some(Self {
            status: response.code.unwrap_or_default(),
            may_stay: !closes,
            length,
            body: std::str::from_utf8(body.value)?.parse()?,
        }))
    }

    /// The answer, of which `bytes` are head and body.
    fn answer(self, mut bytes: Bytes) -> Answer {
        Answer {
            status: self.status,
            body: bytes.split_off(self.length),
            may_stay: self.may_stay,
        }
    }
}
