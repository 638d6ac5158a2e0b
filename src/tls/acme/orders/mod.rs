//! Takes the steps from an account to a certificate, one at a time.
//!
//! ```text
//!  wait until it is due ─▶ account ─▶ order ─▶ answers published ─▶ validated ─▶ finalized
//!      ▲                                                                            ▼
//!      ├────────────────────────────── kept ◀─ checked ◀─ fetched ◀─────────────────┘
//!      └─ failed: wait, longer each time
//! ```
//!
//! Each step is written down before it is taken. Which one is next follows from what is written and
//! from the authority's own state of the order: a process that ends anywhere is followed by one that
//! goes on with the same account and the same order.

mod account;
mod certificate;
mod renewal;
#[cfg(test)]
mod tests;
mod validation;

use super::authority::{AcmeError, Authority, ErrorKind, OrderRequest, OrderStatus, OrderView};
use super::clock::ClockSkew;
use super::issued::Issued;
use super::records::{self, History, Names, OrderRecord, ProblemRecord, RenewalRecord};
use super::schedule;
use super::store::{Lock, Store};
use crate::config::Acme;
use crate::sanitize::sanitize;
use rcgen::KeyPair;
use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tracing::{info, warn};

/// The wait after the store failed.
const STORE_RETRY: Duration = Duration::from_secs(60);

/// Repetitions of a step in a row that are not a failure yet.
const REPETITIONS: u32 = 20;

/// The time at which the next step is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// After this time, whatever happens.
    After(Duration),
    /// At this time, in seconds since 1970, or when an operator asks for it.
    At(i64),
}

/// What has happened, for the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AcmeEvent {
    Issued,
    Failed,
}

/// What the process that orders has met, for the operator.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Obstacles {
    /// Why the store cannot be read or written.
    pub(crate) store_fault: Option<String>,
    pub(crate) clock_skew: Option<ClockSkew>,
}

/// Returns a number from 0 to 1.
pub(crate) type RandomShare = Box<dyn Fn() -> f64 + Send + Sync>;

/// The orders of one certificate.
pub(crate) struct Orders<A> {
    acme: Arc<Acme>,
    names: Names,
    store: Arc<dyn Store>,
    authority: A,
    random: RandomShare,
    report: Box<dyn Fn(AcmeEvent) + Send + Sync>,
    /// The order whose answers have been published for long enough.
    published: Option<String>,
    /// The order whose validations the authority was asked for.
    validating: Option<String>,
    /// Looks at the order in its present state.
    looks: u32,
    /// Repetitions of a step in a row.
    repetitions: u32,
    store_fault: Option<String>,
}

/// Why a step was not taken.
enum Trouble {
    Store(io::Error),
    Authority(AcmeError),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Store(error)
    }
}

impl From<AcmeError> for Trouble {
    fn from(error: AcmeError) -> Self {
        Self::Authority(error)
    }
}

impl<A: Authority> Orders<A> {
    pub(crate) fn new(
        acme: Arc<Acme>,
        store: Arc<dyn Store>,
        authority: A,
        random: RandomShare,
        report: Box<dyn Fn(AcmeEvent) + Send + Sync>,
    ) -> Self {
        Self {
            names: Names::of(&acme),
            acme,
            store,
            authority,
            random,
            report,
            published: None,
            validating: None,
            looks: 0,
            repetitions: 0,
            store_fault: None,
        }
    }

    /// Takes the next step, and returns when the one after that is due.
    pub(crate) async fn step(&mut self, now: i64) -> Next {
        let result = match self.advance(now).await {
            Ok(next) => {
                self.repetitions = 0;
                Ok(next)
            }
            Err(Trouble::Authority(error)) => self.recover(error, now).await,
            Err(Trouble::Store(error)) => Err(error),
        };
        self.or_pause(result)
    }

    /// Returns what keeps orders from being placed.
    pub(crate) fn obstacles(&self) -> Obstacles {
        Obstacles {
            store_fault: self.store_fault.clone(),
            clock_skew: self.authority.clock_skew(),
        }
    }

    /// Takes the lock, without which nothing is to be ordered. `None` if another process has it.
    ///
    /// # Errors
    /// If the store fails: the wait after that.
    pub(crate) async fn lock(&mut self) -> Result<Option<Lock>, Next> {
        let taken = self.store.lock(&self.names.lock()).await;
        self.store_fault = taken.as_ref().err().map(ToString::to_string);
        taken.map_err(|error| pause(&error))
    }

    fn or_pause(&mut self, result: io::Result<Next>) -> Next {
        self.store_fault = result.as_ref().err().map(ToString::to_string);
        result.unwrap_or_else(|error| pause(&error))
    }

    /// Ends the wait after a failure, unless there were too many of late.
    pub(crate) async fn hurry(&mut self, now: i64) -> io::Result<()> {
        let mut history = self.history().await?;
        if history.retry_at.is_some() && schedule::may_hurry(&history.failed, now) {
            history.retry_at = None;
            records::write(&*self.store, &self.names.history(), &history).await?;
        }
        Ok(())
    }

    async fn advance(&mut self, now: i64) -> Result<Next, Trouble> {
        self.sweep(now).await?;
        let history = self.history().await?;
        if let Some(at) = history.retry_at.filter(|at| *at > now) {
            return Ok(Next::At(at));
        }
        let order = match self.open_order().await? {
            Some(order) => order,
            None => {
                let current = self.current().await?;
                let due = self.due(current.as_ref(), &history, now).await?;
                if due > now {
                    return Ok(Next::At(due));
                }
                // A disk that is full is noticed before anything is ordered.
                records::write(&*self.store, &self.names.history(), &history).await?;
                return self.place(current.as_ref()).await;
            }
        };
        self.sign_in().await?;
        let view = self.authority.look(&order.url).await?;
        match view.status {
            OrderStatus::Pending => self.answer(&order, view, now).await,
            OrderStatus::Ready => self.finalize(&order, now).await,
            OrderStatus::Processing => Ok(self.look_again(&view)),
            OrderStatus::Valid => self.fetch(&order, now).await,
            OrderStatus::Invalid => Err(refused(view).into()),
        }
    }

    /// Returns the history of these names.
    async fn history(&self) -> io::Result<History> {
        let history: Option<History> = records::read(&*self.store, &self.names.history()).await?;
        let names = self.domain_names();
        // Limits are for each set of names.
        Ok(history
            .filter(|history| history.names == names)
            .unwrap_or(History {
                names,
                ..History::default()
            }))
    }

    fn domain_names(&self) -> Vec<String> {
        self.acme.domains.iter().map(ToString::to_string).collect()
    }

    /// Returns the order that is under way, if it is for what is configured.
    async fn open_order(&self) -> io::Result<Option<OrderRecord>> {
        let order: Option<OrderRecord> = records::read(&*self.store, &self.names.order()).await?;
        let is_wanted = |order: &OrderRecord| {
            order.names == self.domain_names() && order.profile == self.acme.profile
        };
        match order {
            Some(order) if !is_wanted(&order) => {
                self.forget_order().await?;
                Ok(None)
            }
            order => Ok(order),
        }
    }

    async fn forget_order(&self) -> io::Result<()> {
        self.store.remove(&self.names.order()).await?;
        self.store.remove(&self.names.next_key()).await
    }

    /// Returns the certificate in use. One that cannot be read is as good as none.
    async fn current(&self) -> io::Result<Option<Issued>> {
        let name = self.names.certificate();
        let Some(file) = self.store.get(&name).await? else {
            return Ok(None);
        };
        match Issued::read(&file) {
            Ok(issued) => Ok(Some(issued)),
            Err(error) => {
                records::put_aside(&*self.store, &name, &file, &error).await?;
                Ok(None)
            }
        }
    }

    async fn place(&mut self, current: Option<&Issued>) -> Result<Next, Trouble> {
        self.sign_in().await?;
        // An authority that suggests windows knows the certificate by its identifier.
        let renewal: Option<RenewalRecord> =
            records::read(&*self.store, &self.names.renewal()).await?;
        let replaces = current
            .filter(|current| {
                renewal.is_some_and(|it| it.certificate == current.serial && it.window.is_some())
            })
            .and_then(|current| current.identifier.as_deref());
        let acme = self.acme.clone();
        let mut request = OrderRequest {
            domains: &acme.domains,
            profile: acme.profile.as_deref(),
            replaces,
        };
        let placed = match self.authority.place(request).await {
            // Another account's, another authority's, replaced before: each has words of its own for it.
            Err(error) if error.kind == ErrorKind::Refused && request.replaces.is_some() => {
                request.replaces = None;
                self.authority.place(request).await
            }
            placed => placed,
        };
        let order = OrderRecord {
            url: placed?,
            names: self.domain_names(),
            profile: self.acme.profile.clone(),
        };
        records::write(&*self.store, &self.names.order(), &order).await?;
        (self.published, self.validating, self.looks) = (None, None, 0);
        info!(
            event = "acme_order_placed",
            order = &*sanitize(&order.url),
            names = self.acme.names(),
            "certificate ordered"
        );
        Ok(Next::After(Duration::ZERO))
    }

    /// Waits, at first shortly, for the authority to go on.
    fn look_again(&mut self, view: &OrderView) -> Next {
        self.looks = self.looks.saturating_add(1);
        let own = match self.looks {
            0..=10 => Duration::from_millis(500),
            11..=60 => Duration::from_secs(3),
            61..=100 => Duration::from_secs(10),
            _ => Duration::from_secs(60),
        };
        let asked = view
            .retry_after
            .unwrap_or_default()
            .min(Duration::from_secs(60 * 60));
        Next::After(own.max(asked))
    }

    /// Decides what follows from an error of the authority.
    async fn recover(&mut self, error: AcmeError, now: i64) -> io::Result<Next> {
        self.repetitions += 1;
        let may_repeat = self.repetitions < REPETITIONS;
        match error.kind {
            ErrorKind::Again if may_repeat => {
                let wait = Duration::from_millis(100 * u64::from(self.repetitions));
                return Ok(Next::After(error.retry_after.unwrap_or_default().max(wait)));
            }
            ErrorKind::AccountGone if may_repeat && self.repetitions < 3 => {
                // With the same key: the authority may have lost the account, or know it.
                self.store.remove(&self.names.account()).await?;
                self.forget_order().await?;
                return Ok(Next::After(Duration::ZERO));
            }
            ErrorKind::Refused | ErrorKind::AccountGone => {
                if let Some(order) = self.open_order().await? {
                    self.settle(&order, now).await?;
                    self.forget_order().await?;
                }
            }
            ErrorKind::Again | ErrorKind::Away => {}
        }
        self.fail(&error, now).await
    }

    async fn fail(&mut self, error: &AcmeError, now: i64) -> io::Result<Next> {
        self.repetitions = 0;
        let mut history = self.history().await?;
        history.failures += 1;
        schedule::forget_before(&mut history.failed, schedule::week_before(now));
        history.failed.push(now);
        let own = schedule::back_off(history.failures, (self.random)());
        let asked = error.retry_after.unwrap_or_default().as_secs();
        let retry_at = now.saturating_add(own.max(i64::try_from(asked).unwrap_or(i64::MAX)));
        let (code, detail) = (sanitize(&error.code), sanitize(&error.detail));
        warn!(
            event = "acme_order_failed",
            code = &*code,
            detail = &*detail,
            failures = history.failures,
            retry_at,
            "no certificate was issued: trying again later"
        );
        history.retry_at = Some(retry_at);
        history.problem = Some(ProblemRecord {
            code: code.into_owned(),
            detail: detail.into_owned(),
        });
        records::write(&*self.store, &self.names.history(), &history).await?;
        (self.report)(AcmeEvent::Failed);
        Ok(Next::At(retry_at))
    }
}

/// Returns the wait after the store failed.
fn pause(error: &io::Error) -> Next {
    warn!(event = "acme_state_failed", %error, "the ACME state cannot be read or written: nothing is ordered");
    Next::After(STORE_RETRY)
}

/// Returns the reason why an order failed.
fn refused(view: OrderView) -> AcmeError {
    let unknown = || {
        AcmeError::refused(
            "invalid",
            "the authority refused the order without a reason",
        )
    };
    view.error.unwrap_or_else(unknown)
}

fn generate() -> io::Result<KeyPair> {
    KeyPair::generate().map_err(io::Error::other)
}

/// Returns the seconds since 1970.
pub(crate) fn unix_now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| i64::try_from(now.as_secs()).unwrap_or(i64::MAX))
}
