//! What any process knows of a store that machines share: which one delivers, and what endangers it.

use super::Delivery;
use super::store::Term;
use crate::auth::digest;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::sleep;

/// The interval at which the store is looked at.
const LOOK: Duration = Duration::from_secs(5);

/// A look at a store that machines share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Survey {
    /// The process that delivers.
    pub(crate) deliverer: Option<Deliverer>,
    /// The size of everything stored.
    pub(crate) bytes: i64,
    pub(crate) hazards: Vec<Hazard>,
}

/// The process that delivers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Deliverer {
    /// The machine, and the number of the process.
    pub(crate) name: String,
    pub(crate) term: Term,
    /// It has other routes than this process.
    pub(crate) is_configured_otherwise: bool,
}

impl Deliverer {
    /// Returns when its term began, by the clock of the store.
    pub(crate) fn since(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(self.term.0.unsigned_abs())
    }
}

/// What endangers a store, although it can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Hazard {
    /// What is deleted stays in the tables, because this holds an old snapshot for so long.
    HeldHorizon { by: String, held: Duration },
    /// A standby does not have what was acknowledged.
    Asynchronous,
    /// Commits have been waiting for a standby.
    StandbyAway { waited: Duration },
    /// The process that delivers has other routes.
    Configurations { deliverer: String },
    /// None delivers.
    NoDeliverer,
}

impl Hazard {
    /// The words for each in metrics.
    pub(super) const ALL: [&'static str; 5] = [
        "vacuum_held",
        "asynchronous_standby",
        "standby_away",
        "other_configuration",
        "no_deliverer",
    ];

    /// Returns the word for it in metrics.
    pub(super) fn as_str(&self) -> &'static str {
        match self {
            Self::HeldHorizon { .. } => "vacuum_held",
            Self::Asynchronous => "asynchronous_standby",
            Self::StandbyAway { .. } => "standby_away",
            Self::Configurations { .. } => "other_configuration",
            Self::NoDeliverer => "no_deliverer",
        }
    }
}

impl Survey {
    /// Returns what endangers the store, the process that delivers included.
    fn with_deliverer(mut self) -> Self {
        let hazard = match &self.deliverer {
            None => Some(Hazard::NoDeliverer),
            Some(deliverer) if deliverer.is_configured_otherwise => Some(Hazard::Configurations {
                deliverer: deliverer.name.clone(),
            }),
            Some(_) => None,
        };
        self.hazards.extend(hazard);
        self
    }
}

/// Returns what two processes compare to see whether they have the same routes.
pub(super) fn digest_of<'r>(routes: impl Iterator<Item = &'r str>) -> String {
    let mut routes: Vec<_> = routes.collect();
    routes.sort_unstable();
    let mut digest = digest::sha256_hex(routes.join("\n").as_bytes());
    digest.truncate(16);
    digest
}

impl Delivery {
    /// Looks at the store from time to time, if machines share it; never returns.
    pub(super) async fn watch(&self) {
        if !self.store.is_shared() {
            return std::future::pending().await;
        }
        loop {
            // One that cannot be asked is a problem by itself.
            let survey = self.store.survey().await.ok().flatten();
            self.figures.set_survey(survey.map(Survey::with_deliverer));
            sleep(LOOK).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_routes_makes_no_other_configuration() {
        let digest = |routes: &[&str]| digest_of(routes.iter().copied());
        assert_eq!(digest(&["/a", "/b"]), digest(&["/b", "/a"]));
        assert_ne!(digest(&["/a", "/b"]), digest(&["/a"]));
        assert_ne!(digest(&["/a/b"]), digest(&["/a", "/b"]));
    }

    #[test]
    fn each_hazard_has_a_word() {
        let hazards = [
            Hazard::HeldHorizon {
                by: "pid 1".into(),
                held: Duration::ZERO,
            },
            Hazard::Asynchronous,
            Hazard::StandbyAway {
                waited: Duration::ZERO,
            },
            Hazard::Configurations {
                deliverer: "a 1".into(),
            },
            Hazard::NoDeliverer,
        ];
        assert_eq!(hazards.each_ref().map(Hazard::as_str), Hazard::ALL);
    }
}
