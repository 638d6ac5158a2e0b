//! Netdata Cloud as it is seen from a webhook: a TLS client with a certificate, which sends
//! challenges and notifications and judges what comes back.
//!
//! `send`, `doctor` and `demo` play it. Whoever answers them may be anybody, so nothing is waited
//! for or kept without bound.

mod challenge;
mod client;
mod connection;
mod failure;
mod message;
mod notification;
mod stream;
mod target;

pub(crate) mod pki;

pub(crate) use challenge::mistake;
pub(crate) use client::{client_config, dial, tls_handshake};
pub(crate) use connection::{ClientConnection, Protocol};
pub(crate) use failure::{ClientFailure, alert_name, path_words};
pub(crate) use message::{ClientRequest, ClientResponse};
pub(crate) use notification::{EVERY_NOTIFICATION, Generator, NotificationSpec, Severity};
pub(crate) use stream::Stream;
pub(crate) use target::WebhookTarget;

use std::time::Duration;

/// How long Netdata Cloud waits for the answer to a challenge.
pub(crate) const CHALLENGE_LIMIT: Duration = Duration::from_secs(5);
