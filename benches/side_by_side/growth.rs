//! What becomes of the cost when there is more of something: connections, routes, credentials,
//! upstreams.

use crate::Failure;
use crate::alerts::alert;
use crate::gateway::Lab;
use crate::load::{Driver, Expected, Job, Message, Pattern};
use crate::peers::{Features, Peer};
use crate::sample::median;
use crate::scenario::{self, USUAL, Variant};
use rustix::process::{Resource, getrlimit};
use serde::Serialize;
use std::fmt;
use std::net::SocketAddr;
use std::thread::sleep;
use std::time::Duration;

/// What there is more of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) enum Dimension {
    Connections,
    Routes,
    Credentials,
    Upstreams,
}

/// The medians of one server with so many of something.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Point {
    pub(crate) dimension: Dimension,
    pub(crate) count: usize,
    pub(crate) server: String,
    /// In microseconds.
    pub(crate) cpu_per_request: f64,
    pub(crate) requests_per_second: f64,
    /// In bytes, with all the connections open.
    pub(crate) memory: f64,
}

/// How thoroughly.
pub(crate) struct Growth<'a> {
    pub(crate) lab: &'a Lab,
    pub(crate) rounds: usize,
    pub(crate) length: Duration,
}

struct Sample {
    cpu_per_request: f64,
    requests_per_second: f64,
    memory: f64,
}

impl Dimension {
    pub(crate) const ALL: [Self; 4] = [
        Self::Connections,
        Self::Routes,
        Self::Credentials,
        Self::Upstreams,
    ];

    fn counts(self) -> &'static [usize] {
        match self {
            Self::Connections => &[1, 100, 1000, 10_000],
            Self::Routes => &[1, 100],
            Self::Credentials => &[1, 1000],
            Self::Upstreams => &[1, 4],
        }
    }
}

impl fmt::Display for Dimension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connections => "connections",
            Self::Routes => "routes",
            Self::Credentials => "Bearer tokens",
            Self::Upstreams => "upstreams",
        })
    }
}

/// What is not grown has this size.
const CONNECTIONS: usize = 32;
/// So many requests at a time, of however many connections.
const BUSY: usize = 32;
/// For each source address there are some 28,000 ports, and those of the last round are not free
/// yet.
const SOURCES: u8 = 8;
const SETTLE: Duration = Duration::from_millis(200);
const WARM_UP: Duration = Duration::from_millis(500);

impl Growth<'_> {
    pub(crate) fn measure(&self, peers: &[Box<dyn Peer>]) -> Result<Vec<Point>, Failure> {
        let mut points = Vec::new();
        for dimension in Dimension::ALL {
            for &count in dimension.counts() {
                if dimension == Dimension::Connections && !fits(count) {
                    eprintln!(
                        "Without {count} connections: the limit of open files is too low (ulimit -n)."
                    );
                    continue;
                }
                points.extend(self.points(dimension, count, peers)?);
            }
        }
        Ok(points)
    }

    fn points(
        &self,
        dimension: Dimension,
        count: usize,
        peers: &[Box<dyn Peer>],
    ) -> Result<Vec<Point>, Failure> {
        let peers = self.able(dimension, count, peers)?;
        let mut samples: Vec<Vec<Sample>> = peers.iter().map(|_| Vec::new()).collect();
        for round in 0..self.rounds {
            for turn in 0..peers.len() {
                let index = (round + turn) % peers.len();
                let sample = self.sample(dimension, count, peers[index])?;
                eprintln!(
                    "{dimension} {count}, round {}, {}: {:.1} µs, {:.0}/s, {:.0} MB",
                    round + 1,
                    peers[index].name(),
                    sample.cpu_per_request,
                    sample.requests_per_second,
                    sample.memory / 1e6
                );
                samples[index].push(sample);
            }
        }
        let measured = peers.iter().zip(&samples);
        Ok(measured
            .map(|(peer, samples)| Point::of(dimension, count, peer.name(), samples))
            .collect())
    }

    /// Those that can have so many of these.
    fn able<'p>(
        &self,
        dimension: Dimension,
        count: usize,
        peers: &'p [Box<dyn Peer>],
    ) -> Result<Vec<&'p dyn Peer>, Failure> {
        let (features, upstreams) = setting(dimension, count);
        let mut able = Vec::new();
        for peer in peers {
            match self.lab.refusal(peer.as_ref(), features, upstreams)? {
                None => able.push(peer.as_ref()),
                Some(refusal) => {
                    eprintln!("{dimension} {count}: without {}: {refusal}", peer.name())
                }
            }
        }
        Ok(able)
    }

    fn job(&self, address: SocketAddr, connections: usize, features: Features) -> Job {
        let (messages, expected) = messages(features);
        Job {
            address,
            sources: SOURCES,
            identity: scenario::identity(self.lab, &Variant::default()),
            pattern: Pattern::Http1 {
                connections,
                busy: connections.min(BUSY),
            },
            messages,
            expected,
            rate: None,
            warm_up: WARM_UP,
            length: self.length,
        }
    }

    /// In a fresh server each time, because of the memory.
    fn sample(
        &self,
        dimension: Dimension,
        count: usize,
        peer: &dyn Peer,
    ) -> Result<Sample, Failure> {
        let (features, upstreams) = setting(dimension, count);
        let gateway = self.lab.start(peer, features, upstreams)?;
        let connections = match dimension {
            Dimension::Connections => count,
            _ => CONNECTIONS,
        };
        let job = self.job(gateway.address, connections, features);
        let driver = Driver::prepare(&job)
            .map_err(|error| format!("{dimension} {count}, {}: {error}", peer.name()))?;
        sleep(SETTLE);
        let (before, memory) = (gateway.cpu(), gateway.memory());
        let outcome = driver.run()?;
        if let Some(failure) = outcome.first_failure {
            return Err(format!("{dimension} {count}, {}: {failure}", peer.name()).into());
        }
        let cpu = gateway.cpu().since(&before);
        Ok(Sample {
            cpu_per_request: cpu.as_secs_f64() * 1e6 / outcome.answered.max(1) as f64,
            requests_per_second: outcome.answered as f64 / outcome.seconds,
            memory: memory as f64,
        })
    }
}

impl Point {
    fn of(dimension: Dimension, count: usize, server: &str, samples: &[Sample]) -> Self {
        Self {
            dimension,
            count,
            server: server.to_owned(),
            cpu_per_request: median(samples.iter().map(|sample| sample.cpu_per_request)),
            requests_per_second: median(samples.iter().map(|sample| sample.requests_per_second)),
            memory: median(samples.iter().map(|sample| sample.memory)),
        }
    }
}

/// A gateway has a file for each connection, some for the application, and some of its own.
fn fits(connections: usize) -> bool {
    getrlimit(Resource::Nofile)
        .current
        .is_none_or(|limit| limit > connections as u64 + 1000)
}

fn setting(dimension: Dimension, count: usize) -> (Features, usize) {
    match dimension {
        Dimension::Connections => (Features::PLAIN, 1),
        Dimension::Routes => (
            Features {
                routes: count,
                ..Features::PLAIN
            },
            1,
        ),
        Dimension::Credentials => (
            Features {
                tokens: count,
                ..Features::PLAIN
            },
            1,
        ),
        Dimension::Upstreams => (Features::PLAIN, count),
    }
}

/// One for each route in turn.
fn messages(features: Features) -> (Vec<Message>, Expected) {
    let (mut message, expected) = scenario::notification("", alert(USUAL));
    message.headers.extend(features.authorization());
    let messages = features.paths().into_iter().map(|target| Message {
        target,
        ..message.clone()
    });
    (messages.collect(), expected)
}

/// The table.
pub(crate) fn markdown(points: &[Point]) -> String {
    let mut text = String::from(
        "| of | number | server | CPU µs/request | × NGINX | requests/s | memory MB |\n\
         |---|---:|---|---:|---:|---:|---:|\n",
    );
    for point in points {
        let Point {
            dimension,
            count,
            server,
            cpu_per_request,
            requests_per_second,
            memory,
        } = point;
        let same = |other: &&Point| {
            (other.dimension, other.count) == (*dimension, *count) && other.server == "NGINX"
        };
        let ratio = points
            .iter()
            .find(same)
            .map(|nginx| cpu_per_request / nginx.cpu_per_request);
        text += &format!(
            "| {dimension} | {count} | {server} | {cpu_per_request:.1} | {} | {requests_per_second:.0} | {:.1} |\n",
            ratio.map_or("–".to_owned(), |ratio| format!("{ratio:.2}")),
            memory / 1e6
        );
    }
    text
}
