//! The job of the load generator, and the side that assigns it.

use super::{Identity, Outcome};
use crate::Failure;
use serde::{Deserialize, Serialize};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

/// Requests, identity, target and duration of a job.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) address: SocketAddr,
    /// From how many addresses: 127.0.0.1 and those behind it.
    pub(crate) sources: u8,
    pub(crate) identity: Identity,
    pub(crate) pattern: Pattern,
    /// Sent in turn.
    pub(crate) messages: Vec<Message>,
    /// The right answer to each.
    pub(crate) expected: Expected,
    /// Requests a second, whatever the answers do; absent, each sender sends as soon as it has its
    /// answer.
    pub(crate) rate: Option<f64>,
    pub(crate) warm_up: Duration,
    pub(crate) length: Duration,
}

impl Job {
    /// After which it is given up, whatever hangs.
    pub(super) fn limit(&self) -> Duration {
        let window = match self.pattern {
            Pattern::Crowd { window, .. } => window,
            _ => Duration::ZERO,
        };
        Duration::from_secs(60) + self.warm_up + self.length + window
    }
}

/// How connections are used.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) enum Pattern {
    /// A connection for each request.
    New { senders: usize },
    /// HTTP/1.1 on `connections`, so many of which are busy at a time.
    Http1 { connections: usize, busy: usize },
    /// HTTP/2, each connection with so many streams at a time.
    Http2 { connections: usize, streams: usize },
    /// Senders that connect at random moments of `window`, so many of them with HTTP/2, and send
    /// `posts` one after the other.
    Crowd {
        senders: usize,
        http2: usize,
        posts: usize,
        window: Duration,
    },
}

impl Pattern {
    /// How many connections are open before the work begins.
    pub(super) fn connections(self) -> usize {
        match self {
            Self::Http1 { connections, .. } | Self::Http2 { connections, .. } => connections,
            Self::New { .. } | Self::Crowd { .. } => 0,
        }
    }

    /// The share of one of several threads.
    pub(super) fn share(mut self, share: impl Fn(usize) -> usize) -> Self {
        let shared: &mut [&mut usize] = match &mut self {
            Self::New { senders } => &mut [senders],
            Self::Http1 { connections, busy } => &mut [connections, busy],
            Self::Http2 { connections, .. } => &mut [connections],
            Self::Crowd { senders, http2, .. } => &mut [senders, http2],
        };
        for count in shared {
            **count = share(**count);
        }
        self
    }
}

/// The status of an answer, and the start of its body.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Expected {
    pub(crate) status: u16,
    pub(crate) body: String,
}

impl Expected {
    pub(crate) fn ok(body: String) -> Self {
        Self { status: 200, body }
    }

    /// That of this program when it has stored a notification.
    pub(crate) fn queued() -> Self {
        Self {
            status: 202,
            body: r#"{"queued":true,"#.into(),
        }
    }
}

/// A request.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Message {
    pub(crate) method: String,
    /// The path and the query.
    pub(crate) target: String,
    /// Beside `Host`, `User-Agent`, `Content-Type` and `Content-Length`.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

/// A load generator that has connected and warmed up.
pub(crate) struct Driver {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Driver {
    pub(crate) fn prepare(job: &Job) -> Result<Self, Failure> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("load")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let input = child
            .stdin
            .take()
            .ok_or("the load generator has no input")?;
        let output = BufReader::new(
            child
                .stdout
                .take()
                .ok_or("the load generator has no output")?,
        );
        let mut driver = Self {
            child,
            input,
            output,
        };
        writeln!(driver.input, "{}", serde_json::to_string(job)?)?;
        match driver.read_line()?.as_str() {
            "ready\n" => Ok(driver),
            other => Err(format!("the load generator says {other:?} instead of ready").into()),
        }
    }

    /// Does the work.
    pub(crate) fn run(mut self) -> Result<Outcome, Failure> {
        writeln!(self.input, "go")?;
        Ok(serde_json::from_str(&self.read_line()?)?)
    }

    fn read_line(&mut self) -> Result<String, Failure> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        Ok(line)
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // An error says that it has ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
