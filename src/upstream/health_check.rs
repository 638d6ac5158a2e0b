//! Checks the health of the servers of a group. Pingora decides when, and which.

use super::members::Members;
use super::server::UpstreamServer;
use crate::config::HealthCheck as HealthCheckConfig;
use crate::http::timeout::timeout;
use async_trait::async_trait;
use http::StatusCode;
use pingora::http::RequestHeader;
use pingora::protocols::http::v1::client::HttpSession;
use pingora::{Error, ErrorType};
use pingora_load_balancing::Backend;
use pingora_load_balancing::health_check::HealthCheck;
use std::sync::Arc;
use std::time::Duration;

/// The least time that a check may take, whatever its interval is.
const MIN_TIMEOUT: Duration = Duration::from_secs(1);

const USER_AGENT: &str = concat!("netdata-webhook-proxy/", env!("CARGO_PKG_VERSION"));

/// Checks the members of a group.
pub(super) struct HealthChecker {
    config: HealthCheckConfig,
    members: Arc<Members>,
}

#[async_trait]
impl HealthCheck for HealthChecker {
    async fn check(&self, target: &Backend) -> pingora::Result<()> {
        let Some(server) = self.members.server(&target.addr) else {
            // The server has just left the group.
            return Ok(());
        };
        let result = self.check_server(&server).await;
        server.record_check(result.as_ref().err().map(String::as_str));
        result.map_err(|error| Error::explain(ErrorType::ConnectError, error))
    }

    fn health_threshold(&self, _: bool) -> usize {
        1
    }
}

impl HealthChecker {
    /// Creates a checker of `members`.
    pub(super) fn new(config: HealthCheckConfig, members: Arc<Members>) -> Self {
        Self { config, members }
    }

    /// Checks `server` once. An error describes the problem of the server.
    pub(super) async fn check_server(&self, server: &UpstreamServer) -> Result<(), String> {
        let limit = self.config.interval.max(MIN_TIMEOUT);
        let checked = timeout(limit, self.check_patiently(server)).await;
        checked.unwrap_or_else(|_| Err(format!("no response within {limit:?}")))
    }

    /// Checks `server` once. Returns its name and the problem, if there is one.
    pub(super) async fn failure_of(&self, server: &UpstreamServer) -> Option<(String, String)> {
        let result = self.check_server(server).await;
        Some((server.label().to_string(), result.err()?))
    }

    async fn check_patiently(&self, server: &UpstreamServer) -> Result<(), String> {
        match &self.config.path {
            None => server.probe_tcp().await.map_err(|error| error.to_string()),
            Some(path) => self.check_path(server, path).await,
        }
    }

    async fn check_path(&self, server: &UpstreamServer, path: &str) -> Result<(), String> {
        let configured = self.config.host.clone();
        let host = configured.unwrap_or_else(|| server.default_host());
        let stream = server.connect().await.map_err(|error| error.to_string())?;
        let request = self.request(path, &host);
        let status = exchange(HttpSession::new(stream), request).await;
        let status = status.map_err(|error| format!("no response to {path}: {error}"))?;
        match self.config.accepts(status.as_u16()) {
            true => Ok(()),
            false => Err(self.explain(status, path, &host)),
        }
    }

    /// Describes a response with a status that does not mean healthy.
    fn explain(&self, status: StatusCode, path: &str, host: &str) -> String {
        let problem = format!("{path} returned status {}", status.as_u16());
        match status.is_client_error() {
            true => format!("{problem}: {}", self.rejection_hint(path, host)),
            false => problem,
        }
    }

    fn request(&self, path: &str, host: &str) -> pingora::Result<RequestHeader> {
        let field_count = 3 + self.config.headers.len();
        let mut head = RequestHeader::build("GET", path.as_bytes(), Some(field_count))?;
        head.append_header("Host", host)?;
        head.append_header("User-Agent", USER_AGENT)?;
        for (name, value) in &self.config.headers {
            head.insert_header(name.clone(), value.clone())?;
        }
        head.append_header("Connection", "close")?;
        Ok(head)
    }

    /// Explains a 4xx status: most likely the check is wrong, and not the server.
    fn rejection_hint(&self, path: &str, host: &str) -> String {
        let names = self.config.headers.iter();
        let headers: String = names.map(|(name, _)| format!(", {name}")).collect();
        format!(
            "the server is up but rejects GET {path} with Host: {host}{headers}; see health_check"
        )
    }
}

/// Sends a request and returns the final status of the response.
async fn exchange(
    mut session: HttpSession,
    request: pingora::Result<RequestHeader>,
) -> pingora::Result<StatusCode> {
    session.write_request_header(Box::new(request?)).await?;
    session.finish_body().await?;
    loop {
        let head = session.read_resp_header_parts().await?;
        if !head.status.is_informational() {
            return Ok(head.status);
        }
    }
}
