//! The admin listener: liveness, readiness, metrics and the status page.
//!
//! It has no authentication and is meant for a loopback address. It answers GET and HEAD alone, one
//! request for each connection, and changes nothing.

mod connection;
mod event;
mod health;
mod host;
mod liveness;
mod queue_status;
mod response;
mod status;
mod status_page;

pub(crate) use liveness::LivenessProbe;

use crate::telemetry::Monitor;
use health::Level;
use host::AcceptedHosts;
use http::{Method, StatusCode};
use pingora::http::RequestHeader;
use response::AdminResponse;
use status::Status;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

/// Serves the admin listener.
pub(crate) struct Admin {
    monitor: Arc<Monitor>,
    /// Becomes `true` when load balancers should stop sending traffic.
    leaves: watch::Receiver<bool>,
    /// Requests that must finish before the process exits.
    in_flight: TaskTracker,
    /// Probes the threads that serve connections.
    liveness: LivenessProbe,
    hosts: AcceptedHosts,
}

/// The time within which the serving threads must respond: longer than any task occupies a thread.
const SIGN_OF_LIFE: Duration = Duration::from_secs(2);

/// The paths that are answered.
const PATHS: [&str; 5] = ["/livez", "/readyz", "/metrics", "/api/status.json", "/"];

/// The response to a request for another host.
const LOCAL: &str = "This listener is for the local machine: use its address or \"localhost\".\n";

/// The response if a thread does not.
const HANGING: &str = "A thread that serves connections does not answer.\n";

impl Admin {
    /// Creates the listener's service. `listen` is its address. `leaves` becomes `true` when the
    /// process ends without a successor.
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

    async fn answer(&self, request: &RequestHeader) -> AdminResponse {
        if !self.hosts.accept(request) {
            return AdminResponse::text(StatusCode::MISDIRECTED_REQUEST, LOCAL);
        }
        let path = request.uri.path();
        if PATHS.contains(&path) && !matches!(request.method, Method::GET | Method::HEAD) {
            return AdminResponse::method_not_allowed();
        }
        match path {
            "/livez" | "/readyz" if self.is_hanging().await => {
                AdminResponse::text(StatusCode::SERVICE_UNAVAILABLE, HANGING)
            }
            "/livez" => AdminResponse::text(StatusCode::OK, "ok\n"),
            "/readyz" => self.readiness(),
            "/metrics" => AdminResponse::metrics(self.monitor.metrics()),
            "/api/status.json" => AdminResponse::json(&self.status()),
            "/" => AdminResponse::page(status_page::render(&self.status())),
            _ => AdminResponse::text(StatusCode::NOT_FOUND, "There is nothing here.\n"),
        }
    }

    /// Returns `true` if a thread that serves connections does not respond in time.
    async fn is_hanging(&self) -> bool {
        let responded = timeout(SIGN_OF_LIFE, self.liveness.responded());
        responded.await.is_err()
    }

    fn readiness(&self) -> AdminResponse {
        let obstacles = self.obstacles();
        match obstacles.is_empty() {
            true => AdminResponse::text(StatusCode::OK, "ok\n"),
            false => AdminResponse::text(StatusCode::SERVICE_UNAVAILABLE, obstacles),
        }
    }

    /// Returns the findings because of which no traffic should be sent here, one a line.
    fn obstacles(&self) -> String {
        let findings = self.status().findings.into_iter();
        let obstacles =
            findings.filter(|finding| finding.level == Level::Error && !finding.keeps_traffic);
        obstacles.map(|finding| finding.text + "\n").collect()
    }

    fn status(&self) -> Status {
        Status::of(&self.monitor, *self.leaves.borrow(), SystemTime::now())
    }
}
