//! Well-behaved clients, and what became of each of their requests.

use crate::Failure;
use crate::application::Application;
use crate::attacks::Target;
use crate::client::{self, Answer, Connection};
use crate::proxy::SECRET;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::Request;
use sha2::Sha256;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// Between two requests of a client.
const PAUSE: Duration = Duration::from_millis(20);

/// What became of good requests.
#[derive(Default)]
pub(crate) struct Ledger {
    next: AtomicU64,
    /// The keys of notifications that were answered.
    answered: Mutex<Vec<String>>,
    lost: Mutex<Vec<String>>,
    challenges: Mutex<Vec<Duration>>,
}

/// Clients that send until they are told to end.
pub(crate) struct Good {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<()>>,
}

/// What is printed about good requests.
pub(crate) struct Report {
    pub(crate) lost: Vec<String>,
    /// Answered, and not seen by the application.
    pub(crate) unseen: usize,
    pub(crate) challenge_p99: Duration,
    answered: usize,
    twice: usize,
    challenges: usize,
    challenge_p50: Duration,
    challenge_max: Duration,
}

#[derive(Clone)]
struct Work {
    target: Arc<Target>,
    ledger: Arc<Ledger>,
    stop: Arc<AtomicBool>,
}

impl Good {
    pub(crate) fn start(target: &Arc<Target>, ledger: &Arc<Ledger>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let work = Work {
            target: target.clone(),
            ledger: ledger.clone(),
            stop: stop.clone(),
        };
        let clients = vec![
            tokio::spawn(work.clone().kept()),
            tokio::spawn(work.clone().kept()),
            tokio::spawn(work.clone().http2()),
            tokio::spawn(work.clone().http2()),
            tokio::spawn(work.clone().fresh()),
            tokio::spawn(work.clone().fresh()),
            tokio::spawn(work.clone().challenges()),
        ];
        Self { stop, clients }
    }

    pub(crate) async fn end(self) {
        self.stop.store(true, Ordering::SeqCst);
        for client in self.clients {
            if let Err(panic) = client.await {
                std::panic::resume_unwind(panic.into_panic());
            }
        }
    }
}

impl Work {
    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::SeqCst)
    }

    /// A connection that is kept for as long as the proxy keeps it.
    async fn kept(self) {
        while self.goes_on() {
            let mut connection = match self.target.first().connect().await {
                Ok(connection) => connection,
                Err(error) => {
                    self.ledger.lose("connecting", &error);
                    sleep(PAUSE).await;
                    continue;
                }
            };
            while self.goes_on() {
                sleep(PAUSE).await;
                let (key, body) = self.ledger.alert();
                let answer = connection.exchange(&post(&body)).await;
                if !self.ledger.note("kept connection", key, answer) {
                    break;
                }
            }
        }
    }

    /// A connection for each notification.
    async fn fresh(self) {
        while self.goes_on() {
            sleep(PAUSE).await;
            let (key, body) = self.ledger.alert();
            let answer = async {
                self.target
                    .first()
                    .connect()
                    .await?
                    .exchange(&post(&body))
                    .await
            }
            .await;
            self.ledger.note("new connection", key, answer);
        }
    }

    /// Over HTTP/2. What the proxy says it has not processed is sent again (RFC 9113 section 6.8).
    async fn http2(self) {
        while self.goes_on() {
            let requests = match self.connect_http2().await {
                Ok(requests) => requests,
                Err(error) => {
                    self.ledger.lose("connecting for HTTP/2", &error);
                    sleep(PAUSE).await;
                    continue;
                }
            };
            while self.goes_on() {
                sleep(PAUSE).await;
                let (key, body) = self.ledger.alert();
                match client::exchange(&requests, post_http2(), body.into()).await {
                    Ok(answer) => drop(self.ledger.note("HTTP/2", key, Ok(answer))),
                    Err(error) if is_away(&*error) => break,
                    Err(error) => {
                        self.ledger.lose("HTTP/2", &error);
                        break;
                    }
                }
            }
        }
    }

    async fn connect_http2(&self) -> Result<h2::client::SendRequest<Bytes>, Failure> {
        let (requests, connection) =
            h2::client::handshake(self.target.http2().tls().await?).await?;
        // Its end is that of its requests.
        tokio::spawn(async { drop(connection.await) });
        Ok(requests)
    }

    /// A challenge on a kept connection and one on a new connection, in turn.
    async fn challenges(self) {
        let mut kept = None;
        while self.goes_on() {
            sleep(PAUSE).await;
            let started = Instant::now();
            match self.challenge(kept.take()).await {
                Ok(connection) => {
                    self.ledger.note_challenge(started.elapsed());
                    // Every other one is on a connection of its own.
                    kept = connection.filter(|_| rand::random());
                }
                Err(error) => self.ledger.lose("challenge", &error),
            }
        }
    }

    /// Sends a challenge on a connection that was kept, or on a new one. Returns the connection if
    /// it stays.
    async fn challenge(&self, kept: Option<Connection>) -> Result<Option<Connection>, Failure> {
        let token = format!("token-{}", self.ledger.next.fetch_add(1, Ordering::Relaxed));
        let request =
            format!("GET /webhooks/netdata?crc_token={token} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let mut connection = match kept {
            Some(connection) => connection,
            None => self.target.first().connect().await?,
        };
        let answer = connection.exchange(request.as_bytes()).await?;
        if answer.body != expected(&token)? {
            return Err("a wrong answer".into());
        }
        Ok(answer.may_stay.then_some(connection))
    }
}

impl Ledger {
    /// The key and the body of the next notification.
    fn alert(&self) -> (String, String) {
        let key = format!("soak-{}", self.next.fetch_add(1, Ordering::Relaxed));
        let body = format!(
            "{{\"message\":\"Raised to Warning, x = 1, on y\",\"alert\":{{\"name\":\"x\",\
             \"state\":{{\"status\":\"Warning\",\"value\":1}},\"transition_id\":\"{key}\"}}}}"
        );
        (key, body)
    }

    /// Whether the connection may be used again.
    fn note(&self, what: &str, key: String, answer: Result<Answer, Failure>) -> bool {
        match answer {
            Ok(answer) if answer.status == 200 => {
                self.answered.lock().expect("no panic holds it").push(key);
                answer.may_stay
            }
            Ok(answer) => {
                let body = String::from_utf8_lossy(&answer.body);
                self.lose(what, &format!("status {}: {body}", answer.status).into());
                answer.may_stay
            }
            Err(error) => {
                self.lose(what, &error);
                false
            }
        }
    }

    fn note_challenge(&self, took: Duration) {
        let mut challenges = self.challenges.lock().expect("no panic holds it");
        challenges.push(took);
    }

    fn lose(&self, what: &str, error: &Failure) {
        self.lost
            .lock()
            .expect("no panic holds it")
            .push(format!("{what}: {error}"));
    }

    pub(crate) fn report(&self, application: &Application) -> Report {
        let answered = self.answered.lock().expect("no panic holds it");
        let times = |key: &String| application.saw(key);
        let mut challenges = self.challenges.lock().expect("no panic holds it").clone();
        challenges.sort_unstable();
        Report {
            lost: self.lost.lock().expect("no panic holds it").clone(),
            unseen: answered.iter().filter(|key| times(key) == 0).count(),
            twice: answered.iter().filter(|key| times(key) > 1).count(),
            answered: answered.len(),
            challenges: challenges.len(),
            challenge_p50: quantile(&challenges, 0.5),
            challenge_p99: quantile(&challenges, 0.99),
            challenge_max: quantile(&challenges, 1.0),
        }
    }
}

fn quantile(sorted: &[Duration], part: f64) -> Duration {
    let rank = (part * sorted.len() as f64).ceil() as usize;
    let value = sorted.get(rank.saturating_sub(1));
    value.copied().unwrap_or(Duration::MAX)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let milliseconds = |duration: Duration| duration.as_secs_f64() * 1e3;
        writeln!(
            f,
            "good notifications: {} answered, {} lost, {} not seen by the application, {} seen twice",
            self.answered,
            self.lost.len(),
            self.unseen,
            self.twice
        )?;
        write!(
            f,
            "challenges: {} answered; p50 {:.1} ms, p99 {:.1} ms, max {:.1} ms",
            self.challenges,
            milliseconds(self.challenge_p50),
            milliseconds(self.challenge_p99),
            milliseconds(self.challenge_max)
        )?;
        // The first few say what is wrong.
        self.lost
            .iter()
            .take(10)
            .try_for_each(|lost| write!(f, "\n  lost: {lost}"))
    }
}

fn post(body: &str) -> Vec<u8> {
    let length = body.len();
    let head =
        "POST /webhooks/netdata HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
    format!("{head}Content-Length: {length}\r\n\r\n{body}").into_bytes()
}

fn post_http2() -> Request<()> {
    Request::post("https://localhost/webhooks/netdata")
        .header("content-type", "application/json")
        .body(())
        .expect("the request is a constant")
}

fn is_away(error: &(dyn std::error::Error + 'static)) -> bool {
    let error = error.downcast_ref::<h2::Error>();
    error.is_some_and(|error| {
        error.is_go_away() && error.is_remote() && error.reason() == Some(h2::Reason::NO_ERROR)
    })
}

fn expected(token: &str) -> Result<String, Failure> {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes())?;
    mac.update(token.as_bytes());
    let answer = BASE64_STANDARD.encode(mac.finalize().into_bytes());
    Ok(format!("{{\"response_token\":\"sha256={answer}\"}}"))
}
