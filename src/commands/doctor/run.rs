//! The checks of one target, in their order.

use super::checks::{
    admission, authorities, certificate, challenge, client_request, clock, forged_subjects, health,
    idle, name, old_versions, port, redirect, resumption, versions,
};
use super::client::{CheckClient, Exchange, ExchangeOutcome};
use super::finding::CheckFinding;
use super::forgery::{Forgery, forgeries};
use super::options::CheckOptions;
use super::recording_client::RecordingTls;
use super::requests::post;
use super::responses::Responses;
use super::target::CheckTarget;
use crate::commands::client::ClientFailure;
use rustls::sign::CertifiedKey;
use std::sync::Arc;

/// Makes all checks that are possible.
pub(super) async fn examine(target: &CheckTarget, options: &CheckOptions) -> Vec<CheckFinding> {
    let mut findings = examine_listener(target, options).await;
    if let Some(upstream) = &target.upstream {
        findings.extend(health::check(upstream, options.step_timeout).await);
    }
    findings
}

async fn examine_listener(target: &CheckTarget, options: &CheckOptions) -> Vec<CheckFinding> {
    let mut findings = Vec::new();
    let webhook = &target.webhook;
    let resolved = webhook.resolve(options.step_timeout).await;
    if !target.is_further_path {
        findings.push(name::check(webhook, &resolved));
    }
    let addresses = match webhook.address {
        Some(address) => vec![address],
        None => resolved.unwrap_or_default(),
    };
    let (finding, address) = port::check(webhook, &addresses, options.step_timeout).await;
    if address.is_none() || !target.is_further_path {
        findings.push(finding);
    }
    let Some(address) = address else {
        return findings;
    };
    let client = CheckClient {
        target: webhook,
        address,
        step_timeout: options.step_timeout,
    };
    let mut examination = Examination {
        target,
        options,
        client,
        responses: Responses::default(),
        findings,
    };
    if let Err(error) = examination.run().await {
        let finding = CheckFinding::fail("internal", error, "report it");
        examination.findings.push(finding);
    }
    examination.findings
}

/// The exchanges with one target, and the findings so far.
struct Examination<'t> {
    target: &'t CheckTarget,
    options: &'t CheckOptions,
    client: CheckClient<'t>,
    responses: Responses,
    findings: Vec<CheckFinding>,
}

impl Examination<'_> {
    async fn run(&mut self) -> Result<(), String> {
        let webhook = &self.target.webhook;
        let anonymous = self.ask(None).await?;
        if webhook.is_https && has_no_tls(&anonymous) {
            // All other checks would fail for the same reason, or wait in vain.
            let findings = certificate::check(webhook, &anonymous, self.options);
            self.findings.extend(findings);
            return Ok(());
        }
        if !webhook.is_https && self.speaks_tls().await? {
            self.findings.push(certificate::tls_under_http());
            return Ok(());
        }
        self.examine_tls(&anonymous).await?;
        let finding = admission::check_anonymous(&self.target.expected, &anonymous);
        self.findings.push(finding);
        // A server that ignores untrusted clients may still respond to trusted ones. Its silence is
        // awaited once only.
        let is_silent = matches!(anonymous.outcome, ExchangeOutcome::Silent);
        if webhook.is_https && !is_silent {
            self.examine_untrusted(&anonymous).await?;
            self.examine_forged_subjects().await?;
        }
        self.examine_responses(is_silent).await
    }

    async fn examine_tls(&mut self, anonymous: &Exchange) -> Result<(), String> {
        let webhook = &self.target.webhook;
        if !webhook.is_https {
            self.findings.push(CheckFinding::warn(
                "certificate",
                "the URL is not encrypted: anyone on the network path can read and forge notifications",
                "use https://, unless a load balancer terminates TLS; then examine the URL of that load balancer, too",
            ));
            return Ok(());
        }
        if self.target.is_further_path {
            return Ok(());
        }
        let speaks_tls = !anonymous.shown.chain.is_empty();
        let certificate = certificate::check(webhook, anonymous, self.options);
        self.findings.extend(certificate);
        self.findings
            .push(client_request::check(&self.target.expected, anonymous));
        let foreign = &self.target.expected.foreign_authorities;
        self.findings.extend(authorities::check(foreign));
        self.findings.push(versions::check(self.client).await?);
        self.findings
            .push(old_versions::check(self.client, speaks_tls).await);
        Ok(())
    }

    async fn examine_untrusted(&mut self, anonymous: &Exchange) -> Result<(), String> {
        let expected = &self.target.expected;
        let forged = if expected.asks_for_certificate {
            self.examine_forgeries().await?
        } else {
            None
        };
        if !anonymous.shown.chain.is_empty() {
            let anonymous = admission::judge(expected, anonymous, true);
            let trusted = self.options.credentials.clone();
            let finding =
                resumption::check(self.client, expected, anonymous, forged, trusted).await?;
            self.findings.push(finding);
        }
        Ok(())
    }

    /// Checks the responses to a trusted client, and those to all others.
    async fn examine_responses(&mut self, was_silent: bool) -> Result<(), String> {
        let expected = &self.target.expected;
        let has_certificate = self.options.credentials.is_some();
        let tls = self.tls(self.options.credentials.clone())?;
        let (finding, exchange) =
            challenge::check(self.client, expected, tls.as_ref(), has_certificate).await;
        self.findings.push(finding);
        let mut is_silent = was_silent;
        if let Some(exchange) = &exchange {
            self.responses.record(exchange);
            is_silent = matches!(exchange.outcome, ExchangeOutcome::Silent);
        }
        self.findings
            .push(redirect::check(expected, &self.responses));
        if !self.target.is_further_path {
            let watch = self.options.idle.filter(|_| !is_silent);
            let finding =
                idle::check(self.client, expected, tls.as_ref(), watch, has_certificate).await;
            self.findings.push(finding);
        }
        self.findings.push(clock::check(&self.responses));
        Ok(())
    }

    /// Returns `true` if the port is one for `https://`, although the URL has `http://`.
    async fn speaks_tls(&self) -> Result<bool, String> {
        let tls = RecordingTls::new(None, rustls::ALL_VERSIONS)?;
        // Ignore the error: only the handshake matters.
        let _ = self.client.open(Some(&tls)).await;
        Ok(!tls.take_shown().chain.is_empty())
    }

    /// Checks forged certificates. Returns one with which a session can be made, or any if there is
    /// none.
    async fn examine_forgeries(&mut self) -> Result<Option<Arc<CertifiedKey>>, String> {
        let expected = &self.target.expected;
        let Some(authority) = expected.authorities.first() else {
            return Ok(None);
        };
        let forgeries = forgeries(authority, &expected.common_name);
        let mut exchanges = Vec::new();
        let mut answered = None;
        for Forgery { of, credentials } in &forgeries.made {
            let exchange = self.ask(Some(credentials.clone())).await?;
            if matches!(exchange.outcome, ExchangeOutcome::Answered(_)) {
                answered.get_or_insert_with(|| credentials.clone());
            }
            let is_silent = matches!(exchange.outcome, ExchangeOutcome::Silent);
            exchanges.push((*of, exchange));
            if is_silent {
                break;
            }
        }
        let missing = forgeries.missing.as_deref();
        let finding = admission::check_forged(expected, &exchanges, missing);
        self.findings.push(finding);
        let first = forgeries.made.into_iter().next();
        Ok(answered.or(first.map(|forgery| forgery.credentials)))
    }

    /// Tries certificates of a trusted authority with forged subjects.
    async fn examine_forged_subjects(&mut self) -> Result<(), String> {
        let Some(forgeries) = &self.options.forgeries else {
            return Ok(());
        };
        let expected = &self.target.expected;
        let genuine = self.ask(Some(forgeries.genuine.clone())).await?;
        let finding = forged_subjects::check_genuine(expected, &genuine, &forgeries.authority);
        if let Some(finding) = finding {
            self.findings.push(finding);
            return Ok(());
        }
        for (words, credentials) in &forgeries.forged {
            let forged = self.ask(Some(credentials.clone())).await?;
            let finding = forged_subjects::check(expected, words, &forged, &genuine);
            self.findings.push(finding);
        }
        Ok(())
    }

    /// Sends a notification without a body, and records the response.
    async fn ask(&mut self, credentials: Option<Arc<CertifiedKey>>) -> Result<Exchange, String> {
        let tls = self.tls(credentials)?;
        let request = post(&self.target.webhook);
        let exchange = self.client.ask(tls.as_ref(), &request).await;
        self.responses.record(&exchange);
        Ok(exchange)
    }

    fn tls(&self, credentials: Option<Arc<CertifiedKey>>) -> Result<Option<RecordingTls>, String> {
        match self.target.webhook.is_https {
            true => RecordingTls::new(credentials, rustls::ALL_VERSIONS).map(Some),
            false => Ok(None),
        }
    }
}

/// Returns `true` if no other exchange can succeed either.
fn has_no_tls(exchange: &Exchange) -> bool {
    let is_unresponsive = matches!(
        exchange.outcome,
        ExchangeOutcome::Silent | ExchangeOutcome::Failed(ClientFailure::NotTls)
    );
    exchange.shown.chain.is_empty() && is_unresponsive
}
