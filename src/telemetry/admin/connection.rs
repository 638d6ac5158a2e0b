//! Serves a connection to the admin listener: one request, within bounds of size and time.

use super::Admin;
use super::response::AdminResponse;
use crate::http::framing;
use crate::http::request_head::RequestHead;
use crate::http::timeout::timeout;
use crate::rejection::Rejection;
use bytes::{Bytes, BytesMut};
use http::{Method, StatusCode, Uri};
use pingora::protocols::Stream;
use pingora::protocols::http::ServerSession;
use pingora::protocols::l4::stream::Stream as L4Stream;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// The maximum size of a request head in bytes.
const MAX_HEAD: usize = 16 * 1024;

/// The time within which the head must arrive.
const HEAD: Duration = Duration::from_secs(10);

/// The time within which the response must be read.
const ANSWER: Duration = Duration::from_secs(30);

/// The time for which a request body is read and discarded, so that its client gets the response
/// before the connection closes.
const FAREWELL: Duration = Duration::from_secs(2);

impl Admin {
    /// Answers the request of a connection. Errors of the connection are ignored.
    pub(crate) async fn serve(&self, socket: TcpStream) {
        let mut stream: Stream = Box::new(L4Stream::from(socket));
        let head = match timeout(HEAD, read_head(&mut stream)).await {
            Ok(Ok(head)) => head,
            Ok(Err(None)) => return,
            Ok(Err(Some(status))) => return refuse(stream, status).await,
            Err(_) => return refuse(stream, StatusCode::REQUEST_TIMEOUT).await,
        };
        // Connections without a request do not delay the end of the process.
        let _in_flight = self.in_flight.token();
        let mut session = ServerSession::new_http1(stream);
        session.set_pipelined_prefix(head);
        self.respond(session).await;
    }

    /// Answers a request whose head has arrived.
    async fn respond(&self, mut session: ServerSession) {
        if let Ok(Ok(true)) = timeout(HEAD, session.read_request()).await {
            let answer = self.answer(session.req_header()).await;
            let _ = timeout(ANSWER, send(&mut session, answer)).await;
            let _ = timeout(FAREWELL, session.drain_request_body()).await;
            let _ = timeout(FAREWELL, session.finish()).await;
        }
    }
}

/// Reads until the head is complete. An error without a status means that the client has left.
async fn read_head(stream: &mut Stream) -> Result<BytesMut, Option<StatusCode>> {
    let mut bytes = BytesMut::with_capacity(1024);
    loop {
        match stream.read_buf(&mut bytes).await {
            Ok(1..) => {}
            _ => return Err(None),
        }
        let length = framing::head_length(&bytes);
        check_head(&bytes, length)?;
        if length.is_some() {
            return Ok(bytes);
        }
    }
}

/// Checks what was read of a head, whose length is known once it is complete.
fn check_head(bytes: &[u8], length: Option<usize>) -> Result<(), StatusCode> {
    if length.unwrap_or(bytes.len()) > MAX_HEAD {
        return Err(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    }
    let verdict = match length {
        Some(length) => check_complete(&bytes[..length]),
        None => framing::check_unfinished(bytes),
    };
    verdict.map_err(|rejection| rejection.status())
}

fn check_complete(head: &[u8]) -> Result<(), Rejection> {
    let head = framing::parse(Bytes::copy_from_slice(head))?;
    check_target(&head)
}

/// Pingora parses the head again, and does not respond to a target that it cannot parse.
fn check_target(head: &RequestHead) -> Result<(), Rejection> {
    match Uri::try_from(head.target()) {
        Ok(_) => Ok(()),
        Err(_) => Rejection::malformed("The target is not a URI."),
    }
}

async fn send(session: &mut ServerSession, answer: AdminResponse) -> pingora::Result<()> {
    session.set_keepalive(None);
    session
        .write_response_header(Box::new(answer.head()?))
        .await?;
    if session.req_header().method != Method::HEAD {
        session.write_response_body(answer.body, true).await?;
    }
    session.finish_body().await
}

/// Responds that the request could not be parsed, and closes the connection.
async fn refuse(mut stream: Stream, status: StatusCode) {
    let message = refusal(status);
    let farewell = async {
        stream.write_all(message.as_bytes()).await?;
        stream.shutdown().await?;
        // Closing with unread data would reset the connection, and the client might never see why.
        let mut discarded = [0; 4096];
        while stream.read(&mut discarded).await? > 0 {}
        Ok::<_, std::io::Error>(())
    };
    let _ = timeout(FAREWELL, farewell).await;
}

fn refusal(status: StatusCode) -> String {
    let reason = status.canonical_reason().unwrap_or_default();
    let status = status.as_u16();
    format!("HTTP/1.1 {status} {reason}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
}
