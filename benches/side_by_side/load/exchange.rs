//! Requests as they are sent, and answers, which must be the right ones.

use super::{Expected, Message};
use crate::Failure;
use crate::client::Answer;
use bytes::Bytes;
use http::Request;

/// Fails if `answer` is not the right one.
pub(super) fn verify(answer: &Answer, expected: &Expected) -> Result<(), Failure> {
    let body = expected.body.as_bytes();
    if answer.status != expected.status || !answer.body.starts_with(body) {
        let body = String::from_utf8_lossy(&answer.body);
        return Err(format!("status {}, {body:?}", answer.status).into());
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
