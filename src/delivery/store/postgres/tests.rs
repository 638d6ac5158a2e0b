use super::super::Parking;
use super::super::suite::{self, new, park, receipt, store_one, take, waiting};
use super::*;
use crate::config::DatabaseSource;
use crate::delivery::order::{Key, Place};
use crate::postgres_server as server;
use crate::term::Beat;
use server::Server;
use std::sync::OnceLock;
use std::time::Instant;
use tokio_postgres::NoTls;

/// The server of all tests: each has a database of its own.
fn server() -> Option<&'static Server> {
    static SERVER: OnceLock<Option<Server>> = OnceLock::new();
    SERVER.get_or_init(Server::start).as_ref()
}

/// The reports of a store, as they came.
#[derive(Default)]
struct Reports(Mutex<Vec<String>>);

impl Observer for Reports {
    fn committed(&self, _: Duration, _: u64) {}

    fn writable(&self, problem: Option<&str>) {
        self.0.lock().unwrap().extend(problem.map(str::to_owned));
    }

    fn dropped(&self, notification: &Listed) {
        let Listed { id, route, .. } = notification;
        self.0
            .lock()
            .unwrap()
            .push(format!("dropped {id} of {route}"));
    }
}

pub(super) struct Scene {
    directory: tempfile::TempDir,
    pub(super) url: String,
    reports: Arc<Reports>,
}

impl Scene {
    /// A database of its own, or nothing where there is no server.
    fn new() -> Option<Self> {
        let url = server()?.create_database("UTF8");
        Some(Self::at(&url))
    }

    pub(super) fn at(url: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("url"), url).unwrap();
        Self {
            directory,
            url: url.to_owned(),
            reports: Arc::default(),
        }
    }

    pub(super) fn try_open(&self, max_size: u64) -> Result<PostgresStore, String> {
        let source = DatabaseSource::file(self.directory.path().join("url"));
        PostgresStore::open(source, max_size, self.reports.clone())
    }

    /// Runs SQL beside the store, and returns what it prints.
    pub(super) fn sql(&self, sql: &str) -> String {
        server::sql(&self.url, sql)
    }
}

impl suite::Scene for Scene {
    async fn open(&self) -> Arc<dyn Store> {
        Arc::new(self.try_open(1 << 30).unwrap())
    }
}

suite::tests!(match Scene::new() {
    Some(scene) => scene,
    None => return,
});

/// Runs statements as a replica that is at a disadvantage would, to see what the store prevents.
fn told(reports: &Reports) -> String {
    reports.0.lock().unwrap().join("; ")
}

#[tokio::test]
async fn a_receipt_is_stored_once_however_often_it_is_sent() {
    let Some(scene) = Scene::new() else { return };
    let store = scene.try_open(1 << 30).unwrap();
    let first = store_one(&store, new(1, 1, "a")).await;
    let again = store_one(&store, new(1, 1, "a")).await;
    assert_eq!(first, again);
    assert_eq!(waiting(&store).await, [(1, 1)]);
    // The control: without the same receipt, it is another one.
    let other = NewNotification {
        receipt: receipt(9, 9),
        idempotency: "b".into(),
        ..new(1, 1, "a")
    };
    store_one(&store, other).await.unwrap();
    assert_eq!(waiting(&store).await, [(1, 1), (1, 2)]);
}

#[tokio::test]
async fn one_bad_row_is_refused_alone_and_a_zero_byte_is_replaced() {
    let Some(scene) = Scene::new() else { return };
    let store = scene.try_open(1 << 30).unwrap();
    scene.sql("alter table netdata_webhook_proxy.notification add check (idempotency <> 's3cret')");
    let zero = NewNotification {
        last_error: Some("a\0b".into()),
        about: "{\"title\":\"\0\"}".into(),
        ..new(2, 2, "zero\0")
    };
    let batch = vec![
        new(1, 1, "good"),
        zero,
        new(3, 3, "s3cret"),
        new(4, 4, "better"),
    ];
    let stored = store.store(batch).await;
    let is_stored: Vec<_> = stored.iter().map(Result::is_ok).collect();
    assert_eq!(is_stored, [true, true, false, true]);
    let Err(StoreError::Failed(error)) = &stored[2] else {
        panic!("{stored:?}")
    };
    assert!(
        error.contains("SQLSTATE 23514") && !error.contains("s3cret"),
        "{error}"
    );
    let error = "select last_error from netdata_webhook_proxy.notification where received = 2";
    assert_eq!(scene.sql(error), "a\u{FFFD}b");
    assert_eq!(told(&scene.reports), "");
}

#[tokio::test]
async fn a_direct_attempt_has_its_place_before_what_came_meanwhile() {
    let Some(scene) = Scene::new() else { return };
    let store = scene.try_open(1 << 30).unwrap();
    let spot = Spot {
        route: "/a".into(),
        key: Key([1; 16]),
        place: Place::by_receipt(1, 0),
    };
    let Asked {
        ticket: Some(ticket),
        waits: false,
    } = store.ask(&spot).await.unwrap()
    else {
        panic!("it is alone");
    };
    store_one(&store, new(1, 2, "later")).await.unwrap();
    assert!(store.ask(&spot).await.unwrap().waits);
    let failed = NewNotification {
        ticket: Some(ticket),
        ..new(1, 1, "first")
    };
    let Stored::New(place) = store_one(&store, failed).await.unwrap() else {
        panic!("it is stored");
    };
    let reading = store.read(Seen::default()).await.unwrap();
    let mut places: Vec<_> = reading.spots.iter().map(|spot| spot.place).collect();
    places.sort();
    assert_eq!(
        places
            .iter()
            .map(|place| place.received)
            .collect::<Vec<_>>(),
        [1, 2]
    );
    assert_eq!(places[0], place);
    assert!(place.id > places[1].id, "no cursor misses it");
}

#[tokio::test]
async fn an_attempt_that_began_is_counted_after_a_crash() {
    let Some(scene) = Scene::new() else { return };
    let store = scene.try_open(1 << 30).unwrap();
    store_one(&store, new(1, 1, "a")).await.unwrap();
    let term = take(&store).await;
    let spot = store
        .read(Seen::default())
        .await
        .unwrap()
        .spots
        .pop()
        .unwrap();
    let attempts = async |term| {
        let fetched = store.fetch(term, spot.clone()).await.unwrap();
        fetched.message.unwrap().attempts
    };
    assert_eq!(attempts(term).await, 0);
    // It is not settled: the process has ended.
    store.term(TermStep::Resign(term)).await.unwrap();
    let next = take(&store).await;
    assert!(next > term);
    assert_eq!(attempts(next).await, 1);
    let late = store.fetch(term, spot.clone()).await;
    assert!(matches!(late, Err(StoreError::Failed(_))), "{late:?}");
}

#[tokio::test]
async fn a_term_is_taken_from_a_holder_that_is_silent_and_from_no_other() {
    let Some(scene) = Scene::new() else { return };
    let (first, second) = (
        scene.try_open(1 << 30).unwrap(),
        scene.try_open(1 << 30).unwrap(),
    );
    let term = take(&first).await;
    let ask = TermStep::Take { lapsed: None };
    let Holder::Elsewhere(Some(beat)) = second.term(ask).await.unwrap() else {
        panic!("it is taken");
    };
    assert_eq!(beat, Beat { term, count: 0 });
    first.term(TermStep::Beat(term)).await.unwrap();
    let lapsed = |beat| TermStep::Take { lapsed: Some(beat) };
    let beaten = Beat { count: 1, ..beat };
    let elsewhere = Holder::Elsewhere(Some(beaten));
    assert_eq!(second.term(lapsed(beat)).await, Ok(elsewhere));
    let Holder::Here(next) = second.term(lapsed(beaten)).await.unwrap() else {
        panic!("it has lapsed");
    };
    assert!(next > term);
    let fenced = first.term(TermStep::Beat(term)).await.unwrap();
    assert_eq!(
        fenced,
        Holder::Elsewhere(Some(Beat {
            term: next,
            count: 0
        }))
    );
}

#[tokio::test]
async fn the_oldest_parked_makes_room_and_what_waits_does_not() {
    let Some(scene) = Scene::new() else { return };
    let large = |received| NewNotification {
        message: "x".repeat(100_000).into(),
        ..new(1, received, &received.to_string())
    };
    let store = scene.try_open(450_000).unwrap();
    let term = take(&store).await;
    let mut seen = Seen::default();
    for received in 1..=4 {
        store_one(&store, large(received)).await.unwrap();
        seen = store.read(seen).await.unwrap().seen;
        store.term(TermStep::Beat(term)).await.unwrap();
    }
    let parked = vec![park(2, 2, Parking::TooOld)];
    store.settle(Some(term), parked).await.unwrap();
    store_one(&store, large(5)).await.unwrap();
    assert_eq!(told(&scene.reports), "dropped 2 of /a");
    store.read(seen).await.unwrap();
    store.term(TermStep::Beat(term)).await.unwrap();
    assert_eq!(store_one(&store, large(6)).await, Err(StoreError::Full));
    let received: Vec<_> = waiting(&store)
        .await
        .iter()
        .map(|(received, _)| *received)
        .collect();
    assert_eq!(received, [1, 3, 4, 5]);
}

#[tokio::test]
async fn a_database_that_would_lose_what_it_acknowledged_is_refused() {
    let Some(server) = server() else { return };
    let scene = Scene::at(&server.create_database("SQL_ASCII"));
    let error = scene.try_open(1 << 30).unwrap_err();
    assert!(error.contains("UTF8"), "{error}");
    let scene = Scene::new().unwrap();
    drop(scene.try_open(1 << 30).unwrap());
    scene.sql("alter table netdata_webhook_proxy.notification set unlogged");
    let error = scene.try_open(1 << 30).unwrap_err();
    assert!(error.contains("not logged"), "{error}");
    scene.sql("alter table netdata_webhook_proxy.notification set logged");
    scene.sql("update netdata_webhook_proxy.shape set version = 9, min_reader = 9");
    let error = scene.try_open(1 << 30).unwrap_err();
    assert!(error.contains("newer version"), "{error}");
}

#[tokio::test]
async fn a_connection_that_is_ended_is_made_again_and_read_anew() {
    let Some(scene) = Scene::new() else { return };
    let store = scene.try_open(1 << 30).unwrap();
    let term = take(&store).await;
    let before = store.read(Seen::default()).await.unwrap().seen;
    for number in 1..=10 {
        scene.sql("select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()");
        let stored = store_one(&store, new(1, number, &number.to_string())).await;
        assert!(stored.is_ok(), "{stored:?}");
    }
    let mut reading = store.read(before).await;
    for _ in 0..100 {
        if reading.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        reading = store.read(before).await;
    }
    assert_ne!(reading.unwrap().seen.commands, before.commands);
    assert_eq!(
        store.term(TermStep::Beat(term)).await,
        Ok(Holder::Here(term))
    );
}

#[tokio::test]
async fn durability_is_in_the_statement_and_not_in_a_setting() {
    let Some(scene) = Scene::new() else { return };
    scene.sql("do $$ begin execute 'alter database ' || current_database() || ' set synchronous_commit = off'; end $$");
    let store = scene.try_open(1 << 30).unwrap();
    scene.sql(
        "create table public.seen (setting text);
         create function public.note() returns trigger language plpgsql as
           $$ begin insert into public.seen values (current_setting('synchronous_commit')); return new; end $$;
         create trigger note after insert on netdata_webhook_proxy.notification
           for each row execute function public.note();
         create trigger note after update on netdata_webhook_proxy.deliverer
           for each row execute function public.note()",
    );
    store_one(&store, new(1, 1, "a")).await.unwrap();
    let term = take(&store).await;
    store.term(TermStep::Beat(term)).await.unwrap();
    assert_eq!(scene.sql("show synchronous_commit"), "off", "the control");
    let seen = scene.sql("select string_agg(setting, ' ') from public.seen");
    assert_eq!(seen, "on on on");
}

#[tokio::test]
async fn a_statement_that_was_given_up_waits_no_longer() {
    let Some(scene) = Scene::new() else { return };
    let store = scene.try_open(1 << 30).unwrap();
    let (locking, connection) = tokio_postgres::connect(&scene.url, NoTls).await.unwrap();
    tokio::spawn(connection);
    let lock = "begin; lock table netdata_webhook_proxy.deliverer";
    locking.batch_execute(lock).await.unwrap();
    let waiting = || {
        let waiting = "select count(*) from pg_stat_activity
            where wait_event_type = 'Lock' and datname = current_database()";
        scene.sql(waiting)
    };
    let given_up = store.term(TermStep::Take { lapsed: None }).await;
    assert!(given_up.is_err(), "{given_up:?}");
    assert_eq!(waiting(), "1");
    let begun = Instant::now();
    while waiting() != "0" {
        assert!(begun.elapsed() < Duration::from_secs(30), "it still waits");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    locking.batch_execute("rollback").await.unwrap();
    take(&store).await;
}

/// The number of notifications that each replica stores at the same time, and of their turns.
const WRITERS: u8 = 5;
const TURNS: i64 = 40;

/// Four replicas store at once, beside a reader with a cursor. Returns the number of notifications
/// that were stored, and never seen.
async fn unseen(scene: &Scene) -> usize {
    let open = || Arc::new(scene.try_open(1 << 30).unwrap());
    let reader = open();
    let mut writers = tokio::task::JoinSet::new();
    for replica in 0..4_u8 {
        let store = open();
        for writer in 0..WRITERS {
            let (store, key) = (store.clone(), replica * 10 + writer);
            writers.spawn(async move {
                for number in 0..TURNS {
                    let stored = store_one(&*store, new(key, number, &number.to_string())).await;
                    assert!(matches!(stored, Ok(Stored::New(_))), "{stored:?}");
                }
            });
        }
    }
    let (mut seen, mut count) = (Seen::default(), 0);
    let mut is_over = false;
    loop {
        let reading = reader.read(seen).await.unwrap();
        seen = reading.seen;
        count += reading.spots.len();
        if is_over && reading.spots.is_empty() {
            break;
        }
        while let Some(written) = writers.try_join_next() {
            written.unwrap();
        }
        is_over = writers.is_empty();
    }
    let stored = scene.sql("select count(*) from netdata_webhook_proxy.notification");
    stored.parse::<usize>().unwrap() - count
}

#[tokio::test]
async fn a_reader_misses_nothing_of_what_many_store() {
    let Some(scene) = Scene::new() else { return };
    assert_eq!(unseen(&scene).await, 0);
}

/// The control: a lock that locks nothing stands before the real one in the way to functions.
#[tokio::test]
async fn without_the_lock_a_reader_misses_some_of_what_many_store() {
    let Some(scene) = Scene::new() else { return };
    scene.sql(
        "create schema blind;
         create function blind.pg_advisory_xact_lock(bigint) returns void
           language plpgsql as $$ begin end $$;
         do $$ begin execute 'alter database ' || current_database()
           || ' set search_path = blind, pg_catalog'; end $$",
    );
    let count = unseen(&scene).await;
    assert!(count > 0);
}
