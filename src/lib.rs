//! Lets only verified Netdata Cloud webhooks through to an application.
//!
//! The program is a reverse proxy on [Pingora](pingora); this library is what it is made of. The
//! README introduces it, and the [`manual`] describes how to run it. These pages describe how a
//! Pingora service of your own uses the same checks, and how the program is built.
//!
//! # In a Pingora proxy
//!
//! A [`Gate`] checks the requests of some paths of a proxy that has routes and upstreams of its own:
//!
//! ```no_run
#![doc = include_str!("manual/pingora_proxy.rs")]
//! ```
//!
//! [`Gate::decide`] makes the same decisions from values alone, for other servers. The
//! [page on the library](manual::library) has an example, and lists what the program protects
//! further.
//!
//! # How it is built
//!
//! Each room imports only from the rooms above it.
//!
//! ```text
//!  rejection   every reason to refuse a request
//!  sanitize    untrusted text, made safe for terminals and logs
//!  auth        the client's identity: client certificate, Authorization header, secrets; returns proof
//!  webhook     what Netdata Cloud sends: the challenge, notifications, their shapes
//!  http        HTTP messages as bytes: framing, heads, bodies, paths, header classes
//!  config      a TOML file becomes a checked Config
//!  tls         server-side TLS: certificate (files or ACME), trust, handshake refusals
//!  term        who acts, of several processes: a lease by clocks that are not compared
//!  database    a PostgreSQL database that several machines share
//!  upstream    connections and exchanges with application servers: groups, health, pool
//!  delivery    verified notifications that wait: the store, the order, the attempts
//!  telemetry   logs, metrics, history, and the admin listener that shows them
//!  proxy       one request from its head to its log line: gate, deliver, pass through
//!  server      the running process: listeners, threads, reload, drain, upgrade, self-test
//!  manual      the guide
//!  commands    the command line and its tools
//! ```
//!
//! A request flows through them like this:
//!
//! ```text
//!  Netdata ──TLS──▶ server::accept ──▶ proxy::downstream       the head is whole, in time, and unambiguous
//!                                             │
//!                                        proxy::gate
//!    path ▶ client certificate ▶ ┬ GET  ▶ challenge ▶ 200
//!                                └ POST ▶ Authorization ▶ body read whole ▶ notification ▶ Verified
//!    any Rejection ▶ proxy::respond                                                │
//!                                             ┌────────────────────────────────────┘
//!                                        proxy::deliver ──▶ upstream::exchange ──▶ the application
//!    a route of kind "proxy":
//!    path ▶ client certificate ▶ Authorization ▶ Authorized ▶ proxy::pass_through ◀──▶ the application
//! ```
//!
//! Each step is reported to `telemetry::Monitor`, which counts it and, if there is an admin
//! listener, remembers the latest.
//!
//! # What always holds
//!
//! - Nothing from a webhook reaches an application without a [`Verified`], and
//!   only `auth` together with `webhook` leads to one. On routes of kind "proxy" it is an
//!   [`Authorized`], to which only `auth` leads.
//! - A field of a body by which nothing is decided never makes a notification refused, unless its
//!   route is strict.
//! - Credentials never reach an application, unless its route says so, and never a log.
//! - There is one policy for each listener. Neither the name in the TLS handshake nor `Host`
//!   selects another. The validation of a name by ACME is no exception: its connection ends with the
//!   handshake.
//! - A certificate is judged against the trust of now, for each request, and not against that of
//!   the handshake.
//! - Nothing that comes over the wire panics, or is waited for or kept without bound.
//! - A configuration is applied whole or not at all.

// Without it, parts of the lower rooms have nothing that uses them.
#![cfg_attr(not(feature = "cli"), allow(dead_code, unused_imports))]

mod auth;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod commands;
mod config;
#[cfg(feature = "server")]
mod database;
#[cfg(feature = "server")]
mod delivery;
mod http;
pub mod manual;
#[cfg(all(test, feature = "server"))]
#[path = "../tests/it/support/postgres.rs"]
#[allow(dead_code, reason = "the integration tests use all of it")]
mod postgres_server;
mod proxy;
mod rejection;
mod sanitize;
#[cfg(feature = "server")]
mod server;
mod telemetry;
#[cfg(feature = "server")]
mod term;
mod tls;
#[cfg(feature = "server")]
mod upstream;
#[cfg(feature = "server")]
mod utc;
mod webhook;

pub use auth::{Authenticated, ClientIdentity};
pub use config::{
    ClientTrust, Config, ConfigError, Limits, Loaded, RevocationList, Tests, Verify, read_identity,
};
pub use proxy::middleware::{BuildError, GateBuilder, MAX_BODY, WebhookContext, WebhookRoute};
pub use proxy::{Authorized, Context, Decision, Gate, Outcome, Policy, PolicyError, Verified};
pub use tls::TrustError;
pub use webhook::challenge::response_token;
pub use webhook::notification::{Kind, Notification, SchemaPolicy};

/// Parts that the tests and the benchmarks of this repository look at. They are not an interface.
#[doc(hidden)]
pub mod internals {
    pub use crate::auth::secret::{Secret, SecretDigest};
    pub use crate::auth::{Authorization, Presented};
    pub use crate::config::{Balance, CrlCoverage, NETDATA_ROOT_CA};
    pub use crate::http::{framing, header_class, path};
    #[cfg(feature = "server")]
    pub use crate::tls::AnyServer;
    pub use crate::tls::Trust;
    #[cfg(feature = "server")]
    pub use crate::upstream::Upstreams;
    pub use crate::webhook::challenge;
    pub use crate::webhook::request::WebhookRequest;
}
