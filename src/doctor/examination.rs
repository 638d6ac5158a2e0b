//! The checks of one target, in their order.

use super::arguments::Arguments;
use super::checks::{
    admission, certificate, challenge, client_request, clock, idle, name, old_versions, port, redirect, resumption,
    versions,
};
use super::client::{Client, Conversation, Outcome};
use super::finding::Finding;
use super::forgery::forged;
use super::recorder::Tls;
use super::target::Target;
use crate::config::{read_certificates, read_identity};
use crate::sender::{Answer, Place, Request};
use bytes::Bytes;
use http::HeaderValue;
use http::header::{ACCEPT, USER_AGENT};
use rustls::RootCertStore;
use rustls::sign::CertifiedKey;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// What the checks are made with.
pub(super) struct Means {
    pub(super) patience: Duration,
    /// Who may have issued the server's certificate.
    pub(super) roots: RootCertStore,
    /// Whose authorities these are, in words.
    pub(super) roots_name: String,
    /// A certificate that the server trusts.
    pub(super) credentials: Option<Arc<CertifiedKey>>,
    /// How long an idle connection is watched, if at all.
    pub(super) idle: Option<Duration>,
}

impl Means {
    pub(super) fn new(arguments: &Arguments) -> Result<Self, String> {
        let (certificates, roots_name) = match &arguments.server_ca {
            Some(path) => (read_certificates(path)?, path.display().to_string()),
            None => (rustls_native_certs::load_native_certs().certs, "the system".to_owned()),
        };
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(certificates);
        let credentials = match (&arguments.certificate, &arguments.key) {
            (Some(certificate), Some(key)) => Some(read_identity(certificate, key)?),
            _ => None,
        };
        Ok(Self { patience: arguments.patience(), roots, roots_name, credentials, idle: arguments.idle() })
    }
}

/// Everything that was heard, for the checks that look at any answer.
#[derive(Default)]
pub(super) struct Heard {
    pub(super) answers: Vec<(Answer, SystemTime)>,
}

impl Heard {
    fn keep(&mut self, conversation: &Conversation) {
        if let Outcome::Answered(answer) = &conversation.outcome {
            self.answers.push((answer.clone(), SystemTime::now()));
        }
    }
}

/// Makes all checks that can be made.
pub(super) async fn examine(target: &Target, means: &Means) -> Vec<Finding> {
    let mut findings = Vec::new();
    let place = &target.place;
    let addresses = place.resolve(means.patience).await;
    if !target.is_further_path {
        findings.push(name::check(place, &addresses));
    }
    let addresses = place.address.map(|address| vec![address]).or(addresses.ok()).unwrap_or_default();
    let (finding, address) = port::check(place, &addresses, means.patience).await;
    if address.is_none() || !target.is_further_path {
        findings.push(finding);
    }
    let Some(address) = address else { return findings };
    let client = Client { place, address, patience: means.patience };
    match converse(target, means, client, &mut findings).await {
        Ok(()) => {}
        Err(error) => findings.push(Finding::fail("internal", error, "report it")),
    }
    findings
}

async fn converse(
    target: &Target,
    means: &Means,
    client: Client<'_>,
    findings: &mut Vec<Finding>,
) -> Result<(), String> {
    let (place, expected) = (&target.place, &target.expected);
    let mut heard = Heard::default();
    let tls = |credentials| place.is_https.then(|| Tls::new(credentials, rustls::ALL_VERSIONS)).transpose();

    let nobody = tls(None)?;
    let without = client.ask(nobody.as_ref(), &post(place)).await;
    heard.keep(&without);
    if place.is_https && without.shown.chain.is_empty() && matches!(without.outcome, Outcome::Silent) {
        // Everything else would only wait, too.
        findings.extend(certificate::check(place, &without, means));
        return Ok(());
    }
    if place.is_https && !target.is_further_path {
        findings.extend(certificate::check(place, &without, means));
        findings.push(client_request::check(expected, &without));
        findings.push(versions::check(client).await?);
        findings.push(old_versions::check(client).await);
    } else if !place.is_https {
        findings.push(Finding::warn(
            "certificate",
            "there is no TLS here: whoever is on the way can read and forge notifications",
            "use https://, unless this is behind a balancer that ends TLS; examine that one's URL, too",
        ));
    }

    findings.push(admission::check_nobody(expected, &without));
    let forged = match expected.authorities.first() {
        Some(authority) if place.is_https && expected.asks_for_certificate => {
            let forged = forged(authority, &expected.common_name)?;
            let stranger = client.ask(tls(Some(forged.clone()))?.as_ref(), &post(place)).await;
            heard.keep(&stranger);
            findings.push(admission::check_stranger(expected, &stranger));
            Some(forged)
        }
        _ => None,
    };
    if place.is_https && !without.shown.chain.is_empty() {
        findings.push(resumption::check(client, expected, forged, means.credentials.clone()).await?);
    }

    let ours = tls(means.credentials.clone())?;
    let (finding, answered) = challenge::check(client, expected, ours.as_ref(), means.credentials.is_some()).await;
    findings.push(finding);
    if let Some(answered) = answered {
        heard.keep(&answered);
    }
    findings.push(redirect::check(&heard));
    if !target.is_further_path {
        findings.push(idle::check(client, expected, ours.as_ref(), means.idle).await);
    }
    findings.push(clock::check(&heard));
    Ok(())
}

/// A notification without one: who should not let it through does no harm with it.
pub(super) fn post(place: &Place) -> Request {
    named(Request::post(place, Bytes::new())).last()
}

/// A challenge.
pub(super) fn get(place: &Place, crc_token: &str) -> Request {
    named(Request::challenge(place, crc_token))
}

/// Says who asks, for logs.
fn named(mut request: Request) -> Request {
    const NAME: &str = concat!("netdata-webhook-proxy-doctor/", env!("CARGO_PKG_VERSION"));
    request.headers.insert(USER_AGENT, HeaderValue::from_static(NAME));
    request.headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
    request
}
