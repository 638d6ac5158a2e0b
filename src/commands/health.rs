//! Asks the running process how it is, for what starts it and keeps it running: containers,
//! orchestrators, scripts.

use crate::config::Admin;
use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// How long all of it may take; whoever asks waits a few seconds.
const PATIENCE: Duration = Duration::from_secs(4);

/// Bytes of an answer; the admin listener's have a few hundred.
const MAX_ANSWER: u64 = 64 * 1024;

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HealthQuery {
    /// Whether the process runs.
    Live,
    /// Whether traffic should be sent to it.
    Ready,
}

impl HealthQuery {
    fn path(self) -> &'static str {
        match self {
            Self::Live => "/livez",
            Self::Ready => "/readyz",
        }
    }
}

/// Asks the admin listener, and gives back what it said.
///
/// # Errors
/// Says in one line why the answer is no, or why there is none.
pub(crate) fn ask(admin: Admin, question: HealthQuery) -> Result<String, String> {
    let (address, path) = (reachable(admin.listen), question.path());
    let answer = exchange(address, path).map_err(|error| {
        let error = match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                format!("no answer within {} s", PATIENCE.as_secs())
            }
            _ => error.to_string(),
        };
        format!("http://{address}{path} does not answer: {error}")
    })?;
    let answer = Answer::parse(&answer)
        .ok_or_else(|| format!("http://{address}{path} does not speak HTTP"))?;
    match answer.status {
        200 => Ok(answer.to_string()),
        _ => Err(format!("http://{address}{path}: {answer}")),
    }
}

/// Where a listener is reached from its own machine.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

fn exchange(address: SocketAddr, path: &str) -> io::Result<String> {
    let deadline = Instant::now() + PATIENCE;
    let mut socket = TcpStream::connect_timeout(&address, PATIENCE)?;
    let left = || {
        Some(
            deadline
                .saturating_duration_since(Instant::now())
                .max(Duration::from_millis(1)),
        )
    };
    socket.set_write_timeout(left())?;
    socket.write_all(
        format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").as_bytes(),
    )?;
    let mut answer = Vec::new();
    let mut chunk = [0; 4096];
    // Up to the end of the connection, which is what was asked for.
    while (answer.len() as u64) < MAX_ANSWER {
        if Instant::now() >= deadline {
            return Err(io::ErrorKind::TimedOut.into());
        }
        socket.set_read_timeout(left())?;
        match socket.read(&mut chunk)? {
            0 => break,
            read => answer.extend_from_slice(&chunk[..read]),
        }
    }
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// A status and what was said with it, in one line.
struct Answer {
    status: u16,
    text: String,
}

impl Answer {
    fn parse(answer: &str) -> Option<Self> {
        let (head, body) = answer.split_once("\r\n\r\n")?;
        let status = head
            .strip_prefix("HTTP/1.")?
            .split([' ', '\r'])
            .nth(1)?
            .parse()
            .ok()?;
        let lines: Vec<_> = body
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .collect();
        Some(Self {
            status,
            text: lines.join(" "),
        })
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.text.as_str() {
            "" => write!(f, "status {}", self.status),
            text => write!(f, "{text} ({})", self.status),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_on_every_address_is_asked_on_this_machine() {
        for (listen, expected) in [
            ("0.0.0.0:9464", "127.0.0.1:9464"),
            ("[::]:9464", "[::1]:9464"),
            ("127.0.0.2:1", "127.0.0.2:1"),
            ("192.0.2.1:9464", "192.0.2.1:9464"),
        ] {
            assert_eq!(reachable(listen.parse().unwrap()).to_string(), expected);
        }
    }

    #[test]
    fn an_answer_is_one_line() {
        for (answer, expected) in [
            ("HTTP/1.1 200 OK\r\nA: b\r\n\r\nok\n", Some("ok (200)")),
            (
                "HTTP/1.1 503 Service Unavailable\r\n\r\nOne.\nAnother.\n",
                Some("One. Another. (503)"),
            ),
            ("HTTP/1.0 404 Not Found\r\n\r\n", Some("status 404")),
            ("HTTP/1.1 200 OK\r\n", None),
            ("SSH-2.0-OpenSSH\r\n\r\n", None),
            ("HTTP/1.1\r\n\r\n", None),
            ("HTTP/1.ü200\r\n\r\n", None),
        ] {
            assert_eq!(
                Answer::parse(answer)
                    .map(|answer| answer.to_string())
                    .as_deref(),
                expected,
                "{answer:?}"
            );
        }
    }
}
