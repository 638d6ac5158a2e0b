//! The story of a request at level debug: one span for the request, one record for each check.

use super::interrupt::Interrupt;
use super::session::Session;
use super::transaction::Transaction;
use crate::rejection::Rejection;
use crate::sanitize::sanitize;
use std::borrow::Cow;
use tracing::Span;
use tracing::field::Empty;

impl<S: Session> Transaction<'_, S> {
    /// Opens the span that the records of this request belong to, in that of its connection. Below
    /// level debug it is disabled, and costs nothing.
    pub(super) fn open_span(&mut self) -> Span {
        let request_id = &*self.context.request_id;
        let open = || tracing::debug_span!("request", request_id, route = Empty);
        let span = self.session.connection_span().in_scope(open);
        self.context.span = span.clone();
        span
    }
}

/// The reason why a check failed.
pub(super) trait CheckFailure {
    fn code(&self) -> &'static str;
    fn detail(&self) -> Cow<'static, str>;
}

impl CheckFailure for Rejection {
    fn code(&self) -> &'static str {
        self.code()
    }

    fn detail(&self) -> Cow<'static, str> {
        self.detail()
    }
}

impl CheckFailure for Interrupt {
    fn code(&self) -> &'static str {
        match self {
            Self::Reject(rejection) => rejection.code(),
            Self::ClientGone => "sender_gone",
        }
    }

    fn detail(&self) -> Cow<'static, str> {
        match self {
            Self::Reject(rejection) => rejection.detail(),
            Self::ClientGone => "The client has closed its connection.".into(),
        }
    }
}

/// Records the result of a check, and returns it.
pub(super) fn traced<T, E: CheckFailure>(
    check: &'static str,
    result: Result<T, E>,
) -> Result<T, E> {
    match &result {
        Ok(_) => tracing::debug!(event = "check_passed", check, "check passed"),
        Err(failure) => tracing::debug!(
            event = "check_failed",
            check,
            code = failure.code(),
            detail = %sanitize(&failure.detail()),
            "check failed"
        ),
    }
    result
}
