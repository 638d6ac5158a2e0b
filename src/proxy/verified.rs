//! Proof that a request passed the checks of the gate, and what they established.

use super::policy::{Policy, PolicyRoute};
use super::upstream_request::ReceiptHead;
use crate::auth::Authenticated;
use crate::config::Route;
use crate::webhook::notification::Notification;
use bytes::Bytes;
use std::sync::Arc;

/// The decision about a request. `R` is the response, where it has not been sent yet.
#[derive(Debug)]
pub enum Decision<R = ()> {
    /// A webhook's notification, to be delivered to its application. Its body has been read from
    /// the session.
    Deliver(Verified),
    /// A request on a route of kind "proxy", to be passed through as it is.
    PassThrough(Authorized),
    /// The request has been answered: it was a challenge, a Test notification, or it was refused.
    /// The context says which.
    Answered(R),
    /// The path is none of the gate's, and is left to the service that the gate is a part of. Only a
    /// policy made by a [`GateBuilder`](super::middleware::GateBuilder) leaves paths to others.
    Unrouted,
}

/// A notification that passed every check, with proof of it: only [`Gate::admit`] makes one.
///
/// [`Gate::admit`]: super::Gate::admit
#[derive(Debug)]
#[must_use]
pub struct Verified {
    /// The notification that the body contains.
    pub notification: Arc<Notification>,
    /// The body, byte for byte.
    pub body: Bytes,
    pub(super) authenticated: Authenticated,
    pub(super) route: Arc<PolicyRoute>,
    pub(super) policy: Arc<Policy>,
}

impl Verified {
    /// Returns the proof of how, and as which identity, the client was authenticated.
    pub fn authenticated(&self) -> &Authenticated {
        &self.authenticated
    }

    pub(super) fn facts(&self) -> RequestFacts<'_> {
        RequestFacts {
            route: &self.route,
            authenticated: &self.authenticated,
            notification: Some(&self.notification),
            receipt: None,
        }
    }
}

/// A request on a route of kind "proxy" that passed every check on its client, with proof of it:
/// only [`Gate::admit`] makes one. Its body has not been read.
///
/// [`Gate::admit`]: super::Gate::admit
#[derive(Debug)]
#[must_use]
pub struct Authorized {
    pub(super) authenticated: Authenticated,
    pub(super) route: Arc<PolicyRoute>,
    pub(super) policy: Arc<Policy>,
}

impl Authorized {
    /// Returns the proof of how, and as which identity, the client was authenticated.
    pub fn authenticated(&self) -> &Authenticated {
        &self.authenticated
    }

    pub(super) fn facts(&self) -> RequestFacts<'_> {
        RequestFacts {
            route: &self.route,
            authenticated: &self.authenticated,
            notification: None,
            receipt: None,
        }
    }
}

/// The facts that the checks established about a request, for the headers that the upstream gets.
#[derive(Clone, Copy)]
pub(super) struct RequestFacts<'r> {
    pub(super) route: &'r Route,
    pub(super) authenticated: &'r Authenticated,
    /// The content of the body, on webhooks.
    pub(super) notification: Option<&'r Notification>,
    /// The receipt, on routes that store notifications.
    pub(super) receipt: Option<ReceiptHead<'r>>,
}
