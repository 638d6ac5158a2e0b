//! The checks of one server that can be reached, in their order.

use super::checks::{
    admission, authorities, certificate, challenge, client_request, clock, forged_subjects, idle,
    old_versions, redirect, resumption, versions,
};
use super::client::{CheckClient, Exchange};
use super::finding::CheckFinding;
use super::forgery::{Forgeries, Forgery, forgeries};
use super::options::CheckOptions;
use super::recording_client::RecordingTls;
use super::requests::post;
use super::responses::Responses;
use super::target::CheckTarget;
use crate::commands::forged_subjects::ForgedSubjects;
use rustls::sign::CertifiedKey;
use std::sync::Arc;

/// The exchanges with one server, and the findings so far.
pub(super) struct Examination<'t> {
    target: &'t CheckTarget,
    options: &'t CheckOptions,
    client: CheckClient<'t>,
    responses: Responses,
    pub(super) findings: Vec<CheckFinding>,
}

impl<'t> Examination<'t> {
    pub(super) fn new(
        target: &'t CheckTarget,
        options: &'t CheckOptions,
        client: CheckClient<'t>,
    ) -> Self {
        Self {
            target,
            options,
            client,
            responses: Responses::default(),
            findings: Vec::new(),
        }
    }

    pub(super) async fn run(&mut self) -> Result<(), String> {
        let anonymous = self.ask(None).await?;
        let findings = self.wrong_scheme(&anonymous).await?;
        if !findings.is_empty() {
            // All other checks would fail for the same reason, or wait in vain.
            self.findings.extend(findings);
            return Ok(());
        }
        self.examine_tls(&anonymous).await?;
        let finding = admission::check_anonymous(&self.target.expected, &anonymous);
        self.findings.push(finding);
        // A server that ignores untrusted clients may still respond to trusted ones. Its silence is
        // awaited once only.
        let is_silent = anonymous.outcome.is_silent();
        if self.target.webhook.is_https && !is_silent {
            self.examine_untrusted(&anonymous).await?;
            self.examine_forged_subjects().await?;
        }
        self.examine_responses(is_silent).await
    }

    /// Reports a URL with another scheme than the port speaks.
    async fn wrong_scheme(&self, anonymous: &Exchange) -> Result<Vec<CheckFinding>, String> {
        let webhook = &self.target.webhook;
        if webhook.is_https && anonymous.has_no_tls() {
            return Ok(certificate::check(webhook, anonymous, self.options));
        }
        if !webhook.is_https && self.speaks_tls().await? {
            return Ok(vec![certificate::tls_under_http()]);
        }
        Ok(Vec::new())
    }

    async fn examine_tls(&mut self, anonymous: &Exchange) -> Result<(), String> {
        if !self.target.webhook.is_https {
            self.findings.push(certificate::unencrypted());
        } else if !self.target.is_further_path {
            self.examine_handshakes(anonymous).await?;
        }
        Ok(())
    }

    async fn examine_handshakes(&mut self, anonymous: &Exchange) -> Result<(), String> {
        let CheckTarget {
            webhook, expected, ..
        } = self.target;
        let speaks_tls = !anonymous.shown.chain.is_empty();
        let certificate = certificate::check(webhook, anonymous, self.options);
        self.findings.extend(certificate);
        self.findings
            .push(client_request::check(expected, anonymous));
        let foreign = authorities::check(&expected.foreign_authorities);
        self.findings.extend(foreign);
        self.findings.push(versions::check(self.client).await?);
        let old = old_versions::check(self.client, speaks_tls).await;
        self.findings.push(old);
        Ok(())
    }

    async fn examine_untrusted(&mut self, anonymous: &Exchange) -> Result<(), String> {
        let forged = match self.target.expected.asks_for_certificate {
            true => self.examine_forgeries().await?,
            false => None,
        };
        if !anonymous.shown.chain.is_empty() {
            self.examine_resumption(anonymous, forged).await?;
        }
        Ok(())
    }

    async fn examine_resumption(
        &mut self,
        anonymous: &Exchange,
        forged: Option<Arc<CertifiedKey>>,
    ) -> Result<(), String> {
        let expected = &self.target.expected;
        let anonymous = admission::judge(expected, anonymous, true);
        let trusted = self.options.credentials.clone();
        let finding = resumption::check(self.client, expected, anonymous, forged, trusted).await?;
        self.findings.push(finding);
        Ok(())
    }

    /// Checks the responses to a trusted client, and those to all others.
    async fn examine_responses(&mut self, was_silent: bool) -> Result<(), String> {
        let tls = self.tls(self.options.credentials.clone())?;
        let is_silent = self.examine_challenge(tls.as_ref(), was_silent).await;
        let expected = &self.target.expected;
        self.findings
            .push(redirect::check(expected, &self.responses));
        if !self.target.is_further_path {
            self.examine_idle(tls.as_ref(), is_silent).await;
        }
        self.findings.push(clock::check(&self.responses));
        Ok(())
    }

    /// Checks the response to a challenge. Returns whether the server is silent.
    async fn examine_challenge(&mut self, tls: Option<&RecordingTls>, was_silent: bool) -> bool {
        let has_certificate = self.options.credentials.is_some();
        let (finding, exchange) =
            challenge::check(self.client, &self.target.expected, tls, has_certificate).await;
        self.findings.push(finding);
        let Some(exchange) = exchange else {
            return was_silent;
        };
        self.responses.record(&exchange);
        exchange.outcome.is_silent()
    }

    async fn examine_idle(&mut self, tls: Option<&RecordingTls>, is_silent: bool) {
        let has_certificate = self.options.credentials.is_some();
        let watch = self.options.idle.filter(|_| !is_silent);
        let expected = &self.target.expected;
        let finding = idle::check(self.client, expected, tls, watch, has_certificate).await;
        self.findings.push(finding);
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
        let exchanges = self.try_forgeries(&forgeries).await?;
        let missing = forgeries.missing.as_deref();
        let finding = admission::check_forged(expected, &exchanges, missing);
        self.findings.push(finding);
        let was_answered = |(_, exchange): &(_, Exchange)| exchange.outcome.is_answered();
        let chosen = exchanges.iter().position(was_answered).unwrap_or_default();
        let forgery = forgeries.made.into_iter().nth(chosen);
        Ok(forgery.map(|forgery| forgery.credentials))
    }

    /// Presents each forgery, until the server is silent.
    async fn try_forgeries(
        &mut self,
        forgeries: &Forgeries,
    ) -> Result<Vec<(&'static str, Exchange)>, String> {
        let mut exchanges = Vec::new();
        for Forgery { of, credentials } in &forgeries.made {
            let exchange = self.ask(Some(credentials.clone())).await?;
            let is_silent = exchange.outcome.is_silent();
            exchanges.push((*of, exchange));
            if is_silent {
                break;
            }
        }
        Ok(exchanges)
    }

    /// Tries certificates of a trusted authority with forged subjects.
    async fn examine_forged_subjects(&mut self) -> Result<(), String> {
        let Some(forgeries) = &self.options.forgeries else {
            return Ok(());
        };
        let expected = &self.target.expected;
        let genuine = self.ask(Some(forgeries.genuine.clone())).await?;
        match forged_subjects::check_genuine(expected, &genuine, &forgeries.authority) {
            Some(finding) => self.findings.push(finding),
            None => self.try_forged_subjects(forgeries, &genuine).await?,
        }
        Ok(())
    }

    async fn try_forged_subjects(
        &mut self,
        forgeries: &ForgedSubjects,
        genuine: &Exchange,
    ) -> Result<(), String> {
        for (words, credentials) in &forgeries.forged {
            let forged = self.ask(Some(credentials.clone())).await?;
            let finding = forged_subjects::check(&self.target.expected, words, &forged, genuine);
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
