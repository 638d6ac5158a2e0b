//! How a conversation ends that has no answer.

use rustix::io::Errno;
use rustls::{AlertDescription, CertificateError, Error as TlsError};
use std::fmt;
use std::io::{self, ErrorKind};

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Failure {
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

impl From<&io::Error> for Failure {
    fn from(error: &io::Error) -> Self {
        use ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionRefused, ConnectionReset, TimedOut, UnexpectedEof};

        if error
            .raw_os_error()
            .is_some_and(|code| [Errno::MFILE, Errno::NFILE].map(Errno::raw_os_error).contains(&code))
        {
            return Self::NoFilesLeft;
        }
        match (error.get_ref().and_then(|error| error.downcast_ref()), error.kind()) {
            (Some(TlsError::AlertReceived(alert)), _) => Self::Alert(*alert),
            (Some(TlsError::InvalidCertificate(error)), _) => Self::Untrusted(error.clone()),
            (Some(TlsError::InvalidMessage(_)), _) => Self::NotTls,
            (None, ConnectionRefused) => Self::NobodyListens,
            (None, UnexpectedEof) => Self::HungUp("the connection was closed"),
            (None, ConnectionReset | ConnectionAborted | BrokenPipe) => Self::HungUp("the connection was reset"),
            (None, TimedOut) => Self::Silent,
            _ => Self::Other(error.to_string()),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::from(&error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Alert(alert) => write!(f, "TLS alert {}", alert_name(*alert)),
            Self::HungUp(how) => f.write_str(how),
            Self::Silent => f.write_str("nothing was answered in time"),
            Self::Untrusted(error) => write!(f, "the server's certificate is not trusted: {error}"),
            Self::Unresolved(why) => write!(f, "the name leads nowhere: {why}"),
            Self::NobodyListens => f.write_str("the connection was refused: nobody listens there"),
            Self::NotTls => f.write_str("what is spoken there is not TLS"),
            Self::NotHttp(error) => write!(f, "what is spoken there is not HTTP: {error}"),
            Self::NoFilesLeft => {
                f.write_str("this machine lets this program open no more files, which connections are, too")
            }
            Self::Other(what) => f.write_str(what),
        }
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
                io::Error::other(TlsError::AlertReceived(AlertDescription::CertificateRequired)),
                Failure::Alert(AlertDescription::CertificateRequired),
            ),
            (
                io::Error::other(TlsError::InvalidCertificate(CertificateError::Expired)),
                Failure::Untrusted(CertificateError::Expired),
            ),
            (ErrorKind::ConnectionReset.into(), Failure::HungUp("the connection was reset")),
            (ErrorKind::UnexpectedEof.into(), Failure::HungUp("the connection was closed")),
            (ErrorKind::ConnectionRefused.into(), Failure::NobodyListens),
            (Errno::MFILE.into(), Failure::NoFilesLeft),
        ] {
            assert_eq!(Failure::from(&error), expected);
        }
    }

    #[test]
    fn alerts_are_spelt_as_in_the_rfc() {
        assert_eq!(alert_name(AlertDescription::CertificateRequired), "certificate_required");
        assert_eq!(alert_name(AlertDescription::UnknownCA), "unknown_ca");
    }
}
