//! Where a webhook is.

use http::Uri;
use http::uri::{Authority, PathAndQuery};
use rustls::pki_types::ServerName;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs as _};
use std::thread;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::timeout;

/// Addresses that are tried.
const MAX_ADDRESSES: usize = 16;

/// Where to connect to, and what to ask for.
#[derive(Clone, Debug)]
pub(crate) struct WebhookTarget {
    pub(crate) is_https: bool,
    /// A name or an address, without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// With its query, if there is one.
    pub(crate) path: String,
    /// What is connected to; otherwise what the name resolves to.
    pub(crate) address: Option<SocketAddr>,
    /// Whether a connection has to begin with a PROXY protocol header.
    pub(crate) proxy_protocol: bool,
}

impl WebhookTarget {
    /// That of a URL.
    pub(crate) fn parse(url: &str) -> Result<Self, String> {
        // Before anything else: what is wrong with a URL is shown with it.
        let after_scheme = url.split_once("://").map_or(url, |(_, rest)| rest);
        if after_scheme
            .split(['/', '?', '#'])
            .next()
            .is_some_and(|authority| authority.contains('@'))
        {
            return Err("the URL must not hold credentials".into());
        }
        if let Some((_, fragment)) = url.split_once('#') {
            return Err(format!(
                "a fragment is not sent: remove #{fragment} from the URL, or write %23"
            ));
        }
        let uri: Uri = url
            .parse()
            .map_err(|error| format!("{url:?} is not a URL: {error}"))?;
        let is_https = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(format!("{url:?} must begin with https:// or http://")),
        };
        let authority = uri
            .authority()
            .ok_or_else(|| format!("{url:?} names no host"))?;
        let host = authority
            .host()
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned();
        let path = match uri.path_and_query().map(PathAndQuery::as_str) {
            None | Some("") => "/".to_owned(),
            Some(path) if path.starts_with('/') => path.to_owned(),
            Some(query) => format!("/{query}"),
        };
        let place = Self {
            is_https,
            host,
            port: port(authority)?.unwrap_or(if is_https { 443 } else { 80 }),
            path,
            address: None,
            proxy_protocol: false,
        };
        ServerName::try_from(place.host.as_str())
            .map_err(|_| format!("{:?} is no host name", place.host))?;
        Ok(place)
    }

    pub(crate) fn url(&self) -> String {
        format!("{}://{}{}", self.scheme(), self.authority(), self.path)
    }

    pub(crate) fn scheme(&self) -> &'static str {
        if self.is_https { "https" } else { "http" }
    }

    /// As `Host` has it.
    pub(crate) fn authority(&self) -> String {
        let host = if self.host.contains(':') {
            format!("[{}]", self.host)
        } else {
            self.host.clone()
        };
        match (self.is_https, self.port) {
            (true, 443) | (false, 80) => host,
            (_, port) => format!("{host}:{port}"),
        }
    }

    pub(crate) fn server_name(&self) -> ServerName<'static> {
        ServerName::try_from(self.host.clone()).unwrap_or(Ipv4Addr::LOCALHOST.into())
    }

    pub(crate) fn path_without_query(&self) -> &str {
        self.path.split('?').next().unwrap_or_default()
    }

    /// What the host resolves to, or why it does not.
    pub(crate) async fn resolve(&self, patience: Duration) -> Result<Vec<SocketAddr>, String> {
        let (host, port) = (self.host.clone(), self.port);
        if let Ok(ip) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(ip, port)]);
        }
        let (found, finds) = oneshot::channel();
        // A name server that does not answer would hold everything up, so nobody waits for the
        // thread.
        thread::spawn(move || {
            let addresses = (host.as_str(), port)
                .to_socket_addrs()
                .map(|all| all.take(MAX_ADDRESSES).collect());
            found.send(addresses.map_err(|error| error.to_string()))
        });
        match timeout(patience, finds).await {
            Ok(Ok(addresses)) => addresses,
            _ => Err(format!(
                "no name server answered within {} s",
                patience.as_secs()
            )),
        }
    }
}

/// The port that is named, if one is.
fn port(authority: &Authority) -> Result<Option<u16>, String> {
    match authority
        .as_str()
        .strip_prefix(authority.host())
        .and_then(|rest| rest.strip_prefix(':'))
    {
        None | Some("") => Ok(None),
        Some(text) => match text.parse() {
            Ok(port @ 1..) if !text.starts_with('+') => Ok(Some(port)),
            _ => Err(format!("{text:?} is no port: those are 1 to 65535")),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_a_place() {
        for (url, host, port, path) in [
            ("https://hooks.example", "hooks.example", 443, "/"),
            (
                "https://hooks.example:8443/a/b?c=d",
                "hooks.example",
                8443,
                "/a/b?c=d",
            ),
            ("http://192.0.2.1/x", "192.0.2.1", 80, "/x"),
            ("https://[2001:db8::1]/x", "2001:db8::1", 443, "/x"),
        ] {
            let place = WebhookTarget::parse(url).unwrap();
            assert_eq!(
                (place.host.as_str(), place.port, place.path.as_str()),
                (host, port, path),
                "{url}"
            );
            assert_eq!(
                place.url(),
                if url.ends_with("example") {
                    format!("{url}/")
                } else {
                    url.to_owned()
                }
            );
        }
        assert_eq!(
            WebhookTarget::parse("https://hooks.example?a=b@c")
                .unwrap()
                .path,
            "/?a=b@c"
        );
        assert_eq!(
            WebhookTarget::parse("https://hooks.example:/")
                .unwrap()
                .port,
            443
        );
        for url in [
            "",
            "hooks.example",
            "/x",
            "ftp://x/",
            "https://a:b@x/",
            "https:///x",
            "https://a b/",
            "https://a..b/",
        ] {
            assert!(WebhookTarget::parse(url).is_err(), "{url}");
        }
    }

    #[test]
    fn what_is_no_port_is_not_another_one() {
        for port in ["0", "65536", "99999", "8443x", "-1", "+1", "443:443"] {
            for host in ["hooks.example", "192.0.2.1", "[2001:db8::1]"] {
                assert!(
                    WebhookTarget::parse(&format!("https://{host}:{port}/x")).is_err(),
                    "{host}:{port}"
                );
            }
        }
        assert!(
            WebhookTarget::parse("https://hooks.example:99999/")
                .unwrap_err()
                .contains("1 to 65535")
        );
        assert_eq!(
            WebhookTarget::parse("https://hooks.example:065535/")
                .unwrap()
                .port,
            65535
        );
    }

    #[test]
    fn a_fragment_is_not_dropped_in_silence() {
        for url in [
            "https://hooks.example/x#y",
            "https://hooks.example#",
            "https://hooks.example/?a=b#c",
        ] {
            assert!(
                WebhookTarget::parse(url)
                    .unwrap_err()
                    .contains("a fragment is not sent"),
                "{url}"
            );
        }
    }
}
