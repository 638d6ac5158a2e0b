//! Disks that are full, and disks that lose their power. Both need a file system of their own, and
//! hence root.

use super::faults::compile;
use super::{alert, config, drained, transitions};
use crate::support::{Operator, Origin, PATIENCE, Pki, Proxy, Sender, eventually, skip, succeed};
use std::collections::HashSet;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use tempfile::TempDir;

/// The number of power cuts; more of them by this variable.
const CUTS: usize = 3;
const CUTS_VARIABLE: &str = "NWP_POWER_CUTS";

const PROGRAM: &str = env!("CARGO_BIN_EXE_netdata-webhook-proxy");

/// Returns `true` if this test can mount file systems, in a namespace of its own.
fn can_mount() -> bool {
    let mounts = "mount -t tmpfs none /tmp";
    let tried = Command::new("unshare")
        .args(["-m", "sh", "-c", mounts])
        .output();
    let can =
        rustix::process::geteuid().is_root() && tried.is_ok_and(|output| output.status.success());
    if !can {
        skip("mounting needs root");
    }
    can
}

/// Returns a command that runs what follows with `mount` mounted where only it sees it.
fn with_mount(mount: &str) -> Command {
    let mut command = Command::new("unshare");
    command.args(["-m", "--propagation", "private", "sh", "-c"]);
    command.arg(format!("{mount} && exec \"$@\"")).arg("sh");
    command
}

/// Returns a command that runs what follows where the process `id` sees its mounts.
fn beside(id: u32) -> Command {
    let mut command = Command::new("nsenter");
    command.args(["-m", "-t", &id.to_string(), "--"]);
    command
}

fn run(mut command: Command, config: &Path) -> Proxy {
    command.args([PROGRAM, "run", "--config"]).arg(config);
    let proxy = Proxy::run(command, config);
    proxy.wait_for_event("ready");
    proxy
}

#[test]
fn a_full_disk_refuses_and_recovers_and_loses_nothing() {
    if !can_mount() {
        return;
    }
    let (directory, origin) = (tempfile::tempdir().unwrap(), Origin::spawn_apart());
    let path = Proxy::write(Pki::shared(), &config(&origin, &directory, "fallback", ""));
    let mount = format!(
        "mount -t tmpfs -o size=80m none {}",
        directory.path().display()
    );
    let proxy = run(with_mount(&mount), &path);
    let sender = Sender::to(&proxy, Some(&Pki::shared().netdata()));
    let operator = Operator::of(&proxy);
    let filler = directory.path().join("filler");
    let fill = |mebibytes: &str| {
        let mut dd = beside(proxy.id());
        dd.args(["dd", "if=/dev/zero", "bs=1M", &format!("count={mebibytes}")]);
        // It ends with an error when the disk is full.
        let _ = dd.arg(format!("of={}", filler.display())).output().unwrap();
    };
    origin.stop();
    assert_eq!(sender.post(&alert("n", "critical")).status, 202);
    // Less than is kept free: what is to be stored behind another is refused.
    fill("30");
    sender
        .post(&alert("n", "clear"))
        .refuses(503, "queue_failed");
    let line = proxy.wait_for_event("queue_unwritable");
    assert!(line.contains("64 MiB"), "{line}");
    // What nothing waits for is tried directly.
    origin.start();
    assert_eq!(sender.post(&alert("m", "critical")).status, 200);
    eventually("the one that waits", || {
        (origin.received().len() >= 2).then_some(())
    });
    // Full: what is delivered cannot even be deleted.
    origin.stop();
    let mut remove = beside(proxy.id());
    succeed(remove.arg("rm").arg(&filler));
    for state in 0..5 {
        assert_eq!(sender.post(&alert("k", &state.to_string())).status, 202);
    }
    fill("200");
    origin.start();
    eventually("what waits", || {
        (origin.received().len() >= 7).then_some(())
    });
    let mut remove = beside(proxy.id());
    succeed(remove.arg("rm").arg(&filler));
    drained(&operator);
    // What could not be deleted is deleted then.
    eventually("an empty file", || {
        let mut list = beside(proxy.id());
        list.args([PROGRAM, "queue", "list", "--file"]);
        let list = list
            .arg(directory.path().join("queue.db"))
            .output()
            .unwrap();
        let list = String::from_utf8_lossy(&list.stdout).into_owned();
        list.contains("Nothing waits").then_some(())
    });
    let received = origin.received();
    let of_k: Vec<_> = transitions(&received)
        .into_iter()
        .filter(|state| state.starts_with('k'))
        .collect();
    assert_eq!(of_k, ["k-0", "k-1", "k-2", "k-3", "k-4"]);
}

/// An ext4 file system on a loop device.
struct Disk {
    directory: TempDir,
    device: String,
    cut: PathBuf,
}

impl Disk {
    /// Returns `None` where there can be none.
    fn new(tools: &TempDir) -> Option<Self> {
        if !can_mount() {
            return None;
        }
        let cut = compile(tools, include_str!("cut.c"), &[])?;
        let image = tools.path().join("image");
        let file = std::fs::File::create(&image).unwrap();
        file.set_len(256 << 20).unwrap();
        let attached = Command::new("losetup")
            .args(["-f", "--show"])
            .arg(&image)
            .output();
        let Some(attached) = attached.ok().filter(|output| output.status.success()) else {
            skip("there is no loop device");
            return None;
        };
        let device = String::from_utf8(attached.stdout)
            .unwrap()
            .trim()
            .to_owned();
        succeed(Command::new("mkfs.ext4").args(["-q", &device]));
        let directory = tempfile::tempdir().unwrap();
        Some(Self {
            directory,
            device,
            cut,
        })
    }

    fn mounted(&self) -> Command {
        with_mount(&format!(
            "mount {} {}",
            self.device,
            self.directory.path().display()
        ))
    }

    /// Cuts the power of the disk that the process `id` uses.
    fn cut(&self, id: u32) {
        succeed(beside(id).arg(&self.cut).arg(self.directory.path()));
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("losetup").args(["-d", &self.device]).output();
    }
}

fn cuts() -> usize {
    let more = std::env::var(CUTS_VARIABLE).ok();
    more.map_or(CUTS, |text| text.parse().unwrap())
}

#[test]
fn a_power_cut_loses_nothing_that_was_acknowledged() {
    let tools = tempfile::tempdir().unwrap();
    let Some(disk) = Disk::new(&tools) else {
        return;
    };
    let origin = Origin::spawn_apart();
    origin.stop();
    let path = Proxy::write(
        Pki::shared(),
        &config(&origin, &disk.directory, "queue", ""),
    );
    let mut promised = Vec::new();
    for round in 0..cuts() {
        let proxy = run(disk.mounted(), &path);
        promised.extend(send_until_cut(&disk, &proxy, round));
        proxy.signal("KILL");
    }
    origin.start();
    let proxy = run(disk.mounted(), &path);
    let deadline = std::time::Instant::now() + 4 * PATIENCE;
    let mut missing = promised.len();
    while missing > 0 {
        let received = origin.received();
        let known: HashSet<_> = transitions(&received).into_iter().collect();
        missing = promised
            .iter()
            .filter(|state| !known.contains(state.as_str()))
            .count();
        let waits = std::time::Instant::now() < deadline;
        assert!(
            waits,
            "{missing} of {} are lost\n{}",
            promised.len(),
            proxy.log().join("\n")
        );
        thread::sleep(std::time::Duration::from_millis(50));
    }
    eprintln!(
        "{} acknowledged before {} cuts, none lost",
        promised.len(),
        cuts()
    );
}

/// Sends notifications, and cuts the power while they are stored. Returns those that were
/// acknowledged before: a later acknowledgement may race with the cut, in the kernel.
fn send_until_cut(disk: &Disk, proxy: &Proxy, round: usize) -> Vec<String> {
    let sender = Sender::to(proxy, Some(&Pki::shared().netdata()));
    let (acknowledged, is_over) = (Mutex::new(Vec::new()), AtomicBool::new(false));
    thread::scope(|scope| {
        for node in 0..4 {
            let (acknowledged, is_over, sender) = (&acknowledged, &is_over, &sender);
            scope.spawn(move || {
                let mut connection = sender.connect().unwrap();
                for state in 0.. {
                    let (node, state) = (format!("r{round}n{node}"), state.to_string());
                    let answer = connection.post(&alert(&node, &state));
                    match answer {
                        Ok(answer) if answer.status == 202 => {
                            acknowledged.lock().unwrap().push(format!("{node}-{state}"))
                        }
                        _ => return,
                    }
                    if is_over.load(Ordering::SeqCst) {
                        return;
                    }
                }
            });
        }
        eventually("acknowledged notifications", || {
            (acknowledged.lock().unwrap().len() > 40 + round * 13 % 100).then_some(())
        });
        let before = acknowledged.lock().unwrap().clone();
        disk.cut(proxy.id());
        is_over.store(true, Ordering::SeqCst);
        proxy.signal("KILL");
        before
    })
}

/// The number of cuts of which one must lose what was not synchronised.
const CONTROL_CUTS: usize = 30;

/// The harness notices a store that acknowledges what is not on the disk yet.
#[test]
fn a_power_cut_takes_what_was_not_synchronised() {
    const WRITER: &str = "
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute('pragma journal_mode = wal')
db.execute('pragma synchronous = full')
db.execute('create table t (i)')
db.execute('pragma synchronous = normal')
for i in range(1000000):
    db.execute('insert into t values (?)', (i,))
    try: print(i, flush=True)
    except BrokenPipeError: pass
";
    const COUNT: &str = "import sqlite3, sys; print(sqlite3.connect(sys.argv[1]).execute('select count(*) from t').fetchone()[0])";
    if Command::new("python3").arg("--version").output().is_err() {
        return skip("python3 is not installed");
    }
    let tools = tempfile::tempdir().unwrap();
    let Some(disk) = Disk::new(&tools) else {
        return;
    };
    // Whether anything is lost depends on when the system writes by itself.
    let has_lost = (0..CONTROL_CUTS).any(|round| {
        let file = disk.directory.path().join(format!("control{round}.db"));
        let mut writer = disk.mounted();
        writer.args(["python3", "-c", WRITER]).arg(&file);
        let mut writer = writer
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(writer.stdout.take().unwrap()).lines();
        let acknowledged = lines.take(200).count();
        disk.cut(writer.id());
        writer.kill().unwrap();
        writer.wait().unwrap();
        let mut count = disk.mounted();
        let counted = count.args(["python3", "-c", COUNT]).arg(&file).output();
        let counted = String::from_utf8(counted.unwrap().stdout).unwrap();
        // A file of which not even the table is left has lost everything.
        counted.trim().parse().unwrap_or(0) < acknowledged
    });
    assert!(has_lost, "{CONTROL_CUTS} cuts cut nothing");
}
