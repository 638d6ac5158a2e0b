//! The two ways in which the processing of a request ends early.

use super::session::ClientGone;
use crate::http::buffers::Overloaded;
use crate::rejection::Rejection;

/// The reason why a request is not processed further.
#[derive(Debug)]
pub(super) enum Interrupt {
    /// The request is to be refused.
    Reject(Rejection),
    /// The client can no longer be answered.
    ClientGone,
}

impl From<Rejection> for Interrupt {
    fn from(rejection: Rejection) -> Self {
        Self::Reject(rejection)
    }
}

impl From<Overloaded> for Interrupt {
    fn from(Overloaded: Overloaded) -> Self {
        Self::Reject(Rejection::Overloaded)
    }
}

impl From<ClientGone> for Interrupt {
    fn from(ClientGone: ClientGone) -> Self {
        Self::ClientGone
    }
}
