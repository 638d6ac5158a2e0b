//! The limit of open files: each connection to a client or to an upstream server is one.

use crate::config::Config;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::warn;

/// Raises the soft limit to the hard limit: the usual soft limit is a tenth of
/// `limits.max_connections`.
pub(crate) fn raise_limit() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current < limit.maximum
        && let Err(error) = setrlimit(Resource::Nofile, raised(limit))
    {
        warn!(event = "file_limit_failed", %error, "cannot raise the limit of open files");
    }
}

fn raised(limit: Rlimit) -> Rlimit {
    Rlimit {
        current: limit.maximum,
        ..limit
    }
}

/// Returns a warning if the limit is reached before `limits.max_connections` is.
pub(crate) fn shortage(config: &Config) -> Option<String> {
    shortage_of(
        config.limits.max_connections,
        getrlimit(Resource::Nofile).maximum,
    )
}

/// Checks the hard limit, to which the soft limit is raised; `None` is unlimited.
fn shortage_of(max_connections: usize, limit: Option<u64>) -> Option<String> {
    // The few dozen files for everything else make no difference.
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
