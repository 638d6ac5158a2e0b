//! How a conversation ends that has no answer.

use rustix::io::Errno;
use rustls::{AlertDescription, CertificateError, Error as TlsError, OtherError, PeerIncompatible};
use std::fmt;
use std::io::{self, ErrorKind};

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum ClientFailure {
    /// The server said no in TLS.
    Alert(AlertDescription),
    /// The server hung up; says how.
    HungUp(&'static str),
    /// Nothing came in time.
    Silent,
    /// The server's certificate is not one to talk to.
    Untrusted(CertificateError),
    /// The name in the URL leads nowhere; says why.
    Unresolved(String),
    /// Nobody listens there.
    NobodyListens,
    /// What is spoken there is not TLS.
    NotTls,
    /// What is spoken there is not HTTP; says what is wrong with it.
    NotHttp(String),
    /// This program may not open any more connections.
    NoFilesLeft,
    /// Something else went wrong; says what.
    Other(String),
}

impl From<&io::Error> for ClientFailure {
    fn from(error: &io::Error) -> Self {
        use ErrorKind::{
            BrokenPipe, ConnectionAborted, ConnectionRefused, ConnectionReset, TimedOut,
            UnexpectedEof,
        };

        if error.raw_os_error().is_some_and(|code| {
            [Errno::MFILE, Errno::NFILE]
                .map(Errno::raw_os_error)
                .contains(&code)
        }) {
            return Self::NoFilesLeft;
        }
        match (
            error.get_ref().and_then(|error| error.downcast_ref()),
            error.kind(),
        ) {
            (Some(TlsError::AlertReceived(alert)), _) => Self::Alert(*alert),
            (Some(TlsError::InvalidCertificate(error)), _) => Self::Untrusted(error.clone()),
            (Some(TlsError::InvalidMessage(_)), _) => Self::NotTls,
            (Some(error), _) => Self::Other(tls_words(error)),
            (None, ConnectionRefused) => Self::NobodyListens,
            (None, UnexpectedEof) => Self::HungUp("the connection was closed"),
            (None, ConnectionReset | ConnectionAborted | BrokenPipe) => {
                Self::HungUp("the connection was reset")
            }
            (None, TimedOut) => Self::Silent,
            _ => Self::Other(error.to_string()),
        }
    }
}

impl From<io::Error> for ClientFailure {
    fn from(error: io::Error) -> Self {
        Self::from(&error)
    }
}

impl fmt::Display for ClientFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Alert(alert) => write!(f, "TLS alert {}", alert_name(*alert)),
            Self::HungUp(how) => f.write_str(how),
            Self::Silent => f.write_str("nothing was answered in time"),
            Self::Untrusted(error) => {
                write!(
                    f,
                    "the server's certificate is not trusted: {}",
                    certificate_words(error)
                )
            }
            Self::Unresolved(why) => write!(f, "the name leads nowhere: {why}"),
            Self::NobodyListens => f.write_str("the connection was refused: nobody listens there"),
            Self::NotTls => f.write_str("what is spoken there is not TLS"),
            Self::NotHttp(error) => write!(f, "what is spoken there is not HTTP: {error}"),
            Self::NoFilesLeft => f.write_str(
                "this machine lets this program open no more files, which connections are, too",
            ),
            Self::Other(what) => f.write_str(what),
        }
    }
}

/// What is wrong with what was said in TLS. The errors' own words are names of types.
fn tls_words(error: &TlsError) -> String {
    match error {
        TlsError::PeerIncompatible(
            PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig,
        ) => "it speaks no version of TLS that is safe".into(),
        TlsError::PeerIncompatible(_) => {
            "it speaks TLS in a way that is not safe, or not known".into()
        }
        TlsError::PeerMisbehaved(_)
        | TlsError::InappropriateMessage { .. }
        | TlsError::InappropriateHandshakeMessage { .. } => {
            "it does not keep to the rules of TLS".into()
        }
        other => other.to_string(),
    }
}

/// What is wrong with a server's certificate, after a colon.
fn certificate_words(error: &CertificateError) -> String {
    use CertificateError as E;

    let words = match error {
        E::Expired | E::ExpiredContext { .. } => EXPIRED,
        E::NotValidYet | E::NotValidYetContext { .. } => EARLY,
        E::Revoked => "it was revoked",
        E::UnknownIssuer => UNKNOWN,
        E::BadSignature => BAD_SIGNATURE,
        E::BadEncoding => "it cannot be read",
        E::NotValidForName => "it is for another name",
        E::NotValidForNameContext {
            expected,
            presented,
        } => {
            let names: Vec<_> = presented.iter().map(|name| bare(name)).collect();
            let names = if names.is_empty() {
                "no host".into()
            } else {
                names.join(", ")
            };
            return format!("it is for {names}, not for {}", expected.to_str());
        }
        E::InvalidPurpose | E::InvalidPurposeContext { .. } => PURPOSE,
        E::UnhandledCriticalExtension => CRITICAL,
        E::UnsupportedSignatureAlgorithmContext { .. }
        | E::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => ALGORITHM,
        E::Other(OtherError(error)) => error.downcast_ref().map_or(UNUSUAL, path_words),
        _ => UNUSUAL,
    };
    words.to_owned()
}

/// `DnsName("localhost")` and `IpAddress(127.0.0.1)` without what is around the name.
fn bare(name: &str) -> &str {
    let inner = name
        .split_once('(')
        .and_then(|(_, rest)| rest.strip_suffix(')'))
        .unwrap_or(name);
    inner.trim_matches('"')
}

const EXPIRED: &str = "a certificate of the chain has expired";
const EARLY: &str = "a certificate of the chain is not valid yet";
const UNKNOWN: &str = "no authority that is known has issued it";
const BAD_SIGNATURE: &str = "its issuer only has the name of one that is known";
const PURPOSE: &str = "it is not for servers (extended key usage)";
const CRITICAL: &str = "it has a critical extension that is not known";
const ALGORITHM: &str = "it is signed in a way that is not safe, or not known, such as with SHA-1";
const UNUSUAL: &str = "it does not keep to the rules of certificates (RFC 5280)";

/// Why no path leads from a server's certificate to an authority, after a colon.
pub(crate) fn path_words(error: &webpki::Error) -> &'static str {
    use webpki::Error as E;

    match error {
        E::CaUsedAsEndEntity => {
            "it is the certificate of an authority (CA:TRUE), which Rust's and other strict clients refuse for a server"
        }
        E::EndEntityUsedAsCa => "who issued it is no authority (CA:FALSE)",
        E::CertExpired { .. } | E::InvalidCertValidity => EXPIRED,
        E::CertNotValidYet { .. } => EARLY,
        E::UnknownIssuer => UNKNOWN,
        E::InvalidSignatureForPublicKey => BAD_SIGNATURE,
        E::RequiredEkuNotFoundContext(_) | E::EmptyEkuExtension => PURPOSE,
        E::UnsupportedCriticalExtension => CRITICAL,
        E::UnsupportedSignatureAlgorithmContext(_)
        | E::UnsupportedSignatureAlgorithmForPublicKeyContext(_)
        | E::SignatureAlgorithmMismatch => ALGORITHM,
        E::UnsupportedCertVersion => "it is not of version 3 of X.509",
        E::PathLenConstraintViolated => {
            "an authority above it may have no further authority below (path length)"
        }
        E::NameConstraintViolation => {
            "an authority above it may not issue for its names (name constraints)"
        }
        E::MaximumPathDepthExceeded
        | E::MaximumPathBuildCallsExceeded
        | E::MaximumSignatureChecksExceeded
        | E::MaximumNameConstraintComparisonsExceeded => "the chain is longer than anybody follows",
        _ => UNUSUAL,
    }
}

/// As RFC 8446 section 6 spells it: `CertificateRequired` is `certificate_required`.
pub(crate) fn alert_name(alert: AlertDescription) -> String {
    let mut name = String::new();
    let mut was_lower = false;
    for letter in format!("{alert:?}").chars() {
        if was_lower && letter.is_ascii_uppercase() {
            name.push('_');
        }
        was_lower = letter.is_ascii_lowercase();
        name.push(letter.to_ascii_lowercase());
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_who_ended_it() {
        for (error, expected) in [
            (
                io::Error::other(TlsError::AlertReceived(
                    AlertDescription::CertificateRequired,
                )),
                ClientFailure::Alert(AlertDescription::CertificateRequired),
            ),
            (
                io::Error::other(TlsError::InvalidCertificate(CertificateError::Expired)),
                ClientFailure::Untrusted(CertificateError::Expired),
            ),
            (
                ErrorKind::ConnectionReset.into(),
                ClientFailure::HungUp("the connection was reset"),
            ),
            (
                ErrorKind::UnexpectedEof.into(),
                ClientFailure::HungUp("the connection was closed"),
            ),
            (
                ErrorKind::ConnectionRefused.into(),
                ClientFailure::NobodyListens,
            ),
            (Errno::MFILE.into(), ClientFailure::NoFilesLeft),
        ] {
            assert_eq!(ClientFailure::from(&error), expected);
        }
    }

    #[test]
    fn alerts_are_spelt_as_in_the_rfc() {
        assert_eq!(
            alert_name(AlertDescription::CertificateRequired),
            "certificate_required"
        );
        assert_eq!(alert_name(AlertDescription::UnknownCA), "unknown_ca");
    }

    #[test]
    fn nothing_is_said_in_names_of_types() {
        let of = |error| ClientFailure::from(&io::Error::other(error)).to_string();
        let untrusted = |error| of(TlsError::InvalidCertificate(error));
        let other = CertificateError::Other(OtherError(std::sync::Arc::new(
            webpki::Error::CaUsedAsEndEntity,
        )));
        let name = rustls::pki_types::ServerName::try_from("a.example").unwrap();
        let presented = vec![
            "DnsName(\"b.example\")".to_owned(),
            "IpAddress(192.0.2.1)".to_owned(),
        ];
        for (words, expected) in [
            (untrusted(other), "CA:TRUE"),
            (untrusted(CertificateError::BadEncoding), "cannot be read"),
            (
                untrusted(CertificateError::NotValidForNameContext {
                    expected: name,
                    presented,
                }),
                "it is for b.example, 192.0.2.1, not for a.example",
            ),
            (untrusted(CertificateError::InvalidOcspResponse), "RFC 5280"),
            (
                of(TlsError::PeerIncompatible(
                    PeerIncompatible::ServerDoesNotSupportTls12Or13,
                )),
                "no version of TLS",
            ),
            (
                of(TlsError::PeerMisbehaved(
                    rustls::PeerMisbehaved::TooMuchEarlyDataReceived,
                )),
                "the rules of TLS",
            ),
        ] {
            let is_plain = !words.contains("Error") && !words.contains('"') && !words.contains('{');
            assert!(words.contains(expected) && is_plain, "{words}");
        }
    }
}
