//! The connection that a request came over, and how much of what it says about itself is believed.

use super::policy::Policy;
use super::session::Session;
use crate::http::forwarded::is_trusted;
use std::net::IpAddr;

/// The connection that a request came over.
#[derive(Debug)]
pub(super) struct Origin {
    pub(super) peer: Option<IpAddr>,
    /// The local port that the connection was made to.
    pub(super) port: Option<u16>,
    pub(super) is_tls: bool,
    /// The peer is believed when it says where the request came from.
    pub(super) is_believed: bool,
}

impl Origin {
    /// Returns the origin of the requests of `session`. Their forwarding headers are believed if `policy`
    /// trusts the peer, unless the connection is anonymous.
    pub(super) fn of<S: Session>(session: &S, policy: &Policy) -> Self {
        let peer = session.peer();
        let is_trusted = peer.is_some_and(|peer| is_trusted(peer, &policy.trusted_proxies));
        Self {
            peer,
            port: session.local_port(),
            is_tls: session.tls_version().is_some(),
            is_believed: is_trusted && !session.is_anonymous(),
        }
    }

    /// Returns the scheme of the URL that the request came under.
    pub(super) fn scheme(&self) -> &'static [u8] {
        match self.is_tls {
            true => b"https",
            false => b"http",
        }
    }
}
