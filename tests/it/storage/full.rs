//! The disk is full. New notifications are refused or delivered directly, those that wait are
//! delivered, and when there is room again, it goes on by itself.

use super::{Alert, PROGRAM, config, is_in_order, is_sound, kill, receives_all, run, sender};
use crate::queue::{drained, transitions};
use crate::support::{Disk, Operator, Origin, Proxy, eventually, skip};
use std::collections::HashSet;
use std::path::PathBuf;

/// Less than what is kept free.
const LITTLE: u64 = 40 << 20;

/// A proxy on a small disk.
struct Small {
    disk: Disk,
    origin: Origin,
    config: PathBuf,
}

impl Small {
    /// Returns `None` where there can be no disk.
    fn new(delivery: &str) -> Option<Self> {
        let disk = Disk::ext4(128).or_else(|_| Disk::tmpfs(128));
        if let Err(error) = &disk {
            skip(&format!("there can be no small disk here: {error}"));
        }
        let (disk, origin) = (disk.ok()?, Origin::spawn_apart());
        let config = config(&origin, &disk.path("queue.db"), delivery);
        Some(Self {
            disk,
            origin,
            config,
        })
    }

    fn run(&self) -> Proxy {
        run(self.disk.command(PROGRAM), &self.config)
    }

    /// Ends the proxy, and looks at what it leaves.
    fn is_sound(&self, proxy: Proxy) {
        drained(&Operator::of(&proxy));
        kill(proxy);
        is_sound(&self.disk.path_from_here("queue.db"));
        is_in_order(&self.origin);
    }
}

/// Posts one transition of each of so many alerts. Returns those that are acknowledged.
fn post_each(proxy: &Proxy, prefix: &str, count: usize) -> Vec<String> {
    let mut connection = sender(proxy).connect().unwrap();
    let alerts = (0..count).map(|node| Alert::of(format!("{prefix}{node}")));
    alerts
        .filter_map(|mut alert| alert.post(&mut connection).unwrap())
        .collect()
}

#[test]
fn a_disk_with_little_room_takes_no_more_until_there_is_some() {
    let Some(small) = Small::new("queue") else {
        return;
    };
    let proxy = small.run();
    small.origin.stop();
    let before = post_each(&proxy, "before", 20);
    assert_eq!(before.len(), 20);
    small.disk.fill(LITTLE);
    assert_eq!(post_each(&proxy, "meanwhile", 5), [""; 0]);
    let line = proxy.wait_for_event("queue_unwritable");
    assert!(line.contains("64 MiB"), "{line}");
    // What waits is delivered, and deleted.
    small.origin.start();
    receives_all(&small.origin, &proxy, &before);
    drained(&Operator::of(&proxy));
    small.disk.empty();
    proxy.wait_for_event("queue_writable");
    let after = post_each(&proxy, "after", 5);
    assert_eq!(after.len(), 5);
    receives_all(&small.origin, &proxy, &after);
    small.is_sound(proxy);
}

#[test]
fn a_full_disk_keeps_nothing_from_the_application() {
    let Some(small) = Small::new("queue") else {
        return;
    };
    let proxy = small.run();
    small.origin.stop();
    let acknowledged = post_each(&proxy, "n", 60);
    assert_eq!(acknowledged.len(), 60);
    small.disk.fill(0);
    assert_eq!(post_each(&proxy, "meanwhile", 5), [""; 0]);
    small.origin.start();
    receives_all(&small.origin, &proxy, &acknowledged);
    // That they are delivered cannot be written, and is not forgotten while the process runs.
    small.disk.empty();
    proxy.wait_for_event("queue_writable");
    drained(&Operator::of(&proxy));
    let received = small.origin.received();
    let known: HashSet<_> = transitions(&received).into_iter().collect();
    assert_eq!(received.len(), known.len(), "some came twice");
    small.is_sound(proxy);
}

#[test]
fn a_process_that_is_killed_on_a_full_disk_loses_nothing() {
    let Some(small) = Small::new("queue") else {
        return;
    };
    let proxy = small.run();
    small.origin.stop();
    let acknowledged = post_each(&proxy, "n", 60);
    small.disk.fill(0);
    small.origin.start();
    receives_all(&small.origin, &proxy, &acknowledged);
    kill(proxy);
    // It starts on a full disk, too, and sends again what it could not delete.
    let proxy = small.run();
    receives_all(&small.origin, &proxy, &acknowledged);
    small.disk.empty();
    small.is_sound(proxy);
}

#[test]
fn an_application_that_is_up_gets_what_the_disk_does_not_take() {
    let Some(small) = Small::new("fallback") else {
        return;
    };
    let proxy = small.run();
    small.origin.stop();
    assert_eq!(post_each(&proxy, "stored", 1), ["stored0-0"]);
    small.disk.fill(0);
    small.origin.start();
    let sender = sender(&proxy);
    let direct = eventually("a direct delivery", || {
        Alert::of("direct")
            .post(&mut sender.connect().unwrap())
            .ok()?
    });
    receives_all(&small.origin, &proxy, &[direct, "stored0-0".into()]);
    let direct = post_each(&proxy, "more", 20);
    assert_eq!(direct.len(), 20);
    small.disk.empty();
    small.is_sound(proxy);
}
