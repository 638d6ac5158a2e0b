//! What came of it, for people and for scripts.

use super::load::{LoadResult, LoadRun};
use super::outcome::RequestStatus;
use super::statistics::Latency;
use serde::Serialize;
use std::fmt::{self, Display};

/// Everything there is to say.
#[derive(Debug, Serialize)]
pub(super) struct SendReport {
    /// Whether every request was accepted.
    pub(super) ok: bool,
    url: String,
    kind: &'static str,
    /// With which the same is sent again.
    seed: Option<u64>,
    /// Of the last Test notification that was accepted.
    test_token: Option<String>,
    #[serde(skip)]
    tests: u64,
    protocol: Option<&'static str>,
    tls: Option<&'static str>,
    concurrency: u64,
    pub(super) requests: u64,
    accepted: u64,
    refused: u64,
    unanswered: u64,
    pub(super) unreachable: u64,
    interrupted: bool,
    seconds: f64,
    requests_per_second: f64,
    latency_ms: Option<Latency>,
    results: Vec<ResultLine>,
}

/// How some of the requests ended.
#[derive(Debug, Serialize)]
struct ResultLine {
    result: RequestStatus,
    count: u64,
    status: Option<u16>,
    code: Option<String>,
    text: String,
    /// Of the first of them, as are the others.
    detail: Option<String>,
    request_id: Option<String>,
    advice: Option<&'static str>,
}

impl SendReport {
    pub(super) fn new(load_run: &LoadRun, outcome: &LoadResult) -> Self {
        let LoadRun {
            courier,
            plan,
            pace,
            ..
        } = load_run;
        let LoadResult {
            statistics,
            took,
            was_interrupted,
        } = outcome;
        let negotiated = courier.negotiated();
        let lines = statistics
            .reasons()
            .map(|(reason, count, first)| ResultLine {
                result: reason.fate,
                count,
                status: reason.status,
                code: reason.code.clone(),
                text: reason.text.clone(),
                detail: first.detail.clone(),
                request_id: first.request_id.clone(),
                advice: first.advice,
            });
        let (requests, accepted) = (
            statistics.requests(),
            statistics.of(RequestStatus::Accepted),
        );
        Self {
            ok: accepted == requests && !was_interrupted,
            url: courier.place.url(),
            kind: plan.kind,
            seed: plan.seed(),
            test_token: statistics.tests().map(|tests| tests.token.clone()),
            tests: statistics.tests().map_or(0, |tests| tests.count),
            protocol: negotiated.map(|negotiated| negotiated.protocol.as_str()),
            tls: negotiated.and_then(|negotiated| negotiated.tls),
            concurrency: pace.concurrency,
            requests,
            accepted,
            refused: statistics.of(RequestStatus::Refused),
            unanswered: statistics.of(RequestStatus::Unanswered),
            unreachable: statistics.of(RequestStatus::Unreachable),
            interrupted: *was_interrupted,
            seconds: took.as_secs_f64(),
            requests_per_second: requests as f64 / took.as_secs_f64().max(f64::MIN_POSITIVE),
            latency_ms: statistics.latency(),
            results: lines.collect(),
        }
    }

    /// As one JSON object.
    pub(super) fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a report is plain data")
    }
}

impl Display for SendReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let negotiated: Vec<_> = self.protocol.into_iter().chain(self.tls).collect();
        write!(f, "{} to {}", self.kind, self.url)?;
        if !negotiated.is_empty() {
            write!(f, " ({})", negotiated.join(", "))?;
        }
        self.results
            .iter()
            .try_for_each(|line| write!(f, "\n  {line}"))?;
        if self.interrupted {
            write!(f, "\n  interrupted before the last request")?;
        }
        match &self.latency_ms {
            Some(latency) if self.requests == 1 => {
                write!(f, "\n  latency      {:.1} ms", latency.max)?
            }
            Some(Latency {
                mean,
                p50,
                p90,
                p99,
                max,
            }) => write!(
                f,
                "\n  latency      p50 {p50:.1} ms, p90 {p90:.1} ms, p99 {p99:.1} ms, max {max:.1} ms, mean {mean:.1} ms"
            )?,
            None => {}
        }
        if self.requests > 1 {
            let Self {
                requests,
                seconds,
                requests_per_second,
                concurrency,
                ..
            } = self;
            write!(
                f,
                "\n  rate         {requests_per_second:.1}/s: {requests} in {seconds:.2} s, {concurrency} at a time"
            )?;
        }
        if let Some(token) = &self.test_token {
            write!(f, "\n  token        {token}")?;
            if self.tests > 1 {
                write!(f, ", of the last of {} Tests", self.tests)?;
            }
            write!(
                f,
                ": look for it in the log and on the status page of the proxy"
            )?;
        }
        if let Some(seed) = self.seed {
            write!(
                f,
                "\n  seed         {seed}: with --seed {seed} the same is sent again"
            )?;
        }
        Ok(())
    }
}

impl Display for ResultLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const INDENT: &str = "\n               ";
        write!(f, "{:12} {} ×", self.result.as_str(), self.count)?;
        if let Some(status) = self.status {
            write!(f, " {status}")?;
        }
        match &self.code {
            Some(code) => write!(f, " {code}: {}", self.text)?,
            None => write!(f, " {}", self.text)?,
        }
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
