//! Rows that no version of the program has written: the others are delivered nevertheless.

use super::{Alert, PROGRAM, config, kill, run, sender};
use crate::support::{Origin, eventually};
use rusqlite::Connection;
use std::process::Command;

/// What a row may have become, and no check of the file notices.
const CHANGES: [&str; 12] = [
    "head = 4294967296",
    "head = -1",
    "head = 100000",
    "key = x'00'",
    "key = x''",
    "attempts = -1",
    "attempts = 1099511627776",
    "route = cast(x'ff' as text)",
    "received = -1",
    "received = 9223372036854775807",
    "message = x''",
    "about = '[', idempotency = cast(x'ff' as text), last_error = cast(x'ff' as text)",
];

#[test]
fn a_row_that_cannot_be_stops_no_other() {
    for change in CHANGES {
        let directory = tempfile::tempdir().unwrap();
        let origin = Origin::spawn_apart().lenient();
        origin.stop();
        let file = directory.path().join("queue.db");
        let config = config(&origin, &file, "queue");
        let proxy = run(Command::new(PROGRAM), &config);
        let mut connection = sender(&proxy).connect().unwrap();
        let mut post = |node: &str| {
            let mut alert = Alert::of(node.to_owned());
            alert.post(&mut connection).unwrap().unwrap()
        };
        let (_, mut others) = (post("changed"), vec![post("a"), post("b")]);
        kill(proxy);
        let database = Connection::open(&file).unwrap();
        let update = format!("update notification set {change} where id = 1");
        assert_eq!(database.execute(&update, []).unwrap(), 1);
        drop(database);
        origin.start();
        let proxy = run(Command::new(PROGRAM), &config);
        let mut connection = sender(&proxy).connect().unwrap();
        others.extend(Alert::of("c").post(&mut connection).unwrap());
        assert_eq!(others.len(), 3, "{change}");
        eventually("the others", || {
            let received = origin.received();
            let keys = received.iter().flat_map(|it| it.all("Idempotency-Key"));
            let keys: Vec<_> = keys.collect();
            others.iter().all(|id| keys.contains(&&**id)).then_some(())
        });
        assert!(!proxy.log().join("\n").contains("panicked"), "{change}");
    }
}
