//! Where a webhook is.

use http::Uri;
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
pub(crate) struct Place {
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

impl Place {
    /// That of a URL.
    pub(crate) fn parse(url: &str) -> Result<Self, String> {
        // Before anything else: what is wrong with a URL is shown with it.
        if url.split('/').nth(2).unwrap_or(url).contains('@') {
            return Err("the URL must not hold credentials".into());
        }
        let uri: Uri = url.parse().map_err(|error| format!("{url:?} is not a URL: {error}"))?;
        let is_https = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(format!("{url:?} must begin with https:// or http://")),
        };
        let authority = uri.authority().ok_or_else(|| format!("{url:?} names no host"))?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let place = Self {
            is_https,
            host,
            port: authority.port_u16().unwrap_or(if is_https { 443 } else { 80 }),
            path: uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
            address: None,
            proxy_protocol: false,
        };
        ServerName::try_from(place.host.as_str()).map_err(|_| format!("{:?} is no host name", place.host))?;
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
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
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
        // A name server that does not answer would hold everything up, so nobody waits for the thread.
        thread::spawn(move || {
            let addresses = (host.as_str(), port).to_socket_addrs().map(|all| all.take(MAX_ADDRESSES).collect());
            found.send(addresses.map_err(|error| error.to_string()))
        });
        match timeout(patience, finds).await {
            Ok(Ok(addresses)) => addresses,
            _ => Err(format!("no name server answered within {} s", patience.as_secs())),
        }
    }
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
