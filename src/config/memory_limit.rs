//! Finds out how much memory this process may have, before the system ends it.

use rustix::process::{Resource, getrlimit};
use std::path::Path;

/// Places where the system says how cgroups are limited: version 2 where it is alone, and beside
/// version 1; version 1.
const ROOTS: [(&str, &str, &str); 3] = [
    ("", "/sys/fs/cgroup", "memory.max"),
    ("", "/sys/fs/cgroup/unified", "memory.max"),
    ("memory", "/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
];

/// Returns the least of what its cgroups, its address space and the machine allow, in bytes.
pub(crate) fn memory_limit() -> Option<u64> {
    let membership = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let of_cgroups = ROOTS.iter().filter_map(|(controller, root, file)| {
        limit_of_cgroups(&membership, controller, Path::new(root), file)
    });
    let info = rustix::system::sysinfo();
    // It is a number of 32 bits on some machines.
    #[allow(clippy::useless_conversion)]
    let units = u64::try_from(info.totalram).ok();
    let of_machine = units.and_then(|units| units.checked_mul(u64::from(info.mem_unit)));
    of_cgroups
        .chain(getrlimit(Resource::As).current)
        .chain(of_machine)
        .min()
}

/// Returns the least limit of a cgroup and of those around it. In a container, the names of those
/// outside lead nowhere, and the root is its own.
fn limit_of_cgroups(membership: &str, controller: &str, root: &Path, file: &str) -> Option<u64> {
    // `hierarchy:controllers:path`; version 2 has no controllers.
    let path = membership.lines().find_map(|line| {
        let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
        controllers
            .split(',')
            .any(|name| name == controller)
            .then_some(path)
    })?;
    let inner = root.join(path.trim_start_matches('/'));
    let around = inner
        .ancestors()
        .take_while(|directory| directory.starts_with(root));
    // Where there is no limit, version 2 says `max`.
    around
        .filter_map(|directory| {
            std::fs::read_to_string(directory.join(file))
                .ok()?
                .trim()
                .parse()
                .ok()
        })
        .min()
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
