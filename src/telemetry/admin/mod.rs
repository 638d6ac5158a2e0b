//! The admin listener: says whether the program lives, is ready, what it counted and what happened
//! last.
//!
//! It has no authentication and is meant for a loopback address. It answers GET and HEAD alone, one
//! request for each connection, and changes nothing.

mod answer;
mod connection;
mod health;
mod host;
mod liveness;
mod status;
mod status_page;

pub(crate) use liveness::LivenessProbe;

use crate::telemetry::Monitor;
use answer::Answer;
use health::Level;
use host::AcceptedHosts;
use http::{Method, StatusCode};
use pingora::http::RequestHeader;
use status::Status;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

/// Answers what is asked about a running server.
pub struct Admin {
    monitor: Arc<Monitor>,
    /// Turns true when nobody is to be sent here any more.
    leaves: watch::Receiver<bool>,
    /// What is to be finished before that.
    in_flight: TaskTracker,
    /// Of the threads that serve.
    liveness: LivenessProbe,
    hosts: AcceptedHosts,
}

/// How long the threads that serve may take to answer: longer than any of them has anything to do
/// at a stretch.
const SIGN_OF_LIFE: Duration = Duration::from_secs(2);

/// What is said if one of them does not.
const HANGING: &str = "A thread that serves connections does not answer.\n";

impl Admin {
    /// Answers from what `monitor` was told; `listen` is the address of the listener. `leaves`
    /// turns true when the process ends and no other serves in its place.
    pub(crate) fn new(
        monitor: Arc<Monitor>,
        leaves: watch::Receiver<bool>,
        in_flight: TaskTracker,
        liveness: LivenessProbe,
        listen: IpAddr,
    ) -> Self {
        Self {
            monitor,
            leaves,
            in_flight,
            liveness,
            hosts: AcceptedHosts::of(listen),
        }
    }

    async fn answer(&self, request: &RequestHeader) -> Answer {
        if !self.hosts.accept(request) {
            let reason =
                "This listener is for the local machine: use its address or \"localhost\".\n";
            return Answer::text(StatusCode::MISDIRECTED_REQUEST, reason);
        }
        let is_read = matches!(request.method, Method::GET | Method::HEAD);
        match request.uri.path() {
            "/livez" | "/readyz" | "/metrics" | "/api/status.json" | "/" if !is_read => {
                Answer::method_not_allowed()
            }
            "/livez" | "/readyz"
                if timeout(SIGN_OF_LIFE, self.liveness.responded())
                    .await
                    .is_err() =>
            {
                Answer::text(StatusCode::SERVICE_UNAVAILABLE, HANGING)
            }
            "/livez" => Answer::text(StatusCode::OK, "ok\n"),
            "/readyz" => self.readiness(),
            "/metrics" => Answer::metrics(self.monitor.metrics()),
            "/api/status.json" => Answer::json(&self.status()),
            "/" => Answer::page(status_page::render(&self.status())),
            _ => Answer::text(StatusCode::NOT_FOUND, "There is nothing here.\n"),
        }
    }

    fn readiness(&self) -> Answer {
        let findings = self.status().findings;
        let obstacles = findings
            .iter()
            .filter(|finding| finding.level == Level::Error);
        match obstacles
            .map(|finding| format!("{}\n", finding.text))
            .collect::<String>()
        {
            none if none.is_empty() => Answer::text(StatusCode::OK, "ok\n"),
            obstacles => Answer::text(StatusCode::SERVICE_UNAVAILABLE, obstacles),
        }
    }

    fn status(&self) -> Status {
        Status::of(&self.monitor, *self.leaves.borrow(), SystemTime::now())
    }
}
