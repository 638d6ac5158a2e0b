//! Targets of the checks, and the behaviour that is expected of them.

use crate::auth::secret::Secret;
use crate::commands::client::{WebhookTarget, local_address};
use crate::config::{
    Acme, ClientTrust, Config, NETDATA_ROOT_CA, Route, ServerCertificate, Upstream, Verify,
};
use crate::http::path::{PathPattern, Routes};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, DnsName};
use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use x509_parser::extensions::GeneralName;

/// A URL to examine, and its expected behaviour.
#[derive(Clone, Debug)]
pub(super) struct CheckTarget {
    pub(super) webhook: WebhookTarget,
    pub(super) expected: Expectation,
    /// Has the listener been examined already, with another path?
    pub(super) is_further_path: bool,
    /// Upstream of its requests, if this machine sends them and it has not been examined already.
    pub(super) upstream: Option<Arc<Upstream>>,
    /// The settings by which authorities validate the names of this machine.
    pub(super) acme: Option<Arc<Acme>>,
}

/// Expected behaviour of a server.
#[derive(Clone, Debug)]
pub(super) struct Expectation {
    /// Does the server request a client certificate?
    pub(super) asks_for_certificate: bool,
    /// Does this path require one?
    pub(super) demands_certificate: bool,
    /// Is this path open to every client, on purpose?
    pub(super) is_open: bool,
    /// Authorities of client certificates.
    pub(super) authorities: Vec<CertificateDer<'static>>,
    /// Warnings about authorities whose certificates pass for those of Netdata Cloud.
    pub(super) foreign_authorities: Vec<String>,
    /// A common name that is accepted.
    pub(super) common_name: String,
    pub(super) challenge: ExpectedChallenge,
    /// Idle timeout of connections, if it is known.
    pub(super) idle_timeout: Option<Duration>,
}

/// Expected response to a challenge.
#[derive(Clone, Debug)]
pub(super) enum ExpectedChallenge {
    /// The response is made with this secret.
    Secret(Secret),
    /// The route has no challenge secret, so it does not respond to challenges.
    Unanswered,
    /// The secret is unknown.
    Unknown,
}

impl Expectation {
    /// Returns the behaviour that is expected without a configuration.
    pub(super) fn by_default() -> Self {
        let authorities = CertificateDer::pem_slice_iter(NETDATA_ROOT_CA.as_bytes());
        Self {
            asks_for_certificate: true,
            demands_certificate: true,
            is_open: false,
            authorities: authorities.flatten().collect(),
            foreign_authorities: Vec::new(),
            common_name: "app.netdata.cloud".into(),
            challenge: ExpectedChallenge::Unknown,
            idle_timeout: None,
        }
    }

    fn of(config: &Config, route: &Route, is_https: bool) -> Self {
        let asks = is_https && config.verify() != Verify::Off;
        let requirements = &route.requirements;
        let demands = requirements.client_certificate || config.verify() == Verify::Require;
        let client = config.tls.as_ref().map(|tls| &tls.client);
        let common_name = client.and_then(|client| client.common_names.first());
        let authorities = client.map(|client| client.authorities.clone());
        let foreign_authorities = client.map(ClientTrust::foreign_authorities);
        Self {
            asks_for_certificate: asks,
            demands_certificate: asks && demands,
            is_open: !requirements.client_certificate && requirements.authorization.is_empty(),
            authorities: authorities.unwrap_or_default(),
            foreign_authorities: foreign_authorities.unwrap_or_default(),
            common_name: common_name.cloned().unwrap_or_default(),
            challenge: ExpectedChallenge::of(route),
            idle_timeout: Some(config.limits.idle_timeout),
        }
    }
}

impl ExpectedChallenge {
    fn of(route: &Route) -> Self {
        let secret = route.challenge_secret.clone();
        secret.map_or(Self::Unanswered, Self::Secret)
    }
}

/// Returns a target for each path of each listener of a configuration.
pub(super) fn of_config(config: &Config) -> Result<Vec<CheckTarget>, String> {
    let mut targets = Vec::new();
    let mut seen = HashSet::new();
    for (address, is_https) in listeners(config) {
        if address.port() == 0 {
            return Err(format!(
                "the listener {address} uses port 0, so its port is unknown: give the URL"
            ));
        }
        for (index, route) in served(config, is_https).enumerate() {
            let is_new = seen.insert(&route.upstream.name);
            targets.push(CheckTarget {
                webhook: listener(config, address, is_https, &route.path),
                expected: Expectation::of(config, route, is_https),
                is_further_path: index > 0,
                upstream: is_new.then(|| route.upstream.clone()),
                acme: config.acme().filter(|_| is_https && index == 0).cloned(),
            });
        }
    }
    match targets.is_empty() {
        true => Err("no listener serves any route".into()),
        false => Ok(targets),
    }
}

/// Returns the addresses of all listeners, and whether they are for TLS.
fn listeners(config: &Config) -> impl Iterator<Item = (SocketAddr, bool)> {
    let https = config.listen.https.iter().map(|address| (*address, true));
    let http = config.listen.http.iter().map(|address| (*address, false));
    https.chain(http)
}

/// Returns the routes that a listener serves: those that require a client certificate refuse all
/// requests without TLS.
fn served(config: &Config, is_https: bool) -> impl Iterator<Item = &Route> {
    let is_served = move |route: &&Route| is_https || !route.requirements.client_certificate;
    config.routes.iter().filter(is_served)
}

/// Returns the behaviour that the configuration implies for a URL.
pub(super) fn expected_at(config: &Config, target: &WebhookTarget) -> Result<Expectation, String> {
    let path = target.path_without_query();
    let routes = Routes::new(config.routes.iter().collect());
    let route = routes
        .find(path)
        .map_err(|_| format!("no route of the configuration has the path {path}"))?;
    let is_https = target.is_https || !config.listen.https.is_empty();
    Ok(Expectation::of(config, route, is_https))
}

fn listener(
    config: &Config,
    listen: SocketAddr,
    is_https: bool,
    path: &PathPattern,
) -> WebhookTarget {
    let address = local_address(listen);
    let ip = address.ip();
    let mut trusted_proxies = config.listen.trusted_proxies.iter();
    let is_trusted_proxy = trusted_proxies.any(|network| network.contains(&ip));
    WebhookTarget {
        is_https,
        host: certified_name(config).unwrap_or_else(|| ip.to_string()),
        port: address.port(),
        path: path_of(path),
        address: Some(address),
        proxy_protocol: config.listen.proxy_protocol && is_trusted_proxy,
    }
}

/// Returns a path that the pattern matches.
fn path_of(pattern: &PathPattern) -> String {
    match pattern {
        PathPattern::Exact(path) => path.clone(),
        PathPattern::Subtree(prefix) => format!("{prefix}/"),
    }
}

/// Returns the first name of the server's certificate, or one below a wildcard, or an address.
fn certified_name(config: &Config) -> Option<String> {
    match &config.tls.as_ref()?.certificate {
        ServerCertificate::Files(certified) => certified_name_of(certified.cert.first()?),
        ServerCertificate::Acme(acme) => acme.domains.first().map(ToString::to_string),
    }
}

fn certified_name_of(leaf: &[u8]) -> Option<String> {
    let names = dns_names(leaf);
    let whole = names.iter().find(|name| is_name(name)).cloned();
    let mut below = names.iter().filter_map(|name| name_below(name));
    whole
        .or_else(|| below.find(|name| is_name(name)))
        .or_else(|| addresses(leaf).first().map(IpAddr::to_string))
}

fn is_name(name: &str) -> bool {
    DnsName::try_from(name).is_ok()
}

/// Returns a name that a wildcard covers.
fn name_below(wildcard: &str) -> Option<String> {
    let domain = wildcard.strip_prefix("*.")?;
    Some(format!("doctor.{domain}"))
}

/// Returns all addresses in a certificate.
fn addresses(certificate: &[u8]) -> Vec<IpAddr> {
    subject_names(certificate, |name| match name {
        GeneralName::IPAddress(octets) => ip_address(octets),
        _ => None,
    })
}

fn ip_address(octets: &[u8]) -> Option<IpAddr> {
    match <[u8; 4]>::try_from(octets) {
        Ok(octets) => Some(IpAddr::from(octets)),
        Err(_) => Some(IpAddr::from(<[u8; 16]>::try_from(octets).ok()?)),
    }
}

/// Returns all DNS names in a certificate, including wildcards.
pub(super) fn dns_names(certificate: &[u8]) -> Vec<String> {
    subject_names(certificate, |name| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        _ => None,
    })
}

fn subject_names<T>(certificate: &[u8], select: impl Fn(&GeneralName<'_>) -> Option<T>) -> Vec<T> {
    let Ok((_, certificate)) = x509_parser::parse_x509_certificate(certificate) else {
        return Vec::new();
    };
    match certificate.subject_alternative_name() {
        Ok(Some(names)) => names
            .value
            .general_names
            .iter()
            .filter_map(select)
            .collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair, SanType};

    #[test]
    fn a_listener_is_examined_under_a_name_that_its_certificate_is_for() {
        let check = |names: &[&str], expected: Option<&str>| {
            let mut params = CertificateParams::default();
            let name = |name: &&str| match name.parse::<IpAddr>() {
                Ok(ip) => SanType::IpAddress(ip),
                Err(_) => SanType::DnsName((*name).try_into().unwrap()),
            };
            params.subject_alt_names = names.iter().map(name).collect();
            let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
            assert_eq!(
                certified_name_of(certificate.der()).as_deref(),
                expected,
                "{names:?}"
            );
        };
        check(
            &["192.0.2.1", "*.a.example", "b.example"],
            Some("b.example"),
        );
        check(&["192.0.2.1", "*.a.example"], Some("doctor.a.example"));
        check(&["2001:db8::1", "192.0.2.1"], Some("2001:db8::1"));
        check(&["*", "192.0.2.1"], Some("192.0.2.1"));
        check(&[], None);
    }
}
