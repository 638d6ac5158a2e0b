//! The place where account, orders and certificates are kept.

mod folder;

pub(crate) use folder::Folder;

use crate::config::Acme;
use async_trait::async_trait;
use std::any::Any;
use std::io;
use std::sync::Arc;

/// A place for named values, which several processes may share.
///
/// A name consists of parts that are separated by `/`. A value is replaced as a whole, and is kept
/// once that returns.
#[async_trait]
pub(crate) trait Store: Send + Sync {
    /// Returns a value, if there is one.
    async fn get(&self, name: &str) -> io::Result<Option<Vec<u8>>>;

    /// Sets a value.
    async fn put(&self, name: &str, value: &[u8]) -> io::Result<()>;

    /// Removes a value, which may be absent.
    async fn remove(&self, name: &str) -> io::Result<()>;

    /// Takes a lock, unless another process has it. A process that ends releases its locks.
    async fn lock(&self, name: &str) -> io::Result<Option<Lock>>;
}

/// Opens the store of a process that runs by these settings, to look at it from another one.
///
/// # Errors
/// If there is none, or this user may not use it.
pub(crate) fn open_existing(acme: &Acme) -> Result<Arc<dyn Store>, String> {
    let folder = Folder::at(&acme.state);
    if let Some(fault) = folder.fault() {
        return Err(format!("{fault}; or run this as the user of the service"));
    }
    match folder.exists() {
        true => Ok(Arc::new(folder)),
        false => Err(format!(
            "the program has not run with {} yet",
            acme.state.display()
        )),
    }
}

/// A lock, which is released when this is dropped.
pub(crate) struct Lock {
    _held: Box<dyn Any + Send + Sync>,
}

impl Lock {
    fn of(held: impl Any + Send + Sync) -> Self {
        Self {
            _held: Box::new(held),
        }
    }
}
