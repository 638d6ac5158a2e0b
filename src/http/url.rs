//! The server that a URL names.

use http::Uri;
use http::uri::Authority;

/// The scheme, the host and the port of an `http://` or `https://` URL.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct UrlServer {
    pub(crate) is_https: bool,
    /// The name or the address of the host, without brackets.
    pub(crate) host: String,
    /// The port, or else the default one of the scheme.
    pub(crate) port: u16,
}

/// The reason why a URL names no server.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum UrlFault {
    /// The scheme is neither `http` nor `https`.
    Scheme,
    /// The URL has no host.
    Host,
    /// The port is none; contains it.
    Port(String),
}

impl UrlServer {
    pub(crate) fn of(uri: &Uri) -> Result<Self, UrlFault> {
        let (is_https, default_port) = match uri.scheme_str() {
            Some("https") => (true, 443),
            Some("http") => (false, 80),
            _ => return Err(UrlFault::Scheme),
        };
        let authority = uri.authority().ok_or(UrlFault::Host)?;
        if authority.host().is_empty() {
            return Err(UrlFault::Host);
        }
        Ok(Self {
            is_https,
            host: authority.host().trim_matches(['[', ']']).to_owned(),
            port: port(authority)?.unwrap_or(default_port),
        })
    }
}

/// Returns the port in an authority, if there is one.
fn port(authority: &Authority) -> Result<Option<u16>, UrlFault> {
    let authority = authority.as_str();
    let behind_host = &authority[authority.rfind(['@', ']']).map_or(0, |at| at + 1)..];
    let text = match behind_host.rsplit_once(':') {
        None | Some((_, "")) => return Ok(None),
        Some((_, text)) => text,
    };
    match text.parse() {
        Ok(port @ 1..) if !text.starts_with('+') => Ok(Some(port)),
        _ => Err(UrlFault::Port(text.to_owned())),
    }
}

/// Returns the default port of a target that is a whole URL, and the rest of it after its scheme
/// (RFC 9112 section 3.2.2).
pub(super) fn absolute(target: &[u8]) -> Option<(&'static [u8], &[u8])> {
    let schemes = [(&b"http://"[..], &b"80"[..]), (b"https://", b"443")];
    schemes
        .into_iter()
        .find_map(|(scheme, port)| Some((port, target.strip_prefix(scheme)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_a_server() {
        let of = |url: &str| UrlServer::of(&url.parse().unwrap());
        for (url, is_https, host, port) in [
            ("http://h", false, "h", 80),
            ("https://h/a?b", true, "h", 443),
            ("https://h:8443", true, "h", 8443),
            ("http://h:/", false, "h", 80),
            ("http://[2001:db8::1]", false, "2001:db8::1", 80),
            ("http://[2001:db8::1]:81", false, "2001:db8::1", 81),
            ("http://u:p@h:82", false, "h", 82),
        ] {
            let expected = UrlServer {
                is_https,
                host: host.to_owned(),
                port,
            };
            assert_eq!(of(url), Ok(expected), "{url}");
        }
        for (url, fault) in [
            ("/a", UrlFault::Scheme),
            ("ftp://h", UrlFault::Scheme),
            ("http://h:0", UrlFault::Port("0".into())),
            ("http://h:65536", UrlFault::Port("65536".into())),
        ] {
            assert_eq!(of(url), Err(fault), "{url}");
        }
    }
}
