//! The faults of certificates in words: those of clients in refusals, those of servers in the tools.

use rustls::{CertificateError, OtherError};

/// The fault of a certificate, or of its path to a trusted authority.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CertificateFault {
    UnknownIssuer,
    /// The issuer has the name of a trusted authority, but another key.
    BadSignature,
    Expired,
    NotYetValid,
    Revoked,
    RevocationUnknown,
    Purpose,
    Name,
    Unreadable,
    CriticalExtension,
    Version,
    Algorithm,
    IsAuthority,
    IssuerIsNoAuthority,
    PathLength,
    NameConstraints,
    ChainTooLong,
    Other,
}

/// The side of a connection that presents the certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presenter {
    Client,
    Server,
}

impl CertificateFault {
    /// Returns the fault as a predicate, to follow "the certificate" or "it".
    pub(crate) fn predicate(self, presenter: Presenter) -> &'static str {
        match self {
            Self::UnknownIssuer | Self::BadSignature => self.of_issuer(),
            Self::Expired | Self::NotYetValid | Self::Revoked | Self::RevocationUnknown => {
                self.of_time()
            }
            Self::Purpose => match presenter {
                Presenter::Client => "is not for client authentication (extended key usage)",
                Presenter::Server => "is not for server authentication (extended key usage)",
            },
            Self::Name => "is for another name",
            Self::ChainTooLong => "has a chain that is too long",
            Self::PathLength | Self::NameConstraints => self.of_constraint(),
            _ => self.of_profile(),
        }
    }

    fn of_issuer(self) -> &'static str {
        match self {
            Self::BadSignature => {
                "names a trusted authority as its issuer, but has the signature of another key"
            }
            _ => "was not issued by a trusted authority",
        }
    }

    fn of_time(self) -> &'static str {
        match self {
            Self::Expired => "has expired, or one above it has",
            Self::NotYetValid => "is not valid yet, or one above it is not",
            Self::Revoked => "was revoked",
            _ => "has no revocation list that says whether it, or one above it, was revoked",
        }
    }

    fn of_constraint(self) -> &'static str {
        match self {
            Self::PathLength => {
                "has more authorities above it than one of them allows (path length)"
            }
            _ => {
                "is under an authority that may not issue for its names, or that limits names of a kind \
                 that cannot be compared here, such as e-mail addresses (name constraints)"
            }
        }
    }

    /// Returns the predicate of a violation of the certificate profile (RFC 5280).
    fn of_profile(self) -> &'static str {
        match self {
            Self::Unreadable => "cannot be read",
            Self::CriticalExtension => "has a critical extension that is not understood",
            Self::Version => "is not of X.509 version 3",
            Self::Algorithm => "has a signature algorithm that is unsafe or unknown, such as SHA-1",
            Self::IsAuthority => {
                "is that of an authority (CA:TRUE), which strict implementations refuse"
            }
            Self::IssuerIsNoAuthority => {
                "was issued with a certificate that is not an authority's (CA:FALSE)"
            }
            _ => "is not valid (RFC 5280)",
        }
    }
}

impl From<&webpki::Error> for CertificateFault {
    fn from(error: &webpki::Error) -> Self {
        use webpki::Error as E;

        match error {
            E::UnknownIssuer => Self::UnknownIssuer,
            E::InvalidSignatureForPublicKey => Self::BadSignature,
            E::CertExpired { .. } | E::InvalidCertValidity => Self::Expired,
            E::CertNotValidYet { .. } => Self::NotYetValid,
            E::CertRevoked => Self::Revoked,
            E::UnknownRevocationStatus => Self::RevocationUnknown,
            E::RequiredEkuNotFoundContext(_) | E::EmptyEkuExtension => Self::Purpose,
            other => Self::of_structure(other),
        }
    }
}

impl CertificateFault {
    /// Returns the fault for an error about the contents of certificates or their order.
    fn of_structure(error: &webpki::Error) -> Self {
        use webpki::Error as E;

        match error {
            E::BadDer | E::BadDerTime | E::TrailingData(_) => Self::Unreadable,
            E::UnsupportedCriticalExtension => Self::CriticalExtension,
            E::UnsupportedCertVersion => Self::Version,
            E::UnsupportedSignatureAlgorithmContext(_)
            | E::UnsupportedSignatureAlgorithmForPublicKeyContext(_)
            | E::SignatureAlgorithmMismatch => Self::Algorithm,
            E::CaUsedAsEndEntity => Self::IsAuthority,
            E::EndEntityUsedAsCa => Self::IssuerIsNoAuthority,
            E::PathLenConstraintViolated => Self::PathLength,
            E::NameConstraintViolation => Self::NameConstraints,
            E::MaximumPathDepthExceeded
            | E::MaximumPathBuildCallsExceeded
            | E::MaximumSignatureChecksExceeded
            | E::MaximumNameConstraintComparisonsExceeded => Self::ChainTooLong,
            _ => Self::Other,
        }
    }
}

impl From<&CertificateError> for CertificateFault {
    fn from(error: &CertificateError) -> Self {
        use CertificateError as E;

        match error {
            E::UnknownIssuer => Self::UnknownIssuer,
            E::BadSignature => Self::BadSignature,
            E::Expired | E::ExpiredContext { .. } => Self::Expired,
            E::NotValidYet | E::NotValidYetContext { .. } => Self::NotYetValid,
            E::Revoked => Self::Revoked,
            E::UnknownRevocationStatus => Self::RevocationUnknown,
            E::InvalidPurpose | E::InvalidPurposeContext { .. } => Self::Purpose,
            E::NotValidForName | E::NotValidForNameContext { .. } => Self::Name,
            E::BadEncoding => Self::Unreadable,
            E::UnhandledCriticalExtension => Self::CriticalExtension,
            E::UnsupportedSignatureAlgorithmContext { .. }
            | E::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => Self::Algorithm,
            E::Other(OtherError(error)) => error
                .downcast_ref()
                .map_or(Self::Other, |error: &webpki::Error| error.into()),
            _ => Self::Other,
        }
    }
}
