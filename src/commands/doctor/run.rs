//! The checks of one target, in their order.

use super::checks::{
    admission, certificate, challenge, client_request, clock, health, idle, name, old_versions,
    port, redirect, resumption, versions,
};
use super::client::{CheckClient, Exchange, ExchangeOutcome};
use super::finding::Finding;
use super::forgery::{Forgery, forgeries};
use super::options::CheckOptions;
use super::recording_client::RecordingTls;
use super::requests::post;
use super::responses::Responses;
use super::target::CheckTarget;
use crate::commands::client::ClientFailure;
use rustls::sign::CertifiedKey;
use std::sync::Arc;

/// Makes all checks that can be made.
pub(super) async fn examine(target: &CheckTarget, means: &CheckOptions) -> Vec<Finding> {
    let mut findings = examine_place(target, means).await;
    if let Some(upstream) = &target.upstream {
        findings.extend(health::check(upstream, means.patience).await);
    }
    findings
}

async fn examine_place(target: &CheckTarget, means: &CheckOptions) -> Vec<Finding> {
    let mut findings = Vec::new();
    let place = &target.place;
    let addresses = place.resolve(means.patience).await;
    if !target.is_further_path {
        findings.push(name::check(place, &addresses));
    }
    let addresses = place
        .address
        .map(|address| vec![address])
        .or(addresses.ok())
        .unwrap_or_default();
    let (finding, address) = port::check(place, &addresses, means.patience).await;
    if address.is_none() || !target.is_further_path {
        findings.push(finding);
    }
    let Some(address) = address else {
        return findings;
    };
    let client = CheckClient {
        place,
        address,
        patience: means.patience,
    };
    let mut examination = Examination {
        target,
        means,
        client,
        heard: Responses::default(),
        findings,
    };
    match examination.converse().await {
        Ok(()) => {}
        Err(error) => examination
            .findings
            .push(Finding::fail("internal", error, "report it")),
    }
    examination.findings
}

/// Conversations, and what has come of them so far.
struct Examination<'t> {
    target: &'t CheckTarget,
    means: &'t CheckOptions,
    client: CheckClient<'t>,
    heard: Responses,
    findings: Vec<Finding>,
}

impl Examination<'_> {
    async fn converse(&mut self) -> Result<(), String> {
        let (target, means) = (self.target, self.means);
        let (place, expected) = (&target.place, &target.expected);
        let without = self.ask(None).await?;
        let is_dumb = matches!(
            without.outcome,
            ExchangeOutcome::Silent | ExchangeOutcome::Failed(ClientFailure::NotTls)
        );
        if place.is_https && without.shown.chain.is_empty() && is_dumb {
            // Everything else would only wait, or fail, too.
            self.findings
                .extend(certificate::check(place, &without, means));
            return Ok(());
        }
        if !place.is_https && self.speaks_tls().await? {
            self.findings.push(certificate::tls_under_http());
            return Ok(());
        }
        self.examine_tls(&without).await?;
        self.findings
            .push(admission::check_nobody(expected, &without));
        // Who does not answer strangers may still answer whom it trusts. More than that is not
        // waited for.
        let is_silent = matches!(without.outcome, ExchangeOutcome::Silent);
        if place.is_https && !is_silent {
            self.examine_strangers(&without).await?;
        }
        self.examine_answers(is_silent).await
    }

    async fn examine_tls(&mut self, without: &Exchange) -> Result<(), String> {
        let (place, expected) = (&self.target.place, &self.target.expected);
        if place.is_https && !self.target.is_further_path {
            self.findings
                .extend(certificate::check(place, without, self.means));
            self.findings.push(client_request::check(expected, without));
            self.findings.push(versions::check(self.client).await?);
            let speaks_tls = !without.shown.chain.is_empty();
            self.findings
                .push(old_versions::check(self.client, speaks_tls).await);
        } else if !place.is_https {
            self.findings.push(Finding::warn(
                "certificate",
                "there is no TLS here: whoever is on the way can read and forge notifications",
                "use https://, unless this is behind a balancer that ends TLS; examine that one's URL, too",
            ));
        }
        Ok(())
    }

    async fn examine_strangers(&mut self, without: &Exchange) -> Result<(), String> {
        let expected = &self.target.expected;
        let forged = if expected.asks_for_certificate {
            self.examine_forgeries().await?
        } else {
            None
        };
        if !without.shown.chain.is_empty() {
            let nobody = admission::judge(expected, without, true);
            let trusted = self.means.credentials.clone();
            self.findings
                .push(resumption::check(self.client, expected, nobody, forged, trusted).await?);
        }
        Ok(())
    }

    /// What is answered to whom the server trusts, and what all answers say.
    async fn examine_answers(&mut self, was_silent: bool) -> Result<(), String> {
        let (means, client, expected) = (self.means, self.client, &self.target.expected);
        let ours = self.tls(means.credentials.clone())?;
        let has_certificate = means.credentials.is_some();
        let (finding, answered) =
            challenge::check(client, expected, ours.as_ref(), has_certificate).await;
        self.findings.push(finding);
        if let Some(answered) = &answered {
            self.heard.keep(answered);
        }
        self.findings.push(redirect::check(expected, &self.heard));
        if !self.target.is_further_path {
            let is_silent = answered.map_or(was_silent, |answered| {
                matches!(answered.outcome, ExchangeOutcome::Silent)
            });
            let watch = means.idle.filter(|_| !is_silent);
            self.findings
                .push(idle::check(client, expected, ours.as_ref(), watch, has_certificate).await);
        }
        self.findings.push(clock::check(&self.heard));
        Ok(())
    }

    /// Whether the port is one for `https://`, where the URL has `http://`.
    async fn speaks_tls(&self) -> Result<bool, String> {
        let tls = RecordingTls::new(None, rustls::ALL_VERSIONS)?;
        let _ = self.client.open(Some(&tls)).await;
        Ok(!tls.take_shown().chain.is_empty())
    }

    /// Also a forged certificate that is good for a session, or, if there is none, any.
    async fn examine_forgeries(&mut self) -> Result<Option<Arc<CertifiedKey>>, String> {
        let expected = &self.target.expected;
        let Some(authority) = expected.authorities.first() else {
            return Ok(None);
        };
        let forgeries = forgeries(authority, &expected.common_name);
        let mut strangers = Vec::new();
        let mut answered = None;
        for Forgery { of, credentials } in &forgeries.made {
            let stranger = self.ask(Some(credentials.clone())).await?;
            if matches!(stranger.outcome, ExchangeOutcome::Answered(_)) {
                answered = answered.or(Some(credentials.clone()));
            }
            let is_silent = matches!(stranger.outcome, ExchangeOutcome::Silent);
            strangers.push((*of, stranger));
            if is_silent {
                break;
            }
        }
        self.findings.push(admission::check_strangers(
            expected,
            &strangers,
            forgeries.missing.as_deref(),
        ));
        Ok(answered.or_else(|| {
            forgeries
                .made
                .first()
                .map(|forgery| forgery.credentials.clone())
        }))
    }

    /// Asks for nothing in particular, and keeps the answer.
    async fn ask(&mut self, credentials: Option<Arc<CertifiedKey>>) -> Result<Exchange, String> {
        let tls = self.tls(credentials)?;
        let conversation = self
            .client
            .ask(tls.as_ref(), &post(&self.target.place))
            .await;
        self.heard.keep(&conversation);
        Ok(conversation)
    }

    fn tls(&self, credentials: Option<Arc<CertifiedKey>>) -> Result<Option<RecordingTls>, String> {
        self.target
            .place
            .is_https
            .then(|| RecordingTls::new(credentials, rustls::ALL_VERSIONS))
            .transpose()
    }
}
