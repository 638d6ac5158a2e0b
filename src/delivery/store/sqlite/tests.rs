use super::super::suite::{self, new, park, store_one, take, waiting};
use super::super::{Listed, Parking};
use super::*;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;
use tempfile::TempDir;

const SIZE: u64 = 1 << 30;

/// The reports of a store, as they came.
#[derive(Default)]
struct Reports(Mutex<Vec<String>>);

impl Reports {
    fn add(&self, report: String) {
        self.0.lock().unwrap().push(report);
    }
}

impl Observer for Reports {
    fn committed(&self, _: Duration, _: u64) {}

    fn writable(&self, problem: Option<&str>) {
        if let Some(problem) = problem {
            self.add(problem.to_owned());
        }
    }

    fn dropped(&self, notification: &Listed) {
        let Listed { id, route, .. } = notification;
        self.add(format!("dropped {id} of {route}"));
    }
}

struct Scene {
    directory: TempDir,
    reports: Arc<Reports>,
}

impl Scene {
    fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
            reports: Arc::default(),
        }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("queue.db")
    }

    /// Waits until the thread has closed the file, which it does after the last request.
    fn until_closed(&self) {
        while file::with_suffix(&self.path(), "-wal").exists() {
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn open(&self) -> SqliteStore {
        self.open_with(SIZE).store
    }

    fn open_with(&self, max_size: u64) -> Opened {
        SqliteStore::open(&self.path(), max_size, self.reports.clone()).unwrap()
    }
}

impl suite::Scene for Scene {
    async fn open(&self) -> Arc<dyn Store> {
        Arc::new(Self::open(self))
    }
}

suite::tests!(Scene::new());

#[tokio::test]
async fn the_oldest_parked_makes_room_and_what_waits_does_not() {
    let scene = Scene::new();
    let large = |received| NewNotification {
        message: "x".repeat(100_000).into(),
        ..new(1, received, &received.to_string())
    };
    let store = scene.open_with(500_000).store;
    for received in 1..=4 {
        assert!(store_one(&store, large(received)).await.is_ok());
    }
    let term = take(&store).await;
    let parked = vec![park(3, 3, Parking::TooOld), park(2, 2, Parking::TooOld)];
    store.settle(Some(term), parked).await.unwrap();
    for received in 5..=6 {
        assert!(store_one(&store, large(received)).await.is_ok());
    }
    assert_eq!(store_one(&store, large(7)).await, Err(StoreError::Full));
    assert_eq!(waiting(&store).await, [(1, 1), (4, 4), (5, 5), (6, 6)]);
    assert_eq!(
        *scene.reports.0.lock().unwrap(),
        ["dropped 2 of /a", "dropped 3 of /a"]
    );
    store.set_max_size(SIZE);
    assert!(store_one(&store, large(8)).await.is_ok());
}

#[test]
fn files_are_for_their_owner_only() {
    let scene = Scene::new();
    let store = scene.open();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(store_one(&store, new(1, 1, "x"))).unwrap();
    for name in ["queue.db", "queue.db-wal", "queue.db-shm", "queue.lock"] {
        let metadata = fs::metadata(scene.directory.path().join(name)).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600, "{name}");
    }
}

#[tokio::test]
async fn a_damaged_file_is_set_aside_and_nothing_is_deleted() {
    for damage in [
        &b"this has never been a database, whatever its name says"[..],
        &[0xFF; 8192],
    ] {
        let scene = Scene::new();
        fs::write(scene.path(), damage).unwrap();
        let Opened { store, damaged } = scene.open_with(SIZE);
        let (aside, _) = damaged.unwrap();
        assert_eq!(fs::read(aside).unwrap(), damage);
        assert!(store_one(&store, new(1, 1, "x")).await.is_ok());
    }
    let scene = Scene::new();
    let store = scene.open();
    for number in 0..200 {
        let body = format!("{number}{}", "x".repeat(3000));
        store_one(&store, new(1, number, &body)).await.unwrap();
    }
    drop(store);
    scene.until_closed();
    // Whole pages of it, as a disk may lose them.
    let mut bytes = fs::read(scene.path()).unwrap();
    bytes[4096..3 * 4096].fill(0xA5);
    fs::write(scene.path(), &bytes).unwrap();
    let Opened { store, damaged } = scene.open_with(SIZE);
    let (aside, problem) = damaged.unwrap();
    assert!(!problem.is_empty());
    assert_eq!(fs::read(aside).unwrap(), bytes);
    assert_eq!(waiting(&store).await, []);
}

#[test]
fn a_damaged_file_that_another_process_uses_is_an_error() {
    let scene = Scene::new();
    fs::write(scene.path(), "not a database").unwrap();
    let _lock = Lock::take(&lock_path(&scene.path())).unwrap().unwrap();
    let opened = SqliteStore::open(&scene.path(), SIZE, scene.reports.clone());
    assert!(matches!(opened.err(), Some(OpenError::Damaged { .. })));
    assert_eq!(fs::read(scene.path()).unwrap(), b"not a database");
}

#[test]
fn a_newer_file_is_not_touched() {
    let scene = Scene::new();
    drop(scene.open());
    scene.until_closed();
    let connection = Connection::open(scene.path()).unwrap();
    connection.pragma_update(None, "user_version", 2).unwrap();
    drop(connection);
    let before = fs::read(scene.path()).unwrap();
    let opened = SqliteStore::open(&scene.path(), SIZE, scene.reports.clone());
    assert!(matches!(
        opened.err(),
        Some(OpenError::Newer {
            found: 2,
            known: 1,
            ..
        })
    ));
    assert!(fs::read(scene.path()).unwrap() == before);
}

#[tokio::test]
async fn nothing_is_acknowledged_while_another_process_writes() {
    let scene = Scene::new();
    let store = scene.open();
    // Another process writes for longer than this one waits: nothing is acknowledged.
    let other = Connection::open(scene.path()).unwrap();
    other.execute_batch("begin immediate").unwrap();
    let refused = store_one(&store, new(1, 1, "x")).await;
    assert!(matches!(refused, Err(StoreError::Failed(_))), "{refused:?}");
    other.execute_batch("rollback").unwrap();
    assert!(store_one(&store, new(1, 1, "x")).await.is_ok());
}
