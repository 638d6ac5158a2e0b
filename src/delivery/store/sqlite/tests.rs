use super::super::{End, Parking};
use super::*;
use crate::delivery::order::Key;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
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

fn new(key: u8, received: i64, body: &str) -> NewNotification {
    NewNotification {
        route: "/a".into(),
        key: Key([key; 16]),
        idempotency: body.into(),
        received,
        attempts: 0,
        last_error: None,
        next_try: None,
        about: "{}".into(),
        head: 0,
        message: body.to_owned().into(),
    }
}

fn ids(spots: &[Spot]) -> Vec<(i64, i64)> {
    spots
        .iter()
        .map(|spot| (spot.place.received, spot.place.id))
        .collect()
}

#[tokio::test]
async fn what_is_stored_is_there_after_a_restart_until_it_is_delivered() {
    let scene = Scene::new();
    let store = scene.open();
    assert_eq!(store.store(new(1, 10, "one")).await, Ok(Stored::New(1)));
    assert_eq!(store.store(new(2, 9, "two")).await, Ok(Stored::New(2)));
    drop(store);
    let store = scene.open();
    let waiting = store.read(0).await.unwrap();
    assert_eq!(ids(&waiting), [(10, 1), (9, 2)]);
    assert_eq!(waiting[0].key, Key([1; 16]));
    assert_eq!(store.latest().await, Ok(10));
    let message = store.message(1).await.unwrap().unwrap();
    assert_eq!((&message.message[..], message.attempts), (&b"one"[..], 0));
    let failed = End::Failed {
        attempts: 3,
        error: "status 500".into(),
        next_try: Some(20),
    };
    store
        .settle(vec![
            Settlement { id: 2, end: failed },
            Settlement {
                id: 1,
                end: End::Delivered,
            },
        ])
        .await
        .unwrap();
    assert_eq!(ids(&store.read(0).await.unwrap()), [(9, 2)]);
    assert_eq!(store.message(1).await, Ok(None));
    assert_eq!(store.message(2).await.unwrap().unwrap().attempts, 3);
    // No id is used twice: it would be taken for one that is known.
    store
        .settle(vec![Settlement {
            id: 2,
            end: End::Delivered,
        }])
        .await
        .unwrap();
    assert_eq!(store.store(new(1, 11, "three")).await, Ok(Stored::New(3)));
    assert_eq!(ids(&store.read(2).await.unwrap()), [(11, 3)]);
}

#[tokio::test]
async fn only_the_newest_that_waits_is_a_duplicate() {
    let scene = Scene::new();
    let store = scene.open();
    assert_eq!(store.store(new(1, 1, "down")).await, Ok(Stored::New(1)));
    assert_eq!(store.store(new(1, 2, "down")).await, Ok(Stored::Duplicate));
    assert_eq!(store.store(new(2, 3, "down")).await, Ok(Stored::New(2)));
    assert_eq!(store.store(new(1, 4, "up")).await, Ok(Stored::New(3)));
    assert_eq!(store.store(new(1, 5, "down")).await, Ok(Stored::New(4)));
    store
        .settle(vec![Settlement {
            id: 4,
            end: End::Parked(Parking::Operator),
        }])
        .await
        .unwrap();
    assert_eq!(store.store(new(1, 6, "down")).await, Ok(Stored::New(5)));
}

#[tokio::test]
async fn the_oldest_parked_makes_room_and_what_waits_does_not() {
    let scene = Scene::new();
    let large = |received| NewNotification {
        message: "x".repeat(100_000).into(),
        ..new(1, received, &received.to_string())
    };
    let store = scene.open_with(500_000).store;
    for received in 1..=4 {
        assert!(store.store(large(received)).await.is_ok());
    }
    let park = |id| Settlement {
        id,
        end: End::Parked(Parking::TooOld),
    };
    store.settle(vec![park(3), park(2)]).await.unwrap();
    for received in 5..=6 {
        assert!(store.store(large(received)).await.is_ok());
    }
    assert_eq!(store.store(large(7)).await, Err(StoreError::Full));
    let waiting = ids(&store.read(0).await.unwrap());
    assert_eq!(waiting, [(1, 1), (4, 4), (5, 5), (6, 6)]);
    assert_eq!(
        *scene.reports.0.lock().unwrap(),
        ["dropped 2 of /a", "dropped 3 of /a"]
    );
    store.set_max_size(SIZE);
    assert!(store.store(large(8)).await.is_ok());
}

#[tokio::test]
async fn routes_that_are_gone_are_parked_until_they_are_back() {
    let scene = Scene::new();
    let store = scene.open();
    for (route, received) in [("/a", 1), ("/b", 2), ("/b", 3)] {
        let new = NewNotification {
            route: route.into(),
            ..new(1, received, &received.to_string())
        };
        store.store(new).await.unwrap();
    }
    store
        .settle(vec![Settlement {
            id: 3,
            end: End::Parked(Parking::Poison),
        }])
        .await
        .unwrap();
    assert_eq!(store.route(vec!["/a".into()]).await, Ok((1, 0)));
    assert_eq!(ids(&store.read(0).await.unwrap()), [(1, 1)]);
    let mut parked = store.parked().await.unwrap();
    parked.sort_by(|one, other| one.reason.cmp(&other.reason));
    let parked: Vec<_> = parked.iter().map(|it| (&*it.reason, it.count)).collect();
    assert_eq!(parked, [("no_route", 1), ("poison", 1)]);
    assert_eq!(
        store.route(vec!["/a".into(), "/b".into()]).await,
        Ok((0, 1))
    );
    assert_eq!(ids(&store.read(0).await.unwrap()), [(1, 1), (2, 2)]);
}

#[tokio::test]
async fn one_process_has_the_term_and_sees_what_others_store() {
    let scene = Scene::new();
    let (first, second) = (scene.open(), scene.open());
    assert_eq!(first.term().await, Ok(true));
    assert_eq!(second.term().await, Ok(false));
    let before = first.version().await.unwrap();
    first.store(new(1, 1, "own")).await.unwrap();
    assert_eq!(first.version().await.unwrap(), before, "it knows its own");
    second.store(new(1, 2, "other")).await.unwrap();
    assert_ne!(first.version().await.unwrap(), before);
    assert_eq!(ids(&first.read(1).await.unwrap()), [(2, 2)]);
    drop(first);
    assert_eq!(second.term().await, Ok(true));
}

#[tokio::test]
async fn everything_that_waits_for_the_disk_is_committed_together() {
    let scene = Scene::new();
    let store = Arc::new(scene.open());
    let stores = (0..500).map(|number| {
        let store = store.clone();
        tokio::spawn(async move { store.store(new(1, number, &number.to_string())).await })
    });
    for stored in stores.collect::<Vec<_>>() {
        assert!(matches!(stored.await.unwrap(), Ok(Stored::New(_))));
    }
    assert_eq!(store.read(0).await.unwrap().len(), 500);
}

#[test]
fn files_are_for_their_owner_only() {
    let scene = Scene::new();
    let store = scene.open();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(store.store(new(1, 1, "x"))).unwrap();
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
        assert!(store.store(new(1, 1, "x")).await.is_ok());
    }
    let scene = Scene::new();
    let store = scene.open();
    for number in 0..200 {
        let body = format!("{number}{}", "x".repeat(3000));
        store.store(new(1, number, &body)).await.unwrap();
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
    assert_eq!(store.read(0).await.unwrap(), []);
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
    let refused = store.store(new(1, 1, "x")).await;
    assert!(matches!(refused, Err(StoreError::Failed(_))), "{refused:?}");
    other.execute_batch("rollback").unwrap();
    assert!(store.store(new(1, 1, "x")).await.is_ok());
}
