//! Lets only verified Netdata Cloud webhooks through to an application.
#![doc = "TODO"]

pub mod auth;
pub mod challenge;
pub mod client_address;
pub mod config;
pub mod demo;
pub mod exchange;
pub mod framing;
pub mod header_template;
pub mod notification;
pub mod proxy;
pub mod rejection;
pub mod route;
pub mod secret;
pub mod server;
pub mod summary;
pub mod telemetry;
pub mod tls;
