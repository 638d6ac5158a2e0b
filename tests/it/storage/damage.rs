//! Files of a queue that are damaged, incomplete, or of something else: the proxy starts and serves,
//! deletes nothing, and says what it has set aside; or it does not start, and changes nothing.

use super::{Alert, PROGRAM, config, kill, run, sender, set_aside, write_back};
use crate::support::{Operator, Origin, Proxy, eventually, finish};
use rusqlite::Connection;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use tempfile::TempDir;

/// The number of notifications in the file, and as many again in its log.
const HALF: usize = 8;

const FILES: [&str; 3] = ["queue.db", "queue.db-wal", "queue.db-shm"];

/// The files of a proxy that was killed.
static KILLED: LazyLock<BTreeMap<&str, Vec<u8>>> = LazyLock::new(|| {
    let (directory, origin) = (tempfile::tempdir().unwrap(), Origin::spawn_apart());
    origin.stop();
    let file = directory.path().join("queue.db");
    let proxy = run(Command::new(PROGRAM), &config(&origin, &file, "queue"));
    for half in ["file", "log"] {
        for node in 0..HALF {
            let mut alert = Alert::of(format!("{half}{node}"));
            let mut connection = sender(&proxy).connect().unwrap();
            assert!(alert.post(&mut connection).unwrap().is_some());
        }
        if half == "file" {
            write_back(&file);
        }
    }
    // Before it is killed, so that no attempt is recorded meanwhile.
    proxy.signal("STOP");
    let read = |name| (name, fs::read(directory.path().join(name)).unwrap());
    FILES.map(read).into()
});

/// A proxy that starts on such files, some of them damaged.
struct Scene {
    directory: TempDir,
    origin: Origin,
    config: PathBuf,
    before: BTreeMap<&'static str, Vec<u8>>,
}

impl Scene {
    fn new(damage: impl FnOnce(&Path)) -> Self {
        // What a disk has made of a notification, no strict application takes.
        let (directory, origin) = (
            tempfile::tempdir().unwrap(),
            Origin::spawn_apart().lenient(),
        );
        for (name, bytes) in &*KILLED {
            fs::write(directory.path().join(name), bytes).unwrap();
        }
        damage(directory.path());
        let config = config(&origin, &directory.path().join("queue.db"), "queue");
        let mut scene = Self {
            directory,
            origin,
            config,
            before: BTreeMap::new(),
        };
        scene.before = scene.files();
        scene
    }

    fn files(&self) -> BTreeMap<&'static str, Vec<u8>> {
        let read = |name| Some((name, fs::read(self.directory.path().join(name)).ok()?));
        FILES.into_iter().filter_map(read).collect()
    }

    /// Starts the proxy, which stores and delivers a new one. Returns `true` if it has set the files
    /// aside, as they were.
    #[track_caller]
    fn serves(&self) -> bool {
        let proxy = run(Command::new(PROGRAM), &self.config);
        let aside = set_aside(self.directory.path());
        let lines = proxy.events("queue_damaged");
        if let Some(file) = aside.first() {
            let file = file.to_str().unwrap();
            let [line] = &lines[..] else {
                panic!("{lines:?}");
            };
            let recover = format!("sqlite3 {file} .dump");
            assert!(line.contains(&recover), "{line}");
            let page = Operator::of(&proxy).get("/").body;
            assert!(page.contains(file), "{page}");
            let mut kept: Vec<_> = aside.iter().map(|path| fs::read(path).unwrap()).collect();
            kept.retain(|bytes| !bytes.is_empty());
            let log = self.before.get("queue.db-wal").filter(|it| !it.is_empty());
            let expected: Vec<_> = self.before.get("queue.db").into_iter().chain(log).collect();
            let is_as_it_was = kept.iter().collect::<Vec<_>>() == expected;
            assert!(is_as_it_was, "{aside:?} are not as they were");
        } else {
            assert_eq!(lines, [""; 0]);
        }
        let mut connection = sender(&proxy).connect().unwrap();
        let stored = Alert::of("new").post(&mut connection).unwrap();
        assert_eq!(stored.as_deref(), Some("new-0"), "{:#?}", proxy.log());
        eventually("the delivery of a new one", || {
            self.received().contains(&"new-0".into()).then_some(())
        });
        assert!(!proxy.log().join("\n").contains("panicked"));
        kill(proxy);
        // Once is enough.
        let proxy = run(Command::new(PROGRAM), &self.config);
        assert_eq!(proxy.events("queue_damaged"), [""; 0]);
        !aside.is_empty()
    }

    /// The notifications that arrived, each once and in the order of their names.
    fn received(&self) -> Vec<String> {
        let received = self.origin.received();
        let ids = received
            .iter()
            .filter_map(|it| it.all("Idempotency-Key").first().copied());
        let mut ids: Vec<_> = ids.map(str::to_owned).collect();
        ids.sort();
        ids.dedup();
        ids
    }

    /// Waits for these notifications, and the new one, and no others.
    #[track_caller]
    fn receives(&self, halves: &[&str]) {
        let nodes = (0..HALF).flat_map(|node| halves.iter().map(move |half| (half, node)));
        let mut expected: Vec<_> = nodes
            .map(|(half, node)| format!("{half}{node}-0"))
            .collect();
        expected.push("new-0".into());
        expected.sort();
        eventually("what waited", || {
            (self.received().len() >= expected.len()).then_some(())
        });
        assert_eq!(self.received(), expected);
    }

    /// The proxy does not start, and says why. Nothing is changed.
    #[track_caller]
    fn does_not_start(&self, why: &str) {
        let mut command = Command::new(PROGRAM);
        command.args(["run", "--config"]).arg(&self.config);
        let child = command.stderr(Stdio::piped()).spawn().unwrap();
        let output = finish(child);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(matches!(output.status.code(), Some(1 | 2)), "{said}");
        assert!(said.contains("queue.db") && said.contains(why), "{said}");
        assert!(!said.contains("panicked"), "{said}");
        let is_as_it_was = self.files()["queue.db"] == self.before["queue.db"];
        assert!(is_as_it_was, "it was changed");
        assert!(set_aside(self.directory.path()).is_empty());
    }
}

/// Numbers that are the same in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit.max(1) as u64).unwrap()
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.next().to_le_bytes()[0]).collect()
    }
}

fn change(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

fn without_log(directory: &Path) {
    fs::remove_file(directory.join("queue.db-wal")).unwrap();
    fs::remove_file(directory.join("queue.db-shm")).unwrap();
}

#[test]
fn a_file_as_it_was_is_delivered_whole() {
    let scene = Scene::new(|_| {});
    assert!(!scene.serves());
    scene.receives(&["file", "log"]);
}

/// Changes the bytes of a file.
type Destruction = fn(&mut Vec<u8>);

/// Ways to destroy a file so that it is none of SQLite's, or a damaged one.
const DESTROYED: [(&str, Destruction); 5] = [
    ("a text", |bytes| {
        *bytes = b"what a disk made of it".repeat(1000);
    }),
    ("random bytes", |bytes| {
        *bytes = Random(1).bytes(bytes.len());
    }),
    ("a header of zeros", |bytes| bytes[..100].fill(0)),
    ("half of it", |bytes| bytes.truncate(bytes.len() / 2)),
    ("pages of zeros", |bytes| bytes[4096..].fill(0)),
];

#[test]
fn a_destroyed_file_is_set_aside_as_it_is() {
    for (name, destroy) in DESTROYED {
        let scene = Scene::new(|directory| {
            without_log(directory);
            change(&directory.join("queue.db"), destroy);
        });
        assert!(scene.serves(), "{name}");
        scene.receives(&[]);
    }
}

#[test]
fn the_log_of_a_destroyed_file_is_set_aside_with_it() {
    let scene = Scene::new(|directory| {
        change(&directory.join("queue.db"), |bytes| {
            *bytes = Random(2).bytes(bytes.len());
        });
    });
    if scene.serves() {
        scene.receives(&[]);
        assert_eq!(set_aside(scene.directory.path()).len(), 2);
    }
}

#[test]
fn bytes_that_are_wrong_anywhere_stop_nothing() {
    let rounds = super::number("NWP_DAMAGES", 8);
    let mut aside = 0;
    for seed in 0..rounds {
        let mut random = Random(seed as u64);
        let scene = Scene::new(|directory| {
            let name = FILES[random.below(2)];
            change(&directory.join(name), |bytes| {
                for _ in 0..1 + random.below(4) {
                    let (at, length) = (random.below(bytes.len()), 1 + random.below(64));
                    let end = bytes.len().min(at + length);
                    bytes[at..end].copy_from_slice(&random.bytes(end - at));
                }
                if random.below(3) == 0 {
                    bytes.truncate(random.below(bytes.len()));
                }
            });
        });
        aside += usize::from(scene.serves());
    }
    eprintln!("{rounds} damaged files, {aside} of them set aside");
}

#[test]
fn a_file_without_its_log_has_what_was_written_back() {
    let scene = Scene::new(without_log);
    assert!(!scene.serves());
    scene.receives(&["file"]);
}

#[test]
fn a_log_of_random_bytes_is_no_log() {
    let scene = Scene::new(|directory| {
        let random = Random(3).bytes(100_000);
        fs::write(directory.join("queue.db-wal"), random).unwrap();
    });
    assert!(!scene.serves());
    scene.receives(&["file"]);
}

#[test]
fn a_log_that_is_cut_off_has_what_was_committed_before() {
    for quarter in 0..4 {
        let scene = Scene::new(|directory| {
            change(&directory.join("queue.db-wal"), |bytes| {
                // In the middle of a frame.
                bytes.truncate(bytes.len() * quarter / 4 + 77);
            });
        });
        assert!(!scene.serves());
        eventually("what was written back", || {
            (scene.received().len() > HALF).then_some(())
        });
        let mut received = scene.received();
        received.retain(|id| id.starts_with("log"));
        let first: Vec<_> = (0..received.len())
            .map(|node| format!("log{node}-0"))
            .collect();
        assert_eq!(received, first);
        assert!(received.len() < HALF, "{quarter}");
    }
}

#[test]
fn shared_memory_of_something_else_is_made_anew() {
    for bytes in [
        Vec::new(),
        vec![0; 32 << 10],
        Random(4).bytes(32 << 10),
        Random(5).bytes(1000),
    ] {
        let scene = Scene::new(|directory| {
            fs::write(directory.join("queue.db-shm"), &bytes).unwrap();
        });
        assert!(!scene.serves());
        scene.receives(&["file", "log"]);
    }
}

#[test]
fn an_empty_file_is_a_new_queue() {
    let scene = Scene::new(|directory| {
        without_log(directory);
        fs::write(directory.join("queue.db"), "").unwrap();
    });
    assert!(!scene.serves());
    scene.receives(&[]);
}

/// Changes the file with SQL, and leaves no log.
fn with_sql(sql: &'static str) -> impl FnOnce(&Path) {
    move |directory| {
        let database = Connection::open(directory.join("queue.db")).unwrap();
        database.execute_batch(sql).unwrap();
        database.close().unwrap();
    }
}

#[test]
fn a_file_of_a_newer_version_is_left_alone() {
    for sql in [
        "pragma user_version = 2",
        "pragma user_version = 1000; drop table notification",
        "pragma journal_mode = delete; pragma user_version = 2",
    ] {
        Scene::new(with_sql(sql)).does_not_start("newer version");
    }
}

#[test]
fn a_database_of_another_program_is_left_alone() {
    let tables = "drop table notification; drop table command; create table theirs (i)";
    for version in ["0", "1"] {
        let scene = Scene::new(|directory| {
            let database = Connection::open(directory.join("queue.db")).unwrap();
            database.execute_batch(tables).unwrap();
            database
                .pragma_update(None, "user_version", version.parse::<i64>().unwrap())
                .unwrap();
            database.close().unwrap();
        });
        scene.does_not_start("not the file of a queue");
    }
}

#[test]
fn a_file_that_is_damaged_while_it_is_used_is_set_aside_at_the_next_start() {
    let scene = Scene::new(|_| {});
    scene.origin.stop();
    let proxy = run(Command::new(PROGRAM), &scene.config);
    let mut connection = sender(&proxy).connect().unwrap();
    let file = scene.directory.path().join("queue.db");
    let (mut alert, mut random) = (Alert::of("n"), Random(6));
    for name in ["queue.db", "queue.db-wal"] {
        let damaged = scene.directory.path().join(name);
        change(&damaged, |bytes| *bytes = random.bytes(bytes.len()));
        for _ in 0..5 {
            // Acknowledged or refused, whatever of it is in memory.
            alert.post(&mut connection).unwrap();
        }
    }
    scene.origin.start();
    assert!(!proxy.log().join("\n").contains("panicked"));
    kill(proxy);
    fs::write(&file, random.bytes(8192)).unwrap();
    let proxy = run(Command::new(PROGRAM), &scene.config);
    proxy.wait_for_event("queue_damaged");
    let mut connection = sender(&proxy).connect().unwrap();
    assert!(alert.post(&mut connection).unwrap().is_some());
}

/// Two processes that start on a damaged file do not set aside what the other uses.
#[test]
fn a_file_that_another_process_uses_is_not_set_aside() {
    let scene = Scene::new(|_| {});
    scene.origin.stop();
    let first = run(Command::new(PROGRAM), &scene.config);
    let file = scene.directory.path().join("queue.db");
    change(&file, |bytes| *bytes = Random(7).bytes(bytes.len()));
    let mut second = Proxy::launch(&scene.config, |_| {});
    eventually("the end or the start of the second", || {
        let is_ready = !second.events("ready").is_empty();
        (is_ready || second.try_wait().is_some()).then_some(())
    });
    assert!(set_aside(scene.directory.path()).is_empty());
    drop((first, second));
}
