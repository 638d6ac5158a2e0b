//! Whether a server is healthy: by what checks find, and by what happens to requests.

use super::group::Roster;
use super::server::{ConnectError, Server};
use crate::config::HealthCheck as Config;
use crate::http::timeout::timeout;
use async_trait::async_trait;
use http::StatusCode;
use pingora::http::RequestHeader;
use pingora::protocols::http::v1::client::HttpSession;
use pingora::{Error, ErrorType};
use pingora_load_balancing::Backend;
use pingora_load_balancing::health_check::HealthCheck;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tracing::{info, warn};

/// No check has less time than this, however often there is one.
const SHORTEST_LIMIT: Duration = Duration::from_secs(1);

/// What is known of a server. One of which nothing is known is healthy.
#[derive(Debug, Default)]
pub(super) struct Health {
    /// The last check failed.
    fails_check: AtomicBool,
    /// Since that check, a request succeeded: what a check finds is older.
    is_proven: AtomicBool,
    /// That has happened, and a check failed after it: it has been logged.
    is_disputed: AtomicBool,
    /// A request could not connect, and since then neither a request nor a check could.
    has_failed: AtomicBool,
}

impl Health {
    pub(super) fn is_healthy(&self) -> bool {
        self.could_be_healthy() && !self.has_failed.load(Ordering::Relaxed)
    }

    /// Whether it comes next where none is healthy: a request that found it unreachable may have
    /// been unlucky.
    pub(super) fn could_be_healthy(&self) -> bool {
        !self.fails_check.load(Ordering::Relaxed) || self.is_proven.load(Ordering::Relaxed)
    }

    /// Notes that it could not be connected to. Returns whether that is news, as the others do.
    pub(super) fn failed(&self, upstream: &str, server: &str, error: &ConnectError) -> bool {
        let was_healthy = self.is_healthy();
        self.has_failed.store(true, Ordering::Relaxed);
        if was_healthy {
            warn!(event = "upstream_unhealthy", upstream, server, %error, "upstream server marked unhealthy");
        }
        was_healthy
    }

    /// Notes that it could.
    pub(super) fn worked(&self, upstream: &str, server: &str) -> bool {
        let had_failed = self.has_failed.load(Ordering::Relaxed)
            && self.has_failed.swap(false, Ordering::Relaxed);
        let is_news = had_failed && self.could_be_healthy();
        if is_news {
            info!(
                event = "upstream_recovered",
                upstream, server, "upstream server recovered"
            );
        }
        is_news
    }

    /// Notes that a request was what a check is to find out: that it succeeded.
    pub(super) fn proved(&self, upstream: &str, server: &str) -> bool {
        let is_news = self.fails_check.load(Ordering::Relaxed)
            && !self.is_proven.swap(true, Ordering::Relaxed);
        if is_news && !self.is_disputed.load(Ordering::Relaxed) {
            info!(
                event = "upstream_recovered",
                upstream, server, "upstream server recovered"
            );
        }
        is_news
    }

    /// Notes what a check has found against it, if anything.
    pub(super) fn checked(&self, upstream: &str, server: &str, error: Option<&str>) -> bool {
        match error {
            Some(error) => self.failed_check(upstream, server, error),
            None => self.passed_check(upstream, server),
        }
    }

    fn failed_check(&self, upstream: &str, server: &str, error: &str) -> bool {
        if !self.fails_check.swap(true, Ordering::Relaxed) {
            warn!(
                event = "upstream_check_failed",
                upstream, server, error, "upstream server failed its health check"
            );
            return true;
        }
        let was_proven = self.is_proven.swap(false, Ordering::Relaxed);
        // Checks and requests may go on to contradict each other for a long time.
        if was_proven && !self.is_disputed.swap(true, Ordering::Relaxed) {
            warn!(
                event = "upstream_check_disputed",
                upstream,
                server,
                error,
                "upstream server fails its health check although it accepts requests"
            );
        }
        was_proven
    }

    fn passed_check(&self, upstream: &str, server: &str) -> bool {
        let was_healthy = self.is_healthy();
        let was_disputed = self.is_disputed.swap(false, Ordering::Relaxed);
        self.is_proven.store(false, Ordering::Relaxed);
        self.has_failed.store(false, Ordering::Relaxed);
        self.fails_check.store(false, Ordering::Relaxed);
        if !was_healthy || was_disputed {
            info!(
                event = "upstream_recovered",
                upstream, server, "upstream server recovered"
            );
        }
        !was_healthy
    }
}

/// Checks the servers of a group. Pingora says when, and which.
pub(super) struct Check {
    pub(super) config: Config,
    pub(super) roster: Arc<Roster>,
}

#[async_trait]
impl HealthCheck for Check {
    async fn check(&self, target: &Backend) -> pingora::Result<()> {
        let Some(server) = self.roster.server(&target.addr) else {
            // It has left the group a moment ago.
            return Ok(());
        };
        let result = self.probe(&server).await;
        server.checked(result.as_ref().err().map(String::as_str));
        result.map_err(|error| Error::explain(ErrorType::ConnectError, error))
    }

    fn health_threshold(&self, _: bool) -> usize {
        1
    }
}

impl Check {
    /// Checks a server once. Says what is wrong with it, if anything.
    pub(super) async fn probe(&self, server: &Server) -> Result<(), String> {
        let limit = self.config.interval.max(SHORTEST_LIMIT);
        let probe = async {
            match &self.config.path {
                None => server.knock().await.map_err(|error| error.to_string()),
                Some(path) => self.ask(server, path).await,
            }
        };
        timeout(limit, probe)
            .await
            .unwrap_or_else(|_| Err(format!("no answer within {limit:?}")))
    }

    async fn ask(&self, server: &Server, path: &str) -> Result<(), String> {
        let host = self
            .config
            .host
            .clone()
            .unwrap_or_else(|| server.own_host());
        let stream = server.connect().await.map_err(|error| error.to_string())?;
        let mut session = HttpSession::new(stream);
        let answer = async {
            session
                .write_request_header(Box::new(self.request(path, &host)?))
                .await?;
            session.finish_body().await?;
            loop {
                let head = session.read_resp_header_parts().await?;
                if !head.status.is_informational() {
                    return Ok::<_, Box<Error>>(head.status);
                }
            }
        };
        match answer.await {
            Ok(status) if self.config.accepts(status.as_u16()) => Ok(()),
            Ok(status) if status.is_client_error() => Err(self.misunderstood(path, &host, status)),
            Ok(status) => Err(format!(
                "{path} is answered with status {}",
                status.as_u16()
            )),
            Err(error) => Err(format!("{path} is not answered: {error}")),
        }
    }

    fn request(&self, path: &str, host: &str) -> pingora::Result<RequestHeader> {
        let mut head =
            RequestHeader::build("GET", path.as_bytes(), Some(3 + self.config.headers.len()))?;
        head.append_header("Host", host)?;
        head.append_header(
            "User-Agent",
            concat!("netdata-webhook-proxy/", env!("CARGO_PKG_VERSION")),
        )?;
        for (name, value) in &self.config.headers {
            head.insert_header(name.clone(), value.clone())?;
        }
        head.append_header("Connection", "close")?;
        Ok(head)
    }

    /// What an answer of 4xx means: more likely than not, nothing is wrong with the server.
    fn misunderstood(&self, path: &str, host: &str, status: StatusCode) -> String {
        let headers = self
            .config
            .headers
            .iter()
            .map(|(name, _)| format!(", {name}"))
            .collect::<String>();
        format!(
            "{path} is answered with status {}: the server does answer, but it refuses GET {path} with Host: \
             {host}{headers}; see health_check",
            status.as_u16()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What happens to a server.
    #[derive(Clone, Copy, Debug)]
    enum Event {
        CheckFails,
        CheckPasses,
        CannotConnect,
        Connects,
        Answers,
    }
    use Event::*;

    #[test]
    fn checks_and_requests_decide_together() {
        // After each event: whether that is news, and whether it is healthy then.
        for events in [
            &[
                (CheckPasses, false, true),
                (Connects, false, true),
                (Answers, false, true),
            ][..],
            &[
                (CheckFails, true, false),
                (CheckFails, false, false),
                (CheckPasses, true, true),
            ],
            &[
                (CannotConnect, true, false),
                (CannotConnect, false, false),
                (Connects, true, true),
            ],
            &[(CannotConnect, true, false), (CheckPasses, true, true)],
            // A request is newer than the check before it, and the next check is newer than that.
            &[
                (CheckFails, true, false),
                (Answers, true, true),
                (Answers, false, true),
                (CheckFails, true, false),
            ],
            &[
                (CheckFails, true, false),
                (Answers, true, true),
                (CheckPasses, false, true),
                (CheckFails, true, false),
            ],
            // One that can be connected to may still not be what its check asks for.
            &[
                (CheckFails, true, false),
                (CannotConnect, false, false),
                (Connects, false, false),
                (Answers, true, true),
            ],
            &[
                (CheckFails, true, false),
                (Answers, true, true),
                (CannotConnect, true, false),
                (Connects, true, true),
            ],
            &[
                (CheckFails, true, false),
                (CannotConnect, false, false),
                (CheckPasses, true, true),
            ],
        ] {
            let health = Health::default();
            assert!(health.is_healthy());
            for (index, (event, is_news, is_healthy)) in events.iter().enumerate() {
                let (upstream, server) = ("app", "http://a");
                let found = match event {
                    CheckFails => health.checked(upstream, server, Some("no")),
                    CheckPasses => health.checked(upstream, server, None),
                    CannotConnect => {
                        health.failed(upstream, server, &ConnectError::Refused("no".into()))
                    }
                    Connects => health.worked(upstream, server),
                    Answers => health.proved(upstream, server),
                };
                assert_eq!(
                    (found, health.is_healthy()),
                    (*is_news, *is_healthy),
                    "{index} of {events:?}"
                );
            }
        }
    }
}
