//! A gate made in code, for a Pingora service that has listeners and upstreams of its own.

use super::MAX_BODY;
use super::build_error::BuildError;
use crate::auth::secret::{Secret, SecretDigest};
use crate::auth::{Authorization, Requirements};
use crate::config::header_template::HeaderTemplate;
use crate::config::{ClientTrust, DeliveryMode, Limits, Route, RouteKind, Tests, Upstream, Verify};
use crate::http::header_class::{self, Class};
use crate::http::path::PathPattern;
use crate::proxy::{Gate, Policy};
use crate::webhook::notification::SchemaPolicy;
use crate::webhook::signer::{self, Signer};
use http::HeaderName;
use ipnet::IpNet;
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

/// Builds a [`Gate`], or the [`Policy`] that replaces that of a running one.
///
/// Without [`trust`](Self::trust), client certificates are those of Netdata Cloud
/// ([`ClientTrust::netdata`]). Paths that no route names are left to the service; with
/// [`refuse_other_paths`](Self::refuse_other_paths) they are answered with 404.
#[derive(Debug, Default)]
#[must_use = "a builder does nothing until it builds a gate"]
pub struct GateBuilder {
    trust: Option<ClientTrust>,
    routes: Vec<(String, WebhookRoute)>,
    limits: Limits,
    trusted_proxies: Vec<IpNet>,
    refuses_other_paths: bool,
}

/// The demands of a webhook, and what its application receives.
///
/// A new one demands a client certificate, answers Test notifications, and accepts bodies of up to
/// 64 KiB.
#[derive(Clone)]
#[must_use = "a route does nothing until it is given to a builder"]
pub struct WebhookRoute {
    client_certificate: bool,
    basic: Vec<(String, Secret)>,
    bearer: Vec<Secret>,
    challenge_secret: Option<Secret>,
    challenge_requires_authorization: bool,
    schema: SchemaPolicy,
    max_body: u64,
    spaces: Vec<String>,
    tests: Tests,
    signing_secrets: Vec<Secret>,
    forward_authorization: bool,
    set_headers: Vec<(String, String)>,
    pass_headers: Vec<String>,
}

impl GateBuilder {
    /// Sets the authorities and names of client certificates.
    pub fn trust(mut self, trust: ClientTrust) -> Self {
        self.trust = Some(trust);
        self
    }

    /// Adds a webhook at `path`: an exact path, or `/prefix/*` for everything below a prefix.
    pub fn route(mut self, path: impl Into<String>, route: WebhookRoute) -> Self {
        self.routes.push((path.into(), route));
        self
    }

    /// Sets the limits. The gate uses those on rates, and on the time and memory of bodies.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets the networks whose `X-Forwarded-For` and `Forwarded` are believed.
    pub fn trusted_proxies(mut self, networks: impl IntoIterator<Item = IpNet>) -> Self {
        self.trusted_proxies = networks.into_iter().collect();
        self
    }

    /// Answers every path without a route with 404, as the program does.
    pub fn refuse_other_paths(mut self) -> Self {
        self.refuses_other_paths = true;
        self
    }

    /// Builds the gate.
    ///
    /// # Errors
    /// The first mistake that is found.
    pub fn build(self) -> Result<Gate, BuildError> {
        self.build_policy().map(Gate::new)
    }

    /// Builds a policy for [`Gate::replace`].
    ///
    /// # Errors
    /// The first mistake that is found.
    pub fn build_policy(self) -> Result<Policy, BuildError> {
        if self.routes.is_empty() {
            return Err(BuildError::NoRoute);
        }
        let trust = self.trust.unwrap_or_else(ClientTrust::netdata);
        let routes = build_routes(self.routes, trust.verify)?;
        let mut policy = Policy::of_routes(&routes, &trust, self.limits, self.trusted_proxies)?;
        policy.passes_other_paths = !self.refuses_other_paths;
        Ok(policy)
    }
}

fn build_routes(
    routes: Vec<(String, WebhookRoute)>,
    verify: Verify,
) -> Result<Vec<Route>, BuildError> {
    let mut paths = HashSet::new();
    let mut built = Vec::with_capacity(routes.len());
    for (path, route) in routes {
        if !paths.insert(path.clone()) {
            return Err(BuildError::DuplicatePath(path));
        }
        built.push(route.build(path, verify)?);
    }
    Ok(built)
}

impl fmt::Debug for WebhookRoute {
    /// Omits the values of headers, which may be credentials for the application.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookRoute")
            .field("client_certificate", &self.client_certificate)
            .field("basic", &self.basic.len())
            .field("bearer", &self.bearer.len())
            .field("max_body", &self.max_body)
            .finish_non_exhaustive()
    }
}

impl Default for WebhookRoute {
    fn default() -> Self {
        Self {
            client_certificate: true,
            basic: Vec::new(),
            bearer: Vec::new(),
            challenge_secret: None,
            challenge_requires_authorization: false,
            schema: SchemaPolicy::default(),
            max_body: MAX_BODY,
            spaces: Vec::new(),
            tests: Tests::Answer,
            signing_secrets: Vec::new(),
            forward_authorization: false,
            set_headers: Vec::new(),
            pass_headers: Vec::new(),
        }
    }
}

impl WebhookRoute {
    /// Creates a route that demands a client certificate.
    pub fn new() -> Self {
        Self::default()
    }

    /// Demands no client certificate. The route needs credentials then.
    pub fn without_client_certificate(mut self) -> Self {
        self.client_certificate = false;
        self
    }

    /// Accepts these Basic credentials (RFC 7617), in addition to others.
    pub fn basic(mut self, username: impl Into<String>, password: impl Into<Vec<u8>>) -> Self {
        self.basic
            .push((username.into(), Secret::new(password.into())));
        self
    }

    /// Accepts this Bearer token (RFC 6750), in addition to others.
    pub fn bearer(mut self, token: impl Into<Vec<u8>>) -> Self {
        self.bearer.push(Secret::new(token.into()));
        self
    }

    /// Answers challenges with an HMAC under this secret.
    pub fn challenge_secret(mut self, secret: impl Into<Vec<u8>>) -> Self {
        self.challenge_secret = Some(Secret::new(secret.into()));
        self
    }

    /// Demands credentials of challenges as well.
    pub fn challenge_requires_authorization(mut self) -> Self {
        self.challenge_requires_authorization = true;
        self
    }

    /// Sets how strictly bodies are checked.
    pub fn schema(mut self, schema: SchemaPolicy) -> Self {
        self.schema = schema;
        self
    }

    /// Sets the largest body, in bytes: from 1 to 65,536, which is what Pingora keeps of a request
    /// for its upstream.
    pub fn max_body(mut self, bytes: u64) -> Self {
        self.max_body = bytes;
        self
    }

    /// Accepts notifications of these spaces only, by id, slug or name.
    pub fn spaces(mut self, spaces: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.spaces = spaces.into_iter().map(Into::into).collect();
        self
    }

    /// Sets whether Test notifications are answered here or forwarded.
    pub fn tests(mut self, tests: Tests) -> Self {
        self.tests = tests;
        self
    }

    /// Signs notifications with this secret, in addition to others, as Standard Webhooks says: in
    /// `webhook-id`, `webhook-timestamp` and `webhook-signature`.
    ///
    /// The secret is base64, with or without `whsec_`; other bytes are the key themselves. A key has
    /// 24 to 64 bytes.
    pub fn sign(mut self, secret: impl Into<Vec<u8>>) -> Self {
        self.signing_secrets.push(Secret::new(secret.into()));
        self
    }

    /// Forwards the `Authorization` header, which is removed otherwise.
    pub fn forward_authorization(mut self) -> Self {
        self.forward_authorization = true;
        self
    }

    /// Sets a header for the application; `template` may name variables such as `$client_cn`.
    pub fn set_header(mut self, name: impl Into<String>, template: impl Into<String>) -> Self {
        self.set_headers.push((name.into(), template.into()));
        self
    }

    /// Lets a header through that asserts an identity or an origin, and is removed otherwise.
    pub fn pass_header(mut self, name: impl Into<String>) -> Self {
        self.pass_headers.push(name.into());
        self
    }

    fn build(self, path: String, verify: Verify) -> Result<Route, BuildError> {
        let pattern = pattern(&path)?;
        self.check_max_body(&path)?;
        let requirements = self.requirements(&path, verify)?;
        let set_headers = self.set_headers(&path)?;
        let pass_headers = self.pass_headers(&path)?;
        let signer = self.signer(&path)?;
        if let Some(secret) = &self.challenge_secret {
            check_secret(secret, &path)?;
        }
        Ok(Route {
            path: pattern,
            kind: RouteKind::Webhook,
            upstream: Arc::new(Upstream::outside()),
            challenge_secret: self.challenge_secret,
            challenge_requires_authorization: self.challenge_requires_authorization,
            schema: self.schema,
            max_body: self.max_body,
            buffer_body: 0,
            spaces: self.spaces,
            tests: self.tests,
            signer,
            delivery: DeliveryMode::Direct,
            forward_authorization: self.forward_authorization,
            set_headers,
            pass_headers,
            requirements,
        })
    }

    fn check_max_body(&self, path: &str) -> Result<(), BuildError> {
        match (1..=MAX_BODY).contains(&self.max_body) {
            true => Ok(()),
            false => Err(BuildError::MaxBody {
                path: path.into(),
                max_body: self.max_body,
            }),
        }
    }

    fn requirements(&self, path: &str, verify: Verify) -> Result<Requirements, BuildError> {
        if self.client_certificate && verify == Verify::Off {
            return Err(BuildError::NoCertificateAsked(path.into()));
        }
        let authorization = self.authorization(path)?;
        if !self.client_certificate && authorization.is_empty() {
            return Err(BuildError::OpenRoute(path.into()));
        }
        Ok(Requirements {
            client_certificate: self.client_certificate,
            authorization,
        })
    }

    fn authorization(&self, path: &str) -> Result<Authorization, BuildError> {
        let mut authorization = Authorization::default();
        for (username, password) in &self.basic {
            if username.contains(':') {
                return Err(BuildError::Username(path.into()));
            }
            authorization = authorization.with_basic(username, digest(password, path)?);
        }
        for token in &self.bearer {
            authorization = authorization.with_bearer(digest(token, path)?);
        }
        Ok(authorization)
    }

    fn signer(&self, path: &str) -> Result<Option<Signer>, BuildError> {
        let key = |secret| {
            signer::key(secret).map_err(|error| BuildError::SigningSecret {
                path: path.into(),
                reason: error.to_string(),
            })
        };
        let keys: Vec<_> = self
            .signing_secrets
            .iter()
            .map(key)
            .collect::<Result<_, _>>()?;
        Ok(Signer::new(keys))
    }

    fn set_headers(&self, path: &str) -> Result<Vec<(HeaderName, HeaderTemplate)>, BuildError> {
        let headers = self.set_headers.iter();
        headers
            .map(|(name, template)| set_header(path, name, template))
            .collect()
    }

    fn pass_headers(&self, path: &str) -> Result<Vec<HeaderName>, BuildError> {
        let headers = self.pass_headers.iter();
        headers.map(|name| passed_header(path, name)).collect()
    }
}

fn pattern(path: &str) -> Result<PathPattern, BuildError> {
    PathPattern::parse(path).map_err(|reason| BuildError::Path {
        path: path.into(),
        reason,
    })
}

fn digest(secret: &Secret, path: &str) -> Result<SecretDigest, BuildError> {
    check_secret(secret, path)?;
    Ok(SecretDigest::of(secret.expose()))
}

fn check_secret(secret: &Secret, path: &str) -> Result<(), BuildError> {
    match secret.expose().is_empty() {
        true => Err(BuildError::EmptySecret(path.into())),
        false => Ok(()),
    }
}

fn set_header(
    path: &str,
    name: &str,
    template: &str,
) -> Result<(HeaderName, HeaderTemplate), BuildError> {
    let refuse = |reason: &str| header_error(path, name, reason);
    let parsed = header_name(path, name)?;
    if header_class::is_reserved(parsed.as_str()) {
        return Err(refuse("it is set by this library"));
    }
    if template.contains(char::is_control) {
        return Err(refuse("its value holds control characters"));
    }
    let template = HeaderTemplate::parse(template)
        .map_err(|_| refuse("its value names a variable that does not exist"))?;
    Ok((parsed, template))
}

fn passed_header(path: &str, name: &str) -> Result<HeaderName, BuildError> {
    let parsed = header_name(path, name)?;
    match header_class::class(parsed.as_str().as_bytes()) {
        Some(Class::Identity | Class::Forwarding) => Ok(parsed),
        _ => Err(header_error(path, name, "it cannot be passed")),
    }
}

fn header_name(path: &str, name: &str) -> Result<HeaderName, BuildError> {
    HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| header_error(path, name, "it is not the name of a header"))
}

fn header_error(path: &str, name: &str, reason: &str) -> BuildError {
    BuildError::Header {
        path: path.into(),
        name: name.into(),
        reason: reason.into(),
    }
}
