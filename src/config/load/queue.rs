//! `[queue]`, and the routes that need it.

use super::{Loader, count};
use crate::config::document::TableReader;
use crate::config::queue::{directory_fault, file_fault};
use crate::config::{DeliveryMode, QueuePlace, QueueSettings, Route, RouteKind};
use std::path::PathBuf;
use std::time::Duration;

/// The directory that systemd makes for a service.
const STATE_DIRECTORY: &str = "STATE_DIRECTORY";

/// That directory, for the unit that comes with the program.
const STATE_OF_UNIT: &str = "/var/lib/netdata-webhook-proxy";

/// The name of the file in that directory.
const FILE_NAME: &str = "queue.db";

/// The values that `delivery` may have.
const MODES: [(&str, DeliveryMode); 3] = [
    ("direct", DeliveryMode::Direct),
    ("fallback", DeliveryMode::Fallback),
    ("queue", DeliveryMode::Queue),
];

impl Loader<'_> {
    /// Reads `[queue]`, which may be absent or empty.
    pub(super) fn queue(&self, root: &mut TableReader<'_>) -> Option<QueueSettings> {
        root.table("queue", |table| self.queue_settings(table))
    }

    fn queue_settings(&self, table: &mut TableReader<'_>) -> Option<QueueSettings> {
        let max_size = max_size(table);
        let max_age = table.duration("max_age");
        let deliveries = deliveries(table);
        let place = self.queue_place(table);
        table.is_present().then_some(QueueSettings {
            place: place?,
            max_size,
            max_age: max_age.unwrap_or(Duration::from_secs(72 * 3600)),
            deliveries,
        })
    }

    fn queue_place(&self, table: &mut TableReader<'_>) -> Option<QueuePlace> {
        if !table.names_any(&["url"]) {
            return self.queue_path(table).map(QueuePlace::File);
        }
        if table.names_any(&["path"]) {
            table.complain("path", "is for a queue in a file; with url, remove it");
            table.string("path");
        }
        self.database_source(table).map(QueuePlace::Database)
    }

    fn queue_path(&self, table: &mut TableReader<'_>) -> Option<PathBuf> {
        let named = table.string("path").filter(|path| !path.value.is_empty());
        let path = match named {
            Some(named) => self.path_to_make(table, &named),
            None if !table.is_present() => return None,
            None => default_path(table)?,
        };
        if let Some(fault) = directory_fault(&path).or_else(|| file_fault(&path)) {
            table.complain("path", fault);
        }
        Some(path)
    }
}

fn max_size(table: &mut TableReader<'_>) -> u64 {
    let Some(size) = table.size("max_size") else {
        return 1 << 30;
    };
    if size.value < 1 << 20 {
        let message = "must be at least 1MiB";
        table.document.complain(&size.location, message);
    }
    size.value
}

fn deliveries(table: &mut TableReader<'_>) -> usize {
    let deliveries = count(table, "deliveries", 8);
    if !(1..=1024).contains(&deliveries) {
        table.complain("deliveries", "must be from 1 to 1024");
    }
    deliveries
}

/// Returns the file in the directory that systemd made, or complains that there is none.
fn default_path(table: &TableReader<'_>) -> Option<PathBuf> {
    let path = state_directory().map(|directory| directory.join(FILE_NAME));
    if path.is_none() {
        let message = format!(
            "missing; name a file, such as \"{STATE_OF_UNIT}/{FILE_NAME}\", or set StateDirectory= in the unit"
        );
        table.complain("path", message);
    }
    path
}

/// Returns the first of the directories that systemd made for this service.
fn state_directory() -> Option<PathBuf> {
    let directories = std::env::var(STATE_DIRECTORY).ok()?;
    let first = directories.split(':').next()?;
    (!first.is_empty()).then(|| PathBuf::from(first))
}

/// Returns the files that a queue has where none is named: of this service, and of the unit that
/// comes with the program.
#[cfg(feature = "cli")]
pub(crate) fn usual_files() -> Vec<PathBuf> {
    let directories = state_directory().into_iter().chain([STATE_OF_UNIT.into()]);
    directories
        .map(|directory| directory.join(FILE_NAME))
        .collect()
}

/// Reads `delivery` of a route of this kind.
pub(super) fn delivery(table: &mut TableReader<'_>, kind: RouteKind) -> DeliveryMode {
    let mode = table.choice("delivery", &MODES).unwrap_or_default();
    if kind == RouteKind::Proxy && table.names_any(&["delivery"]) {
        table.complain(
            "delivery",
            "is for routes of kind \"webhook\"; this one passes everything on",
        );
    }
    if mode != DeliveryMode::Direct && table.names_any(&["forward_authorization"]) {
        let message = "Authorization headers are stored with the notifications that wait: see the manual on delivery";
        table
            .document
            .warn(&table.location_of("forward_authorization"), message);
    }
    mode
}

/// Complains of routes that store notifications where there is no queue.
pub(super) fn demand_queue<'r>(
    root: &TableReader<'_>,
    mut routes: impl Iterator<Item = &'r Route>,
    has_queue: bool,
) {
    let stores = |route: &Route| route.delivery != DeliveryMode::Direct;
    if !has_queue && !root.names_any(&["queue"]) && routes.any(stores) {
        root.document.complain(
            &root.location_of("queue"),
            "missing; a route with delivery = \"fallback\" or \"queue\" needs it: [queue] with path = \"queue.db\"",
        );
    }
}
