//! The tables stay as small as what waits: what was delivered makes room for what comes.
//!
//! By default, a few rounds of large notifications show the difference to tables without vacuum.
//! `NWP_BLOAT_SECONDS=3600` takes an hour at 100 notifications a second instead, and prints a line a
//! minute: run it alone, with `--nocapture`.

use super::Scene;
use crate::queue::alert;
use crate::support::{eventually, postgres};
use std::io::Write as _;
use std::thread;
use std::time::{Duration, Instant};

/// Notifications a second, if it takes long, and the size of each.
const RATE: u32 = 100;
const USUAL: usize = 3000;

/// Rounds of notifications otherwise, each as fast as they are taken. As the table of their bodies has
/// a row for each 2 KB, it is vacuumed after each round.
const ROUNDS: u32 = 3;
const ROUND: u32 = 400;
const LARGE: usize = 12_000;

/// Dead rows with which a table is vacuumed, by its settings.
const THRESHOLD: u64 = 2000;

/// What all rounds take in the tables, at least.
const ALL: u64 = ROUNDS as u64 * ROUND as u64 * LARGE as u64;

/// An alert of so many bytes.
fn filled(number: u32, size: usize) -> String {
    let body = alert(&format!("node-{}", number % 1000), &number.to_string());
    let filling = "x".repeat(size - body.len());
    body.replacen('{', &format!("{{\"filling\":\"{filling}\","), 1)
}

fn seconds() -> u32 {
    let seconds = std::env::var("NWP_BLOAT_SECONDS").ok();
    seconds.map_or(0, |seconds| seconds.parse().unwrap())
}

/// What the tables take, and the pages of them that were read.
fn size_and_pages(scene: &Scene) -> (u64, u64) {
    let found = scene.sql(
        "select sum(pg_total_relation_size(relid)) || ' ' || sum(heap_blks_read + heap_blks_hit
           + coalesce(idx_blks_read + idx_blks_hit, 0))
         from pg_statio_user_tables where schemaname = 'netdata_webhook_proxy'",
    );
    let (size, pages) = found.split_once(' ').unwrap();
    (size.parse().unwrap(), pages.parse().unwrap())
}

/// The 99th of a hundred.
fn percentile(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times
        .get(times.len() * 99 / 100)
        .copied()
        .unwrap_or_default()
}

/// Stores notifications from `from` on, at a rate or as fast as they are taken. Returns how long
/// each took.
fn store(scene: &Scene, from: u32, count: u32, rate: Option<u32>) -> Vec<Duration> {
    let threads = 8;
    let begun = Instant::now();
    thread::scope(|scope| {
        let store = |thread: u32| {
            move || {
                let mut connection = scene.replicas[1].sender.connect().unwrap();
                let numbers = (0..count).filter(|number| number % threads == thread);
                let store_one = |number: u32| {
                    if let Some(rate) = rate {
                        let due = begun + Duration::from_secs(1) / rate * number;
                        thread::sleep(due.saturating_duration_since(Instant::now()));
                    }
                    let sent = Instant::now();
                    let size = if rate.is_some() { USUAL } else { LARGE };
                    let answer = connection.post(&filled(from + number, size)).unwrap();
                    assert_eq!(answer.status, 202, "{answer:?}");
                    sent.elapsed()
                };
                numbers.map(store_one).collect::<Vec<_>>()
            }
        };
        let running: Vec<_> = (0..threads)
            .map(|thread| scope.spawn(store(thread)))
            .collect();
        running
            .into_iter()
            .flat_map(|it| it.join().unwrap())
            .collect()
    })
}

fn vacuuming() -> Option<postgres::Server> {
    let server = postgres::Server::start()?;
    let url = server.url("postgres");
    // A table is looked at once a minute by default, which is longer than this test takes.
    if seconds() == 0 {
        postgres::sql(&url, "alter system set autovacuum_naptime = '1s'");
        postgres::sql(&url, "select pg_reload_conf()");
    }
    Some(server)
}

/// The dead rows of the table with most, of those of notifications and of their bodies, and the number
/// of times that one of them was vacuumed.
fn dead_rows_and_vacuums(scene: &Scene) -> (u64, u32) {
    let found = scene.sql(
        "select max(n_dead_tup) || ' ' || max(autovacuum_count) from pg_stat_all_tables, pg_class
         where pg_class.oid = 'netdata_webhook_proxy.notification'::regclass
           and relid in (pg_class.oid, reltoastrelid)",
    );
    let (dead, vacuums) = found.split_once(' ').unwrap();
    (dead.parse().unwrap(), vacuums.parse().unwrap())
}

/// Returns the size of the tables after notifications were stored and delivered.
fn after_rounds(scene: &Scene, is_vacuumed: bool) -> u64 {
    for round in 0..ROUNDS {
        store(scene, round * ROUND, ROUND, None);
        scene.drained();
        if is_vacuumed {
            eventually("vacuum", || {
                let (dead, vacuums) = dead_rows_and_vacuums(scene);
                (dead <= THRESHOLD && vacuums > round).then_some(())
            });
        }
    }
    size_and_pages(scene).0
}

#[test]
fn the_tables_stay_level_while_notifications_come_and_go() {
    let Some(server) = vacuuming() else { return };
    let scene = Scene::at(&server.create_database("UTF8"), "queue");
    let seconds = seconds();
    if seconds == 0 {
        let size = after_rounds(&scene, true);
        eprintln!("{size} bytes with vacuum");
        assert!(size < ALL * 3 / 4, "{size} of {ALL} are left");
        return;
    }
    let (mut sizes, mut pages_before) = (Vec::new(), size_and_pages(&scene).1);
    for minute in 0..seconds.div_ceil(60) {
        let count = RATE * 60;
        let times = store(&scene, minute * count, count, Some(RATE));
        let (size, pages) = size_and_pages(&scene);
        let line = format!(
            "minute {minute}: {} MB, {:.1} pages for each, p99 {:?}\n",
            size / 1_000_000,
            (pages - pages_before) as f64 / f64::from(count),
            percentile(times)
        );
        // Tests print nothing else; this is what it is run for.
        std::io::stderr().write_all(line.as_bytes()).unwrap();
        sizes.push(size);
        pages_before = pages;
    }
    scene.drained();
    let (early, last) = (sizes[sizes.len() / 3], sizes[sizes.len() - 1]);
    assert!(last < early * 3 / 2, "{sizes:?}");
}

#[test]
fn without_vacuum_the_same_would_grow() {
    if seconds() != 0 {
        return;
    }
    let Some(server) = vacuuming() else { return };
    let scene = Scene::at(&server.create_database("UTF8"), "queue");
    for table in ["notification", "under_way"] {
        scene.sql(&format!(
            "alter table netdata_webhook_proxy.{table} set (autovacuum_enabled = false)"
        ));
    }
    scene.sql(
        "alter table netdata_webhook_proxy.notification set (toast.autovacuum_enabled = false)",
    );
    let size = after_rounds(&scene, false);
    eprintln!("{size} bytes without vacuum");
    assert!(size >= ALL, "{size}");
    let (dead, vacuums) = dead_rows_and_vacuums(&scene);
    assert!(dead > THRESHOLD && vacuums == 0, "{dead} {vacuums}");
}
