//! How many files this process may have open: each connection is one, to a client as to an
//! application.

use crate::config::Config;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::warn;

/// Raises the limit as far as this process may: the usual soft limit is a tenth of
/// `limits.max_connections`.
pub(crate) fn raise_limit() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current < limit.maximum
        && let Err(error) = setrlimit(
            Resource::Nofile,
            Rlimit {
                current: limit.maximum,
                ..limit
            },
        )
    {
        warn!(event = "file_limit_failed", %error, "cannot raise the limit of open files");
    }
}

/// Why connections will be refused before `limits.max_connections` is reached, if they will.
pub(crate) fn shortage(config: &Config) -> Option<String> {
    shortage_of(
        config.limits.max_connections,
        getrlimit(Resource::Nofile).maximum,
    )
}

/// `limit` is the hard one, to which the soft one is raised; without it there is none.
fn shortage_of(max_connections: usize, limit: Option<u64>) -> Option<String> {
    // A few dozen for everything else make no difference.
    let needed = (max_connections as u64).saturating_mul(2);
    let limit = limit.filter(|limit| *limit < needed)?;
    Some(format!(
        "limits.max_connections = {max_connections} takes up to {needed} open files, one for each connection and one for \
         the application behind it, and a process started here may have {limit}: raise that (LimitNOFILE in a unit, \
         ulimit -n in a shell), or lower limits.max_connections"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_connection_needs_two() {
        for (limit, is_short) in [
            (None, false),
            (Some(20_000), false),
            (Some(19_999), true),
            (Some(0), true),
        ] {
            assert_eq!(shortage_of(10_000, limit).is_some(), is_short, "{limit:?}");
        }
    }
}
