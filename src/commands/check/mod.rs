//! `check`: what a configuration would do, and what of it can be reached.

mod reachability;
mod summary;

pub(super) use reachability::warnings;
pub use summary::describe;
