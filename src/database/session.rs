//! A connection to the database, which is made again when it is lost.
//!
//! Statements are sent unnamed, each a transaction of its own, so that a pooler may be in between.
//! Each has a deadline. When it is over, the connection is dropped and nothing is cancelled: a
//! cancelled wait for a standby would look like success.

use super::fault::Fault;
use super::shape;
use super::tls;
use crate::config::{ChannelBinding, DatabaseAddress, DatabaseHost, DatabaseSource, DatabaseUrl};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, oneshot};
use tokio::time::{sleep, timeout};
use tokio_postgres::config::{ChannelBinding as Binding, SslMode, SslNegotiation};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{AsyncMessage, Client, Config, Connection, NoTls, Row, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

/// The time for one host, from the first packet to the end of the checks.
pub(super) const CONNECT: Duration = Duration::from_secs(3);

/// The time for a statement.
const STATEMENT: Duration = Duration::from_secs(3);

/// The time for the other hosts once one can be used, if it is known what to expect of them.
const OTHERS: Duration = Duration::from_millis(500);

/// The longest pause between two attempts to connect: a takeover waits for it, if the database was
/// away as well.
const MAX_PAUSE: Duration = Duration::from_secs(1);

/// The longest pause after a login that was refused, which a server may hold against its user.
const MAX_LOGIN_PAUSE: Duration = Duration::from_secs(5);

/// With it, a statement that waits for a lock ends on the server once its connection was dropped here.
/// Else each repetition would leave another one behind, until the server takes no connection any
/// longer.
const LOOK_FOR_CLIENT: &str = "set client_connection_check_interval = '1s'";

/// The time to end a connection properly.
const GOODBYE: Duration = Duration::from_millis(500);

/// The code of a warning: the wait for a standby was ended, and what was committed is not there.
const WARNING: &str = "01000";

/// A parameter of a statement with its type.
pub(crate) type Parameter<'p> = (&'p (dyn ToSql + Sync), Type);

/// The database, as far as all connections know it.
#[derive(Debug)]
pub(crate) struct Database {
    source: DatabaseSource,
    /// The highest timeline that was seen: that of an old primary is lower.
    timeline: AtomicI64,
    /// The number of connections that were made.
    connections: AtomicI64,
}

impl Database {
    pub(crate) fn new(source: DatabaseSource) -> Self {
        Self {
            source,
            timeline: AtomicI64::new(0),
            connections: AtomicI64::new(0),
        }
    }
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Session {
    database: Arc<Database>,
    role: &'static str,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    link: Option<Arc<Link>>,
    /// The last fault, and the moment before which nothing is tried again.
    fault: Option<(Fault, Instant)>,
    failures: u32,
}

/// A connection that has been made.
#[derive(Debug)]
pub(crate) struct Link {
    pub(super) client: Client,
    /// Its number: another one means that everything must be read anew.
    pub(crate) number: i64,
    /// The server has sent a warning, after which nothing counts as acknowledged.
    is_in_doubt: Arc<AtomicBool>,
    _carried: Carried,
}

/// A connection that has been opened, and is not judged yet.
struct Opened {
    client: Client,
    is_in_doubt: Arc<AtomicBool>,
    carried: Carried,
}

/// Keeps what carries the messages of a connection. Its client alone would not end it while the server
/// owes an answer.
type Carried = oneshot::Sender<()>;

/// A connection to one of several hosts, which can be written.
struct Candidate {
    timeline: i64,
    opened: Opened,
}

impl Drop for Link {
    fn drop(&mut self) {
        tracing::debug!(
            event = "queue_database_closed",
            number = self.number,
            "closed a connection to the database"
        );
    }
}

impl Session {
    /// A connection for `role`, which is made when it is needed.
    pub(crate) fn new(database: &Arc<Database>, role: &'static str) -> Self {
        Self {
            database: database.clone(),
            role,
            state: Mutex::default(),
        }
    }

    /// Runs a statement. Returns its rows, and the number of the connection.
    pub(crate) async fn query(
        &self,
        statement: &str,
        parameters: &[Parameter<'_>],
    ) -> Result<(Vec<Row>, i64), Fault> {
        self.query_within(STATEMENT, statement, parameters).await
    }

    /// Runs a statement within `limit`.
    pub(crate) async fn query_within(
        &self,
        limit: Duration,
        statement: &str,
        parameters: &[Parameter<'_>],
    ) -> Result<(Vec<Row>, i64), Fault> {
        let link = self.link().await?;
        let answered = timeout(limit, link.client.query_typed(statement, parameters)).await;
        let result = match answered {
            Ok(Ok(_)) if link.is_in_doubt.load(Ordering::Acquire) => Err(Fault::Unknown(
                "the wait for the standby was ended: what was committed may be lost".into(),
            )),
            Ok(Ok(rows)) => Ok((rows, link.number)),
            Ok(Err(error)) => Err(Fault::of(&error)),
            Err(_) => Err(Fault::Unknown(
                "the database has not answered in time".into(),
            )),
        };
        self.note(&link, result.as_ref().err()).await;
        result
    }

    async fn note(&self, link: &Arc<Link>, fault: Option<&Fault>) {
        let mut state = self.state.lock().await;
        match fault {
            None => state.failures = 0,
            Some(fault) if fault.ends_connection() => {
                let is_it = |known: &mut Arc<Link>| Arc::ptr_eq(known, link);
                if state.link.take_if(is_it).is_some() {
                    state.pause(fault.clone());
                }
            }
            Some(_) => {}
        }
    }

    /// Returns the connection, which is made if there is none.
    pub(crate) async fn link(&self) -> Result<Arc<Link>, Fault> {
        let mut state = self.state.lock().await;
        if let Some(link) = state.link.as_ref().filter(|link| !link.client.is_closed()) {
            return Ok(link.clone());
        }
        state.link = None;
        if let Some((fault, until)) = &state.fault
            && Instant::now() < *until
        {
            return Err(match fault {
                Fault::Unknown(text) => Fault::Away(text.clone()),
                known => known.clone(),
            });
        }
        match self.connect().await {
            Ok(link) => {
                let link = Arc::new(link);
                state.link = Some(link.clone());
                Ok(link)
            }
            Err(fault) => {
                state.pause(fault.clone());
                Err(fault)
            }
        }
    }

    async fn connect(&self) -> Result<Link, Fault> {
        match self.connect_once(true).await {
            // The password may have been renewed between the reading of the URL and its use.
            Err(fault) if fault.is_login() => self.connect_once(true).await,
            result => result,
        }
    }

    /// Connects to the database of the URL. Unless it `is_judged`, it may be unfit.
    async fn connect_once(&self, is_judged: bool) -> Result<Link, Fault> {
        let url = self.database.source.read().map_err(Fault::Away)?;
        if is_judged && url.hosts.len() > 1 {
            return self.connect_to_latest(&url).await;
        }
        let mut first = None;
        for host in &url.hosts {
            match in_time(self.connect_to(&url, host, is_judged)).await {
                Ok(link) => return Ok(link),
                Err(fault) => first = first.or(Some(fault)),
            }
        }
        Err(first.unwrap_or_else(no_host))
    }

    /// Asks all hosts at once, and takes the one with the highest timeline: an old primary that is
    /// back can be written as well, and may come first in the URL. A process that has seen none yet
    /// waits for each of them.
    async fn connect_to_latest(&self, url: &DatabaseUrl) -> Result<Link, Fault> {
        let hosts = url.hosts.iter().enumerate();
        let mut asked: FuturesUnordered<_> = hosts
            .map(async |(at, host)| (at, in_time(self.candidate(url, host)).await))
            .collect();
        let is_patient = self.database.timeline.load(Ordering::Acquire) == 0;
        let (mut latest, mut faults) = (None::<(usize, Candidate)>, BTreeMap::new());
        let mut end = pin!(sleep(2 * CONNECT));
        loop {
            let next = tokio::select! {
                next = asked.next() => next,
                () = &mut end => None,
            };
            let Some((at, answer)) = next else { break };
            match answer {
                Ok(candidate) => {
                    if latest.is_none() && !is_patient {
                        end.set(sleep(OTHERS));
                    }
                    let is_later = |(other, known): &(usize, Candidate)| {
                        (candidate.timeline, *other) > (known.timeline, at)
                    };
                    if latest.as_ref().is_none_or(is_later) {
                        latest = Some((at, candidate));
                    }
                }
                // That of the first host is told.
                Err(fault) => {
                    faults.insert(at, fault);
                }
            }
        }
        match latest {
            Some((_, latest)) => in_time(self.admit(latest.opened)).await,
            None => Err(faults.into_values().next().unwrap_or_else(no_host)),
        }
    }

    async fn candidate(&self, url: &DatabaseUrl, host: &DatabaseHost) -> Result<Candidate, Fault> {
        let opened = self.open_to(url, host).await?;
        Ok(Candidate {
            timeline: shape::timeline(&opened.client).await?,
            opened,
        })
    }

    /// Opens another connection than the one that is kept, whatever may be wrong with the database.
    #[cfg(feature = "cli")]
    pub(super) async fn open(&self) -> Result<Link, Fault> {
        self.connect_once(false).await
    }

    async fn open_to(&self, url: &DatabaseUrl, host: &DatabaseHost) -> Result<Opened, Fault> {
        let config = self.config(url, host);
        let fail = |error| Fault::of_connect(&error);
        if host.is_verified {
            let tls = tls::config(url).map_err(Fault::Away)?;
            let connected = config.connect(MakeRustlsConnect::new(tls)).await;
            let (client, connection) = connected.map_err(fail)?;
            Ok(carry(client, connection))
        } else {
            let (client, connection) = config.connect(NoTls).await.map_err(fail)?;
            Ok(carry(client, connection))
        }
    }

    async fn connect_to(
        &self,
        url: &DatabaseUrl,
        host: &DatabaseHost,
        is_judged: bool,
    ) -> Result<Link, Fault> {
        let opened = self.open_to(url, host).await?;
        match is_judged {
            true => self.admit(opened).await,
            false => Ok(self.number(opened)),
        }
    }

    async fn admit(&self, opened: Opened) -> Result<Link, Fault> {
        self.judge(&opened.client).await?;
        // Ignore the error: not every system of a server can.
        let _ = opened.client.batch_execute(LOOK_FOR_CLIENT).await;
        Ok(self.number(opened))
    }

    fn number(&self, opened: Opened) -> Link {
        Link {
            client: opened.client,
            number: self.database.connections.fetch_add(1, Ordering::AcqRel) + 1,
            is_in_doubt: opened.is_in_doubt,
            _carried: opened.carried,
        }
    }

    /// Refuses a database that must not be used, and an old primary.
    async fn judge(&self, client: &Client) -> Result<(), Fault> {
        let timeline = shape::judge(client).await?;
        let known = self.database.timeline.fetch_max(timeline, Ordering::AcqRel);
        if timeline < known {
            return Err(Fault::Away(format!(
                "the database is an old primary: its timeline is {timeline}, and {known} was seen; \
                 if it is another cluster, restart this process"
            )));
        }
        if known != 0 && timeline > known {
            tracing::info!(
                event = "queue_timeline",
                from = known,
                to = timeline,
                "the database has another primary"
            );
        }
        Ok(())
    }

    fn config(&self, url: &DatabaseUrl, host: &DatabaseHost) -> Config {
        let mut config = Config::new();
        match &host.address {
            DatabaseAddress::Tcp(name) => config.host(name),
            DatabaseAddress::Socket(directory) => config.host_path(directory),
        };
        config
            .port(host.port)
            .connect_timeout(CONNECT)
            .tcp_user_timeout(STATEMENT)
            .ssl_mode(match host.is_verified {
                true => SslMode::Require,
                false => SslMode::Disable,
            })
            .ssl_negotiation(match url.is_direct && host.is_verified {
                true => SslNegotiation::Direct,
                false => SslNegotiation::Postgres,
            })
            .channel_binding(match url.channel_binding {
                ChannelBinding::Disable => Binding::Disable,
                ChannelBinding::Prefer => Binding::Prefer,
                ChannelBinding::Require => Binding::Require,
            });
        let name = url
            .application_name
            .as_deref()
            .unwrap_or(env!("CARGO_PKG_NAME"));
        config.application_name(format!("{name} {}", self.role));
        if let Some(user) = &url.user {
            config.user(user);
        }
        if let Some(password) = &url.password {
            config.password(password.expose());
        }
        if let Some(database) = &url.database {
            config.dbname(database);
        }
        config
    }
}

impl State {
    /// Lets no attempt be made for a while: at once after the first failure, then later and later.
    fn pause(&mut self, fault: Fault) {
        let longest = match fault.is_login() {
            true => MAX_LOGIN_PAUSE,
            false => MAX_PAUSE,
        };
        let pause = match self.failures {
            0 => Duration::ZERO,
            failures => {
                let pause = Duration::from_millis(100 << failures.min(6)).min(longest);
                pause.mul_f64(rand::random_range(0.5..1.0))
            }
        };
        self.failures = self.failures.saturating_add(1);
        self.fault = Some((fault, Instant::now() + pause));
    }
}

/// Limits what is done to connect to a host.
async fn in_time<T>(connecting: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
    let late = || Fault::Away("the database has not answered in time".into());
    let connected = timeout(CONNECT, connecting).await;
    connected.unwrap_or_else(|_| Err(late()))
}

fn no_host() -> Fault {
    Fault::Away("the URL names no host".into())
}

/// Carries the messages of a connection until its client is gone.
fn carry<T>(client: Client, connection: Connection<Socket, T>) -> Opened
where
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let is_in_doubt = Arc::new(AtomicBool::new(false));
    let (carried, dropped) = oneshot::channel();
    let carrying = receive(connection, is_in_doubt.clone());
    tokio::spawn(async move {
        let given_up = async {
            // Ignore the error: it says that the other end was dropped.
            let _ = dropped.await;
            sleep(GOODBYE).await;
        };
        tokio::select! {
            () = carrying => {}
            () = given_up => {}
        }
    });
    Opened {
        client,
        is_in_doubt,
        carried,
    }
}

async fn receive<T>(mut connection: Connection<Socket, T>, is_in_doubt: Arc<AtomicBool>)
where
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    loop {
        match poll_fn(|context| connection.poll_message(context)).await {
            Some(Ok(AsyncMessage::Notice(notice))) if notice.code().code() == WARNING => {
                is_in_doubt.store(true, Ordering::Release);
            }
            Some(Ok(_)) => {}
            // The statement that is under way has the error.
            Some(Err(_)) | None => return,
        }
    }
}
