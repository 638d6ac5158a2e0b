//! One request and its answer, which must be the right one.

use super::Message;
use crate::Failure;
use bytes::Bytes;
use h2::client::SendRequest;
use http::Request;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// A connection that speaks HTTP/1.1.
pub(super) struct Http1 {
    stream: TlsStream<TcpStream>,
    buffer: Vec<u8>,
}

impl Http1 {
    pub(super) fn new(stream: TlsStream<TcpStream>) -> Self {
        Self {
            stream,
            buffer: Vec::with_capacity(4096),
        }
    }

    /// Whether the connection may be used again.
    pub(super) async fn exchange(
        &mut self,
        request: &[u8],
        expected: &str,
    ) -> Result<bool, Failure> {
        self.stream.write_all(request).await?;
        self.stream.flush().await?;
        self.buffer.clear();
        loop {
            if let Some(may_stay) = check(&self.buffer, expected)? {
                return Ok(may_stay);
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err("the connection was closed before the answer".into());
            }
        }
    }

    pub(super) async fn close(mut self) {
        // A connection that is closed already is not awaited.
        let _ = self.stream.shutdown().await;
    }
}

/// `None` if there is more to come; otherwise whether the connection stays open.
fn check(bytes: &[u8], expected: &str) -> Result<Option<bool>, Failure> {
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
    verify(response.code.unwrap_or_default(), body, expected)?;
    Ok(Some(!field("connection").is_some_and(|header| {
        header.value.eq_ignore_ascii_case(b"close")
    })))
}

fn verify(status: u16, body: &[u8], expected: &str) -> Result<(), Failure> {
    if status != 200 || body != expected.as_bytes() {
        return Err(format!("status {status}, {:?}", String::from_utf8_lossy(body)).into());
    }
    Ok(())
}

/// A message as it goes over the wire in HTTP/1.1.
pub(super) fn http1(message: &Message) -> Vec<u8> {
    let Message {
        method,
        target,
        headers,
        body,
    } = message;
    let mut request = format!(
        "{method} {target} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: Go-http-client/1.1\r\n"
    );
    if !body.is_empty() {
        request += &format!(
            "Content-Length: {}\r\nContent-Type: application/json\r\n",
            body.len()
        );
    }
    for (name, value) in headers {
        request += &format!("{name}: {value}\r\n");
    }
    (request + "Accept-Encoding: identity\r\n\r\n" + body).into_bytes()
}

/// A message as it is given to the HTTP/2 connection.
pub(super) fn http2(message: &Message) -> Result<(Request<()>, Bytes), Failure> {
    let Message {
        method,
        target,
        headers,
        body,
    } = message;
    let mut request = Request::builder()
        .method(method.as_str())
        .uri(format!("https://localhost{target}"));
    if !body.is_empty() {
        request = request
            .header("content-type", "application/json")
            .header("content-length", body.len());
    }
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let request = request
        .header("accept-encoding", "identity")
        .header("user-agent", "Go-http-client/2.0");
    Ok((request.body(())?, Bytes::copy_from_slice(body.as_bytes())))
}

/// One stream of an HTTP/2 connection.
pub(super) async fn stream(
    requests: &SendRequest<Bytes>,
    (request, body): (Request<()>, Bytes),
    expected: &str,
) -> Result<(), Failure> {
    let mut requests = requests.clone().ready().await?;
    let (response, mut outgoing) = requests.send_request(request, body.is_empty())?;
    if !body.is_empty() {
        outgoing.send_data(body, true)?;
    }
    let (head, mut incoming) = response.await?.into_parts();
    let mut answer = Vec::new();
    while let Some(chunk) = incoming.data().await {
        let chunk = chunk?;
        incoming.flow_control().release_capacity(chunk.len())?;
        answer.extend_from_slice(&chunk);
    }
    verify(head.status.as_u16(), &answer, expected)
}
