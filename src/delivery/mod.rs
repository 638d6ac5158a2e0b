//! Verified notifications that wait for their application: the store, the order, the attempts.
//!
//! A request takes a [`Receipt`] for its notification. The receipt says whether the notification may
//! be tried directly, or has to be stored first, and keeps its place among those of the same key.
//! What is stored is delivered by the one process that holds the term.

mod attempt;
mod desk;
mod figures;
mod key;
mod lock;
mod message;
#[cfg(feature = "cli")]
mod operator;
mod order;
mod pump;
mod reach;
mod receipt;
mod reports;
mod store;
mod survey;
mod tenure;
mod unrecorded;
mod witness;

pub(crate) use attempt::{FailedAttempt, judge};
pub(crate) use figures::Figures;
pub(crate) use key::subject_key;
pub(crate) use message::{idempotency_key, unordered};
#[cfg(feature = "cli")]
pub(crate) use operator::{Filter, Found, Operator, OperatorError, OperatorResult, open_queue};
pub(crate) use order::{Moment, RouteState};
pub(crate) use receipt::{Content, NotStored, Receipt, StoreReason, Way};
pub(crate) use store::sqlite::file::OpenError;
pub(crate) use store::{Listed, ParkedCount, StoreError};
pub(crate) use survey::{Deliverer, Hazard};
pub(crate) use witness::Witness;

use crate::config::{Config, DeliveryMode, QueuePlace, QueueSettings, Route};
use crate::term::Tenure;
use crate::upstream::Upstream;
use crate::webhook::signer::Signer;
use arc_swap::ArcSwap;
use desk::Desk;
use reach::Reach;
use reports::Reports;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;
use store::Store;
use store::postgres::PostgresStore;
use store::sqlite::{Opened, SqliteStore};
use tokio_util::task::TaskTracker;
use unrecorded::Unrecorded;

/// The applications that stored notifications are for, by the path of their route.
pub(crate) type Destinations = HashMap<Arc<str>, Destination>;

/// The application of a route.
#[derive(Clone, Debug)]
pub(crate) struct Destination {
    pub(crate) upstream: Upstream,
    /// The keys that each attempt is signed with.
    pub(crate) signer: Option<Signer>,
}

/// The delivery of notifications that are stored first.
pub(crate) struct Delivery {
    store: Arc<dyn Store>,
    desk: Desk,
    settings: ArcSwap<QueueSettings>,
    destinations: ArcSwap<Destinations>,
    modes: ArcSwap<Modes>,
    tenure: Mutex<Tenure>,
    reach: Reach,
    unrecorded: Unrecorded,
    figures: Arc<Figures>,
    reports: Arc<Reports>,
    /// Tasks that must finish before the process ends.
    tasks: TaskTracker,
    pump: tokio::sync::Mutex<pump::PumpState>,
}

impl Delivery {
    /// Opens the store that `settings` names. `tasks` tracks the attempts.
    pub(crate) fn open(
        settings: &QueueSettings,
        tasks: TaskTracker,
    ) -> Result<Arc<Self>, OpenError> {
        let figures = Arc::new(Figures::new(settings.max_size));
        if settings.place.database().is_some() {
            figures.share();
        }
        let reports = Arc::new(Reports::new(figures.clone()));
        let store: Arc<dyn Store> = match &settings.place {
            QueuePlace::File(path) => open_file(path, settings.max_size, &reports, &figures)?,
            QueuePlace::Database(source) => {
                let opened =
                    PostgresStore::open(source.clone(), settings.max_size, reports.clone());
                Arc::new(opened.map_err(OpenError::Database)?)
            }
        };
        Ok(Arc::new(Self {
            desk: Desk::new(store.is_shared()),
            settings: ArcSwap::from_pointee(settings.clone()),
            destinations: ArcSwap::default(),
            modes: ArcSwap::default(),
            reach: Reach::default(),
            tenure: Mutex::new(Tenure::new(store.is_shared())),
            unrecorded: Unrecorded::default(),
            figures,
            reports,
            tasks,
            pump: tokio::sync::Mutex::default(),
            store,
        }))
    }

    /// Applies `config`, whose routes have these `destinations`.
    pub(crate) fn configure(&self, config: &Config, destinations: Destinations) {
        if let Some(settings) = &config.queue {
            self.store.set_max_size(settings.max_size);
            self.figures.set_max_size(settings.max_size);
            self.settings.store(Arc::new(settings.clone()));
        }
        self.store
            .set_routes(survey::digest_of(destinations.keys().map(|route| &**route)));
        self.destinations.store(Arc::new(destinations));
        self.modes.store(Arc::new(Modes::of(config)));
        let stores = |route: &&Route| route.delivery != DeliveryMode::Direct;
        for route in config.routes.iter().filter(stores) {
            self.figures.serve(&route.path.to_string());
        }
        self.desk.routes_changed();
    }

    /// Takes the notification with this key of a route, whose `mode` is not direct.
    pub(crate) fn receive(
        self: &Arc<Self>,
        route: &Arc<str>,
        key: order::Key,
        mode: DeliveryMode,
    ) -> Receipt {
        let (spot, way) = self.desk.receive(route, key, mode);
        Receipt::new(self.clone(), spot, mode, way)
    }

    /// Tries nothing directly for a while: a predecessor still stores, and may do so without delivering.
    /// What it stores is found by the next look, and must not be overtaken until then.
    pub(crate) fn expect_predecessor(&self) {
        self.desk.expect_another();
    }

    /// Stores everything from now on, and tries nothing directly: a successor is about to serve.
    pub(crate) fn hold(&self) {
        self.desk.set_held(true);
    }

    /// Undoes [`hold`](Self::hold).
    pub(crate) fn release(&self) {
        self.desk.set_held(false);
    }

    /// Records that a server of an upstream is healthy: its routes are probed at once.
    pub(crate) fn note_healthy(&self, upstream: &str) {
        let destinations = self.destinations.load();
        for (route, _) in destinations
            .iter()
            .filter(|(_, it)| it.upstream.name() == upstream)
        {
            self.desk.hurry(route);
        }
    }

    /// Returns `true` if every route to this upstream stores what its application does not take.
    pub(crate) fn stores_all_of(&self, upstream: &str) -> bool {
        let modes = self.modes.load();
        modes.stored.contains(upstream) && !modes.direct.contains(upstream)
    }

    /// Returns `true` if a route stores every notification, so that it needs a queue that works.
    pub(crate) fn stores_always(&self) -> bool {
        self.modes.load().has_queue_only
    }

    /// Returns `true` if other machines store in it as well.
    pub(crate) fn is_shared(&self) -> bool {
        self.store.is_shared()
    }

    /// The numbers about it.
    pub(crate) fn figures(&self) -> &Arc<Figures> {
        &self.figures
    }

    /// Brings the figures about what waits up to date.
    pub(crate) fn refresh_figures(&self) {
        self.figures.set_waiting(&self.desk.routes());
    }

    /// Describes each route that stores, and each other one for which something waits.
    pub(crate) fn routes(&self) -> BTreeMap<Arc<str>, RouteState> {
        let modes = self.modes.load();
        let idle = modes
            .routes
            .iter()
            .map(|route| (route.clone(), RouteState::default()));
        let mut routes: BTreeMap<_, _> = idle.collect();
        let known = self.desk.routes().into_iter();
        routes.extend(
            known.filter(|(route, state)| state.waiting > 0 || modes.routes.contains(route)),
        );
        routes
    }

    /// Returns the time of a moment in the state of a route.
    pub(crate) fn time(&self, moment: Moment) -> SystemTime {
        self.desk.time(moment)
    }

    /// Sets the witness of what becomes of the notifications.
    pub(crate) fn set_witness(&self, witness: Arc<dyn Witness>) {
        self.reports.set_witness(witness);
    }
}

fn open_file(
    path: &Path,
    max_size: u64,
    reports: &Arc<Reports>,
    figures: &Figures,
) -> Result<Arc<dyn Store>, OpenError> {
    let Opened { store, damaged } = SqliteStore::open(path, max_size, reports.clone())?;
    if let Some((aside, error)) = damaged {
        reports::damaged(&aside, &error);
        figures.note_damaged(&aside);
    }
    Ok(Arc::new(store))
}

/// The routes and the names of upstreams, by what the routes do.
#[derive(Default)]
struct Modes {
    stored: HashSet<String>,
    direct: HashSet<String>,
    /// The routes that store.
    routes: BTreeSet<Arc<str>>,
    has_queue_only: bool,
}

impl Modes {
    fn of(config: &Config) -> Self {
        let mut modes = Self::default();
        for route in &config.routes {
            let upstreams = match route.delivery {
                DeliveryMode::Direct => &mut modes.direct,
                DeliveryMode::Fallback | DeliveryMode::Queue => &mut modes.stored,
            };
            upstreams.insert(route.upstream.name.clone());
            if route.delivery != DeliveryMode::Direct {
                modes.routes.insert(route.path.to_string().into());
            }
            modes.has_queue_only |= route.delivery == DeliveryMode::Queue;
        }
        modes
    }
}
