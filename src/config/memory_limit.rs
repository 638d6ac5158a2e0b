//! Finds the amount of memory that the process may use before the system ends it.

use rustix::process::{Resource, getrlimit};
use std::path::Path;

/// The files with the limits of cgroups: of version 2, alone and beside version 1, and of version 1.
const ROOTS: [(&str, &str, &str); 3] = [
    ("", "/sys/fs/cgroup", "memory.max"),
    ("", "/sys/fs/cgroup/unified", "memory.max"),
    ("memory", "/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
];

/// Returns the smallest of the limits of its cgroups, its address space and the machine, in bytes.
pub(crate) fn memory_limit() -> Option<u64> {
    let membership = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let of_cgroups = ROOTS.iter().filter_map(|(controller, root, file)| {
        limit_of_cgroups(&membership, controller, Path::new(root), file)
    });
    of_cgroups
        .chain(getrlimit(Resource::As).current)
        .chain(memory_of_machine())
        .min()
}

fn memory_of_machine() -> Option<u64> {
    let info = rustix::system::sysinfo();
    // It is a number of 32 bits on some machines.
    #[allow(clippy::useless_conversion)]
    let units = u64::try_from(info.totalram).ok()?;
    units.checked_mul(u64::from(info.mem_unit))
}

/// Returns the least limit of a cgroup and of those around it. In a container, the names of those
/// outside lead nowhere, and the root is its own.
fn limit_of_cgroups(membership: &str, controller: &str, root: &Path, file: &str) -> Option<u64> {
    let mut lines = membership.lines();
    let path = lines.find_map(|line| path_in_hierarchy(line, controller))?;
    let inner = root.join(path.trim_start_matches('/'));
    let ancestors = inner.ancestors();
    let around = ancestors.take_while(|directory| directory.starts_with(root));
    around
        .filter_map(|directory| limit_in(&directory.join(file)))
        .min()
}

/// Returns the path in `hierarchy:controllers:path`, if the controller is one of these; version 2
/// has none.
fn path_in_hierarchy<'l>(line: &'l str, controller: &str) -> Option<&'l str> {
    let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
    let mut controllers = controllers.split(',');
    controllers.any(|name| name == controller).then_some(path)
}

/// Reads a limit. Where there is none, version 2 says `max`.
fn limit_in(file: &Path) -> Option<u64> {
    std::fs::read_to_string(file).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_limit_counts() {
        let root = tempfile::tempdir().unwrap();
        let write = |directory: &str, file: &str, text: &str| {
            let directory = root.path().join(directory);
            std::fs::create_dir_all(&directory).unwrap();
            std::fs::write(directory.join(file), text).unwrap();
        };
        let (v1, v2) = (("memory", "memory.limit_in_bytes"), ("", "memory.max"));
        write("a/b", "memory.max", "max\n");
        write("a", "memory.max", "134217728\n");
        write("c", "memory.max", "max\n");
        write("d/e", "memory.limit_in_bytes", "1000\n");
        write("d", "memory.limit_in_bytes", "9223372036854771712\n");
        write("f", "memory.max", "nonsense\n");
        for ((controller, file), membership, expected) in [
            (v2, "0::/a/b\n", Some(134_217_728)),
            (v2, "0::/a\n", Some(134_217_728)),
            (v2, "1:cpu,memory:/d/e\n0::/a/b\n", Some(134_217_728)),
            (v2, "0::/c\n", None),
            (v2, "0::/f\n", None),
            (v2, "0::/not/here\n", None),
            (v2, "0::/../../etc\n", None),
            (v2, "1:memory:/d/e\n", None),
            (v2, "", None),
            (v1, "2:cpu:/\n4:cpuset,memory:/d/e\n", Some(1000)),
            (v1, "4:memory:/d\n", Some(9_223_372_036_854_771_712)),
            (v1, "0::/a/b\n", None),
            (v1, "4:memoryx:/d/e\n", None),
        ] {
            assert_eq!(
                limit_of_cgroups(membership, controller, root.path(), file),
                expected,
                "{membership:?}"
            );
        }
        // In a container, only the root can be seen.
        write("", "memory.max", "4096\n");
        for membership in ["0::/\n", "0::/docker/abc\n", "0::/a/b\n"] {
            assert_eq!(
                limit_of_cgroups(membership, "", root.path(), "memory.max"),
                Some(4096),
                "{membership:?}"
            );
        }
    }

    #[test]
    fn this_machine_has_a_limit() {
        assert!(
            memory_limit().is_some_and(|limit| limit > 1 << 20),
            "{:?}",
            memory_limit()
        );
    }
}
