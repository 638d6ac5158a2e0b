//! Groups of servers: balanced, checked, left out and taken back.

mod balance;
mod checks;
mod health;
mod members;

use crate::support::{Connection, Edit as _, Origin, Pki, Proxy, Sender};

const ALERT: &str = r#"{"alert":{"transition_id":"t-1"}}"#;

/// No server is checked again while a test runs.
const SELDOM: &str = "health_check = { interval = \"10m\" }";

/// Every server is checked all the time.
const OFTEN: &str = "health_check = { interval = \"50ms\" }";

/// A proxy with one thread, in front of a group of `origins`.
fn scene(origins: &[&Origin], group: &str) -> (Proxy, Connection) {
    let config = Proxy::config_of_group(origins, group).edit("threads = 2", "threads = 1");
    let proxy = Proxy::spawn(Pki::shared(), &config);
    let connection = Sender::to(&proxy, Some(&Pki::shared().netdata()))
        .connect()
        .unwrap();
    (proxy, connection)
}

fn post_all(connection: &mut Connection, count: usize) {
    for _ in 0..count {
        let answer = connection.post(ALERT).unwrap();
        assert_eq!(answer.status, 200, "{answer:?}");
    }
}

/// How many requests each received.
fn shares(origins: &[&Origin]) -> Vec<usize> {
    origins
        .iter()
        .map(|origin| origin.received().len())
        .collect()
}
