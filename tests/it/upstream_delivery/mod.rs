//! Delivery does not give up early.
//!
//! | fault | the kind it stands for | test |
//! |---|---|---|
//! | with two servers and `kill -9`, 284 of 4,000 notifications got 502 | a connection, fresh or pooled, that breaks before a byte of the answer loses the notification on it | `servers_that_die_under_load_cost_no_notification`, `a_break_before_the_answer_is_made_up_for_once` |
//! | the second attempt met the same dying server | the choice of a server knows nothing of the attempt before | `the_second_attempt_prefers_another_server` |
//! | a 408 for an idle connection was passed to the sender, to which it means nothing | an answer that says "not taken" is taken for the application's | `a_408_on_a_pooled_connection_is_not_for_the_sender` |
//! | with one server whose check fails, 374 of 100/s got 503 for 3.7 s after the application listened again | what a check found is believed for longer than what requests would find | `an_application_that_listens_again_is_used_before_its_next_check`, `an_answer_proves_more_than_a_check` |

mod health;
mod load;
mod repetition;

use crate::support::{
    Connection, Edit as _, Origin, Pki, Proxy, Reply, Sender, WEBHOOK, eventually,
};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

const ALERT: &str = r#"{"alert":{"transition_id":"t-1"}}"#;

/// No server is checked again while a test runs.
const SELDOM: &str = "health_check = { interval = \"10m\" }";

const ADMIN: &str = "[admin]\nlisten = \"127.0.0.1:0\"\n";

/// Whatever comes over this is not there when it is used again.
const BREAK: Reply = Reply::Last(String::new());

/// A proxy with one thread, and `config` otherwise.
fn scene(pki: &Pki, config: &str) -> (Proxy, Connection) {
    let proxy = Proxy::spawn(pki, &config.edit("threads = 2", "threads = 1"));
    let connection = Sender::to(&proxy, Some(&pki.netdata())).connect().unwrap();
    (proxy, connection)
}

fn health_of(origin: &Origin) -> String {
    format!(
        "upstream_healthy{{server=\"{}\",upstream=\"app\"}}",
        origin.url
    )
}

/// How often each notification of `origin` came, by its request id.
fn keys(origin: &Origin) -> Vec<(String, String)> {
    let key = |name: &str, received: &crate::support::Received| received.header(name).to_owned();
    origin
        .received()
        .iter()
        .map(|received| {
            (
                key("X-Request-Id", received),
                key("Idempotency-Key", received),
            )
        })
        .collect()
}

/// What each sender's requests came to.
#[derive(Default)]
struct Tally {
    sent: AtomicUsize,
    failures: Mutex<Vec<(String, u16)>>,
    is_over: AtomicBool,
}

impl Tally {
    /// Sends one notification after the other, each with an id of its own, until it is over.
    fn send(&self, sender: &Sender, number: usize, pause: Duration) {
        let mut connection = sender.connect().unwrap();
        while !self.is_over.load(Ordering::SeqCst) {
            let id = format!("load-{number}-{}", self.sent.fetch_add(1, Ordering::SeqCst));
            let body = format!("{{\"alert\":{{\"transition_id\":\"{id}\"}}}}");
            let headers = format!("Content-Type: application/json\r\nX-Request-Id: {id}\r\n");
            let answer = connection.send("POST", WEBHOOK, &headers, &body).unwrap();
            if answer.status != 200 {
                self.failures.lock().unwrap().push((id, answer.status));
            }
            std::thread::sleep(pause);
        }
    }

    fn wait_for_more(&self, more: usize) {
        let target = self.sent.load(Ordering::SeqCst) + more;
        eventually("requests", || {
            (self.sent.load(Ordering::SeqCst) >= target).then_some(())
        });
    }
}
