//! Netdata Cloud during the outage: sends as fast as it is answered, over several connections, each
//! of which has alerts of its own.

use crate::client::{self, Answer, Connection};
use crate::options::Options;
use crate::target::Target;
use crate::{Failure, alerts};
use bytes::Bytes;
use h2::client::SendRequest;
use hdrhistogram::Histogram;
use http::Request;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What is sent about an alert: its transition.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Name {
    pub(crate) alert: u32,
    /// Its place among those of the alert.
    pub(crate) number: u32,
}

/// The node and the transition in a body that is the same otherwise.
const NODE: &str = "5d1a7a7e-0c52-4c0f-8a4e-1f1f0f7b2a10";
const TRANSITION: &str = "7a2f4a44-7d25-4d63-8ef5-90a30f4dd4f2";

impl Name {
    pub(crate) fn parse(transition: &str) -> Result<Self, Failure> {
        let (alert, rest) = transition.split_once('-').ok_or("another transition")?;
        let (_, number) = rest.rsplit_once('-').ok_or("another transition")?;
        Ok(Self {
            alert: u32::from_str_radix(alert, 16)?,
            number: u32::from_str_radix(number, 16)?,
        })
    }

    /// Returns the body of it, of which `template` is another.
    fn body(self, template: &str) -> String {
        let Self { alert, number } = self;
        let transition = format!("{alert:08x}-7d25-4d63-8ef5-{number:012x}");
        let node = format!("{alert:08x}-0c52-4c0f-8a4e-1f1f0f7b2a10");
        template
            .replace(NODE, &node)
            .replace(TRANSITION, &transition)
    }
}

/// What came of the notifications.
pub(crate) struct Taken {
    pub(crate) acknowledged: u32,
    pub(crate) first_failure: Option<String>,
    pub(crate) elapsed: Duration,
    /// Of the answers, in microseconds.
    pub(crate) latencies: Histogram<u64>,
}

/// Sends all notifications. Each connection sends the first about each of its alerts, then the
/// second about each, and so on.
pub(crate) async fn send(options: &Options, target: &Target) -> Result<Taken, Failure> {
    let started = Instant::now();
    let template: Arc<str> = alerts::alert(options.size).into();
    let connections = options.connections.min(options.alerts);
    let senders = (0..connections).map(|first| {
        let alerts = (first..options.alerts).step_by(connections as usize);
        let sender = Sender {
            // Of those of each replica, every second one uses HTTP/2.
            target: target.of(first / 2),
            template: template.clone(),
            is_http2: first % 2 == 1,
        };
        tokio::spawn(sender.send(alerts.collect(), options.rounds()))
    });
    let senders: Vec<_> = senders.collect();
    let mut taken = Taken::new()?;
    for sender in senders {
        taken.add(&sender.await??)?;
    }
    taken.elapsed = started.elapsed();
    Ok(taken)
}

impl fmt::Display for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.elapsed.as_secs_f64();
        let at = |quantile| self.latencies.value_at_quantile(quantile) as f64 / 1000.0;
        write!(
            f,
            "taken: {} in {seconds:.1} s, {:.0} a second; answered after p50 {:.2} ms, p99 {:.2} ms",
            self.acknowledged,
            f64::from(self.acknowledged) / seconds,
            at(0.5),
            at(0.99)
        )?;
        match &self.first_failure {
            Some(failure) => write!(f, "\n  refused: {failure}"),
            None => Ok(()),
        }
    }
}

impl Taken {
    fn new() -> Result<Self, Failure> {
        Ok(Self {
            acknowledged: 0,
            first_failure: None,
            elapsed: Duration::ZERO,
            latencies: Histogram::new(3)?,
        })
    }

    fn note(&mut self, answer: &Answer, latency: Duration) -> Result<(), Failure> {
        let is_queued = answer.status == 202 && answer.body.starts_with(b"{\"queued\":true");
        if is_queued {
            self.acknowledged += 1;
        } else {
            let body = String::from_utf8_lossy(&answer.body);
            let failure = format!("status {}: {body}", answer.status);
            self.first_failure.get_or_insert(failure);
        }
        let micros = u64::try_from(latency.as_micros())?;
        Ok(self.latencies.record(micros.max(1))?)
    }

    fn add(&mut self, other: &Self) -> Result<(), Failure> {
        self.acknowledged += other.acknowledged;
        let failure = self.first_failure.take();
        self.first_failure = failure.or_else(|| other.first_failure.clone());
        Ok(self.latencies.add(&other.latencies)?)
    }
}

/// One connection.
struct Sender {
    target: Target,
    template: Arc<str>,
    is_http2: bool,
}

impl Sender {
    async fn send(self, alerts: Vec<u32>, rounds: u32) -> Result<Taken, Failure> {
        let mut taken = Taken::new()?;
        let mut carrier = self.connect().await?;
        for number in 0..rounds {
            for alert in &alerts {
                let body = Name {
                    alert: *alert,
                    number,
                }
                .body(&self.template);
                let started = Instant::now();
                let answer = carrier.exchange(body).await?;
                taken.note(&answer, started.elapsed())?;
                if !answer.may_stay {
                    carrier = self.connect().await?;
                }
            }
        }
        Ok(taken)
    }

    async fn connect(&self) -> Result<Carrier, Failure> {
        if !self.is_http2 {
            return Ok(Carrier::Http1(Box::new(
                self.target.http1().connect().await?,
            )));
        }
        let (requests, connection) =
            h2::client::handshake(self.target.http2().tls().await?).await?;
        // Its end is that of its requests.
        tokio::spawn(async { drop(connection.await) });
        Ok(Carrier::Http2(requests))
    }
}

/// A connection of either version of HTTP.
enum Carrier {
    Http1(Box<Connection>),
    Http2(SendRequest<Bytes>),
}

impl Carrier {
    async fn exchange(&mut self, body: String) -> Result<Answer, Failure> {
        match self {
            Self::Http1(connection) => connection.exchange(&post("/outage", &body)).await,
            Self::Http2(requests) => {
                let request = Request::post("https://localhost/outage")
                    .header("content-type", "application/json")
                    .body(())?;
                client::exchange(requests, request, body.into()).await
            }
        }
    }
}

/// A request over HTTP/1.1.
pub(crate) fn post(path: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}
