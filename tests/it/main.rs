//! The program as its users and its adversaries meet it: over real sockets.

// A test that cannot be set up fails where it stands.
#![allow(clippy::unwrap_used)]

mod demo;
