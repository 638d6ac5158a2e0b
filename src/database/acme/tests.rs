use super::*;
use crate::postgres_server as server;
use server::Server;
use std::time::Instant;
use tokio::time::sleep;

/// A database, and the place of its URL.
fn database(server: &Server) -> (String, tempfile::TempDir, DatabaseSource) {
    let url = server.create_database("UTF8");
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("url");
    std::fs::write(&file, &url).unwrap();
    (url, directory, DatabaseSource::file(file))
}

#[tokio::test]
async fn values_are_kept_for_all() {
    let Some(server) = Server::start() else {
        return;
    };
    let (_, _directory, source) = database(&server);
    let (one, other) = (Table::new(source.clone()), Table::new(source));
    assert_eq!(one.get("a/b").await.unwrap(), None);
    for value in [&b"one"[..], b"\0two\xff", b""] {
        one.put("a/b", value).await.unwrap();
        assert_eq!(other.get("a/b").await.unwrap().unwrap(), value);
    }
    other.put("c", b"3").await.unwrap();
    let names = ["c", "none", "a/b"].map(str::to_owned);
    let values = one.get_all(&names).await.unwrap();
    assert_eq!(values, [Some(b"3".to_vec()), None, Some(Vec::new())]);
    one.remove("a/b").await.unwrap();
    one.remove("a/b").await.unwrap();
    assert_eq!(other.get("a/b").await.unwrap(), None);
}

#[tokio::test]
async fn one_at_a_time_has_the_lock_and_writes_nothing_once_it_is_lost() {
    let Some(server) = Server::start() else {
        return;
    };
    let (url, _directory, source) = database(&server);
    let (one, other) = (Table::new(source.clone()), Table::new(source.clone()));
    let lock = one.lock("a/lock").await.unwrap().unwrap();
    assert!(one.lock("a/lock").await.unwrap().is_none());
    assert!(other.lock("a/lock").await.unwrap().is_none());
    assert!(other.lock("b/lock").await.unwrap().is_some());
    one.put("a/b", b"1").await.unwrap();
    // Longer than a lease without beats.
    sleep(Duration::from_secs(6)).await;
    assert!(other.lock("a/lock").await.unwrap().is_none());
    assert!(!lock.is_lost());
    // Another one takes over, which this one does not notice yet.
    server::sql(
        &url,
        "update netdata_webhook_proxy.acme_lock set term = term + 1",
    );
    assert!(one.put("a/b", b"2").await.is_err());
    assert!(one.remove("a/b").await.is_err());
    assert_eq!(other.get("a/b").await.unwrap().unwrap(), b"1");
    // The control: it is the lock by which they are refused.
    Table::new(source).put("a/b", b"3").await.unwrap();
    let begun = Instant::now();
    while !lock.is_lost() {
        assert!(begun.elapsed() < Duration::from_secs(5));
        sleep(Duration::from_millis(50)).await;
    }
    assert!(one.put("a/b", b"4").await.is_err());
    drop(lock);
    while one.put("a/b", b"5").await.is_err() {
        assert!(begun.elapsed() < Duration::from_secs(5));
        sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_lock_passes_on_at_once_if_it_is_dropped_and_else_when_its_lease_is_over() {
    let Some(server) = Server::start() else {
        return;
    };
    let (_, _directory, source) = database(&server);
    let other = Table::new(source.clone());
    let taken = async || {
        let begun = Instant::now();
        loop {
            if let Some(lock) = other.lock("lock").await.unwrap() {
                return (begun.elapsed(), lock);
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    let one = Table::new(source.clone());
    drop(one.lock("lock").await.unwrap().unwrap());
    let (after, lock) = taken().await;
    assert!(after < Duration::from_secs(3), "{after:?}");
    drop(lock);
    // A process that ends in the middle.
    let ended = std::thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let held = runtime.block_on(async {
            loop {
                if let Some(lock) = one.lock("lock").await.unwrap() {
                    return lock;
                }
                sleep(Duration::from_millis(50)).await;
            }
        });
        std::mem::forget(held);
    });
    tokio::task::spawn_blocking(|| ended.join().unwrap())
        .await
        .unwrap();
    let (after, _lock) = taken().await;
    let expected = Duration::from_millis(4500)..Duration::from_secs(8);
    assert!(expected.contains(&after), "{after:?}");
}
