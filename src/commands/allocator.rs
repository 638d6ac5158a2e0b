//! Memory that a burst has left behind goes back to the system.

use std::thread;
use std::time::Duration;

/// How often memory that is no longer used goes back to the system.
const INTERVAL: Duration = Duration::from_secs(20);

/// Has the memory that a burst has left behind go back.
///
/// mimalloc gives memory back in passing, while more is allocated, and when a thread ends. After a
/// burst nothing may happen for hours, so a thread ends now and then.
pub(super) fn tidy() {
    let tidying = || {
        loop {
            thread::sleep(INTERVAL);
            // Without a thread, the memory stays for the next burst.
            if let Ok(thread) = thread::Builder::new().spawn(|| ()) {
                let _ = thread.join();
            }
        }
    };
    let _ = thread::Builder::new().name("tidy".into()).spawn(tidying);
}
