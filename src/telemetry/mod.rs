//! Logs, metrics and history: what the program says about itself.

pub mod access_log;
#[cfg(feature = "server")]
pub mod admin;
pub mod context;
#[cfg(feature = "server")]
mod format;
#[cfg(feature = "server")]
pub mod history;
#[cfg(feature = "server")]
mod logging;
#[cfg(feature = "server")]
pub mod metrics;
#[cfg(feature = "server")]
mod monitor;
#[cfg(feature = "server")]
mod queue;
pub(crate) mod repeated;
#[cfg(feature = "server")]
mod span_fields;

#[cfg(feature = "server")]
pub use logging::{change, flush, init, say};
#[cfg(feature = "server")]
pub use monitor::{Certificate, Monitor, UpstreamHealth};
