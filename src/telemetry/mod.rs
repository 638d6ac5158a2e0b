//! Logs, metrics and history: what the program says about itself.

pub(crate) mod access_log;
#[cfg(feature = "server")]
pub(crate) mod admin;
#[cfg(feature = "server")]
mod certificates;
#[cfg(feature = "server")]
mod chunks;
#[cfg(feature = "server")]
mod configured;
pub(crate) mod context;
#[cfg(feature = "server")]
mod direct;
#[cfg(feature = "server")]
mod format;
#[cfg(feature = "server")]
pub(crate) mod history;
#[cfg(feature = "server")]
mod logging;
#[cfg(feature = "server")]
pub(crate) mod lost;
#[cfg(feature = "server")]
pub(crate) mod metrics;
#[cfg(feature = "server")]
mod monitor;
#[cfg(feature = "server")]
mod queue;
#[cfg(feature = "server")]
mod queue_witness;
#[cfg(feature = "server")]
mod record_limit;
pub(crate) mod repeated;
mod request_line;
#[cfg(feature = "server")]
mod short;
#[cfg(feature = "server")]
mod span_fields;
#[cfg(feature = "server")]
mod undelivered;
#[cfg(feature = "server")]
mod upstream_health;

#[cfg(feature = "server")]
pub(crate) use certificates::Certificate;
#[cfg(feature = "server")]
pub(crate) use logging::{change, flush, init, is_coloured, say};
#[cfg(feature = "server")]
pub(crate) use monitor::Monitor;
#[cfg(feature = "cli")]
pub(crate) use short::cut;
