//! Decides which requests may pass, and returns proof of that.

mod authorization;
mod client_certificate;
mod credential_set;
pub(crate) mod digest;
mod directory_string;
mod distinguished_name;
pub(crate) mod secret;

pub(crate) use authorization::AuthScheme;
pub use authorization::Authorization;
pub use client_certificate::ClientIdentity;

use crate::rejection::Rejection;
use std::fmt;
use std::sync::Arc;

/// The authentication that a route requires. Every mechanism named must pass.
#[derive(Clone, Debug, Default)]
pub struct Requirements {
    /// A trusted client certificate whose one common name is accepted.
    pub client_certificate: bool,
    /// Credentials in the `Authorization` header, unless this is empty.
    pub authorization: Authorization,
}

/// Describes the requirements for operators.
impl fmt::Display for Requirements {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let schemes = self.authorization.schemes();
        let authorization = match (schemes.basic, schemes.bearer) {
            (true, true) => Some("Basic or Bearer credentials"),
            (true, false) => Some("Basic credentials"),
            (false, true) => Some("a Bearer token"),
            (false, false) => None,
        };
        match (self.client_certificate, authorization) {
            (true, None) => f.write_str("the client certificate"),
            (true, Some(authorization)) => write!(f, "the client certificate and {authorization}"),
            (false, Some(authorization)) => f.write_str(authorization),
            (false, None) => f.write_str("nothing (auth = \"none\")"),
        }
    }
}

/// The certificate that the client of a connection presented, judged against the current trust.
#[derive(Clone, Debug)]
pub enum Presented {
    /// The client presented no certificate.
    Nothing,
    /// The client presented a certificate that is not trusted; holds the reason.
    Untrusted(Arc<str>),
    /// The client presented a trusted certificate. Whether its name is accepted has yet to be decided.
    Trusted(Arc<ClientIdentity>),
}

impl Presented {
    /// Returns the identity in a trusted certificate, whether or not its name is accepted.
    pub fn check_trusted(&self) -> Result<&Arc<ClientIdentity>, Rejection> {
        match self {
            Self::Nothing => Err(Rejection::ClientCertificateMissing),
            Self::Untrusted(reason) => Err(Rejection::ClientCertificateInvalid(reason.to_string())),
            Self::Trusted(identity) => Ok(identity),
        }
    }
}

/// Proof that a client certificate was required and accepted, or was not required. Only this module
/// can make one.
#[derive(Clone, Debug)]
pub struct Identified {
    identity: Option<Arc<ClientIdentity>>,
}

/// Proof that a request passed every check that its route makes of a client. Only this module can
/// make one.
#[derive(Clone, Debug)]
pub struct Authenticated {
    identity: Option<Arc<ClientIdentity>>,
    scheme: Option<AuthScheme>,
}

impl Requirements {
    /// Returns `true` if a client that meets these requirements meets `other`, too.
    pub fn are_at_least(&self, other: &Self) -> bool {
        (self.client_certificate || !other.client_certificate)
            && (other.authorization.is_empty()
                || self.authorization.accepts_only(&other.authorization))
    }

    /// Checks the first half, which every request must pass: the client certificate.
    pub fn identify(
        &self,
        presented: &Presented,
        common_names: &[String],
    ) -> Result<Identified, Rejection> {
        if !self.client_certificate {
            return Ok(Identified { identity: None });
        }
        let identity = presented.check_trusted()?;
        identity.check_common_name(common_names)?;
        Ok(Identified {
            identity: Some(identity.clone()),
        })
    }

    /// Checks the second half, which notifications must pass: the `Authorization` headers.
    pub fn authorize<'h>(
        &self,
        identified: Identified,
        headers: impl Iterator<Item = &'h [u8]>,
    ) -> Result<Authenticated, Rejection> {
        let scheme = match self.authorization.is_empty() {
            true => None,
            false => Some(self.authorization.check(headers)?),
        };
        Ok(Authenticated {
            identity: identified.identity,
            scheme,
        })
    }
}

impl Authenticated {
    /// Returns the identity in the client certificate, where one was required.
    pub fn identity(&self) -> Option<&ClientIdentity> {
        self.identity.as_deref()
    }

    /// Returns the mechanisms that passed, as `X-Netdata-Verified` lists them.
    pub fn mechanisms(&self) -> &'static str {
        match (self.identity.is_some(), self.scheme) {
            (true, None) => "client-certificate",
            (true, Some(AuthScheme::Basic)) => "client-certificate, basic",
            (true, Some(AuthScheme::Bearer)) => "client-certificate, bearer",
            (false, Some(AuthScheme::Basic)) => "basic",
            (false, Some(AuthScheme::Bearer)) => "bearer",
            (false, None) => "",
        }
    }
}
