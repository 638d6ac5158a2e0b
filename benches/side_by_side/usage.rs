//! What a process and its children cost, from `/proc`.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

/// The CPU time of a tree of processes, up to a moment at which it was idle.
pub(crate) struct Cpu {
    /// Of each thread, in nanoseconds.
    threads: BTreeMap<u32, u64>,
    /// Of everything, threads that have ended included, but rounded to ticks.
    ticks: u64,
}

/// `USER_HZ`, which is the same on every Linux.
const TICK: Duration = Duration::from_millis(10);

impl Cpu {
    pub(crate) fn of(root: u32) -> Self {
        let mut cpu = Self {
            threads: BTreeMap::new(),
            ticks: 0,
        };
        for process in tree(root) {
            // The fields behind the name: utime, stime, cutime and cstime are 12th to 15th.
            cpu.ticks += (11..15)
                .map(|field| stat(process, field).unwrap_or_default())
                .sum::<u64>();
            for thread in numbers(&format!("/proc/{process}/task")) {
                let run = fs::read_to_string(format!("/proc/{process}/task/{thread}/schedstat"))
                    .unwrap_or_default();
                let run = run.split(' ').next().and_then(|run| run.parse().ok());
                cpu.threads.insert(thread, run.unwrap_or_default());
            }
        }
        cpu
    }

    /// What was spent since `earlier`.
    pub(crate) fn since(&self, earlier: &Self) -> Duration {
        let spent = |thread: &u32| {
            Some(
                self.threads
                    .get(thread)?
                    .saturating_sub(earlier.threads[thread]),
            )
        };
        let old: Option<u64> = earlier.threads.keys().map(spent).sum();
        let new: u64 = self
            .threads
            .iter()
            .filter(|(id, _)| !earlier.threads.contains_key(id))
            .map(|(_, run)| run)
            .sum();
        match old {
            Some(old) if old + new > 0 => Duration::from_nanos(old + new),
            // A thread has ended and taken its account along, or the kernel keeps none.
            _ => TICK * u32::try_from(self.ticks.saturating_sub(earlier.ticks)).unwrap_or(u32::MAX),
        }
    }
}

/// The memory of a tree of processes in bytes, what they share counted once (PSS).
pub(crate) fn memory(root: u32) -> u64 {
    let of = |process: u32| {
        let rollup = fs::read_to_string(format!("/proc/{process}/smaps_rollup")).ok()?;
        let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
        line.trim().strip_suffix(" kB")?.parse::<u64>().ok()
    };
    tree(root).into_iter().filter_map(of).sum::<u64>() * 1024
}

/// A process and everything below it.
fn tree(root: u32) -> Vec<u32> {
    let parents: Vec<(u32, u64)> = numbers("/proc")
        .into_iter()
        .filter_map(|process| Some((process, stat(process, 1)?)))
        .collect();
    let mut tree = vec![root];
    let mut next = 0;
    while let Some(&parent) = tree.get(next) {
        tree.extend(
            parents
                .iter()
                .filter(|(_, of)| *of == u64::from(parent))
                .map(|(process, _)| process),
        );
        next += 1;
    }
    tree
}

/// A field of `/proc/PID/stat`, counted from the one behind the name.
fn stat(process: u32, field: usize) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name may hold anything.
    let (_, fields) = stat.rsplit_once(") ")?;
    fields.split(' ').nth(field)?.parse().ok()
}

/// The entries of a directory that are numbers.
fn numbers(directory: &str) -> Vec<u32> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}
