//! Returns memory that a burst has left behind to the system.

use std::thread;
use std::time::Duration;

/// Interval at which unused memory is returned to the system.
const INTERVAL: Duration = Duration::from_secs(20);

/// Starts a thread that makes mimalloc return unused memory.
///
/// mimalloc returns memory while more is allocated, and when a thread ends. After a burst nothing
/// may be allocated for hours, so a thread ends at intervals.
pub(super) fn tidy() {
    let tidying = || {
        loop {
            thread::sleep(INTERVAL);
            // Ignore the error: the memory remains available for the next burst.
            if let Ok(thread) = thread::Builder::new().spawn(|| ()) {
                let _ = thread.join();
            }
        }
    };
    let _ = thread::Builder::new().name("tidy".into()).spawn(tidying);
}
