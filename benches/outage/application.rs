//! An application that takes everything at once, and checks the order of it.

use crate::Failure;
use crate::sender::Name;
use std::cmp::Ordering;
use std::collections::HashMap;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// An application, which is down until it is started.
pub(crate) struct Application {
    pub(crate) address: SocketAddr,
    record: Arc<Mutex<Record>>,
}

/// What the application has received.
#[derive(Default)]
pub(crate) struct Record {
    /// The number of notifications of each alert.
    counts: HashMap<u32, u32>,
    /// The number of all of them, each once.
    pub(crate) received: u32,
    /// Those that came again.
    pub(crate) repeated: u32,
    /// Those that came before an earlier one of the same alert.
    pub(crate) early: u32,
    first: Option<Instant>,
    last: Option<Instant>,
}

impl Record {
    fn note(&mut self, name: Name) {
        let now = Instant::now();
        self.first.get_or_insert(now);
        let count = self.counts.entry(name.alert).or_default();
        match name.number.cmp(count) {
            Ordering::Less => self.repeated += 1,
            Ordering::Greater => self.early += 1,
            Ordering::Equal => {
                *count += 1;
                self.received += 1;
                self.last = Some(now);
            }
        }
    }
}

impl Record {
    /// The number that came in a second.
    pub(crate) fn rate(&self) -> f64 {
        let elapsed = self.first.zip(self.last).map(|(first, last)| last - first);
        f64::from(self.received) / elapsed.unwrap_or_default().as_secs_f64().max(1e-9)
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "delivered: {}, {:.0} a second; {} of them again, {} before an earlier one",
            self.received,
            self.rate(),
            self.repeated,
            self.early
        )
    }
}

impl Application {
    /// One whose address is its own, so that no other process takes it while it is down.
    pub(crate) fn reserve(host: u8) -> Result<Self, Failure> {
        let [_, _, high, low] = std::process::id().to_be_bytes();
        let host = Ipv4Addr::new(127, high | 1, low, host);
        let address = std::net::TcpListener::bind((host, 0))?.local_addr()?;
        Ok(Self {
            address,
            record: Arc::default(),
        })
    }

    /// Starts it; it ends with the runtime.
    pub(crate) async fn start(&self) -> Result<(), Failure> {
        let listener = TcpListener::bind(self.address).await?;
        let record = self.record.clone();
        tokio::spawn(async move {
            loop {
                if let Ok((stream, _)) = listener.accept().await {
                    let record = record.clone();
                    // An error is the end of the connection.
                    tokio::spawn(async move { drop(serve(stream, &record).await) });
                }
            }
        });
        Ok(())
    }

    pub(crate) fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().expect("no panic holds it")
    }
}

async fn serve(mut stream: TcpStream, record: &Mutex<Record>) -> Result<(), Failure> {
    stream.set_nodelay(true)?;
    let mut buffer = Vec::with_capacity(32 * 1024);
    loop {
        let (name, length) = loop {
            if let Some(request) = parse(&buffer)? {
                break request;
            }
            if stream.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
        };
        buffer.drain(..length);
        if let Some(name) = name {
            record.lock().expect("no panic holds it").note(name);
        }
        let response = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        stream.write_all(response).await?;
    }
}

/// The name and the length of a whole request. That of another route has no name.
fn parse(bytes: &[u8]) -> Result<Option<(Option<Name>, usize)>, Failure> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut request = httparse::Request::new(&mut headers);
    let httparse::Status::Complete(head) = request.parse(bytes)? else {
        return Ok(None);
    };
    let field = |name: &str| {
        let mut headers = request.headers.iter();
        let header = headers.find(|header| header.name.eq_ignore_ascii_case(name));
        std::str::from_utf8(header.map_or(b"", |header| header.value))
    };
    let length = head + field("content-length")?.parse::<usize>()?;
    let name = Name::parse(field("idempotency-key")?).ok();
    Ok((bytes.len() >= length).then_some((name, length)))
}
