//! What waits is listed and shown with everything that is known about it.

use super::{Scene, err};
use crate::queue::alert;
use crate::support::{Edit as _, eventually};
use rusqlite::Connection;
use serde_json::Value;
use std::io::Read as _;
use std::process::Stdio;

/// A notification that tries to control the terminal, with a title that is long.
fn hostile() -> String {
    let name = format!("\\u001b[2J\\u202ea\\nb {}", "x".repeat(190));
    alert("h", "critical").edit("\"name\":\"a\"", &format!("\"name\":\"{name}\""))
}

#[test]
fn a_table_says_what_waits_and_why() {
    let mut scene = Scene::waiting(&[alert("n", "critical"), alert("n", "clear"), hostile()]);
    scene.proxy.wait_for_event("queue_outage_began");
    scene.asks(&["park", "3"]);
    eventually("the error of an attempt", || {
        scene.listed(&[])[0]["last_error"].as_str().map(drop)
    });
    for is_running in [true, false] {
        let table = scene.asks(&["list"]);
        let lines: Vec<_> = table.lines().collect();
        assert!(
            lines.iter().all(|line| line.chars().count() <= 100),
            "{table}"
        );
        assert!(!table.contains(['\u{1b}', '\u{202e}']), "{table:?}");
        let words: Vec<_> = lines[0].split_whitespace().collect();
        let titles = [
            "ID", "ROUTE", "AGE", "TRIES", "NEXT", "TRY", "LAST", "ERROR",
        ];
        assert_eq!(words, titles);
        let part = |line: usize, part: &str| assert!(lines[line].contains(part), "{table}");
        part(1, " 1  /webhooks/netdata ");
        part(1, "onnect");
        part(2, "  alert, critical: a");
        part(3, "  after 1");
        part(4, "  alert, clear: a");
        part(5, "parked: operator");
        part(6, "alert, critical: �[2J�a�b xxxx");
        assert!(table.contains("\nWaiting: 2. Parked: 1.\n"), "{table}");
        let summary = "\n/webhooks/netdata: 2 wait, the oldest for ";
        assert!(table.contains(summary), "{table}");
        assert!(table.contains("last error: cannot connect"), "{table}");
        assert!(table.contains("queue retry --all"), "{table}");
        assert_eq!(table.contains("No running proxy"), !is_running, "{table}");
        if is_running {
            scene.end();
        }
    }
}

#[test]
fn what_is_listed_can_be_selected() {
    let scene = Scene::waiting(&[alert("n", "critical"), alert("m", "warning")]);
    scene.asks(&["park", "2"]);
    assert_eq!(scene.ids(&[]), [1, 2]);
    assert_eq!(scene.ids(&["--parked"]), [2]);
    assert_eq!(scene.ids(&["--route", "/webhooks/netdata"]), [1, 2]);
    assert_eq!(
        scene.ids(&["--route", "/webhooks/netdata", "--parked"]),
        [2]
    );
    assert!(scene.ids(&["--route", "/other"]).is_empty());
    let none = scene.asks(&["list", "--route", "/other"]);
    assert_eq!(none, "Nothing waits, and nothing is parked.\n");
}

#[test]
fn scripts_read_all_that_is_known() {
    let scene = Scene::waiting(&[alert("n", "critical"), alert("n", "clear")]);
    let listed = scene.listed(&[]);
    let [first, second] = &listed[..] else {
        panic!("{listed:?}")
    };
    assert_eq!(first["about"]["kind"], "alert");
    assert_eq!(first["about"]["severity"], "critical");
    assert_eq!(first["about"]["transition_id"], "n-critical");
    assert_eq!(first["idempotency_key"], "n-critical");
    assert_eq!(first["after"], Value::Null);
    assert_eq!(second["after"], 1);
    assert_eq!(second["attempts"], 0);
    assert_eq!(second["body_bytes"], alert("n", "clear").len());
    for name in ["received", "next_try", "last_error", "parked", "route"] {
        assert!(first.get(name).is_some(), "{name} in {first}");
    }
    eventually("the time of the next attempt", || {
        scene.listed(&[])[0]["next_try"].as_str().map(drop)
    });
}

#[test]
fn one_is_shown_as_the_application_gets_it() {
    let scene = Scene::waiting(&[alert("n", "critical"), hostile()]);
    let shown = scene.asks(&["show", "1"]);
    for part in [
        "route       /webhooks/netdata\n",
        "transition  n-critical\n",
        "request id  ",
        "client      127.0.0.1",
        "next try    ",
        "POST /webhooks/netdata HTTP/1.1\n",
        "\nIdempotency-Key: n-critical\n",
        &alert("n", "critical"),
    ] {
        assert!(shown.contains(part), "{part} in {shown}");
    }
    assert_eq!(scene.asks(&["show", "1", "--body"]), alert("n", "critical"));
    let json: Value = serde_json::from_str(&scene.asks(&["show", "2", "--json"])).unwrap();
    assert_eq!(json["body"], hostile());
    assert!(!scene.asks(&["show", "2"]).contains('\u{1b}'));
    let missing = scene.queue(&["show", "7"]).output().unwrap();
    assert_eq!(missing.status.code(), Some(1));
    assert!(
        err(&missing).contains("no notification has the id 7"),
        "{}",
        err(&missing)
    );
}

#[test]
fn a_list_that_is_not_read_to_its_end_holds_up_nothing() {
    let mut scene = Scene::waiting(&[alert("n", "critical")]);
    scene.end();
    let queue = Connection::open(scene.file()).unwrap();
    let copy = "insert into notification (route, key, idempotency, received, about, head, message)
        with recursive number(it) as (select 1 union all select it + 1 from number where it < 3000)
        select route, key, idempotency, received + it, about, head, message from notification, number";
    queue.execute(copy, []).unwrap();
    let mut list = scene
        .queue(&["list"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = list.stdout.take().unwrap();
    // It prints more than a pipe holds, and waits.
    out.read_exact(&mut [0; 100]).unwrap();
    let checkpoint = "pragma wal_checkpoint(truncate)";
    let is_busy = || queue.query_row(checkpoint, [], |row| row.get::<_, bool>(0));
    eventually("a log that can be written back", || {
        (!is_busy().unwrap()).then_some(())
    });
    assert!(list.try_wait().unwrap().is_none());
    drop(out);
    let status = eventually("the end", || list.try_wait().unwrap());
    assert!(status.success(), "a reader may close the pipe");
}
