//! `check`: a summary of a configuration, and the reachability of the servers it names.

mod reachability;
mod summary;

pub(super) use reachability::warnings;
pub use summary::describe;
