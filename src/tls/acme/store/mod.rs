//! The place where account, orders and certificates are kept.

mod folder;

pub(crate) use folder::Folder;

use async_trait::async_trait;
use std::io;

/// A place for named values, which several processes may share.
///
/// A name consists of parts that are separated by `/`. A value is replaced as a whole, and is kept
/// once that returns.
#[async_trait]
pub(crate) trait Store: Send + Sync {
    /// Returns a value, if there is one.
    async fn get(&self, name: &str) -> io::Result<Option<Vec<u8>>>;

    /// Returns values of one moment, as far as there are any.
    async fn get_all(&self, names: &[String]) -> io::Result<Vec<Option<Vec<u8>>>> {
        let mut values = Vec::with_capacity(names.len());
        for name in names {
            values.push(self.get(name).await?);
        }
        Ok(values)
    }

    /// Sets a value.
    async fn put(&self, name: &str, value: &[u8]) -> io::Result<()>;

    /// Removes a value, which may be absent.
    async fn remove(&self, name: &str) -> io::Result<()>;

    /// Takes a lock, unless it is taken. A process that ends releases its locks. While it has some,
    /// nothing is set or removed once one of them is lost.
    async fn lock(&self, name: &str) -> io::Result<Option<Lock>>;
}

/// A lock, which is released when this is dropped.
pub(crate) struct Lock(Box<dyn Held>);

/// What holds a lock.
pub(crate) trait Held: Send + Sync {
    /// Returns `true` if another process may have the lock by now.
    fn is_lost(&self) -> bool;
}

impl Lock {
    pub(crate) fn of(held: impl Held + 'static) -> Self {
        Self(Box::new(held))
    }

    /// Returns `true` if another process may have it by now, and this one must not go on.
    pub(crate) fn is_lost(&self) -> bool {
        self.0.is_lost()
    }
}
