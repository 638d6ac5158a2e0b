//! The power of a disk is cut. What was acknowledged before is delivered after the restart.

use super::{Alert, PROGRAM, config, copy_of, is_sound, kill, number, receives_all, run, sender};
use crate::support::{Disk, Origin, PATIENCE, Proxy, Sender, eventually, skip_unless_required};
use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

/// The number of cuts; more of them by this variable.
const CUTS: usize = 6;
const CUTS_VARIABLE: &str = "NWP_POWER_CUTS";

/// Commits one row after the other, and prints a line for each.
const WRITER: &str = "import sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute('pragma journal_mode = wal')
database.execute('pragma synchronous = full')
database.execute('pragma wal_autocheckpoint = 0')
database.execute('create table t (i)')
database.execute('pragma synchronous = ' + sys.argv[2])
for i in range(10**9):
    database.execute('insert into t values (?)', (i,))
    print(i, flush=True)
";

fn disk() -> Option<Disk> {
    let disk = Disk::ext4(192);
    let missing = "the power of a disk cannot be cut here";
    if let Err(error) = &disk {
        skip_unless_required("NWP_REQUIRE_POWER_CUT", &format!("{missing}: {error}"));
    }
    disk.ok()
}

#[test]
fn what_was_acknowledged_before_a_power_cut_is_delivered() {
    let Some(disk) = disk() else {
        return;
    };
    let origin = Origin::spawn_apart();
    let config = config(&origin, &disk.path("queue.db"), "queue");
    let mut alerts: Vec<_> = (0..4).map(|node| Alert::of(format!("n{node}"))).collect();
    let mut acknowledged = Vec::new();
    let (cuts, started) = (number(CUTS_VARIABLE, CUTS), Instant::now());
    for cut in 0..cuts {
        let proxy = run(disk.command(PROGRAM), &config);
        assert_eq!(proxy.events("queue_damaged"), [""; 0]);
        receives_all(&origin, &proxy, &acknowledged);
        // In turn, notifications are stored and deleted, or only stored.
        if cut % 2 == 0 {
            origin.stop();
        }
        // Far enough, from time to time, for the log to be written back into the file.
        let count = 20 + cut * 97 % 400;
        acknowledged.extend(store_until_cut(&disk, &proxy, &mut alerts, count));
        kill(proxy);
        disk.remount();
        if cut % 2 == 0 {
            origin.start();
        }
    }
    let proxy = run(disk.command(PROGRAM), &config);
    receives_all(&origin, &proxy, &acknowledged);
    kill(proxy);
    is_sound(&disk.path_from_here("queue.db"));
    let (count, elapsed) = (acknowledged.len(), started.elapsed());
    eprintln!("{count} acknowledged before {cuts} cuts, none lost, in {elapsed:.1?}");
}

/// Sends notifications, and cuts the power once `count` are acknowledged. Returns those that were
/// acknowledged before: the kernel may still answer a synchronisation that races with the cut with
/// success. Soon after it, nothing is acknowledged any longer.
fn store_until_cut(disk: &Disk, proxy: &Proxy, alerts: &mut [Alert], count: usize) -> Vec<String> {
    let (acknowledged, is_cut) = (Mutex::default(), AtomicBool::new(false));
    let (sender, switch) = (sender(proxy), disk.switch());
    thread::scope(|scope| {
        for alert in alerts {
            let (sender, acknowledged, is_cut) = (&sender, &acknowledged, &is_cut);
            scope.spawn(move || send(alert, sender, acknowledged, is_cut));
        }
        let before = eventually("acknowledgements", || {
            let acknowledged = acknowledged.lock().unwrap();
            (acknowledged.len() >= count).then(|| acknowledged.clone())
        });
        switch.cut();
        is_cut.store(true, Ordering::SeqCst);
        before
    })
}

/// Sends until the disk is gone, and the proxy with it or not.
fn send(
    alert: &mut Alert,
    sender: &Sender,
    acknowledged: &Mutex<Vec<String>>,
    is_cut: &AtomicBool,
) {
    let mut connection = sender.connect().unwrap();
    let mut deadline = None;
    while let Ok(Some(id)) = alert.post(&mut connection) {
        acknowledged.lock().unwrap().push(id);
        if is_cut.load(Ordering::SeqCst) {
            let deadline = *deadline.get_or_insert_with(|| Instant::now() + PATIENCE);
            assert!(Instant::now() < deadline, "acknowledged without a disk");
        }
    }
}

/// The cuts above take what is not on the disk yet: a writer that does not wait for it loses rows,
/// and one that does loses none.
#[test]
fn a_power_cut_takes_what_was_not_synchronised() {
    let Some(disk) = disk() else {
        return;
    };
    let cuts = number(CUTS_VARIABLE, CUTS);
    let lost = |synchronous| {
        let losses = (0..cuts).map(|cut| lose(&disk, synchronous, cut));
        losses.collect::<Vec<_>>()
    };
    let (safe, unsafe_losses) = (lost("full"), lost("normal"));
    eprintln!("lost rows of {cuts} cuts: full {safe:?}, normal {unsafe_losses:?}");
    assert_eq!(safe, vec![0; cuts]);
    let count = unsafe_losses.iter().filter(|lost| **lost > 0).count();
    assert!(count > cuts / 2, "{count} of {cuts} cuts cut something");
}

/// Cuts the power of a writer. Returns the number of acknowledged rows that are not there.
fn lose(disk: &Disk, synchronous: &str, cut: usize) -> usize {
    let name = format!("{synchronous}{cut}.db");
    let mut writer = disk.command("python3");
    writer.args(["-c", WRITER]).arg(disk.path(&name));
    let mut writer = writer
        .arg(synchronous)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(writer.stdout.take().unwrap()).lines();
    let (switch, acknowledged) = (disk.switch(), AtomicUsize::new(0));
    let before = thread::scope(|scope| {
        scope.spawn(|| {
            for _ in lines.map_while(Result::ok) {
                acknowledged.fetch_add(1, Ordering::SeqCst);
            }
        });
        let before = eventually("acknowledged rows", || {
            let count = acknowledged.load(Ordering::SeqCst);
            (count > cut * 137 % 900).then_some(count)
        });
        switch.cut();
        writer.kill().unwrap();
        before
    });
    writer.wait().unwrap();
    disk.remount();
    let (_directory, database) = copy_of(&disk.path_from_here(&name));
    let count: u32 = database
        .query_row("select count(*) from t", [], |row| row.get(0))
        .unwrap();
    before.saturating_sub(count as usize)
}
