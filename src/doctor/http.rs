//! A request and its answer, within bounds of size. Whoever answers may be anybody.

use std::time::Instant;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// Bytes of an answer.
const MAX_ANSWER: usize = 64 * 1024;

/// Header fields of an answer.
const MAX_FIELDS: usize = 100;

/// A stream of bytes, encrypted or not.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// What is asked.
#[derive(Clone, Debug)]
pub(super) struct Request {
    /// GET or POST; a POST has an empty body, which does no harm to an application that gets it.
    pub(super) method: &'static str,
    pub(super) target: String,
    pub(super) host: String,
    pub(super) keeps_connection: bool,
}

/// What was answered.
#[derive(Clone, Debug, Default)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    /// As much of it as there is within bounds.
    pub(super) body: Vec<u8>,
    /// When its head was there.
    pub(super) at: Option<Instant>,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The code of a refusal of this program.
    pub(super) fn code(&self) -> Option<String> {
        let problem: serde_json::Value = serde_json::from_slice(&self.body).ok()?;
        problem.get("code")?.as_str().map(str::to_owned)
    }

    /// The status, and the code if there is one.
    pub(super) fn describe(&self) -> String {
        match self.code() {
            Some(code) => format!("{} {code}", self.status),
            None => self.status.to_string(),
        }
    }

    pub(super) fn keeps_connection(&self) -> bool {
        !self.header("connection").is_some_and(|value| value.to_ascii_lowercase().contains("close"))
    }
}

/// Sends a request and reads the answer.
pub(super) async fn exchange(stream: &mut dyn Stream, request: &Request) -> std::io::Result<Answer> {
    let Request { method, target, host, keeps_connection } = request;
    let body = if *method == "POST" { "Content-Type: application/json\r\nContent-Length: 0\r\n" } else { "" };
    let connection = if *keeps_connection { "" } else { "Connection: close\r\n" };
    let head = format!(
        "{method} {target} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: netdata-webhook-proxy-doctor/{}\r\nAccept: */*\r\n\
         {body}{connection}\r\n",
        env!("CARGO_PKG_VERSION")
    );
    // In TLS 1.3 a refusal comes when the client thinks that it is through: what was written may have failed, and the
    // reason is still to be read.
    let written = match stream.write_all(head.as_bytes()).await {
        Ok(()) => stream.flush().await,
        Err(error) => Err(error),
    };
    match read_answer(stream).await {
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => written.and(Err(error)),
        read => read,
    }
}

async fn read_answer(stream: &mut dyn Stream) -> std::io::Result<Answer> {
    let mut bytes = Vec::new();
    let mut at = None;
    loop {
        let ended = stream.take((MAX_ANSWER - bytes.len()) as u64).read_buf(&mut bytes).await? == 0;
        while let Some(parsed) = parse(&bytes, ended)? {
            let at = *at.get_or_insert_with(Instant::now);
            match parsed {
                Parsed::Interim(length) => drop(bytes.drain(..length)),
                Parsed::Whole(answer) => return Ok(Answer { at: Some(at), ..answer }),
                Parsed::Unfinished if !ended => break,
                Parsed::Unfinished => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            }
        }
        if ended {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
}

enum Parsed {
    /// 1xx, of this length.
    Interim(usize),
    Whole(Answer),
    /// The head is there, and its body is not.
    Unfinished,
}

/// `None` as long as there is no whole head.
fn parse(bytes: &[u8], ended: bool) -> std::io::Result<Option<Parsed>> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut head = httparse::Response::new(&mut fields);
    let invalid = |error| std::io::Error::new(std::io::ErrorKind::InvalidData, format!("is not HTTP: {error}"));
    let httparse::Status::Complete(length) = head.parse(bytes).map_err(invalid)? else { return Ok(None) };
    let status = head.code.unwrap_or_default();
    if matches!(status, 100 | 102..200) {
        return Ok(Some(Parsed::Interim(length)));
    }
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let headers = head.headers.iter().map(|field| (field.name.to_owned(), text(field.value))).collect();
    let mut answer = Answer { status, headers, body: Vec::new(), at: None };
    Ok(Some(match body(&answer, &bytes[length..], ended) {
        Some(body) => {
            answer.body = body;
            Parsed::Whole(answer)
        }
        None => Parsed::Unfinished,
    }))
}

/// The body, once it is whole, or as long as is read.
fn body(answer: &Answer, bytes: &[u8], ended: bool) -> Option<Vec<u8>> {
    if matches!(answer.status, 101 | 204 | 304) {
        return Some(Vec::new());
    }
    let is_chunked =
        answer.header("transfer-encoding").is_some_and(|value| value.to_ascii_lowercase().contains("chunked"));
    if is_chunked {
        let (body, is_whole) = dechunk(bytes);
        return (is_whole || ended).then_some(body);
    }
    let length = answer.header("content-length").and_then(|length| length.trim().parse::<usize>().ok());
    match length {
        Some(length) if bytes.len() >= length => Some(bytes[..length].to_vec()),
        _ => ended.then(|| bytes.to_vec()),
    }
}

/// What the chunks hold, and whether the last is among them.
fn dechunk(mut bytes: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    loop {
        let Ok(httparse::Status::Complete((start, size))) = httparse::parse_chunk_size(bytes) else {
            return (body, false);
        };
        let chunk = &bytes[start..];
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        if size == 0 {
            return (body, true);
        }
        if chunk.len() < size.saturating_add(2) {
            body.extend_from_slice(&chunk[..size.min(chunk.len())]);
            return (body, false);
        }
        body.extend_from_slice(&chunk[..size]);
        bytes = &chunk[size + 2..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(bytes: &[u8]) -> std::io::Result<Answer> {
        read_answer(&mut tokio::io::join(bytes, tokio::io::sink())).await
    }

    #[tokio::test]
    async fn answers_end_in_each_way_that_http_knows() {
        for (bytes, status, body) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nabc", 200, "ab"),
            ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", 200, "abc"),
            ("HTTP/1.0 400 Bad Request\r\n\r\nabc", 400, "abc"),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n", 200, "abc"),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\nffffffffffffffff\r\nc", 200, "abc"),
            ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\nabc", 204, ""),
        ] {
            let answer = read(bytes.as_bytes()).await.unwrap();
            assert_eq!((answer.status, String::from_utf8_lossy(&answer.body).as_ref()), (status, body), "{bytes}");
        }
    }

    #[tokio::test]
    async fn what_is_no_answer_is_an_error() {
        for bytes in ["", "HTTP/1.1 200 OK\r\n", "SSH-2.0-x\r\n\r\n", "HTTP/1.1 abc\r\n\r\n"] {
            assert!(read(bytes.as_bytes()).await.is_err(), "{bytes:?}");
        }
    }

    #[tokio::test]
    async fn an_answer_without_end_is_cut() {
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n";
        let answer = read(&[head.as_bytes(), &[b'x'; 2 * MAX_ANSWER]].concat()).await.unwrap();
        assert_eq!(answer.body.len(), MAX_ANSWER - head.len());
        assert!(read(&[b'x'; 2 * MAX_ANSWER]).await.is_err());
        let endless = [&b"HTTP/1.1 200 OK\r\n"[..], &b"A: b\r\n".repeat(MAX_ANSWER)].concat();
        assert!(read(&endless).await.is_err());
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300)) {
            let _ = parse(&bytes, true);
            let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
            let _ = parse(&[&head[..], &bytes].concat(), false);
            let _ = dechunk(&bytes);
        }
    }
}
