//! What is examined: a place, and what is to be expected there.

use crate::auth::secret::Secret;
use crate::commands::client::WebhookTarget;
use crate::config::{Config, NETDATA_ROOT_CA, Route, Upstream, Verify};
use crate::http::path::{PathPattern, Routes};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, DnsName};
use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use x509_parser::extensions::GeneralName;

/// Where, and what is expected.
#[derive(Clone, Debug)]
pub(super) struct CheckTarget {
    pub(super) place: WebhookTarget,
    pub(super) expected: Expectation,
    /// Whether the listener has been examined already, with another path.
    pub(super) is_further_path: bool,
    /// Where its requests go, if it is this machine that sends them there and this has not been
    /// examined already.
    pub(super) upstream: Option<Arc<Upstream>>,
}

/// What a server should do.
#[derive(Clone, Debug)]
pub(super) struct Expectation {
    /// Whether a client certificate is asked for.
    pub(super) asks_for_certificate: bool,
    /// Whether this path demands one.
    pub(super) demands_certificate: bool,
    /// Whether this path lets everybody in, on purpose.
    pub(super) lets_everybody_in: bool,
    /// Who may issue client certificates.
    pub(super) authorities: Vec<CertificateDer<'static>>,
    /// A name that is accepted.
    pub(super) common_name: String,
    pub(super) challenge: ExpectedChallenge,
    /// How long a connection may be idle, where that is known.
    pub(super) idle_timeout: Option<Duration>,
}

/// Whether the answer to a challenge can be foretold.
#[derive(Clone, Debug)]
pub(super) enum ExpectedChallenge {
    Secret(Secret),
    /// The route has none, and answers none.
    Unanswered,
    /// Nobody told.
    Unknown,
}

impl Expectation {
    /// What is to be expected where there is no configuration.
    pub(super) fn by_default() -> Self {
        Self {
            asks_for_certificate: true,
            demands_certificate: true,
            lets_everybody_in: false,
            authorities: CertificateDer::pem_slice_iter(NETDATA_ROOT_CA.as_bytes())
                .flatten()
                .collect(),
            common_name: "app.netdata.cloud".into(),
            challenge: ExpectedChallenge::Unknown,
            idle_timeout: None,
        }
    }

    fn of(config: &Config, route: &Route, is_https: bool) -> Self {
        let client = config.tls.as_ref().map(|tls| &tls.client);
        let asks = is_https && config.verify() != Verify::Off;
        let requirements = &route.requirements;
        Self {
            asks_for_certificate: asks,
            demands_certificate: asks
                && (requirements.client_certificate || config.verify() == Verify::Require),
            lets_everybody_in: !requirements.client_certificate
                && requirements.authorization.is_empty(),
            authorities: client
                .map(|client| client.authorities.clone())
                .unwrap_or_default(),
            common_name: client
                .and_then(|client| client.common_names.first())
                .cloned()
                .unwrap_or_default(),
            challenge: route
                .challenge_secret
                .clone()
                .map_or(ExpectedChallenge::Unanswered, ExpectedChallenge::Secret),
            idle_timeout: Some(config.limits.idle_timeout),
        }
    }
}

/// Each path of each listener of a configuration.
pub(super) fn of_config(config: &Config) -> Result<Vec<CheckTarget>, String> {
    let listeners = config.listen.https.iter().map(|address| (address, true));
    let listeners = listeners.chain(config.listen.http.iter().map(|address| (address, false)));
    let (mut targets, mut seen) = (Vec::new(), HashSet::new());
    for (address, is_https) in listeners {
        if address.port() == 0 {
            return Err(format!(
                "nobody knows the port that the listener {address} got: name the URL"
            ));
        }
        // A plain listener is of no use to routes that demand a client certificate.
        let routes = config
            .routes
            .iter()
            .filter(|route| is_https || !route.requirements.client_certificate);
        for (index, route) in routes.enumerate() {
            targets.push(CheckTarget {
                place: listener(config, *address, is_https, &route.path),
                expected: Expectation::of(config, route, is_https),
                is_further_path: index > 0,
                upstream: seen
                    .insert(&route.upstream.name)
                    .then(|| route.upstream.clone()),
            });
        }
    }
    match targets.is_empty() {
        true => Err("no listener serves any route".into()),
        false => Ok(targets),
    }
}

/// What the configuration expects of a URL that leads to it.
pub(super) fn expected_at(config: &Config, place: &WebhookTarget) -> Result<Expectation, String> {
    let path = place.path_without_query();
    Routes::new(config.routes.iter().collect())
        .find(path)
        .map(|route| {
            Expectation::of(
                config,
                route,
                place.is_https || !config.listen.https.is_empty(),
            )
        })
        .map_err(|_| format!("no route of the configuration has the path {path}"))
}

fn listener(
    config: &Config,
    address: SocketAddr,
    is_https: bool,
    path: &PathPattern,
) -> WebhookTarget {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    WebhookTarget {
        is_https,
        host: certified_name(config).unwrap_or_else(|| ip.to_string()),
        port: address.port(),
        path: match path {
            PathPattern::Exact(path) => path.clone(),
            PathPattern::Subtree(prefix) => format!("{prefix}/"),
        },
        address: Some(SocketAddr::new(ip, address.port())),
        proxy_protocol: config.listen.proxy_protocol
            && config
                .listen
                .trusted_proxies
                .iter()
                .any(|net| net.contains(&ip)),
    }
}

/// The first name that the server's certificate is for, or one below a wildcard, or an address.
fn certified_name(config: &Config) -> Option<String> {
    let leaf = config.tls.as_ref()?.certificate.cert.first()?;
    certified_name_of(leaf)
}

fn certified_name_of(leaf: &[u8]) -> Option<String> {
    let names = dns_names(leaf);
    let is_name = |name: &String| DnsName::try_from(name.as_str()).is_ok();
    let whole = names.iter().find(|name| is_name(name)).cloned();
    let below = || {
        names
            .iter()
            .filter_map(|name| Some(format!("doctor.{}", name.strip_prefix("*.")?)))
            .find(is_name)
    };
    whole
        .or_else(below)
        .or_else(|| addresses(leaf).first().map(IpAddr::to_string))
}

/// Every address that a certificate is for.
fn addresses(certificate: &[u8]) -> Vec<IpAddr> {
    let Ok((_, certificate)) = x509_parser::parse_x509_certificate(certificate) else {
        return Vec::new();
    };
    let Ok(Some(names)) = certificate.subject_alternative_name() else {
        return Vec::new();
    };
    let addresses = names
        .value
        .general_names
        .iter()
        .filter_map(|name| match name {
            GeneralName::IPAddress(octets) => match <[u8; 4]>::try_from(*octets) {
                Ok(octets) => Some(IpAddr::from(octets)),
                Err(_) => Some(IpAddr::from(<[u8; 16]>::try_from(*octets).ok()?)),
            },
            _ => None,
        });
    addresses.collect()
}

/// Every DNS name that a certificate is for, wildcards included.
pub(super) fn dns_names(certificate: &[u8]) -> Vec<String> {
    let Ok((_, certificate)) = x509_parser::parse_x509_certificate(certificate) else {
        return Vec::new();
    };
    let Ok(Some(names)) = certificate.subject_alternative_name() else {
        return Vec::new();
    };
    let names = names
        .value
        .general_names
        .iter()
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            _ => None,
        });
    names.collect()
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
