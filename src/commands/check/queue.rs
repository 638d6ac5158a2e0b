//! The room that the queue has on its disk, and what waits in a queue that the configuration has no
//! longer.

use crate::config::{Loaded, Problem, QueuePlace, QueueSettings, usual_files};
use crate::delivery::{Filter, open_queue};
use rustix::fs::statvfs;
use std::path::Path;

/// The space for the log of the file, and the space that stays free.
const APART: u64 = 128 << 20;

/// Returns warnings about `[queue]`.
pub(super) fn warnings(loaded: &Loaded) -> Vec<Problem> {
    let warning = match &loaded.config.queue {
        Some(queue) => lack_of_space(queue).map(|message| (vec!["queue", "max_size"], message)),
        None => usual_files()
            .iter()
            .find_map(|file| left_behind(file))
            .map(|message| (vec!["queue"], message)),
    };
    let problem = warning.map(|(key, message)| loaded.sources.problem_at(&key, message));
    problem.into_iter().collect()
}

fn lack_of_space(queue: &QueueSettings) -> Option<String> {
    let QueuePlace::File(path) = &queue.place else {
        return None;
    };
    let disk = statvfs(path.parent()?).ok()?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    let used = path.metadata().map_or(0, |file| file.len());
    let needed = queue.max_size.saturating_add(APART).saturating_sub(used);
    let mebibytes = |bytes: u64| bytes >> 20;
    (free < needed).then(|| {
        format!(
            "the disk has {} MiB left for what may need {}: without 64 MiB free, nothing is stored",
            mebibytes(free),
            mebibytes(needed)
        )
    })
}

/// Says how many notifications are in a file that no proxy delivers.
fn left_behind(file: &Path) -> Option<String> {
    let store = open_queue(&QueuePlace::File(file.to_owned())).ok()?;
    let count = store.ids(&Filter::default()).ok()?.len();
    let file = file.display();
    (count > 0).then(|| {
        format!(
            "missing, and {count} notifications in {file} are not sent: `queue list --file {file}` shows them, and a [queue] with this path sends them"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_disk_with_less_room_than_the_queue_may_take_is_warned_of() {
        let directory = tempfile::tempdir().unwrap();
        let queue = |max_size| QueueSettings {
            place: QueuePlace::File(directory.path().join("queue.db")),
            max_size,
            max_age: Duration::ZERO,
            deliveries: 1,
        };
        assert_eq!(lack_of_space(&queue(1 << 20)), None);
        let said = lack_of_space(&queue(1 << 60)).unwrap();
        assert!(
            said.ends_with("without 64 MiB free, nothing is stored"),
            "{said}"
        );
        let elsewhere = QueueSettings {
            place: QueuePlace::File("/missing/queue.db".into()),
            ..queue(1 << 60)
        };
        assert_eq!(
            lack_of_space(&elsewhere),
            None,
            "another complaint is about that"
        );
    }
}
