//! A request and the way to answer it, together with the record of what becomes of it.

use super::session::Session;
use crate::http::request_head::RequestHead;
use crate::telemetry::context::{Context, Outcome};

/// One request on its way through the proxy.
pub(super) struct Transaction<'t, S> {
    /// Reads the body and writes the response.
    pub(super) session: &'t mut S,
    pub(super) head: &'t RequestHead,
    /// The record that the response, the access log and the metrics are made of.
    pub(super) context: &'t mut Context,
}

impl<'t, S: Session> Transaction<'t, S> {
    pub(super) fn new(session: &'t mut S, head: &'t RequestHead, context: &'t mut Context) -> Self {
        Self {
            session,
            head,
            context,
        }
    }

    /// Records that the client left before it had its response.
    pub(super) fn client_gone(&mut self) {
        self.context.outcome = Some(Outcome::ClientGone);
        self.session.close_after();
    }
}
