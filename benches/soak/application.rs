//! The application: answers 200, remembers which notifications it has seen, and has two unusual
//! paths.

use crate::Failure;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

/// The running application, which ends with the runtime.
pub(crate) struct Application {
    pub(crate) address: SocketAddr,
    seen: Seen,
}

/// How often each Idempotency-Key came.
type Seen = Arc<Mutex<HashMap<String, u32>>>;

impl Application {
    pub(crate) async fn spawn() -> Result<Self, Failure> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (address, seen) = (listener.local_addr()?, Seen::default());
        let shared = seen.clone();
        tokio::spawn(async move {
            loop {
                if let Ok((stream, _)) = listener.accept().await {
                    let seen = shared.clone();
                    // An error is the end of the connection.
                    tokio::spawn(async move { drop(serve(stream, &seen).await) });
                }
            }
        });
        Ok(Self { address, seen })
    }

    /// How often the notification with this key came.
    pub(crate) fn saw(&self, key: &str) -> u32 {
        self.seen
            .lock()
            .expect("no panic holds it")
            .get(key)
            .copied()
            .unwrap_or_default()
    }
}

async fn serve(mut stream: TcpStream, seen: &Seen) -> Result<(), Failure> {
    stream.set_nodelay(true)?;
    let mut buffer = Vec::with_capacity(32 * 1024);
    loop {
        let request = loop {
            if let Some(request) = parse(&buffer)? {
                break request;
            }
            if stream.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
        };
        buffer.drain(..request.length);
        if let Some(key) = request.key {
            *seen
                .lock()
                .expect("no panic holds it")
                .entry(key)
                .or_default() += 1;
        }
        match request.path.as_str() {
            "/app/endless" => return dribble(stream).await,
            "/app/slow" => sleep(Duration::from_secs(1)).await,
            _ => {}
        }
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            .await?;
    }
}

/// An answer of one byte a second, for an hour.
async fn dribble(mut stream: TcpStream) -> Result<(), Failure> {
    stream
        .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 3600\r\n\r\n")
        .await?;
    for _ in 0..3600 {
        stream.write_all(b".").await?;
        sleep(Duration::from_secs(1)).await;
    }
    Ok(())
}

struct Request {
    path: String,
    key: Option<String>,
    length: usize,
}

/// A whole request. The proxy gives every body a length; a chunked one ends the connection.
fn parse(bytes: &[u8]) -> Result<Option<Request>, Failure> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut request = httparse::Request::new(&mut headers);
    let httparse::Status::Complete(head) = request.parse(bytes)? else {
        return Ok(None);
    };
    let path = request.path.unwrap_or_default().to_owned();
    let field = |name: &str| {
        let header = request
            .headers
            .iter()
            .find(|header| header.name.eq_ignore_ascii_case(name));
        header.and_then(|header| std::str::from_utf8(header.value).ok())
    };
    if field("transfer-encoding").is_some() {
        return Err("a chunked request".into());
    }
    let body: usize = field("content-length").map_or(Ok(0), str::parse)?;
    let key = field("idempotency-key").map(str::to_owned);
    Ok((bytes.len() >= head + body).then_some(Request {
        path,
        key,
        length: head + body,
    }))
}
