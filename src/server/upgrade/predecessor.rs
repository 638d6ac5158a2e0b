//! The side that takes over, once it can serve: agrees with the running process on when it does.

use super::wire::{Conversation, Word};
use std::io;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::time::Duration;
use tokio::net::UnixStream;
use tracing::warn;

/// How long the running process may take to answer.
const ANSWER: Duration = Duration::from_secs(10);

/// The running process, while this one is about to succeed it.
#[derive(Debug)]
pub(in crate::server) struct Predecessor(StdUnixStream);

impl Predecessor {
    /// May be moved to another runtime.
    pub(super) fn new(stream: UnixStream) -> io::Result<Self> {
        stream.into_std().map(Self)
    }

    /// Says that this process can serve, and waits for the word that it may.
    ///
    /// # Errors
    /// If it must not.
    pub(in crate::server) async fn allow(self) -> io::Result<Permission> {
        let mut conversation = Conversation::new(UnixStream::from_std(self.0)?);
        // If that is not heard, the answer says so.
        let _ = conversation.say(Word::Ready).await;
        settle(&mut conversation, Word::Go).await?;
        Ok(Permission(conversation))
    }
}

/// The running process has agreed.
pub(in crate::server) struct Permission(Conversation);

impl Permission {
    /// Says that this process serves, so that the other one may end.
    ///
    /// # Errors
    /// If the other one has waited too long and goes on.
    pub(in crate::server) async fn announce(mut self) -> io::Result<()> {
        let _ = self.0.say(Word::Serving).await;
        settle(&mut self.0, Word::Bye).await
    }
}

/// Waits for the word, or for the end of who was to say it: then nobody serves but this process.
async fn settle(conversation: &mut Conversation, expected: Word) -> io::Result<()> {
    match conversation.hear(ANSWER).await? {
        Some(word) if word == expected => Ok(()),
        Some(_) => Err(io::Error::other(
            "the running process called the take-over off and goes on",
        )),
        None => {
            warn!(
                event = "upgrade_predecessor_exited",
                "the running process exited during the upgrade"
            );
            Ok(())
        }
    }
}
