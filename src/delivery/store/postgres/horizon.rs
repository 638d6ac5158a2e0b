//! What holds the horizon of vacuum is found in a real server, whatever it is.

use super::tests::Scene;
use super::{PostgresStore, Store as _};
use crate::delivery::survey::Hazard;
use crate::postgres_server::{self as server, Server};
use std::time::{Duration, Instant};
use tokio_postgres::NoTls;

/// Returns what holds the horizon of vacuum, without the time for which it has to.
async fn held_by(store: &PostgresStore) -> Option<String> {
    store.shared.horizon.lock().unwrap().limit = 0;
    let hazards = store.survey().await.unwrap().unwrap().hazards;
    hazards.into_iter().find_map(|hazard| match hazard {
        Hazard::HeldHorizon { by, .. } => Some(by),
        _ => None,
    })
}

/// A session that is idle in a transaction with a snapshot, and its pid.
async fn idle_session(url: &str) -> (tokio_postgres::Client, i32) {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    let begin = "begin isolation level repeatable read; select from pg_class";
    client.batch_execute(begin).await.unwrap();
    let row = client.query_one("select pg_backend_pid()", &[]).await;
    (client, row.unwrap().get(0))
}

#[tokio::test]
async fn what_holds_the_horizon_of_vacuum_is_named() {
    let settings = ["max_prepared_transactions=1"];
    let Some(server) = Server::start_with(&settings) else {
        return;
    };
    // The role may not see what the sessions of others do.
    let scene = Scene::at(&server.create_owned_database(""));
    let store = scene.try_open(1 << 30).unwrap();
    assert_eq!(held_by(&store).await, None);
    let elsewhere = server.create_database("UTF8");
    let (_elsewhere, _) = idle_session(&elsewhere).await;
    assert_eq!(held_by(&store).await, None, "another database");
    let superuser = server.url(&scene.sql("select current_database()"));
    for url in [&scene.url, &superuser] {
        let (session, pid) = idle_session(url).await;
        assert_eq!(held_by(&store).await, Some(format!("pid {pid}")));
        store.shared.horizon.lock().unwrap().limit = 600_000;
        let survey = store.survey().await.unwrap().unwrap();
        assert!(!format!("{survey:?}").contains("HeldHorizon"), "{survey:?}");
        session.batch_execute("rollback").await.unwrap();
        assert_eq!(held_by(&store).await, None);
    }
    let (session, _) = idle_session(&superuser).await;
    let prepare = "rollback; begin; create table public.t (); prepare transaction 'left over'";
    session.batch_execute(prepare).await.unwrap();
    let prepared = "prepared transaction left over".to_owned();
    assert_eq!(held_by(&store).await, Some(prepared));
    session
        .batch_execute("rollback prepared 'left over'")
        .await
        .unwrap();
    assert_eq!(held_by(&store).await, None);
}

#[tokio::test]
async fn a_replication_slot_that_holds_the_horizon_is_named() {
    let Some(server) = Server::start() else {
        return;
    };
    let scene = Scene::at(&server.create_owned_database(""));
    let store = scene.try_open(1 << 30).unwrap();
    let superuser = server.url("postgres");
    server::sql(
        &superuser,
        "select pg_create_physical_replication_slot('s')",
    );
    assert_eq!(held_by(&store).await, None, "nothing uses it");
    let standby = server.start_standby("standby");
    let (_session, _) = idle_session(&standby.url("postgres")).await;
    assert_eq!(held_by(&store).await, None, "it is not told of the session");
    standby.set("primary_slot_name", "'s'");
    standby.set("hot_standby_feedback", "on");
    let slot = Some("replication slot s".to_owned());
    let begun = Instant::now();
    while held_by(&store).await != slot {
        assert!(begun.elapsed() < Duration::from_secs(30), "no feedback");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    drop(standby);
    // It stays, without the standby, until it is dropped.
    assert_eq!(held_by(&store).await, slot);
    server::sql(&superuser, "select pg_drop_replication_slot('s')");
    assert_eq!(held_by(&store).await, None);
}
