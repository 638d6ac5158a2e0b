//! What the process takes, from `/proc`.

use std::fmt;
use std::fs;

/// A sample.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// Resident bytes.
    pub(crate) memory: u64,
    pub(crate) descriptors: u64,
    pub(crate) threads: u64,
}

/// Memory that may be kept for the next burst.
const SLACK: u64 = 24 << 20;

/// Connections to the application that wait in its pool.
const POOLED: u64 = 48;

impl Usage {
    pub(crate) fn of(process: u32) -> Self {
        let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
        let field = |name: &str| -> u64 {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|line| line.split_whitespace().next()?.parse().ok())
                .unwrap_or_default()
        };
        Self {
            memory: field("VmRSS:") * 1024,
            threads: field("Threads:"),
            descriptors: fs::read_dir(format!("/proc/{process}/fd"))
                .map_or(0, |open| open.count() as u64),
        }
    }

    pub(crate) fn mean(samples: &[Self]) -> Self {
        let count = samples.len().max(1) as u64;
        let mean = |of: fn(&Self) -> u64| samples.iter().map(of).sum::<u64>() / count;
        Self {
            memory: mean(|s| s.memory),
            descriptors: mean(|s| s.descriptors),
            threads: mean(|s| s.threads),
        }
    }

    /// Whether nothing is left of what came after `before`.
    pub(crate) fn is_about(&self, before: &Self) -> bool {
        self.memory <= before.memory + SLACK
            && self.descriptors <= before.descriptors + POOLED
            && self.threads <= before.threads
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            memory,
            descriptors,
            threads,
        } = self;
        write!(
            f,
            "{:.1} MiB, {descriptors} descriptors, {threads} threads",
            *memory as f64 / f64::from(1 << 20)
        )
    }
}
