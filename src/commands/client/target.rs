//! The target of a client: the URL of a webhook, and the address to connect to.

use crate::http::url::{UrlFault, UrlServer};
use http::Uri;
use http::uri::PathAndQuery;
use rustls::pki_types::ServerName;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _};
use std::thread;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::timeout;

/// Maximum number of addresses of a name that are tried.
const MAX_ADDRESSES: usize = 16;

/// Server to connect to, and path to request there.
#[derive(Clone, Debug)]
pub(crate) struct WebhookTarget {
    pub(crate) is_https: bool,
    /// Name or address of the host, without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Path and query of the URL.
    pub(crate) path: String,
    /// Address to connect to, instead of those of the name.
    pub(crate) address: Option<SocketAddr>,
    /// Send a PROXY protocol header at the start of each connection?
    pub(crate) proxy_protocol: bool,
}

impl WebhookTarget {
    /// Parses an `https://` or `http://` URL.
    ///
    /// # Errors
    /// The problem with the URL, without credentials that it may hold.
    pub(crate) fn parse(url: &str) -> Result<Self, String> {
        refuse_credentials_and_fragment(url)?;
        if !url.contains("://") {
            return Err(format!(
                "{url:?} must begin with https://, or with http:// where there is no TLS"
            ));
        }
        let uri: Uri = url
            .parse()
            .map_err(|error| format!("{url:?} is not a URL: {error}"))?;
        let server = UrlServer::of(&uri).map_err(|fault| explain(&fault, url))?;
        let host = server.host;
        ServerName::try_from(host.as_str()).map_err(|_| format!("{host:?} is not a host name"))?;
        Ok(Self {
            is_https: server.is_https,
            host,
            port: server.port,
            path: path_and_query(&uri),
            address: None,
            proxy_protocol: false,
        })
    }

    pub(crate) fn url(&self) -> String {
        format!("{}://{}{}", self.scheme(), self.authority(), self.path)
    }

    pub(crate) fn scheme(&self) -> &'static str {
        if self.is_https { "https" } else { "http" }
    }

    /// Returns the value of `Host`.
    pub(crate) fn authority(&self) -> String {
        let host = match self.host.contains(':') {
            true => format!("[{}]", self.host),
            false => self.host.clone(),
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

    /// Resolves the host.
    ///
    /// # Errors
    /// The reason, in words.
    pub(crate) async fn resolve(&self, limit: Duration) -> Result<Vec<SocketAddr>, String> {
        let (host, port) = (self.host.clone(), self.port);
        if let Ok(ip) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(ip, port)]);
        }
        let (found, finds) = oneshot::channel();
        // The thread is not joined: a name server that does not respond would block everything.
        thread::spawn(move || found.send(look_up(&host, port)));
        match timeout(limit, finds).await {
            Ok(Ok(addresses)) => addresses,
            _ => {
                let seconds = limit.as_secs();
                Err(format!("no name server responded within {seconds} s"))
            }
        }
    }
}

fn look_up(host: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
    let found = (host, port).to_socket_addrs();
    found
        .map(|addresses| addresses.take(MAX_ADDRESSES).collect())
        .map_err(|error| error.to_string())
}

fn explain(fault: &UrlFault, url: &str) -> String {
    match fault {
        UrlFault::Scheme => format!("{url:?} must begin with https:// or http://"),
        UrlFault::Host => format!("{url:?} has no host"),
        UrlFault::Port(port) => format!("{port:?} is not a port: those are 1 to 65535"),
    }
}

/// Returns the address at which a listener on `listen` is reached from the same machine.
pub(crate) fn local_address(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        _ => return listen,
    };
    SocketAddr::new(ip, listen.port())
}

/// Refuses what must be refused before anything else: other errors show the URL.
fn refuse_credentials_and_fragment(url: &str) -> Result<(), String> {
    let after_scheme = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = after_scheme.split(['/', '?', '#']).next();
    if authority.is_some_and(|authority| authority.contains('@')) {
        return Err("the URL must not hold credentials".into());
    }
    match url.split_once('#') {
        Some((_, fragment)) => Err(format!(
            "a fragment is not sent: remove #{fragment} from the URL, or write %23"
        )),
        None => Ok(()),
    }
}

fn path_and_query(uri: &Uri) -> String {
    match uri.path_and_query().map(PathAndQuery::as_str) {
        None | Some("") => "/".to_owned(),
        Some(path) if path.starts_with('/') => path.to_owned(),
        Some(query) => format!("/{query}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_on_every_address_is_reached_on_this_machine() {
        for (listen, expected) in [
            ("0.0.0.0:9464", "127.0.0.1:9464"),
            ("[::]:9464", "[::1]:9464"),
            ("127.0.0.2:1", "127.0.0.2:1"),
            ("192.0.2.1:9464", "192.0.2.1:9464"),
        ] {
            assert_eq!(local_address(listen.parse().unwrap()).to_string(), expected);
        }
    }

    #[test]
    fn a_url_has_a_host_a_port_and_a_path() {
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
            let target = WebhookTarget::parse(url).unwrap();
            assert_eq!(
                (target.host.as_str(), target.port, target.path.as_str()),
                (host, port, path),
                "{url}"
            );
            assert_eq!(
                target.url(),
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
