//! The application behind the proxy: a small HTTP server that records its requests.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};

/// Status of its responses. The proxy has it for what it stores, with another body.
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

/// Receives every request before the response is sent.
type Record = Arc<dyn Fn(ReceivedRequest) + Send + Sync>;

/// The application, which can be stopped and started again.
pub(super) struct Application {
    pub(super) address: SocketAddr,
    record: Record,
    /// Everything that it does. Without it, the listener and all connections are closed.
    runtime: Option<Runtime>,
}

impl Application {
    /// Starts the application. `record` receives every request before the response is sent.
    pub(super) fn start(
        record: impl Fn(ReceivedRequest) + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let mut application = Self {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            record: Arc::new(record),
            runtime: None,
        };
        application.start_again()?;
        Ok(application)
    }

    /// Stops the application, which ends all connections.
    pub(super) fn stop(&mut self) {
        self.runtime = None;
    }

    /// Starts the application where it was, if it is stopped.
    pub(super) fn start_again(&mut self) -> io::Result<()> {
        if self.runtime.is_some() {
            return Ok(());
        }
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_io()
            .build()?;
        let listener = runtime.block_on(TcpListener::bind(self.address))?;
        self.address = listener.local_addr()?;
        runtime.spawn(accept(listener, self.record.clone()));
        self.runtime = Some(runtime);
        Ok(())
    }
}

async fn accept(listener: TcpListener, record: Record) {
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, record.clone()));
        }
    }
}

/// Serves a connection until it ends; the proxy keeps it for further requests.
async fn serve(mut stream: TcpStream, record: Record) {
    let response = response();
    let mut buffer = Vec::new();
    while let Some(received) = read_request(&mut stream, &mut buffer).await {
        record(received);
        if stream.write_all(response.as_bytes()).await.is_err() {
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
async fn read_request(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<ReceivedRequest> {
    loop {
        if let Some(received) = take_request(buffer) {
            return Some(received);
        }
        let read = match buffer.len() < MAX_REQUEST {
            true => stream.read_buf(buffer).await.unwrap_or_default(),
            false => 0,
        };
        match read {
            0 if buffer.is_empty() => return None,
            // An incomplete request is an error of the proxy, which the demo must show.
            0 => {
                return Some(ReceivedRequest {
                    head: String::new(),
                    body: std::mem::take(buffer),
                });
            }
            _ => {}
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
