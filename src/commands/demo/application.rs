//! The application behind the proxy: a small HTTP server that records its requests.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

/// Status of its responses, which the proxy never uses itself.
pub(super) const STATUS: u16 = 202;
/// Body of its responses.
pub(super) const BODY: &str = "{\"recorded\":true}";

/// Maximum size of a request in bytes, which is more than the proxy forwards.
const MAX_REQUEST: usize = 4 << 20;

/// A request of the proxy, byte for byte.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ReceivedRequest {
    /// Request line and header fields.
    pub(super) head: String,
    /// Body of the request.
    pub(super) body: Vec<u8>,
}

impl ReceivedRequest {
    /// Returns the value of a header field.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().skip(1);
        let mut fields = lines.filter_map(|line| line.split_once(':'));
        let (_, value) = fields.find(|(field, _)| field.eq_ignore_ascii_case(name))?;
        Some(value.trim())
    }

    /// Returns the kind of the notification, which the proxy adds.
    pub(super) fn notification(&self) -> &str {
        self.header("X-Netdata-Notification")
            .unwrap_or("unverified")
    }

    /// Returns the severity of the notification, which the proxy adds.
    pub(super) fn severity(&self) -> &str {
        self.header("X-Netdata-Severity").unwrap_or_default()
    }

    /// Returns the kind and the severity, if there is one.
    pub(super) fn subject(&self) -> String {
        match self.severity() {
            "" => self.notification().to_owned(),
            severity => format!("{}, {severity}", self.notification()),
        }
    }

    /// Returns how the client was verified, which the proxy adds.
    pub(super) fn verified(&self) -> &str {
        self.header("X-Netdata-Verified").unwrap_or_default()
    }
}

/// Starts the application and returns its address. `record` receives every request before the
/// response is sent. The application ends with the process.
pub(super) fn start(
    record: impl Fn(ReceivedRequest) + Clone + Send + 'static,
) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let address = listener.local_addr()?;
    let application = thread::Builder::new().name("application".into());
    application.spawn(move || accept(&listener, record))?;
    Ok(address)
}

fn accept(listener: &TcpListener, record: impl Fn(ReceivedRequest) + Clone + Send + 'static) {
    for stream in listener.incoming().flatten() {
        let record = record.clone();
        thread::spawn(move || serve(stream, record));
    }
}

/// Serves a connection until it ends; the proxy keeps it for further requests.
fn serve(mut stream: TcpStream, record: impl Fn(ReceivedRequest)) {
    let response = response();
    let mut buffer = Vec::new();
    while let Some(received) = read_request(&mut stream, &mut buffer) {
        record(received);
        if stream.write_all(response.as_bytes()).is_err() {
            return;
        }
    }
}

fn response() -> String {
    let length = BODY.len();
    format!(
        "HTTP/1.1 {STATUS} Accepted\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{BODY}"
    )
}

/// Reads the next request, even if it is incomplete; `None` at the end of the connection. `buffer`
/// holds bytes of the request after it.
fn read_request(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<ReceivedRequest> {
    let mut chunk = [0; 16 * 1024];
    loop {
        if let Some(received) = take_request(buffer) {
            return Some(received);
        }
        match stream.read(&mut chunk) {
            Ok(length) if length > 0 && buffer.len() < MAX_REQUEST => {
                buffer.extend_from_slice(&chunk[..length])
            }
            _ if buffer.is_empty() => return None,
            // An incomplete request is an error of the proxy, which the demo must show.
            _ => {
                return Some(ReceivedRequest {
                    head: String::new(),
                    body: std::mem::take(buffer),
                });
            }
        }
    }
}

/// Takes a complete request from `buffer`.
fn take_request(buffer: &mut Vec<u8>) -> Option<ReceivedRequest> {
    let end_of_head = buffer.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&buffer[..end_of_head]).into_owned();
    let mut received = ReceivedRequest {
        head,
        body: Vec::new(),
    };
    let length = received.header("Content-Length");
    let length = length.and_then(|length| length.parse().ok());
    let end = end_of_head.checked_add(length.unwrap_or(0))?;
    received.body = buffer.get(end_of_head..end)?.to_vec();
    buffer.drain(..end);
    Some(received)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_taken_when_it_is_complete() {
        let mut buffer =
            b"POST / HTTP/1.1\r\nX-Netdata-Severity:  critical\r\ncontent-length: 2\r\n\r\n{"
                .to_vec();
        assert_eq!(take_request(&mut buffer), None);
        buffer.extend(b"}GET");
        let received = take_request(&mut buffer).unwrap();
        assert_eq!(
            (received.severity(), received.body.as_slice()),
            ("critical", &b"{}"[..])
        );
        assert_eq!(buffer, b"GET", "the next request stays");
    }
}
