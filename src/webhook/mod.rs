//! What Netdata Cloud sends: the challenge, notifications, and their shapes.

pub mod challenge;
pub(crate) mod notification;
pub(crate) mod request;
