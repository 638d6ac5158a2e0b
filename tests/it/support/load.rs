//! Senders that never pause, and count what went wrong.

use super::{Http2, PATIENCE, Sender};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

const ALERT: &str = "{\"alert\":\"x\"}";

/// Several senders at once: on connections that are kept, over HTTP/2, and on a new connection for
/// each request.
pub(crate) struct Load {
    state: Arc<State>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct State {
    stop: AtomicBool,
    /// Once the proxy has been told to end, a connection may be refused.
    may_refuse: AtomicBool,
    answered: Mutex<[usize; 3]>,
    failures: Mutex<Vec<String>>,
}

/// How often a sender of each kind posts, so that two cores are enough for all of them.
const PAUSE: Duration = Duration::from_millis(2);

impl Load {
    /// Starts two senders of each kind.
    pub(crate) fn start(sender: &Sender) -> Self {
        let state = Arc::<State>::default();
        let kinds: [fn(&State, &Sender); 3] =
            [State::keep_alive, State::http2, State::new_connections];
        let spawn = |kind: fn(&State, &Sender)| {
            let (state, sender) = (state.clone(), sender.clone());
            thread::spawn(move || kind(&state, &sender))
        };
        let threads = kinds.into_iter().chain(kinds).map(spawn).collect();
        Self { state, threads }
    }

    /// Waits until each kind of sender has had so many more answers.
    pub(crate) fn goes_on_for(&self, requests: usize) {
        let before = *self.state.answered.lock().unwrap();
        let deadline = Instant::now() + PATIENCE;
        let is_done = || {
            let now = *self.state.answered.lock().unwrap();
            now.iter()
                .zip(before)
                .all(|(now, before)| now - before >= requests)
        };
        while !is_done() {
            assert!(
                Instant::now() < deadline,
                "{:?} {:?}",
                self.state.answered,
                self.state.failures
            );
            thread::sleep(PAUSE);
        }
    }

    /// From here on a refused connection is the end, and no failure.
    pub(crate) fn may_be_refused(&self) {
        self.state.may_refuse.store(true, Ordering::SeqCst);
    }

    /// Ends, and gives how many requests were answered, having made sure that none failed.
    pub(crate) fn ends_without_failure(self) -> usize {
        self.state.stop.store(true, Ordering::SeqCst);
        for thread in self.threads {
            thread.join().unwrap();
        }
        let (answered, failures) = (
            *self.state.answered.lock().unwrap(),
            self.state.failures.lock().unwrap(),
        );
        assert!(
            failures.is_empty(),
            "{} of {answered:?} failed: {failures:?}",
            failures.len()
        );
        assert!(
            answered.iter().all(|answered| *answered > 0),
            "{answered:?}"
        );
        answered.iter().sum()
    }
}

impl State {
    fn goes_on(&self) -> bool {
        thread::sleep(PAUSE);
        !self.stop.load(Ordering::SeqCst)
    }

    fn note(&self, kind: usize, status: u16) {
        match status {
            200 => self.answered.lock().unwrap()[kind] += 1,
            other => self
                .failures
                .lock()
                .unwrap()
                .push(format!("{kind}: status {other}")),
        }
    }

    /// Whether to go on after that.
    fn fail(&self, what: &str, error: &dyn std::fmt::Display) -> bool {
        if self.may_refuse.load(Ordering::SeqCst)
            && error.to_string().contains("Connection refused")
        {
            return false;
        }
        self.failures
            .lock()
            .unwrap()
            .push(format!("{what}: {error}"));
        true
    }

    /// A connection is used until the proxy says that it closes.
    fn keep_alive(&self, sender: &Sender) {
        while self.goes_on() {
            let mut connection = match sender.connect() {
                Ok(connection) => connection,
                Err(error) if self.fail("connect", &error) => continue,
                Err(_) => return,
            };
            while self.goes_on() {
                match connection.post(ALERT) {
                    Ok(answer) => {
                        self.note(0, answer.status);
                        if answer.header("connection") == Some("close") {
                            break;
                        }
                    }
                    Err(error) => {
                        self.fail("keep-alive", &error);
                        break;
                    }
                }
            }
        }
    }

    /// A connection is used until the proxy says that it goes away. What it says it has not
    /// processed is sent again on another (RFC 9113 section 6.8).
    fn http2(&self, sender: &Sender) {
        while self.goes_on() {
            let mut connection = match Http2::connect(sender) {
                Ok(connection) => connection,
                Err(error) if is_away(&*error) => continue,
                Err(error) if self.fail("connect for HTTP/2", &error) => continue,
                Err(_) => return,
            };
            while self.goes_on() {
                match connection.post(ALERT) {
                    Ok(answer) => self.note(1, answer.status),
                    Err(error) => {
                        if !is_away(&*error) {
                            self.fail("HTTP/2", &error);
                        }
                        break;
                    }
                }
            }
        }
    }

    fn new_connections(&self, sender: &Sender) {
        while self.goes_on() {
            match sender.send(
                "POST",
                super::WEBHOOK,
                "Content-Type: application/json\r\n",
                ALERT,
            ) {
                Ok(answer) => self.note(2, answer.status),
                Err(error) if self.fail("new connection", &error) => {}
                Err(_) => return,
            }
        }
    }
}

/// Whether it says that the other side goes away and has not processed this.
fn is_away(error: &(dyn std::error::Error + 'static)) -> bool {
    let error = error.downcast_ref::<h2::Error>();
    error.is_some_and(|error| {
        error.is_go_away() && error.is_remote() && error.reason() == Some(h2::Reason::NO_ERROR)
    })
}
