//! The address of a server, as the configuration writes it.

use super::Loader;
use crate::config::{Endpoint, files};
use http::Uri;
use std::os::unix::net::SocketAddr;

/// The forms of a server's address, for messages.
pub(super) const FORMS: &str = "\"http://host:port\", \"https://host:port\" or \"unix:/path\"";

impl Loader<'_> {
    /// Parses the URL of a server, or the path of its socket.
    pub(super) fn endpoint(&self, url: &str) -> Result<Endpoint, String> {
        match url.strip_prefix("unix:") {
            Some("") => Err("must name a socket: \"unix:/run/app.sock\"".into()),
            Some(path) => self.unix_socket(path),
            None => tcp(url),
        }
    }

    fn unix_socket(&self, path: &str) -> Result<Endpoint, String> {
        let path = self.path(path);
        let untouched = files::untouched(&path);
        if !untouched.is_empty() {
            return Err(format!("must be the path of a socket as it is{untouched}"));
        }
        // Too long a path, mostly.
        SocketAddr::from_pathname(&path)
            .map_err(|error| format!("is not a valid path of a socket: {error}"))?;
        Ok(Endpoint::Unix(path))
    }
}

fn tcp(url: &str) -> Result<Endpoint, String> {
    let form = || format!("must be {FORMS}");
    let uri: Uri = url.parse().map_err(|_| form())?;
    let tls = match uri.scheme_str() {
        Some("http") => false,
        Some("https") => true,
        _ => return Err(form()),
    };
    let host = uri.host().filter(|host| !host.is_empty());
    let host = host.ok_or_else(form)?;
    check_rest(&uri)?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    Ok(Endpoint::Tcp {
        host: host.to_owned(),
        port: uri.port_u16().unwrap_or(if tls { 443 } else { 80 }),
        tls,
    })
}

/// Refuses what a URL may have beside the server's address.
fn check_rest(uri: &Uri) -> Result<(), &'static str> {
    if uri.authority().is_some_and(|it| it.as_str().contains('@')) {
        return Err("must not hold credentials; use set_headers");
    }
    match uri.path_and_query().is_none_or(|path| path == "/") {
        true => Ok(()),
        false => {
            Err("must not have a path: the request's own path and query are passed on unchanged")
        }
    }
}
