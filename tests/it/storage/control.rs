//! What the rule of the store is worth: after a synchronisation that failed, nothing is acknowledged
//! before the log has been written back. A writer without it loses what it acknowledges, on the same
//! disk on which one with it loses nothing.

use super::copy_of;
use super::faulty_disk::{FaultyDisk, faults};
use rusqlite::Connection;
use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::path::Path;
use std::process::{Child, ChildStderr, Stdio};

/// The variables that make a process of this program a writer: its file, and whether it keeps the
/// rule.
const FILE: &str = "NWP_WRITER_FILE";
const RULE: &str = "NWP_WRITER_RULE";

/// The rows that are written before a failure, and after it.
const ROWS: usize = 3;

#[test]
fn a_writer_without_the_rule_loses_what_it_acknowledges() {
    if let Some(file) = std::env::var_os(FILE) {
        return be_writer(Path::new(&file), std::env::var_os(RULE).as_deref());
    }
    let lost = |rule| {
        let losses = (1..=faults()).map(|failures| Some(lose(&FaultyDisk::new()?, rule, failures)));
        losses.collect::<Option<Vec<_>>>()
    };
    let (Some(without), Some(with)) = (lost("none"), lost("kept")) else {
        return;
    };
    eprintln!("lost rows by failures in a row: without the rule {without:?}, with it {with:?}");
    assert_eq!(with, vec![0; faults()]);
    // Every other time, closing the file does not write the log back, either.
    let mut losses = without.iter().skip(1).step_by(2);
    assert!(losses.all(|lost| *lost > 0), "{without:?}");
}

/// Has rows written around `failures` synchronisations in a row that fail, and cuts the power.
/// Returns the number of acknowledged rows that are not there.
fn lose(disk: &FaultyDisk, rule: &str, failures: usize) -> usize {
    let table = "pragma journal_mode = wal; create table t (row)";
    let database = Connection::open(disk.file()).unwrap();
    database.execute_batch(table).unwrap();
    drop(database);
    let mut writer = Writer::start(disk, rule);
    let mut acknowledged = 0;
    let mut write = |count| acknowledged += (0..count).filter(|_| writer.writes()).count();
    write(ROWS);
    disk.arm_several("forgotten", 1, failures);
    while !disk.has_failed() {
        write(1);
    }
    write(ROWS);
    disk.arm("cut", 1);
    assert_eq!(writer.asks(), None, "the power is on");
    writer.process.wait().unwrap();
    let (_directory, database) = copy_of(&disk.file());
    let count = database.query_row("select count(*) from t", [], |row| row.get::<_, u32>(0));
    acknowledged.saturating_sub(count.unwrap() as usize)
}

/// A process that writes a row for each line that it gets, and says whether it did.
struct Writer {
    process: Child,
    answers: Lines<BufReader<ChildStderr>>,
}

impl Writer {
    fn start(disk: &FaultyDisk, rule: &str) -> Self {
        let mut command = disk.command(std::env::current_exe().unwrap());
        let test = "storage::control::a_writer_without_the_rule_loses_what_it_acknowledges";
        command.args(["--exact", test, "--nocapture"]);
        command.env(FILE, disk.file()).env(RULE, rule);
        command.stdin(Stdio::piped()).stdout(Stdio::null());
        let mut process = command.stderr(Stdio::piped()).spawn().unwrap();
        let answers = BufReader::new(process.stderr.take().unwrap()).lines();
        Self { process, answers }
    }

    /// Returns the answer to a line; none if it has ended.
    fn asks(&mut self) -> Option<String> {
        let asked = self.process.stdin.as_mut().unwrap().write_all(b"\n");
        asked.and_then(|()| self.answers.next().transpose()).ok()?
    }

    /// Returns `true` if it has written a row.
    fn writes(&mut self) -> bool {
        self.asks().expect("it runs") == "written"
    }
}

/// Writes a row for each line of standard input. After an error, it opens the file again, as the
/// store does.
fn be_writer(file: &Path, rule: Option<&OsStr>) {
    let is_kept = rule == Some(OsStr::new("kept"));
    let (mut database, mut is_in_doubt) = (open(file), false);
    for _ in std::io::stdin().lines() {
        let written = match is_in_doubt && is_kept {
            true => write_back(&database),
            false => Ok(()),
        };
        let written = written.and_then(|()| database.execute("insert into t values (1)", []));
        is_in_doubt = written.is_err();
        if is_in_doubt {
            drop(database);
            database = open(file);
        }
        eprintln!("{}", if is_in_doubt { "refused" } else { "written" });
    }
}

fn open(file: &Path) -> Connection {
    let database = Connection::open(file).unwrap();
    database.pragma_update(None, "synchronous", "full").unwrap();
    database
}

fn write_back(database: &Connection) -> rusqlite::Result<()> {
    let write_back = "pragma wal_checkpoint(truncate)";
    database
        .query_row(write_back, [], |row| row.get(0))
        .map(|_: bool| ())
}
