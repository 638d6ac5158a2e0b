//! Failures of exchanges that end without a response.

use crate::tls::{CertificateFault, Presenter};
use rustix::io::Errno;
use rustls::{AlertDescription, CertificateError, Error as TlsError, PeerIncompatible};
use std::fmt;
use std::io::{self, ErrorKind};

/// Reason why there is no response.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum ClientFailure {
    /// The server sent a TLS alert.
    Alert(AlertDescription),
    /// The server closed the connection; holds how.
    HungUp(&'static str),
    /// The server did not respond in time.
    Silent,
    /// The server's certificate is not trusted.
    Untrusted(CertificateError),
    /// The name in the URL does not resolve; holds the reason.
    Unresolved(String),
    /// The connection was refused.
    ConnectionRefused,
    /// The server does not speak TLS.
    NotTls,
    /// The server does not speak HTTP; holds the error.
    NotHttp(String),
    /// The limit of open files is reached.
    NoFilesLeft,
    /// Another error, in words.
    Other(String),
}

impl From<&io::Error> for ClientFailure {
    fn from(error: &io::Error) -> Self {
        let too_many_files = [Errno::MFILE, Errno::NFILE];
        if Errno::from_io_error(error).is_some_and(|code| too_many_files.contains(&code)) {
            return Self::NoFilesLeft;
        }
        match error.get_ref().and_then(|error| error.downcast_ref()) {
            Some(error) => Self::from_tls(error),
            None => Self::from_kind(error),
        }
    }
}

impl ClientFailure {
    fn from_tls(error: &TlsError) -> Self {
        match error {
            TlsError::AlertReceived(alert) => Self::Alert(*alert),
            TlsError::InvalidCertificate(error) => Self::Untrusted(error.clone()),
            TlsError::InvalidMessage(_) => Self::NotTls,
            error => Self::Other(tls_words(error)),
        }
    }

    fn from_kind(error: &io::Error) -> Self {
        match error.kind() {
            ErrorKind::ConnectionRefused => Self::ConnectionRefused,
            ErrorKind::UnexpectedEof => Self::HungUp("the connection was closed"),
            ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe => {
                Self::HungUp("the connection was reset")
            }
            ErrorKind::TimedOut => Self::Silent,
            _ => Self::Other(error.to_string()),
        }
    }
}

impl From<io::Error> for ClientFailure {
    fn from(error: io::Error) -> Self {
        Self::from(&error)
    }
}

const NO_LISTENER: &str = "the connection was refused: no server listens there";

impl fmt::Display for ClientFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Alert(alert) => write!(f, "TLS alert {}", alert_name(*alert)),
            Self::HungUp(how) => f.write_str(how),
            Self::Silent => f.write_str("no response in time"),
            Self::Untrusted(error) => {
                let why = certificate_words(error);
                write!(f, "the server's certificate is not trusted: {why}")
            }
            Self::Unresolved(why) => write!(f, "the name does not resolve: {why}"),
            Self::ConnectionRefused => f.write_str(NO_LISTENER),
            Self::NotTls => f.write_str("the server does not speak TLS"),
            Self::NotHttp(error) => write!(f, "the server does not speak HTTP: {error}"),
            Self::NoFilesLeft => f.write_str("too many open files, which include connections"),
            Self::Other(what) => f.write_str(what),
        }
    }
}

/// Returns a TLS error in words: those of the error itself are names of types.
fn tls_words(error: &TlsError) -> String {
    match error {
        TlsError::PeerIncompatible(why) => incompatible(why).into(),
        TlsError::PeerMisbehaved(_)
        | TlsError::InappropriateMessage { .. }
        | TlsError::InappropriateHandshakeMessage { .. } => {
            "the server violates the TLS protocol".into()
        }
        other => other.to_string(),
    }
}

fn incompatible(why: &PeerIncompatible) -> &'static str {
    use PeerIncompatible as P;

    match why {
        P::ServerDoesNotSupportTls12Or13 | P::ServerTlsVersionIsDisabledByOurConfig => {
            "the server supports no safe version of TLS"
        }
        _ => "the server requires TLS parameters that are unsafe or unknown",
    }
}

/// Returns the problem with a server's certificate, to follow a colon.
fn certificate_words(error: &CertificateError) -> String {
    match error {
        CertificateError::NotValidForNameContext {
            expected,
            presented,
        } => other_names(presented, &expected.to_str()),
        error => words(error.into()),
    }
}

/// Returns why a server's certificate has no path to a trusted authority, to follow a colon.
pub(crate) fn path_words(error: &webpki::Error) -> String {
    words(error.into())
}

fn words(fault: CertificateFault) -> String {
    format!("it {}", fault.predicate(Presenter::Server))
}

fn other_names(presented: &[String], expected: &str) -> String {
    let names: Vec<_> = presented.iter().map(|name| bare(name)).collect();
    match names.is_empty() {
        true => format!("it is for no host, not for {expected}"),
        false => format!("it is for {}, not for {expected}", names.join(", ")),
    }
}

/// Returns the bare name in `DnsName("localhost")` or `IpAddress(127.0.0.1)`.
fn bare(name: &str) -> &str {
    let inner = name
        .split_once('(')
        .and_then(|(_, rest)| rest.strip_suffix(')'))
        .unwrap_or(name);
    inner.trim_matches('"')
}

/// Returns the name of an alert as RFC 8446 section 6 spells it, such as `certificate_required`.
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
                ClientFailure::ConnectionRefused,
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
        let other = CertificateError::Other(rustls::OtherError(std::sync::Arc::new(
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
                "no safe version of TLS",
            ),
            (
                of(TlsError::PeerMisbehaved(
                    rustls::PeerMisbehaved::TooMuchEarlyDataReceived,
                )),
                "the TLS protocol",
            ),
        ] {
            let is_plain = !words.contains("Error") && !words.contains('"') && !words.contains('{');
            assert!(words.contains(expected) && is_plain, "{words}");
        }
    }
}
