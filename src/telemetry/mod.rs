//! Logs, metrics and history: what the program says about itself.

pub(crate) mod access_log;
#[cfg(feature = "server")]
pub(crate) mod admin;
pub(crate) mod context;
#[cfg(feature = "server")]
mod format;
#[cfg(feature = "server")]
pub(crate) mod history;
#[cfg(feature = "server")]
mod logging;
#[cfg(feature = "server")]
pub(crate) mod metrics;
#[cfg(feature = "server")]
mod monitor;
#[cfg(feature = "server")]
mod queue;
pub(crate) mod repeated;
#[cfg(feature = "server")]
mod span_fields;

#[cfg(feature = "server")]
pub(crate) use logging::{change, flush, init, say};
#[cfg(feature = "server")]
pub(crate) use monitor::{Certificate, Monitor};
