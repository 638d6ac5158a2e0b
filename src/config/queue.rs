//! `[queue]`: the store of notifications that wait for their applications.

use super::database_source::DatabaseSource;
use rustix::fs::{Access, access, statfs};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The `[queue]` section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueSettings {
    /// Place that keeps the notifications.
    pub place: QueuePlace,
    /// Maximum size of everything stored, in bytes.
    pub max_size: u64,
    /// Age from which a notification is parked instead of being sent.
    pub max_age: Duration,
    /// Number of notifications that are sent to each application at a time.
    pub deliveries: usize,
}

/// The place that keeps notifications.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueuePlace {
    /// A file of this machine.
    File(PathBuf),
    /// A PostgreSQL database, which several machines share.
    Database(DatabaseSource),
}

impl QueuePlace {
    /// Returns where the URL of the database is kept, if it is one.
    pub(crate) fn database(&self) -> Option<&DatabaseSource> {
        match self {
            Self::File(_) => None,
            Self::Database(source) => Some(source),
        }
    }
}

/// The way in which the notifications of a route reach its application.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeliveryMode {
    /// Directly; the client gets the response of the application, or an error.
    #[default]
    Direct,
    /// Directly while the application takes them, and through the queue otherwise.
    Fallback,
    /// Always through the queue.
    Queue,
}

/// File systems of other machines, on which locks and synchronised writes are not what they are on
/// a disk, by the number that the kernel reports.
const NETWORK_FILE_SYSTEMS: [(u32, &str); 9] = [
    (0x6969, "NFS"),
    (0x517B, "SMB"),
    (0xFF53_4D42, "CIFS"),
    (0xFE53_4D42, "SMB2"),
    (0x0102_1997, "9p"),
    (0x6573_5546, "FUSE"),
    (0x5346_414F, "AFS"),
    (0x00C3_6400, "Ceph"),
    (0x0BD0_0BD0, "Lustre"),
];

const REMEDY: &str = "with systemd, set StateDirectory=; in a container, mount a volume there";

/// Returns the problem of the directory in which `file` is to be, with its remedy.
pub(super) fn directory_fault(file: &Path) -> Option<String> {
    let directory = file.parent().filter(|it| !it.as_os_str().is_empty());
    let directory = directory.unwrap_or(Path::new("."));
    let shown = directory.display();
    let file_system = match statfs(directory) {
        Ok(file_system) => file_system.f_type as u32,
        Err(error) => {
            let fault = format!("the directory {shown} cannot be used: {error}; {REMEDY}");
            return Some(fault);
        }
    };
    if let Some(name) = network_file_system(file_system) {
        return Some(explain_network(directory, name));
    }
    let error = access(directory, Access::WRITE_OK | Access::EXEC_OK).err()?;
    Some(format!(
        "the directory {shown} cannot be written: {error}; {REMEDY}"
    ))
}

/// Returns the problem of a file of the queue that is there already, with its remedy.
pub(super) fn file_fault(file: &Path) -> Option<String> {
    let with_suffix = |suffix| PathBuf::from(format!("{}{suffix}", file.display()));
    let companions = ["-wal", "-shm"].map(with_suffix);
    let mut files = [file.to_owned(), file.with_extension("lock")]
        .into_iter()
        .chain(companions);
    files.find_map(|file| fault_of_present(&file))
}

fn fault_of_present(file: &Path) -> Option<String> {
    let shown = file.display();
    let found = file.metadata().ok()?;
    if !found.is_file() {
        return Some(format!("{shown} is not a file; name one"));
    }
    let error = access(file, Access::READ_OK | Access::WRITE_OK).err()?;
    Some(format!(
        "{shown} cannot be written: {error}; chown it to the user of this program"
    ))
}

fn explain_network(directory: &Path, name: &str) -> String {
    let shown = directory.display();
    format!(
        "{shown} is on a network file system ({name}), which may lose what it has acknowledged; name a local directory"
    )
}

fn network_file_system(found: u32) -> Option<&'static str> {
    let known = NETWORK_FILE_SYSTEMS
        .iter()
        .find(|(number, _)| *number == found);
    known.map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_cannot_be_used_is_named_with_a_remedy() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(directory_fault(&directory.path().join("queue.db")), None);
        assert_eq!(directory_fault(Path::new("queue.db")), None);
        let fault = directory_fault(&directory.path().join("missing/queue.db")).unwrap();
        let is_complete = |part| fault.contains(part);
        assert!(
            ["missing cannot", "StateDirectory=", "volume"]
                .into_iter()
                .all(is_complete),
            "{fault}"
        );
    }

    #[test]
    fn a_file_that_cannot_be_used_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("queue.db");
        assert_eq!(file_fault(&file), None);
        std::fs::write(&file, "").unwrap();
        assert_eq!(file_fault(&file), None);
        for other in ["queue.db-wal", "queue.db-shm", "queue.lock"] {
            let other = directory.path().join(other);
            std::fs::create_dir(&other).unwrap();
            let fault = file_fault(&file).unwrap();
            assert_eq!(
                fault,
                format!("{} is not a file; name one", other.display())
            );
            std::fs::remove_dir(&other).unwrap();
        }
    }

    #[test]
    fn network_file_systems_are_known_by_their_numbers() {
        assert_eq!(network_file_system(0x6969), Some("NFS"));
        assert_eq!(network_file_system(0xFF53_4D42), Some("CIFS"));
        for local in [0xEF53, 0x5846_5342, 0x9123_683E, 0x0102_1994] {
            assert_eq!(network_file_system(local), None, "ext4, XFS, btrfs, tmpfs");
        }
    }
}
