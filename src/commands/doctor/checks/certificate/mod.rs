//! Check: the server's certificate has a chain to a known authority, is for this name, and valid.

mod chain;
mod name;
mod validity;

use crate::commands::client::{ClientFailure, WebhookTarget};
use crate::commands::doctor::client::{Exchange, ExchangeOutcome};
use crate::commands::doctor::finding::{Check, CheckFinding};
use crate::commands::doctor::options::CheckOptions;
use chain::SentChain;

/// Check of the scheme and encryption of the URL.
const CERTIFICATE: Check = Check("certificate");

const CHAIN: Check = Check("chain");

pub(crate) fn check(
    target: &WebhookTarget,
    exchange: &Exchange,
    options: &CheckOptions,
) -> Vec<CheckFinding> {
    let chain = &exchange.shown.chain;
    match SentChain::parse(chain, &options.roots) {
        Ok(Some(sent)) => vec![
            chain::check(&sent, options),
            name::check(target, &chain[0]),
            validity::check(&sent),
        ],
        Ok(None) => vec![none(&exchange.outcome)],
        Err(error) => vec![CHAIN.fail(
            format!("a certificate cannot be parsed: {error}"),
            "configure a chain in PEM: the leaf first, then each issuer, such as fullchain.pem of certbot",
        )],
    }
}

/// Reports that the server sent no certificate.
fn none(outcome: &ExchangeOutcome) -> CheckFinding {
    let why = match outcome {
        ExchangeOutcome::Failed(ClientFailure::NotTls) => return http_under_https(),
        ExchangeOutcome::Answered(_) => "the server sent none".into(),
        outcome => outcome.why(),
    };
    CHAIN.fail(
        format!("there was no TLS handshake with a certificate: {why}"),
        "enable TLS 1.2 or 1.3 on the port, and allow connections from this machine (listen.allow, proxy_protocol)",
    )
}

fn http_under_https() -> CheckFinding {
    CHAIN.fail(
        "this port does not speak TLS, but the URL begins with https://",
        "enable TLS on this port, or use the port for TLS; http:// is for servers behind a load balancer that terminates TLS",
    )
}

/// Reports a URL with http:// instead of https://.
pub(crate) fn tls_under_http() -> CheckFinding {
    CERTIFICATE.fail(
        "this port speaks TLS, but the URL begins with http://",
        "use https:// in the URL",
    )
}

/// Reports a URL with http://, whose port does not speak TLS.
pub(crate) fn unencrypted() -> CheckFinding {
    CERTIFICATE.warn(
        "the URL is not encrypted: anyone on the network path can read and forge notifications",
        "use https://, unless a load balancer terminates TLS; then examine the URL of that load balancer, too",
    )
}
