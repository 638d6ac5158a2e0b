//! The reverse proxy: one request from its head to its line in the log.

mod body;
#[cfg(feature = "server")]
mod deferred;
#[cfg(feature = "server")]
mod deliver;
#[cfg(feature = "server")]
mod downstream;
mod gate;
#[cfg(feature = "server")]
mod gateway;
mod interrupt;
pub(crate) mod middleware;
mod origin;
#[cfg(feature = "server")]
mod pass_through;
mod pingora_session;
mod policy;
mod rate_limit;
mod respond;
mod session;
mod trace;
mod transaction;
mod upstream_request;
mod verified;

pub use crate::telemetry::context::{Context, Outcome};
#[cfg(feature = "server")]
pub(crate) use downstream::shutdown::{DRAIN_READ_TIMEOUT, KEEPALIVE_DRAIN_GRACE, after_shutdown};
#[cfg(feature = "server")]
pub(crate) use downstream::{Connection, Downstream, TlsFacts};
pub use gate::Gate;
pub use policy::{Policy, PolicyError};
pub use verified::{Authorized, Decision, Verified};
