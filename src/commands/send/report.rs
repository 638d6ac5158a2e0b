//! The report of a run, as text and as JSON.

use super::load::{LoadResult, LoadRun};
use super::outcome::RequestStatus;
use super::statistics::{Latency, Statistics};
use serde::Serialize;
use std::fmt::{self, Display};

/// Report of a run.
#[derive(Debug, Serialize)]
pub(super) struct SendReport {
    /// Was every request accepted?
    pub(super) ok: bool,
    url: String,
    kind: &'static str,
    /// Seed with which the same is sent again.
    seed: Option<u64>,
    /// Token of the last Test notification that was accepted.
    test_token: Option<String>,
    #[serde(skip)]
    tests: u64,
    protocol: Option<&'static str>,
    tls: Option<&'static str>,
    concurrency: u64,
    #[serde(flatten)]
    pub(super) counts: Counts,
    interrupted: bool,
    seconds: f64,
    requests_per_second: f64,
    latency_ms: Option<Latency>,
    results: Vec<ResultLine>,
}

/// Numbers of requests.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Counts {
    pub(super) requests: u64,
    accepted: u64,
    refused: u64,
    unanswered: u64,
    pub(super) unreachable: u64,
}

impl Counts {
    fn new(statistics: &Statistics) -> Self {
        Self {
            requests: statistics.requests(),
            accepted: statistics.of(RequestStatus::Accepted),
            refused: statistics.of(RequestStatus::Refused),
            unanswered: statistics.of(RequestStatus::Unanswered),
            unreachable: statistics.of(RequestStatus::Unreachable),
        }
    }
}

/// Result that several requests have in common.
#[derive(Debug, Serialize)]
struct ResultLine {
    result: RequestStatus,
    count: u64,
    status: Option<u16>,
    code: Option<String>,
    text: String,
    /// Detail of the first of them, as are the fields below.
    detail: Option<String>,
    request_id: Option<String>,
    advice: Option<&'static str>,
}

impl SendReport {
    pub(super) fn new(load_run: &LoadRun, result: &LoadResult) -> Self {
        let statistics = &result.statistics;
        let tests = statistics.tests();
        let negotiated = load_run.delivery.negotiated();
        let counts = Counts::new(statistics);
        let seconds = result.took.as_secs_f64();
        Self {
            ok: counts.accepted == counts.requests && !result.was_interrupted,
            url: load_run.delivery.target.url(),
            kind: load_run.plan.kind,
            seed: load_run.plan.seed(),
            test_token: tests.map(|tests| tests.token.clone()),
            tests: tests.map_or(0, |tests| tests.count),
            protocol: negotiated.map(|negotiated| negotiated.protocol.as_str()),
            tls: negotiated.and_then(|negotiated| negotiated.tls),
            concurrency: load_run.pace.concurrency,
            counts,
            interrupted: result.was_interrupted,
            seconds,
            requests_per_second: counts.requests as f64 / seconds.max(f64::MIN_POSITIVE),
            latency_ms: statistics.latency(),
            results: results(statistics),
        }
    }

    /// Returns the report as one JSON object.
    pub(super) fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a report is plain data")
    }
}

fn results(statistics: &Statistics) -> Vec<ResultLine> {
    let lines = statistics
        .reasons()
        .map(|(reason, count, first)| ResultLine {
            result: reason.status,
            count,
            status: reason.http_status,
            code: reason.code.clone(),
            text: reason.text.clone(),
            detail: first.detail.clone(),
            request_id: first.request_id.clone(),
            advice: first.advice,
        });
    lines.collect()
}

impl Display for SendReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_heading(f)?;
        for line in &self.results {
            write!(f, "\n  {line}")?;
        }
        if self.interrupted {
            write!(f, "\n  interrupted before the last request")?;
        }
        self.write_latency(f)?;
        self.write_rate(f)?;
        self.write_token(f)?;
        self.write_seed(f)
    }
}

impl SendReport {
    fn write_heading(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}", self.kind, self.url)?;
        let protocols: Vec<_> = self.protocol.into_iter().chain(self.tls).collect();
        match protocols.is_empty() {
            true => Ok(()),
            false => write!(f, " ({})", protocols.join(", ")),
        }
    }

    fn write_seed(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(seed) = self.seed else {
            return Ok(());
        };
        write!(
            f,
            "\n  seed         {seed}: use --seed {seed} to send the same again"
        )
    }

    fn write_latency(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(latency) = self.latency_ms else {
            return Ok(());
        };
        let Latency {
            mean,
            p50,
            p90,
            p99,
            max,
        } = latency;
        if self.counts.requests == 1 {
            return write!(f, "\n  latency      {max:.1} ms");
        }
        write!(
            f,
            "\n  latency      p50 {p50:.1} ms, p90 {p90:.1} ms, p99 {p99:.1} ms, max {max:.1} ms, mean {mean:.1} ms"
        )
    }

    fn write_rate(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.counts.requests <= 1 {
            return Ok(());
        }
        write!(
            f,
            "\n  rate         {:.1}/s: {} in {:.2} s, {} at a time",
            self.requests_per_second, self.counts.requests, self.seconds, self.concurrency
        )
    }

    fn write_token(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(token) = &self.test_token else {
            return Ok(());
        };
        write!(f, "\n  token        {token}")?;
        if self.tests > 1 {
            write!(f, ", of the last of {} Tests", self.tests)?;
        }
        write!(
            f,
            ": look for it in the log and on the status page of the proxy"
        )
    }
}

/// Start of a line below a result.
const INDENT: &str = "\n               ";

impl ResultLine {
    fn write_reason(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(status) = self.status {
            write!(f, " {status}")?;
        }
        match &self.code {
            Some(code) => write!(f, " {code}: {}", self.text),
            None => write!(f, " {}", self.text),
        }
    }
}

impl Display for ResultLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:12} {} ×", self.result.as_str(), self.count)?;
        self.write_reason(f)?;
        if let Some(detail) = &self.detail {
            write!(f, "{INDENT}{detail}")?;
        }
        if let Some(id) = &self.request_id {
            write!(f, "{INDENT}request id {id}")?;
        }
        if let Some(advice) = self.advice {
            write!(f, "{INDENT}→ {advice}")?;
        }
        Ok(())
    }
}
