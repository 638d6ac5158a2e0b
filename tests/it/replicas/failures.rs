//! What happens when something is down, row by row.
//!
//! | what happens | test |
//! |---|---|
//! | the database is away | `database` |
//! | it is slower than five seconds | [`a_database_that_is_slow_is_refused_in_time`] |
//! | the holder is killed; asleep and woken | `crashes`, `late` |
//! | it is cut from the database | `cuts` |
//! | it is cut from the application | [`a_holder_that_reaches_no_application_leaves_it_to_another`] |
//! | a failover, the old primary back, the standby gone | `standby` |
//! | the sessions are ended | `crashes` |
//! | 53100, 25006, unlogged, `fsync` off | [`a_database_that_takes_nothing_is_refused_until_it_does`] |
//! | deletes are not taken | `unrecorded` |
//! | 53300 | [`a_full_server_is_used_by_the_connections_that_are_there`] |
//! | 28P01 | [`a_password_that_was_changed_is_read_anew`] |
//! | a pooler | `pooler` |
//! | a row is refused alone | [`a_zero_byte_is_replaced`], `settings` |
//! | a dump is restored | [`what_a_dump_restores_is_delivered_again`] |

use super::{END_SESSIONS, Replica, Scene, Server, postgres, server};
use crate::queue::alert;
use crate::support::{Operator, Origin, eventually, free_address};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

impl Scene {
    /// Both replicas refuse what comes, for a reason that has these words, until `mend` has been
    /// run. Nothing that was acknowledged is lost.
    fn refuses_until(&self, words: &str, mend: impl FnOnce()) {
        for replica in &self.replicas {
            let answer = replica.sender.post(&alert("refused", "0"));
            assert_eq!(
                (answer.status, &*answer.code()),
                (503, "queue_failed"),
                "{words}"
            );
            replica.proxy.wait_for_event("queue_unwritable");
            // The line about it is written once a minute, and may be about the end of a connection.
            eventually(words, || {
                let status = Operator::of(&replica.proxy).get("/api/status.json").body;
                let says = |part| status.contains(part);
                (says("The queue cannot be written") && says(words)).then_some(())
            });
        }
        mend();
        for at in 0..2 {
            self.stores_again(at, &alert("n", &format!("after{at}")));
            self.replicas[at].proxy.wait_for_event("queue_writable");
        }
        self.drained();
        assert_eq!(self.received_of("n"), ["n-before", "n-after0", "n-after1"]);
    }
}

/// Breaks a database of `server` by `breaks`, and mends it by `mends`; `%` is its name.
fn refuses_while(server: &Server, breaks: &[&str], words: &str, mends: &[&str]) {
    let url = server.create_database("UTF8");
    let scene = Scene::at(&url, "queue");
    let name = scene.sql("select current_database()");
    let run = |statements: &[&str]| {
        for statement in statements {
            let statement = statement.replace('%', &name);
            match statement.starts_with("alter ") && !statement.contains(" table ") {
                true => postgres::sql(&server.url("postgres"), &statement),
                false => scene.sql(&statement),
            };
        }
    };
    scene.stores(0, &alert("n", "before"));
    scene.origin.wait_for(1);
    scene.drained();
    run(breaks);
    scene.refuses_until(words, || run(mends));
}

#[test]
fn a_database_that_takes_nothing_is_refused_until_it_does() {
    let Some(server) = server() else { return };
    let no_room = "create function public.no_room() returns trigger language plpgsql as
        $$ begin raise exception 'disk is full' using errcode = '53100'; end $$;
        create trigger no_room before insert on netdata_webhook_proxy.notification
        execute function public.no_room()";
    let room_again = "drop function public.no_room cascade";
    refuses_while(server, &[no_room], "SQLSTATE 53100", &[room_again]);
    let read_only = "alter database % set default_transaction_read_only = on";
    let writable = "alter database % reset default_transaction_read_only";
    refuses_while(
        server,
        &[read_only, END_SESSIONS],
        "read-only",
        &[writable, END_SESSIONS],
    );
    let unlogged = "alter table netdata_webhook_proxy.notification set unlogged";
    let logged = "alter table netdata_webhook_proxy.notification set logged";
    refuses_while(server, &[unlogged, END_SESSIONS], "not logged", &[logged]);
}

#[test]
fn a_server_whose_settings_lose_what_is_acknowledged_is_refused_until_they_do_not() {
    let Some(server) = Server::start() else {
        return;
    };
    for setting in ["fsync", "full_page_writes"] {
        let (off, on) = (
            format!("alter system set {setting} = off"),
            format!("alter system set {setting} = on"),
        );
        let reload = "select pg_reload_conf()";
        refuses_while(
            &server,
            &[&off, reload, END_SESSIONS],
            setting,
            &[&on, reload],
        );
    }
}

#[test]
fn a_full_server_is_used_by_the_connections_that_are_there() {
    let Some(server) = server() else { return };
    let scene = Scene::at(&server.create_owned_database(""), "queue");
    scene.stores(0, &alert("n", "before"));
    scene.stores(1, &alert("n", "between"));
    scene.drained();
    let name = scene.sql("select current_database()");
    let superuser = server.url("postgres");
    let limit = |limit: &str| {
        let limit = format!("alter database {name} connection limit {limit}");
        postgres::sql(&superuser, &limit);
    };
    limit("1");
    for at in 0..2 {
        scene.stores(at, &alert("m", &at.to_string()));
    }
    postgres::sql(&server.url(&name), END_SESSIONS);
    limit("0");
    let answer = scene.replicas[1].sender.post(&alert("n", "refused"));
    assert_eq!(answer.status, 503, "{answer:?}");
    let line = scene.replicas[1].proxy.wait_for_event("queue_unwritable");
    assert!(line.contains("SQLSTATE 53300"), "{line}");
    limit("-1");
    scene.stores_again(1, &alert("n", "after"));
    scene.drained();
    assert_eq!(scene.received_of("n"), ["n-before", "n-between", "n-after"]);
}

#[test]
fn a_password_that_was_changed_is_read_anew() {
    let Some(server) = Server::start() else {
        return;
    };
    postgres::sql(&server.url("postgres"), "create role passworded");
    let url = server.create_owned_database("password 'first-p4ss' in role passworded");
    let with = |password: &str| url.replace("?host", &format!("?password={password}&host"));
    let mut scene = Scene::at(&with("first-p4ss"), "queue");
    scene.url = server.url("t0");
    scene.stores(0, &alert("n", "before"));
    scene.origin.wait_for(1);
    scene.drained();
    scene.sql("alter role t0 password 'second-p4ss'");
    // What is connected goes on.
    scene.stores(1, &alert("m", "0"));
    scene.sql(END_SESSIONS);
    let file = scene.directory.path().join("database.url");
    scene.refuses_until("SQLSTATE 28P01", || {
        std::fs::write(&file, with("second-p4ss")).unwrap();
    });
    for replica in &scene.replicas {
        let log = replica.proxy.log().join("\n");
        assert!(!log.contains("-p4ss"), "{log}");
    }
}

#[test]
fn a_zero_byte_is_replaced() {
    let Some(scene) = Scene::new("queue") else {
        return;
    };
    scene.stores(0, &alert("n\\u0000", "critical"));
    scene.stores(1, &alert("m", "critical"));
    scene.drained();
    let received = scene.origin.received();
    let body = alert("n\\u0000", "critical");
    assert!(received.iter().any(|it| it.body == body.as_bytes()));
    for replica in &scene.replicas {
        assert_eq!(replica.proxy.events("queue_row_refused"), [""; 0]);
    }
}

#[test]
fn a_database_that_is_slow_is_refused_in_time() {
    let Some(scene) = Scene::new("queue") else {
        return;
    };
    scene.stores(0, &alert("n", "before"));
    scene.drained();
    let mut psql = Command::new("psql");
    psql.args(["-XAtq", &scene.url])
        .stdin(Stdio::piped())
        .stdout(Stdio::null());
    let mut locking = psql.spawn().unwrap();
    let lock = "begin; lock table netdata_webhook_proxy.notification in exclusive mode;\n";
    let mut input = locking.stdin.take().unwrap();
    std::io::Write::write_all(&mut input, lock.as_bytes()).unwrap();
    let locks = "select count(*) from pg_locks where mode = 'ExclusiveLock'
        and relation = 'netdata_webhook_proxy.notification'::regclass";
    eventually("a lock", || (scene.sql(locks) == "1").then_some(()));
    let before = Instant::now();
    let answer = scene.replicas[1].sender.post(&alert("n", "slow"));
    assert_eq!(
        (answer.status, &*answer.code()),
        (503, "queue_failed"),
        "{answer:?}"
    );
    let took = before.elapsed();
    assert!(took < Duration::from_millis(5500), "{took:?}");
    // Its end frees the lock.
    drop(input);
    assert!(locking.wait().unwrap().success());
    scene.stores_again(1, &alert("n", "after"));
    scene.drained();
    let received = scene.received_of("n");
    // What was refused may have been stored after all, once.
    assert!(received.starts_with(&["n-before".into()]), "{received:?}");
    assert!(received.ends_with(&["n-after".into()]), "{received:?}");
    assert!(received.len() <= 3, "{received:?}");
}

#[test]
fn a_holder_that_reaches_no_application_leaves_it_to_another() {
    let Some(server) = server() else { return };
    let url = server.create_database("UTF8");
    let mut scene = Scene::alone(Origin::spawn_apart(), &url, "queue");
    let nothing = format!("http://{}", free_address());
    let cut = Replica::start(&scene.config.replace(&scene.origin.url, &nothing));
    cut.proxy.wait_for_event("queue_delivering");
    scene.replicas = vec![cut, Replica::start(&scene.config)];
    scene.stores(0, &alert("n", "0"));
    scene.stores(1, &alert("n", "1"));
    let before = Instant::now();
    while scene.origin.received().is_empty() {
        assert!(
            before.elapsed() < Duration::from_secs(60),
            "no other one delivers"
        );
        std::thread::sleep(Duration::from_millis(100));
    }
    scene.replicas[0].proxy.wait_for_event("queue_unreached");
    scene.drained();
    assert_eq!(scene.received_of("n"), ["n-0", "n-1"]);
    // The application has heard of an attempt that was made elsewhere.
    let received = scene.origin.received();
    assert_ne!(received[0].header("X-Netdata-Attempt"), "1");
}

/// Runs `pg_dump` of the program's schema.
fn dump(url: &str) -> String {
    let output = Command::new("pg_dump")
        .args(["--clean", "--schema=netdata_webhook_proxy", url])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn what_a_dump_restores_is_delivered_again() {
    let Some(scene) = Scene::new("queue") else {
        return;
    };
    scene.origin.stop();
    scene.stores(0, &alert("n", "0"));
    let dump = dump(&scene.url);
    scene.origin.start();
    scene.drained();
    scene.stores(1, &alert("m", "0"));
    scene.drained();
    let file = scene.directory.path().join("dump.sql");
    std::fs::write(&file, dump).unwrap();
    let restored = Command::new("psql")
        .args(["-Xq", "-v", "ON_ERROR_STOP=1", "--single-transaction", "-f"])
        .arg(&file)
        .arg(&scene.url)
        .stdout(Stdio::null())
        .status();
    assert!(restored.unwrap().success());
    scene.stores_again(1, &alert("n", "1"));
    scene.drained();
    let received = scene.origin.received();
    let of_n = received.iter().map(|it| it.header("Idempotency-Key"));
    let of_n: Vec<_> = of_n.filter(|key| key.starts_with("n-")).collect();
    assert_eq!(of_n, ["n-0", "n-0", "n-1"]);
}
