//! The reasons why an exchange with an upstream fails.

use crate::rejection::Rejection;
use crate::sanitize::sanitize;
use crate::upstream::{ConnectError, describe_io};
use std::io;
use thiserror::Error;

/// The reason why there is no response, as the proxy answers and logs it.
#[derive(Debug, Error)]
pub(crate) enum ExchangeError {
    /// The connection was refused or closed, or the response is not HTTP.
    #[error("{0}")]
    Unreachable(String),
    /// The upstream took too long.
    #[error("{0}")]
    Timeout(String),
    /// No server has a known address.
    #[error("no server of the upstream has a known address")]
    Unavailable,
}

impl ExchangeError {
    /// Returns the rejection that the client gets.
    pub(crate) fn rejection(&self) -> Rejection {
        match self {
            Self::Unreachable(_) => Rejection::UpstreamUnreachable,
            Self::Timeout(_) => Rejection::UpstreamTimeout,
            Self::Unavailable => Rejection::UpstreamUnavailable,
        }
    }

    /// Returns the reason as a sentence, for the operator.
    pub(crate) fn sentence(&self) -> String {
        let text = sanitize(&self.to_string()).into_owned();
        let mut rest = text.chars();
        let first = rest.next().into_iter().flat_map(char::to_uppercase);
        first.chain(rest).chain(['.']).collect()
    }

    /// Creates the error of a timeout, described by `message`.
    pub(super) fn timeout(message: &str) -> Self {
        Self::Timeout(message.to_owned())
    }

    /// Creates the error of a 408 response on a connection that was idle (RFC 9110 section 15.5.9).
    pub(super) fn idle_timeout() -> Self {
        Self::Unreachable("no response: the upstream had closed the idle connection".to_owned())
    }

    /// Creates the error of a response of which not even the head can be read.
    pub(super) fn no_response(error: &ResponseError) -> Self {
        Self::Unreachable(format!("no response: {error}"))
    }

    /// Creates the error of a response that ended in the middle of its body.
    pub(super) fn truncated(error: &ResponseError) -> Self {
        Self::Unreachable(format!("the response was truncated: {error}"))
    }

    /// Creates the error of a request that could not be sent.
    pub(super) fn cannot_send(error: &io::Error) -> Self {
        Self::Unreachable(format!("cannot send the request: {}", describe_io(error)))
    }
}

impl From<ConnectError> for ExchangeError {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::Refused(message) => Self::Unreachable(message),
            ConnectError::Timeout(message) => Self::Timeout(message),
        }
    }
}

/// The reason why a response cannot be read.
#[derive(Debug, Error)]
pub(super) enum ResponseError {
    #[error("the connection was closed")]
    Closed,
    #[error("{}", describe_io(.0))]
    Io(#[from] io::Error),
    #[error("it is not valid HTTP: {0}")]
    Malformed(&'static str),
}
