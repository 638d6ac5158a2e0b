//! What is examined: a place, and what is to be expected there.

use crate::config::{Config, NETDATA_ROOT_CA, Route, Verify};
use crate::route::PathPattern;
use crate::secret::Secret;
use http::Uri;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, DnsName, ServerName};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use x509_parser::extensions::GeneralName;

/// Where, and what is expected.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) place: Place,
    pub(super) expected: Expected,
    /// Whether the listener has been examined already, with another path.
    pub(super) is_further_path: bool,
}

/// Where to connect to, and what to ask for.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) is_https: bool,
    /// A name or an address, without brackets.
    pub(super) host: String,
    pub(super) port: u16,
    /// With its query, if there is one.
    pub(super) path: String,
    /// The listener itself; otherwise what the name resolves to.
    pub(super) listener: Option<SocketAddr>,
    /// Whether a connection has to begin with a PROXY protocol header.
    pub(super) proxy_protocol: bool,
}

/// What a server should do.
#[derive(Clone, Debug)]
pub(super) struct Expected {
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
    pub(super) challenge: Challenge,
    /// How long a connection may be idle, where that is known.
    pub(super) idle_timeout: Option<Duration>,
}

/// Whether the answer to a challenge can be foretold.
#[derive(Clone, Debug)]
pub(super) enum Challenge {
    Secret(Secret),
    /// The route has none, and answers none.
    Unanswered,
    /// Nobody told.
    Unknown,
}

impl Place {
    pub(super) fn parse(url: &str) -> Result<Self, String> {
        let uri: Uri = url.parse().map_err(|error| format!("{url:?} is not a URL: {error}"))?;
        let is_https = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(format!("{url:?} must begin with https:// or http://")),
        };
        let authority = uri.authority().ok_or_else(|| format!("{url:?} names no host"))?;
        if authority.as_str().contains('@') {
            return Err("the URL must not hold credentials".into());
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let place = Self {
            is_https,
            host,
            port: authority.port_u16().unwrap_or(if is_https { 443 } else { 80 }),
            path: uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
            listener: None,
            proxy_protocol: false,
        };
        ServerName::try_from(place.host.as_str()).map_err(|_| format!("{:?} is no host name", place.host))?;
        Ok(place)
    }

    pub(super) fn url(&self) -> String {
        let scheme = if self.is_https { "https" } else { "http" };
        format!("{scheme}://{}{}", self.authority(), self.path)
    }

    /// As `Host` has it.
    pub(super) fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        match (self.is_https, self.port) {
            (true, 443) | (false, 80) => host,
            (_, port) => format!("{host}:{port}"),
        }
    }

    pub(super) fn server_name(&self) -> ServerName<'static> {
        ServerName::try_from(self.host.clone()).unwrap_or(Ipv4Addr::LOCALHOST.into())
    }

    pub(super) fn path_without_query(&self) -> &str {
        self.path.split('?').next().unwrap_or_default()
    }
}

impl Expected {
    /// What is to be expected where there is no configuration.
    pub(super) fn by_default() -> Self {
        Self {
            asks_for_certificate: true,
            demands_certificate: true,
            lets_everybody_in: false,
            authorities: CertificateDer::pem_slice_iter(NETDATA_ROOT_CA.as_bytes()).flatten().collect(),
            common_name: "app.netdata.cloud".into(),
            challenge: Challenge::Unknown,
            idle_timeout: None,
        }
    }

    fn of(config: &Config, route: &Route, is_https: bool) -> Self {
        let client = config.tls.as_ref().map(|tls| &tls.client);
        let asks = is_https && config.verify() != Verify::Off;
        let requirements = &route.requirements;
        Self {
            asks_for_certificate: asks,
            demands_certificate: asks && (requirements.client_certificate || config.verify() == Verify::Require),
            lets_everybody_in: !requirements.client_certificate && requirements.authorization.is_empty(),
            authorities: client.map(|client| client.authorities.clone()).unwrap_or_default(),
            common_name: client.and_then(|client| client.common_names.first()).cloned().unwrap_or_default(),
            challenge: route.challenge_secret.clone().map_or(Challenge::Unanswered, Challenge::Secret),
            idle_timeout: Some(config.limits.idle_timeout),
        }
    }
}

/// Each path of each listener of a configuration.
pub(super) fn of_config(config: &Config) -> Result<Vec<Target>, String> {
    let listeners = config.listen.https.iter().map(|address| (address, true));
    let listeners = listeners.chain(config.listen.http.iter().map(|address| (address, false)));
    let mut targets = Vec::new();
    for (address, is_https) in listeners {
        if address.port() == 0 {
            return Err(format!("nobody knows the port that the listener {address} got: name the URL"));
        }
        // A plain listener is of no use to routes that demand a client certificate.
        let routes = config.routes.iter().filter(|route| is_https || !route.requirements.client_certificate);
        for (index, route) in routes.enumerate() {
            targets.push(Target {
                place: listener(config, *address, is_https, &route.path),
                expected: Expected::of(config, route, is_https),
                is_further_path: index > 0,
            });
        }
    }
    match targets.is_empty() {
        true => Err("no listener serves any route".into()),
        false => Ok(targets),
    }
}

/// What the configuration expects of a URL that leads to it.
pub(super) fn expected_at(config: &Config, place: &Place) -> Result<Expected, String> {
    let path = place.path_without_query();
    crate::route::find(&config.routes, |route| &route.path, path)
        .map(|route| Expected::of(config, route, place.is_https || !config.listen.https.is_empty()))
        .map_err(|_| format!("no route of the configuration has the path {path}"))
}

fn listener(config: &Config, address: SocketAddr, is_https: bool, path: &PathPattern) -> Place {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    Place {
        is_https,
        host: certified_name(config).unwrap_or_else(|| ip.to_string()),
        port: address.port(),
        path: match path {
            PathPattern::Exact(path) => path.clone(),
            PathPattern::Subtree(prefix) => format!("{prefix}/"),
        },
        listener: Some(SocketAddr::new(ip, address.port())),
        proxy_protocol: config.listen.proxy_protocol
            && config.listen.trusted_proxies.iter().any(|net| net.contains(&ip)),
    }
}

/// The first name that the server's certificate is for.
fn certified_name(config: &Config) -> Option<String> {
    let leaf = config.tls.as_ref()?.certificate.cert.first()?;
    dns_names(leaf).into_iter().find(|name| DnsName::try_from(name.as_str()).is_ok())
}

/// Every DNS name that a certificate is for, wildcards included.
pub(super) fn dns_names(certificate: &[u8]) -> Vec<String> {
    let Ok((_, certificate)) = x509_parser::parse_x509_certificate(certificate) else { return Vec::new() };
    let Ok(Some(names)) = certificate.subject_alternative_name() else { return Vec::new() };
    let names = names.value.general_names.iter().filter_map(|name| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        _ => None,
    });
    names.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_a_place() {
        for (url, host, port, path) in [
            ("https://hooks.example", "hooks.example", 443, "/"),
            ("https://hooks.example:8443/a/b?c=d", "hooks.example", 8443, "/a/b?c=d"),
            ("http://192.0.2.1/x", "192.0.2.1", 80, "/x"),
            ("https://[2001:db8::1]/x", "2001:db8::1", 443, "/x"),
        ] {
            let place = Place::parse(url).unwrap();
            assert_eq!((place.host.as_str(), place.port, place.path.as_str()), (host, port, path), "{url}");
            assert_eq!(place.url(), if url.ends_with("example") { format!("{url}/") } else { url.to_owned() });
        }
        for url in
            ["", "hooks.example", "/x", "ftp://x/", "https://a:b@x/", "https:///x", "https://a b/", "https://a..b/"]
        {
            assert!(Place::parse(url).is_err(), "{url}");
        }
    }
}
