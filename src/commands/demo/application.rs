//! The application behind the proxy: a small HTTP server that records what it receives.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

/// What it answers; with a status that the proxy never uses by itself.
pub(super) const STATUS: u16 = 202;
/// The body of its answer.
pub(super) const ANSWER: &str = "{\"recorded\":true}";

/// More than the proxy lets through.
const MAX_REQUEST: usize = 4 << 20;

/// A request as it arrived, byte for byte.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ReceivedRequest {
    /// The request line and the header fields.
    pub(super) head: String,
    /// What follows.
    pub(super) body: Vec<u8>,
}

impl ReceivedRequest {
    /// The value of a header field.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let mut fields = self
            .head
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(':'));
        fields
            .find(|(field, _)| field.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
    }

    /// What it is about, as the proxy says.
    pub(super) fn notification(&self) -> &str {
        self.header("X-Netdata-Notification")
            .unwrap_or("unverified")
    }

    /// How bad it is, as the proxy says.
    pub(super) fn severity(&self) -> &str {
        self.header("X-Netdata-Severity").unwrap_or_default()
    }

    /// Both, as far as there are both.
    pub(super) fn subject(&self) -> String {
        match self.severity() {
            "" => self.notification().to_owned(),
            severity => format!("{}, {severity}", self.notification()),
        }
    }

    /// How its sender was verified, as the proxy says.
    pub(super) fn verified(&self) -> &str {
        self.header("X-Netdata-Verified").unwrap_or_default()
    }
}

/// Starts it, and says where it listens. `record` gets every request before it is answered.
///
/// It ends with the process.
pub(super) fn start(
    record: impl Fn(ReceivedRequest) + Clone + Send + 'static,
) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let address = listener.local_addr()?;
    thread::Builder::new()
        .name("application".into())
        .spawn(move || {
            for stream in listener.incoming().flatten() {
                let record = record.clone();
                thread::spawn(move || serve(stream, record));
            }
        })?;
    Ok(address)
}

/// Serves a connection until it ends; the proxy keeps it for the next request.
fn serve(mut stream: TcpStream, record: impl Fn(ReceivedRequest)) {
    let mut buffer = Vec::new();
    while let Some(received) = read_request(&mut stream, &mut buffer) {
        record(received);
        let answer = format!(
            "HTTP/1.1 {STATUS} Accepted\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{ANSWER}",
            ANSWER.len()
        );
        if stream.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

/// The next request, or what came of it; `None` if nothing more came. `buffer` keeps what is read
/// too far.
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
            // Half a request is something, too: it would be a mistake of the proxy's.
            _ => {
                return Some(ReceivedRequest {
                    head: String::new(),
                    body: std::mem::take(buffer),
                });
            }
        }
    }
}

/// Takes a whole request out of `buffer`.
fn take_request(buffer: &mut Vec<u8>) -> Option<ReceivedRequest> {
    let end_of_head = buffer.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&buffer[..end_of_head]).into_owned();
    let mut received = ReceivedRequest {
        head,
        body: Vec::new(),
    };
    let length = received
        .header("Content-Length")
        .and_then(|length| length.parse().ok())
        .unwrap_or(0);
    let end = end_of_head.checked_add(length)?;
    received.body = buffer.get(end_of_head..end)?.to_vec();
    buffer.drain(..end);
    Some(received)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_taken_when_it_is_whole() {
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
