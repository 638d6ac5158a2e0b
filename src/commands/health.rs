//! `health`: the health of the running process, for containers, orchestrators and scripts.

use super::client::{
    self, ClientConnection, ClientFailure, ClientRequest, ClientResponse, Protocol, WebhookTarget,
    local_address,
};
use crate::config::AdminSettings;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::runtime::Builder;
use tokio::time::timeout;

/// Limit for the whole query: callers usually give up after a few seconds.
const TIMEOUT: Duration = Duration::from_secs(4);

/// Question to the running process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HealthQuery {
    /// Does the process run?
    Live,
    /// Should traffic be sent to the process?
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

/// Sends the query to the admin listener and returns its response.
///
/// # Errors
/// One line with the reason, if the response is negative or missing.
pub(crate) fn query(admin: &AdminSettings, query: HealthQuery) -> Result<String, String> {
    let address = local_address(admin.listen);
    let url = format!("http://{address}{}", query.path());
    let response = exchange(&target(address, query), address);
    let response = response.map_err(|error| format!("{url} does not respond: {error}"))?;
    match response.status {
        200 => Ok(one_line(&response)),
        _ => Err(format!("{url}: {}", one_line(&response))),
    }
}

fn target(address: SocketAddr, query: HealthQuery) -> WebhookTarget {
    WebhookTarget {
        is_https: false,
        host: address.ip().to_string(),
        port: address.port(),
        path: query.path().to_owned(),
        address: Some(address),
        proxy_protocol: false,
    }
}

fn exchange(target: &WebhookTarget, address: SocketAddr) -> Result<ClientResponse, String> {
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    match runtime.block_on(async { timeout(TIMEOUT, get(target, address)).await }) {
        Ok(response) => response.map_err(|failure| failure.to_string()),
        Err(_) => Err(format!("no response within {} s", TIMEOUT.as_secs())),
    }
}

async fn get(target: &WebhookTarget, address: SocketAddr) -> Result<ClientResponse, ClientFailure> {
    let socket = client::dial(target, address).await?;
    let mut connection = ClientConnection::open(socket, Protocol::Http1, target).await?;
    let request = ClientRequest::get(target).last();
    connection.exchange(&request).await
}

/// Returns the body on one line, followed by the status.
fn one_line(response: &ClientResponse) -> String {
    let body = String::from_utf8_lossy(&response.body);
    let lines = body.lines().map(str::trim);
    let lines: Vec<_> = lines.filter(|line| !line.is_empty()).collect();
    match lines.join(" ").as_str() {
        "" => format!("status {}", response.status),
        text => format!("{text} ({})", response.status),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_is_one_line() {
        for (status, body, expected) in [
            (200, "ok\n", "ok (200)"),
            (503, "One.\nAnother.\n", "One. Another. (503)"),
            (404, "", "status 404"),
        ] {
            let response = ClientResponse {
                status,
                body: body.into(),
                ..ClientResponse::default()
            };
            assert_eq!(one_line(&response), expected);
        }
    }
}
