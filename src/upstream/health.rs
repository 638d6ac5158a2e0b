//! Whether a server is well: by what checks find, and by what happens to requests.

use super::group::Roster;
use super::server::{ConnectError, Server};
use crate::config::{Endpoint, HealthCheck as Config};
use async_trait::async_trait;
use pingora::http::RequestHeader;
use pingora::protocols::http::v1::client::HttpSession;
use pingora::{Error, ErrorType};
use pingora_load_balancing::Backend;
use pingora_load_balancing::health_check::HealthCheck;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::timeout;
use tracing::{info, warn};

/// No check has less time than this, however often there is one.
const SHORTEST_LIMIT: Duration = Duration::from_secs(1);

/// What is known of a server. One of which nothing is known is well.
#[derive(Debug, Default)]
pub(super) struct Health {
    /// The last check failed.
    is_ill: AtomicBool,
    /// A request could not connect, and since then neither a request nor a check could.
    has_failed: AtomicBool,
}

impl Health {
    pub(super) fn is_well(&self) -> bool {
        self.could_be_well() && !self.has_failed.load(Ordering::Relaxed)
    }

    /// Whether it is worth a try, where nobody is well: a request that found it unreachable may have been unlucky.
    pub(super) fn could_be_well(&self) -> bool {
        !self.is_ill.load(Ordering::Relaxed)
    }

    /// Notes that it could not be connected to. Returns whether that is news, as the others do.
    pub(super) fn failed(&self, upstream: &str, server: &str, error: &ConnectError) -> bool {
        let is_news = !self.has_failed.swap(true, Ordering::Relaxed);
        if is_news {
            warn!(upstream, server, %error, "a server is left out");
        }
        is_news
    }

    /// Notes that it could.
    pub(super) fn worked(&self, upstream: &str, server: &str) -> bool {
        let is_news = self.has_failed.load(Ordering::Relaxed) && self.has_failed.swap(false, Ordering::Relaxed);
        if is_news {
            info!(upstream, server, "a server is back");
        }
        is_news
    }

    /// Notes what a check has found against it, if anything.
    pub(super) fn checked(&self, upstream: &str, server: &str, error: Option<&str>) -> bool {
        let was_ill = self.is_ill.swap(error.is_some(), Ordering::Relaxed);
        match error {
            Some(error) if !was_ill => warn!(upstream, server, error, "a server fails its check, and is left out"),
            Some(_) => return false,
            None if self.has_failed.swap(false, Ordering::Relaxed) || was_ill => {
                info!(upstream, server, "a server is back");
            }
            None => return false,
        }
        true
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
        let limit = self.config.interval.max(SHORTEST_LIMIT);
        let result = match timeout(limit, self.probe(&server)).await {
            Ok(result) => result,
            Err(_) => Err(format!("no answer within {limit:?}")),
        };
        server.checked(result.as_ref().err().map(String::as_str));
        result.map_err(|error| Error::explain(ErrorType::ConnectError, error))
    }

    fn health_threshold(&self, _: bool) -> usize {
        1
    }
}

impl Check {
    async fn probe(&self, server: &Server) -> Result<(), String> {
        match &self.config.path {
            None => server.knock().await.map_err(|error| error.to_string()),
            Some(path) => ask(server, path).await,
        }
    }
}

/// Asks for `path`, and takes any status of 2xx and 3xx for an answer that is good.
async fn ask(server: &Server, path: &str) -> Result<(), String> {
    let stream = server.connect().await.map_err(|error| error.to_string())?;
    let mut session = HttpSession::new(stream);
    let answer = async {
        session.write_request_header(Box::new(request(server.endpoint(), path)?)).await?;
        session.finish_body().await?;
        loop {
            let head = session.read_resp_header_parts().await?;
            if !head.status.is_informational() {
                return Ok::<_, Box<Error>>(head.status);
            }
        }
    };
    match answer.await {
        Ok(status) if status.is_success() || status.is_redirection() => Ok(()),
        Ok(status) => Err(format!("{path} is answered with status {}", status.as_u16())),
        Err(error) => Err(format!("{path} is not answered: {error}")),
    }
}

fn request(endpoint: &Endpoint, path: &str) -> pingora::Result<RequestHeader> {
    let host = match endpoint {
        Endpoint::Tcp { .. } => {
            endpoint.to_string().split_once("://").map_or_else(String::new, |(_, host)| host.into())
        }
        Endpoint::Unix(_) => "localhost".to_owned(),
    };
    let mut head = RequestHeader::build("GET", path.as_bytes(), Some(3))?;
    head.append_header("Host", host)?;
    head.append_header("User-Agent", concat!("netdata-webhook-proxy/", env!("CARGO_PKG_VERSION")))?;
    head.append_header("Connection", "close")?;
    Ok(head)
}
