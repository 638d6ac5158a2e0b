//! The database of the queue: whether it can be used, and what endangers it.

use super::Findings;
use crate::config::Loaded;
use crate::database::{Examination, examine};
use tokio::runtime::Builder;

/// Returns what the database of `[queue]` is found to be, if there is one.
pub(super) fn findings(loaded: &Loaded) -> Findings {
    let place = loaded.config.queue.as_ref().map(|queue| &queue.place);
    let Some(source) = place.and_then(|place| place.database()) else {
        return Findings::default();
    };
    let Ok(runtime) = Builder::new_current_thread().enable_all().build() else {
        return Findings::default();
    };
    let Examination {
        server,
        errors,
        warnings,
    } = runtime.block_on(examine(source));
    // Does not wait for a name server that does not respond.
    runtime.shutdown_background();
    let at_url = |message| loaded.sources.problem_at(&["queue", "url"], message);
    Findings {
        errors: errors.into_iter().map(at_url).collect(),
        warnings: warnings.into_iter().map(at_url).collect(),
        summary: server.map_or_else(String::new, |server| format!("queue    {server}\n")),
    }
}
