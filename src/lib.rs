//! Lets only verified Netdata Cloud webhooks through to an application.
#![doc = "TODO"]

pub mod auth;
pub mod challenge;
pub mod client_address;
pub mod config;
pub mod header_template;
pub mod notification;
pub mod rejection;
pub mod route;
pub mod secret;
