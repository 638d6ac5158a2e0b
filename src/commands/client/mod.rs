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
mod notice;
mod stream;
mod target;

pub(crate) mod pki;

pub(crate) use challenge::mistake;
pub(crate) use client::{client_config, dial, shake_hands};
pub(crate) use connection::{Connection, Protocol};
pub(crate) use failure::{Failure, alert_name, path_words};
pub(crate) use message::{Answer, Request};
pub(crate) use notice::{Author, EVERY_NOTICE, Notice, Severity};
pub(crate) use stream::Stream;
pub(crate) use target::Place;

use std::time::Duration;

/// How long Netdata Cloud waits for the answer to a challenge.
pub(crate) const CHALLENGE_LIMIT: Duration = Duration::from_secs(5);
