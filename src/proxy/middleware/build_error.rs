//! The mistakes in a gate that is made in code.

use super::MAX_BODY;
use crate::tls::TrustError;
use thiserror::Error;

/// The reason why a gate cannot be built.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BuildError {
    /// No route was given.
    #[error("a gate needs at least one route")]
    NoRoute,
    /// The path cannot be that of a route.
    #[error("the path {path:?} {reason}")]
    Path {
        /// The path as it was given.
        path: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Two routes have one path.
    #[error("two routes have the path {0:?}")]
    DuplicatePath(String),
    /// The route would let every client through.
    #[error("the route {0:?} demands neither a client certificate nor credentials")]
    OpenRoute(String),
    /// The route demands a client certificate where none is ever asked for.
    #[error("the route {0:?} demands a client certificate, but the trust never asks for one")]
    NoCertificateAsked(String),
    /// The body limit is zero, or larger than what Pingora keeps for the upstream.
    #[error("the route {path:?} has a max_body of {max_body}: it must be from 1 to {MAX_BODY}")]
    MaxBody {
        /// The path of the route.
        path: String,
        /// The limit that was given, in bytes.
        max_body: u64,
    },
    /// A secret, password or token is empty.
    #[error("the route {0:?} has an empty secret")]
    EmptySecret(String),
    /// A signing secret is no key of Standard Webhooks.
    #[error("the route {path:?} has a signing secret that {reason}")]
    SigningSecret {
        /// The path of the route.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A Basic user name holds a colon (RFC 7617 section 2).
    #[error("the route {0:?} has a user name with a colon")]
    Username(String),
    /// A header cannot be set or passed.
    #[error("the route {path:?} cannot handle the header {name:?}: {reason}")]
    Header {
        /// The path of the route.
        path: String,
        /// The header as it was given.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The authorities cannot be used.
    #[error("the trusted authorities cannot be used: {0}")]
    Trust(#[from] TrustError),
}
