//! What can go wrong with a database, without a word of its URL or of a row.

use super::tls;
use rustls::Error as TlsError;
use std::error::Error as _;
use std::fmt;
use std::io;
use tokio_postgres::error::SqlState;

/// The reason why a statement has no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// There is no connection: nothing has been done.
    Away(String),
    /// It is not known whether the statement has been done.
    Unknown(String),
    /// The database has refused the statement, which has done nothing.
    Refused { state: SqlState, message: String },
    /// The database would lose what it has acknowledged, or is not one for this program.
    Unfit(String),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Away(text) | Self::Unknown(text) | Self::Unfit(text) => f.write_str(text),
            Self::Refused { state, message } => write!(f, "{message} (SQLSTATE {})", state.code()),
        }
    }
}

impl Fault {
    /// The fault of a statement that was sent.
    pub(crate) fn of(error: &tokio_postgres::Error) -> Self {
        match error.as_db_error() {
            // The session was ended, which says nothing about the statement.
            Some(ended) if ended.code().code().starts_with("57P") => Self::Unknown(format!(
                "{} (SQLSTATE {})",
                ended.message(),
                ended.code().code()
            )),
            // The detail and the hint of an error may repeat the row.
            Some(refused) => Self::Refused {
                state: refused.code().clone(),
                message: refused.message().to_owned(),
            },
            None => Self::Unknown(root(error)),
        }
    }

    /// The fault of a connection that could not be made.
    pub(crate) fn of_connect(error: &tokio_postgres::Error) -> Self {
        match Self::of(error) {
            Self::Unknown(text) => Self::Away(text),
            refused => refused,
        }
    }

    /// Returns `true` if another connection may do better.
    pub(crate) fn ends_connection(&self) -> bool {
        match self {
            Self::Refused { state, .. } => {
                // Read-only: it is a standby by now. And resources.
                ["25006", "08", "53"]
                    .iter()
                    .any(|class| state.code().starts_with(class))
            }
            _ => true,
        }
    }

    /// Returns `true` if a row is to blame, and its neighbours are not.
    pub(crate) fn is_of_row(&self) -> bool {
        match self {
            Self::Refused { state, .. } => ["22", "23", "54"]
                .iter()
                .any(|class| state.code().starts_with(class)),
            _ => false,
        }
    }

    /// Returns `true` if the login was refused: it may have been renewed.
    pub(crate) fn is_login(&self) -> bool {
        matches!(self, Self::Refused { state, .. } if state.code().starts_with("28"))
    }
}

/// Returns the text of the innermost error: the outer ones only say that there is one.
fn root(error: &tokio_postgres::Error) -> String {
    if let Some(fault) = certificate_fault(error) {
        return fault;
    }
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text = inner.to_string();
        source = inner.source();
    }
    text
}

/// Returns what is wrong with the certificate of the server, if that is what has failed.
fn certificate_fault(error: &tokio_postgres::Error) -> Option<String> {
    let inner = error.source()?.downcast_ref::<io::Error>()?.get_ref()?;
    match inner.downcast_ref()? {
        TlsError::InvalidCertificate(error) => Some(tls::explain(error)),
        _ => None,
    }
}
