//! `import` reads configurations of NGINX and Apache as they are found, and what it writes does the
//! same.
//!
//! Each directory in `nginx` and `apache` is a machine's root, with `expected.toml` and
//! `expected.report`: what is to be written. They are written anew where `NWP_WRITE_EXPECTED` is
//! set.

mod apache;
mod command;
mod details;
mod hostile;
mod moving;
mod nginx;
mod rules;
mod sample;
mod side_by_side;
mod variables;
