//! What Netdata Cloud sends: the challenge, notifications, and their shapes.

pub mod challenge;
pub mod notification;
pub mod request;
