//! The Netdata Cloud stand-in: a TLS client with a certificate, which sends challenges and
//! notifications and verifies the responses.
//!
//! `send`, `doctor` and `demo` use it. Servers are not trusted, so every wait and every buffer is
//! bounded.

mod challenge;
mod connection;
mod failure;
mod handshake;
mod message;
mod notification;
mod stream;
mod target;

pub(crate) mod pki;

pub(crate) use challenge::{Mistake, mistake};
pub(crate) use connection::{ClientConnection, Protocol};
pub(crate) use failure::{ClientFailure, alert_name, path_words};
pub(crate) use handshake::{client_config, dial, tls_handshake};
pub(crate) use message::{ClientRequest, ClientResponse};
pub(crate) use notification::{EVERY_NOTIFICATION, Generator, NotificationSpec, Severity};
pub(crate) use stream::Stream;
pub(crate) use target::{WebhookTarget, local_address};

use std::time::Duration;

/// Time within which Netdata Cloud expects the response to a challenge.
pub(crate) const CHALLENGE_LIMIT: Duration = Duration::from_secs(5);
