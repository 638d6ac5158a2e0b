//! Single calls to the file of the queue fail: a library in front of the system's lets each of them
//! fail in turn.

use super::faulty_disk::{FaultyDisk, faults};
use super::{Alert, config, is_sound, kill, receives_all, run, sender, write_back};
use crate::queue::{queue_card, queue_status};
use crate::support::{Operator, Origin, PATIENCE, Proxy, eventually, is_event};
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

/// A proxy whose disk fails on demand.
struct Faulty {
    disk: FaultyDisk,
    origin: Origin,
    config: PathBuf,
}

impl Faulty {
    /// Returns `None` where nothing can stand in for the system's calls.
    fn new(delivery: &str) -> Option<Self> {
        let (disk, origin) = (FaultyDisk::new()?, Origin::spawn_apart());
        let config = config(&origin, &disk.file(), delivery);
        Some(Self {
            disk,
            origin,
            config,
        })
    }

    fn run(&self) -> Proxy {
        run(self.disk.command(super::PROGRAM), &self.config)
    }

    fn start(&self) -> Proxy {
        let mut command = self.disk.command(super::PROGRAM);
        command.args(["run", "--config"]).arg(&self.config);
        Proxy::run(command, &self.config)
    }
}

/// Lets each of the first calls of a kind fail, while notifications are stored and delivered. After
/// each, it works again; then the process is killed, and starts anew. Returns how many notifications
/// were refused.
fn fail_each(faulty: &Faulty, kind: &str) -> usize {
    let (mut alert, mut acknowledged, mut refused) = (Alert::of("n"), Vec::new(), 0);
    let faults = faults();
    for at in 1..=faults {
        let mut proxy = faulty.run();
        if at % 2 == 0 {
            faulty.origin.stop();
        }
        let mut connection = sender(&proxy).connect().unwrap();
        faulty.disk.arm(kind, at);
        let deadline = Instant::now() + PATIENCE;
        // One more after the failure, which is acknowledged, unless the process is gone.
        loop {
            let has_failed = faulty.disk.has_failed();
            match alert.post(&mut connection) {
                Ok(Some(id)) => {
                    acknowledged.push(id);
                    if has_failed {
                        break;
                    }
                }
                Ok(None) => refused += 1,
                Err(_) => break,
            }
            assert!(Instant::now() < deadline, "{kind} {at} does not fail");
        }
        match kind {
            "torn" => assert_eq!(proxy.wait().code(), None),
            _ => kill(proxy),
        }
        if at % 2 == 0 {
            faulty.origin.start();
        }
    }
    let proxy = faulty.run();
    receives_all(&faulty.origin, &proxy, &acknowledged);
    kill(proxy);
    is_sound(&faulty.disk.file());
    faulty.disk.nothing_is_set_aside();
    let count = acknowledged.len();
    eprintln!("{kind}: {count} acknowledged, {refused} refused, {faults} calls failed, none lost");
    refused
}

#[test]
fn a_synchronisation_that_fails_is_no_acknowledgement() {
    for kind in ["fsync", "lost"] {
        let Some(faulty) = Faulty::new("queue") else {
            return;
        };
        assert!(fail_each(&faulty, kind) > 0, "{kind}");
    }
}

/// What could not be synchronised is read as it was written, and is lost with the power. What is
/// acknowledged later must not depend on it: the log must have been written back before. Closing the
/// file writes it back as well, so that this has to fail, too.
#[test]
fn nothing_is_acknowledged_on_top_of_what_a_failed_synchronisation_has_left() {
    let Some(faulty) = Faulty::new("queue") else {
        return;
    };
    faulty.origin.stop();
    let (mut alert, mut acknowledged) = (Alert::of("n"), Vec::new());
    for failures in 1..=faults() {
        let mut proxy = faulty.run();
        let mut connection = sender(&proxy).connect().unwrap();
        for _ in 0..3 {
            acknowledged.extend(alert.post(&mut connection).unwrap());
        }
        faulty.disk.arm_several("forgotten", 1, failures);
        while !faulty.disk.has_failed() {
            acknowledged.extend(alert.post(&mut connection).unwrap());
        }
        for _ in 0..3 {
            acknowledged.extend(alert.post(&mut connection).unwrap());
        }
        faulty.disk.arm("cut", 1);
        assert!(alert.post(&mut connection).is_err(), "the power is on");
        proxy.wait();
    }
    let count = acknowledged.len();
    assert!(count >= 6 * faults(), "{count}");
    faulty.origin.start();
    let proxy = faulty.run();
    receives_all(&faulty.origin, &proxy, &acknowledged);
    faulty.disk.nothing_is_set_aside();
    eprintln!("{count} acknowledged around failures before a power cut, none lost");
}

#[test]
fn a_write_that_is_half_done_is_no_acknowledgement() {
    let Some(faulty) = Faulty::new("queue") else {
        return;
    };
    assert!(fail_each(&faulty, "pwrite") > 0);
}

#[test]
fn a_write_in_whose_middle_the_process_ends_loses_nothing_before_it() {
    let Some(faulty) = Faulty::new("queue") else {
        return;
    };
    fail_each(&faulty, "torn");
}

#[test]
fn a_start_during_which_a_call_fails_says_so_and_damages_nothing() {
    for kind in ["fsync", "pwrite", "pread"] {
        let Some(faulty) = Faulty::new("queue") else {
            return;
        };
        let mut alert = Alert::of("n");
        let acknowledged = store_while_down(&faulty, &mut alert, 20);
        // A start reads more than it writes.
        let calls = if kind == "pread" { 5 } else { 1 };
        for at in 1..=calls * faults() {
            faulty.disk.arm(kind, at);
            let mut proxy = faulty.start();
            is_ready_or_says_why(&mut proxy);
            faulty.disk.disarm();
            faulty.disk.nothing_is_set_aside();
        }
        faulty.origin.start();
        let proxy = faulty.run();
        receives_all(&faulty.origin, &proxy, &acknowledged);
    }
}

/// Stores notifications while the application is down, some of them in the log only, and kills the
/// proxy.
fn store_while_down(faulty: &Faulty, alert: &mut Alert, count: usize) -> Vec<String> {
    faulty.origin.stop();
    let proxy = faulty.run();
    let mut connection = sender(&proxy).connect().unwrap();
    let mut acknowledged = Vec::new();
    for state in 0..count {
        acknowledged.extend(alert.post(&mut connection).unwrap());
        if state == count / 2 {
            write_back(&faulty.disk.file());
        }
    }
    assert_eq!(acknowledged.len(), count);
    kill(proxy);
    acknowledged
}

#[track_caller]
fn is_ready_or_says_why(proxy: &mut Proxy) {
    let ended = eventually("a start, or its end", || {
        if proxy.log().iter().any(|line| is_event(line, "ready")) {
            return Some(None);
        }
        proxy.try_wait().map(Some)
    });
    if let Some(status) = ended {
        proxy.wait_for_log("queue.db");
        assert_eq!(status.code(), Some(1), "{:#?}", proxy.log());
    }
    let log = proxy.log().join("\n");
    assert!(!log.contains("panicked"), "{log}");
}

#[test]
fn a_read_that_fails_delays_a_delivery_and_loses_nothing() {
    let Some(faulty) = Faulty::new("queue") else {
        return;
    };
    // More than is kept in memory.
    let mut alert = Alert::of("n");
    alert.padding = 200_000;
    let acknowledged = store_while_down(&faulty, &mut alert, 30);
    let proxy = faulty.run();
    faulty.disk.arm("pread", 0);
    faulty.origin.start();
    proxy.wait_for_event("queue_unreadable");
    faulty.disk.disarm();
    receives_all(&faulty.origin, &proxy, &acknowledged);
}

/// A command of an operator is noticed although any of the reads fails that follow it.
#[test]
fn what_cannot_be_read_after_a_command_is_read_again() {
    let Some(faulty) = Faulty::new("queue") else {
        return;
    };
    faulty.origin.stop();
    let proxy = faulty.run();
    let operator = Operator::of(&proxy);
    let mut connection = sender(&proxy).connect().unwrap();
    let mut alert = Alert::of("n");
    for _ in 0..3 {
        alert.post(&mut connection).unwrap().unwrap();
    }
    let mut failures = 0;
    for at in 1..=2 * faults() {
        faulty.disk.arm("pread", at);
        let (command, parked) = match at % 2 {
            1 => ("park", 1.0),
            _ => ("retry", 0.0),
        };
        let mut queue = Command::new(super::PROGRAM);
        queue.args(["queue", command, "2", "--file"]);
        let output = queue.arg(faulty.disk.file()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let series = "queue_messages{route=\"/webhooks/netdata\",state=\"parked\"}";
        operator.wait_for(series, parked);
        failures += usize::from(faulty.disk.has_failed());
        faulty.disk.disarm();
    }
    assert!(failures > 0, "no read has failed");
    eprintln!("{failures} reads have failed after commands");
}

#[test]
fn a_disk_that_takes_nothing_for_a_while_is_reported_until_it_does() {
    let Some(faulty) = Faulty::new("queue") else {
        return;
    };
    let proxy = faulty.run();
    let (mut alert, operator) = (Alert::of("n"), Operator::of(&proxy));
    let mut connection = sender(&proxy).connect().unwrap();
    let mut post = || alert.post(&mut connection).unwrap();
    let first = post().unwrap();
    assert_eq!(operator.get("/readyz").status, 200);
    faulty.disk.arm("fsync", 0);
    for _ in 0..5 {
        assert_eq!(post(), None);
    }
    proxy.wait_for_event("queue_unwritable");
    let answer = operator.get("/readyz");
    assert_eq!(answer.status, 503, "{answer:?}");
    let page = operator.get("/").body;
    assert!(page.contains("The queue cannot be written"), "{page}");
    let problem = || queue_status(&operator)["problem"].take();
    let shown = problem().as_str().unwrap().to_owned();
    assert!(shown.contains("disk I/O error"), "{shown}");
    let card = queue_card(&operator);
    for part in ["The file", "cannot be written", &*shown] {
        assert!(card.contains(part), "{part}: {card}");
    }
    faulty.disk.disarm();
    // Without a notification that comes, too.
    proxy.wait_for_event("queue_writable");
    assert_eq!(operator.get("/readyz").status, 200);
    assert!(problem().is_null());
    assert!(!queue_card(&operator).contains("cannot be written"));
    let last = post().unwrap();
    receives_all(&faulty.origin, &proxy, &[first, last]);
    assert_eq!(proxy.events("queue_unwritable").len(), 1, "once a minute");
}

#[test]
fn an_application_that_is_up_gets_what_cannot_be_stored() {
    let Some(faulty) = Faulty::new("fallback") else {
        return;
    };
    let proxy = faulty.run();
    let sender = sender(&proxy);
    faulty.disk.arm("fsync", 0);
    for node in ["a", "b"] {
        let mut connection = sender.connect().unwrap();
        let id = Alert::of(node).post(&mut connection).unwrap().unwrap();
        receives_all(&faulty.origin, &proxy, &[id]);
    }
    // With both gone, there is nothing to acknowledge it for.
    faulty.origin.stop();
    let answer = sender.post(&crate::queue::alert("c", "0"));
    assert!(matches!(answer.status, 502 | 503), "{answer:?}");
    faulty.origin.start();
    // Neither is its application taken to be down: the next one is tried directly.
    let mut last = Alert::of("d");
    eventually("a delivery", || {
        last.post(&mut sender.connect().unwrap()).ok().flatten()
    });
}
