//! A control group with a bound on memory, as a container has one.

use super::skip;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

static COUNT: AtomicU32 = AtomicU32::new(0);

/// Where the groups of a version are, what it calls the controller in `/proc/self/cgroup`, and
/// the files that hold the bound and the number of processes that were ended for it.
const VERSIONS: [(&str, &str, &str, &str); 3] = [
    (
        "/sys/fs/cgroup/memory",
        "memory",
        "memory.limit_in_bytes",
        "memory.oom_control",
    ),
    ("/sys/fs/cgroup", "", "memory.max", "memory.events"),
    ("/sys/fs/cgroup/unified", "", "memory.max", "memory.events"),
];

/// A group below that of the tests. It is removed when this is dropped, by when nothing may run in
/// it.
pub(crate) struct Cgroup {
    path: PathBuf,
    events: &'static str,
}

impl Cgroup {
    /// A group that may have so many bytes; `None` where the machine does not let one be made.
    pub(crate) fn new(bytes: u64) -> Option<Self> {
        let membership = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let made = VERSIONS
            .iter()
            .find_map(|(root, controller, bound, events)| {
                let own = membership.lines().find_map(|line| {
                    let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
                    let is_it = controllers.split(',').any(|name| name == *controller);
                    is_it.then(|| Path::new(root).join(path.trim_start_matches('/')))
                })?;
                let number = COUNT.fetch_add(1, Ordering::Relaxed);
                let path = own.join(format!("nwp-test-{}-{number}", std::process::id()));
                fs::create_dir(&path).ok()?;
                let group = Self { path, events };
                // Where the controller is not enabled, there is no such file.
                fs::write(group.path.join(bound), bytes.to_string()).ok()?;
                Some(group)
            });
        if made.is_none() {
            skip("no control group with a bound on memory can be made here");
        }
        made
    }

    /// Runs `program` in the group, with the arguments that are to follow.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("sh");
        command
            .args(["-c", "echo $$ >\"$0\" && exec \"$@\""])
            .arg(self.path.join("cgroup.procs"))
            .arg(program);
        command
    }

    /// How many processes of the group the system has ended for want of memory.
    pub(crate) fn ended(&self) -> u64 {
        let events = fs::read_to_string(self.path.join(self.events)).unwrap();
        let count = events
            .lines()
            .find_map(|line| line.strip_prefix("oom_kill "));
        count.unwrap().parse().unwrap()
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // A process that has just ended may be in it for another moment.
        for _ in 0..100 {
            if fs::remove_dir(&self.path).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}
