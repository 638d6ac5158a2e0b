//! An authority over HTTP, by way of the library `instant-acme`.

use super::authority::{
    AcmeError, Authority, ErrorKind, OrderRequest, OrderStatus, OrderView, Registered,
    Registration, RenewalWindow, ValidationView,
};
use super::clock::ClockSkew;
use super::http::{DeadlineClient, LastResponse};
use crate::config::{Acme, Domain};
use async_trait::async_trait;
use http::StatusCode;
use instant_acme::{
    Account, AuthorizationStatus, CertificateIdentifier, ChallengeStatus, ChallengeType, Error,
    ExternalAccountKey, Identifier, Key, NewAccount, NewOrder, Order, Problem,
};
use rustls::pki_types::PrivatePkcs8KeyDer;

/// The prefix of the types of an authority's problems.
const PROBLEM: &str = "urn:ietf:params:acme:error:";

/// How the library's error begins about an authority that does not confirm a replacement.
const REPLACES_IGNORED: &str = "replaces field mismatch";

/// A client of one authority.
pub(crate) struct AcmeClient {
    directory: String,
    http: DeadlineClient,
    /// The account in use, by its URL.
    account: Option<(String, Account)>,
}

impl AcmeClient {
    /// Creates a client; nothing is sent yet.
    ///
    /// # Errors
    /// If there are no authorities to trust.
    pub(crate) fn new(acme: &Acme) -> Result<Self, String> {
        Ok(Self {
            directory: acme.directory.clone(),
            http: DeadlineClient::new(&acme.directory_ca)?,
            account: None,
        })
    }

    fn builder(&self) -> instant_acme::AccountBuilder {
        Account::builder_with_http(Box::new(self.http.clone()))
    }

    fn account(&self) -> Result<&Account, AcmeError> {
        match &self.account {
            Some((_, account)) => Ok(account),
            None => Err(AcmeError::new(
                ErrorKind::Again,
                "not_signed_in",
                "no account is in use",
            )),
        }
    }

    async fn order(&self, url: &str) -> Result<Order, AcmeError> {
        let order = self.account()?.order(url.to_owned()).await;
        order.map_err(|error| self.explain(error))
    }

    fn explain(&self, error: Error) -> AcmeError {
        explain(error, &self.http.last())
    }
}

#[async_trait]
impl Authority for AcmeClient {
    fn clock_skew(&self) -> Option<ClockSkew> {
        self.http.last().clock_skew
    }

    async fn register(&mut self, request: Registration<'_>) -> Result<Registered, AcmeError> {
        let contact = request.email.map(|email| format!("mailto:{email}"));
        let contact: Vec<&str> = contact.as_deref().into_iter().collect();
        let directory = self.directory.clone();
        let created = match request.eab {
            // The library makes the key itself, then.
            Some(eab) => {
                let new = NewAccount {
                    contact: &contact,
                    terms_of_service_agreed: true,
                    only_return_existing: false,
                };
                let external = ExternalAccountKey::new(eab.key_id.clone(), eab.key.expose());
                self.builder()
                    .create(&new, directory, Some(&external))
                    .await
            }
            None => {
                let der = PrivatePkcs8KeyDer::from(request.key.to_vec());
                let key =
                    Key::from_pkcs8_der(der.clone_key()).map_err(|error| self.explain(error))?;
                self.builder()
                    .create_from_key((key, der.into()), directory)
                    .await
            }
        };
        let (account, credentials) = created.map_err(|error| self.explain(error))?;
        let url = account.id().to_owned();
        self.account = Some((url.clone(), account));
        if request.eab.is_none() && request.email.is_some() {
            self.change_contact(request.email).await?;
        }
        let key = credentials.private_key().secret_pkcs8_der();
        Ok(Registered {
            url,
            key: (key != request.key).then(|| key.to_vec()),
        })
    }

    async fn sign_in(&mut self, url: &str, key: &[u8]) -> Result<(), AcmeError> {
        if self.account.as_ref().is_some_and(|(known, _)| known == url) {
            return Ok(());
        }
        let key = PrivatePkcs8KeyDer::from(key.to_vec());
        let account = self
            .builder()
            .from_parts(url.to_owned(), key, self.directory.clone())
            .await
            .map_err(|error| self.explain(error))?;
        self.account = Some((url.to_owned(), account));
        Ok(())
    }

    async fn change_contact(&mut self, email: Option<&str>) -> Result<(), AcmeError> {
        let contact = email.map(|email| format!("mailto:{email}"));
        let contact: Vec<&str> = contact.as_deref().into_iter().collect();
        let changed = self.account()?.update_contacts(&contact).await;
        changed.map_err(|error| self.explain(error))
    }

    async fn place(&mut self, request: OrderRequest<'_>) -> Result<String, AcmeError> {
        let identifiers: Vec<_> = request.domains.iter().map(identifier).collect();
        let mut order = NewOrder::new(&identifiers);
        if let Some(profile) = request.profile {
            order = order.profile(profile);
        }
        if let Some((authority, serial)) = request.replaces.and_then(|id| id.split_once('.')) {
            order = order.replaces(CertificateIdentifier {
                authority_key_identifier: authority.into(),
                serial: serial.into(),
            });
        }
        let placed = self.account()?.new_order(&order).await;
        match placed {
            Ok(order) => Ok(order.url().to_owned()),
            Err(error) => {
                let mut error = self.explain(error);
                // The authority took the order, and knows no replacements; the library takes that for
                // a wrong answer.
                if error.detail.starts_with(REPLACES_IGNORED) {
                    error.kind = ErrorKind::Refused;
                }
                Err(error)
            }
        }
    }

    async fn look(&mut self, url: &str) -> Result<OrderView, AcmeError> {
        let mut order = self.order(url).await?;
        let retry_after = self.http.last().retry_after;
        let state = order.state();
        let mut view = OrderView {
            status: status(state.status),
            validations: Vec::new(),
            error: state.error.clone().map(refusal),
            retry_after,
        };
        // The order does not say which of its validations failed, and why.
        let is_unsettled = matches!(view.status, OrderStatus::Pending | OrderStatus::Invalid);
        let mut authorizations = order.authorizations();
        while is_unsettled && let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization.map_err(|error| self.explain(error))?;
            let identifier = authorization.identifier().to_string();
            match authorization.status {
                AuthorizationStatus::Pending => {
                    let digest = authorization
                        .challenge(ChallengeType::TlsAlpn01)
                        .map(|challenge| challenge.key_authorization().digest().as_ref().to_vec());
                    view.validations.push(ValidationView { identifier, digest });
                }
                AuthorizationStatus::Valid => {}
                _ => {
                    let error = authorization
                        .challenges
                        .iter()
                        .find_map(|challenge| challenge.error.clone());
                    // More to the point than the order's.
                    view.error = error
                        .map(|problem| of_name(&identifier, problem))
                        .or(view.error);
                }
            }
        }
        Ok(view)
    }

    async fn validate(&mut self, url: &str) -> Result<(), AcmeError> {
        let mut order = self.order(url).await?;
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization.map_err(|error| self.explain(error))?;
            if authorization.status != AuthorizationStatus::Pending {
                continue;
            }
            if let Some(mut challenge) = authorization.challenge(ChallengeType::TlsAlpn01)
                && challenge.status == ChallengeStatus::Pending
            {
                challenge
                    .set_ready()
                    .await
                    .map_err(|error| self.explain(error))?;
            }
        }
        Ok(())
    }

    async fn finalize(&mut self, url: &str, request: &[u8]) -> Result<(), AcmeError> {
        let mut order = self.order(url).await?;
        let finalized = order.finalize_csr(request).await;
        finalized.map_err(|error| self.explain(error))
    }

    async fn fetch(&mut self, url: &str) -> Result<String, AcmeError> {
        let mut order = self.order(url).await?;
        match order.certificate().await {
            Ok(Some(chain)) => Ok(chain),
            Ok(None) => Err(AcmeError::new(
                ErrorKind::Again,
                "processing",
                "the certificate is not there yet",
            )),
            Err(error) => Err(self.explain(error)),
        }
    }

    async fn renewal_window(&mut self, certificate: &str) -> Result<RenewalWindow, AcmeError> {
        let Some((authority, serial)) = certificate.split_once('.') else {
            return Err(AcmeError::refused(
                "unsupported",
                "the certificate does not identify its authority",
            ));
        };
        let identifier = CertificateIdentifier {
            authority_key_identifier: authority.into(),
            serial: serial.into(),
        };
        let window = self.account()?.renewal_info(&identifier).await;
        let (info, retry_after) = window.map_err(|error| self.explain(error))?;
        Ok(RenewalWindow {
            start: info.suggested_window.start.unix_timestamp(),
            end: info.suggested_window.end.unix_timestamp(),
            explanation: info.explanation_url,
            retry_after,
        })
    }
}

fn identifier(domain: &Domain) -> Identifier {
    match domain {
        Domain::Dns(name) => Identifier::Dns(name.clone()),
        Domain::Ip(address) => Identifier::Ip(*address),
    }
}

fn status(status: instant_acme::OrderStatus) -> OrderStatus {
    match status {
        instant_acme::OrderStatus::Pending => OrderStatus::Pending,
        instant_acme::OrderStatus::Ready => OrderStatus::Ready,
        instant_acme::OrderStatus::Processing => OrderStatus::Processing,
        instant_acme::OrderStatus::Valid => OrderStatus::Valid,
        instant_acme::OrderStatus::Invalid => OrderStatus::Invalid,
    }
}

/// Describes a problem that ends an order.
fn refusal(problem: Problem) -> AcmeError {
    let mut error = of_problem(problem);
    error.kind = ErrorKind::Refused;
    error
}

/// Describes the failed validation of a name.
fn of_name(name: &str, problem: Problem) -> AcmeError {
    let mut error = refusal(problem);
    error.detail = format!("{name}: {}", error.detail);
    error
}

fn of_problem(problem: Problem) -> AcmeError {
    let code = problem.r#type.as_deref().unwrap_or("about:blank");
    let code = code.strip_prefix(PROBLEM).unwrap_or(code).to_owned();
    let mut detail = problem.detail.unwrap_or_default();
    for part in &problem.subproblems {
        detail = format!("{detail}; {part}");
    }
    let kind = match code.as_str() {
        "badNonce" | "orderNotReady" => ErrorKind::Again,
        "accountDoesNotExist" => ErrorKind::AccountGone,
        "rateLimited" | "serverInternal" => ErrorKind::Away,
        _ => ErrorKind::Refused,
    };
    AcmeError::new(kind, &code, detail)
}

fn explain(error: Error, last: &LastResponse) -> AcmeError {
    let is_answer = last.status.is_some();
    let mut error = match error {
        Error::Api(problem) => of_problem(problem),
        Error::Unsupported(what) => AcmeError::refused(
            "unsupported",
            format!("the authority does not offer {what}"),
        ),
        // A proxy or a load balancer in front of the authority.
        Error::Json(_) if is_answer => {
            let status = last.status.as_ref().map_or("", StatusCode::as_str);
            AcmeError::new(
                ErrorKind::Away,
                "unexpected_response",
                format!("the authority answers {status} with what is not JSON"),
            )
        }
        error if is_answer => {
            AcmeError::new(ErrorKind::Away, "unexpected_response", error.to_string())
        }
        error => AcmeError::new(ErrorKind::Away, "unreachable", error.to_string()),
    };
    let is_late = last
        .status
        .is_some_and(|status| status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS);
    if is_late && error.kind == ErrorKind::Refused {
        error.kind = ErrorKind::Away;
    }
    error.retry_after = last.retry_after;
    if error.code == "userActionRequired"
        && let Some(terms) = &last.terms
    {
        error.detail = format!("{}: agree to {terms}", error.detail);
    }
    if let Some(skew) = last.clock_skew {
        error.detail = format!("{}; {skew}", error.detail);
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn problem(json: &str) -> Problem {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn problems_are_told_apart() {
        let check = |code: &str, status: u16, expected: ErrorKind| {
            let json = format!(
                "{{\"type\": \"{PROBLEM}{code}\", \"detail\": \"x\", \"status\": {status}}}"
            );
            let last = LastResponse {
                status: StatusCode::from_u16(status).ok(),
                ..LastResponse::default()
            };
            let error = explain(Error::Api(problem(&json)), &last);
            assert_eq!(
                (error.kind, error.code.as_str()),
                (expected, code),
                "{status}"
            );
        };
        check("badNonce", 400, ErrorKind::Again);
        check("orderNotReady", 403, ErrorKind::Again);
        check("accountDoesNotExist", 400, ErrorKind::AccountGone);
        check("rateLimited", 429, ErrorKind::Away);
        check("serverInternal", 500, ErrorKind::Away);
        check("other", 503, ErrorKind::Away);
        for code in [
            "alreadyReplaced",
            "caa",
            "dns",
            "rejectedIdentifier",
            "userActionRequired",
            "malformed",
        ] {
            check(code, 403, ErrorKind::Refused);
        }
    }

    #[test]
    fn what_the_response_says_beside_its_body_is_told() {
        let last = LastResponse {
            status: Some(StatusCode::FORBIDDEN),
            retry_after: Some(Duration::from_secs(120)),
            terms: Some("https://ca.example/terms".into()),
            clock_skew: ClockSkew::of(-90),
        };
        let json =
            format!("{{\"type\": \"{PROBLEM}userActionRequired\", \"detail\": \"New terms\"}}");
        let error = explain(Error::Api(problem(&json)), &last);
        assert_eq!(error.retry_after, Some(Duration::from_secs(120)));
        assert_eq!(
            error.detail,
            "New terms: agree to https://ca.example/terms; the clock of this machine is 90 s behind the authority's"
        );
        let html = serde_json::from_str::<Problem>("<html>").unwrap_err();
        let last = LastResponse {
            status: Some(StatusCode::SERVICE_UNAVAILABLE),
            ..LastResponse::default()
        };
        let error = explain(Error::Json(html), &last);
        assert_eq!(
            (error.kind, error.code.as_str()),
            (ErrorKind::Away, "unexpected_response")
        );
        assert!(error.detail.contains("503"), "{error}");
        let error = explain(
            Error::Other("ca.example: refused".into()),
            &LastResponse::default(),
        );
        assert_eq!(
            (error.kind, error.code.as_str()),
            (ErrorKind::Away, "unreachable")
        );
    }

    #[test]
    fn each_part_of_a_problem_is_named() {
        let json = "{\"type\": \"a\", \"detail\": \"b\", \"subproblems\": [{\"type\": \"c\", \"detail\": \"d\", \
                    \"identifier\": {\"type\": \"dns\", \"value\": \"e.example\"}}]}";
        let error = of_name("f.example", problem(json));
        assert_eq!(error.code, "a");
        assert_eq!(error.detail, "f.example: b; for \"e.example\": d (c)");
    }
}
