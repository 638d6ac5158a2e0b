//! The successor's side once it can serve: agrees with the running process on the moment.

use super::wire::{Message, MessageStream};
use std::io;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::time::Duration;
use tokio::net::UnixStream;
use tracing::warn;

/// Time within which the running process must respond.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);

/// The process that serves until this one replaces it.
#[derive(Debug)]
pub(in crate::server) struct RunningProcess(StdUnixStream);

impl RunningProcess {
    /// Detaches `stream` from its runtime, so that another one can use it.
    pub(super) fn new(stream: UnixStream) -> io::Result<Self> {
        stream.into_std().map(Self)
    }

    /// Reports that this process can serve, and waits for the permission to do so.
    ///
    /// # Errors
    /// If the running process cancels the upgrade, as it does if only it has a certificate.
    pub(in crate::server) async fn request_grant(
        self,
        has_certificate: bool,
    ) -> io::Result<ServeGrant> {
        let mut messages = MessageStream::new(UnixStream::from_std(self.0)?);
        // Ignore the error: the response shows whether the message arrived.
        let ready = match has_certificate {
            true => Message::Ready,
            false => Message::ReadyWithoutCertificate,
        };
        let _ = messages.send(ready).await;
        settle(&mut messages, Message::Go).await?;
        Ok(ServeGrant(messages))
    }
}

/// Permission of the running process to serve in its place.
pub(in crate::server) struct ServeGrant(MessageStream);

impl ServeGrant {
    /// Reports that this process serves, so that the other one ends.
    ///
    /// # Errors
    /// If the other one has waited too long and continues to serve.
    pub(in crate::server) async fn announce(mut self) -> io::Result<()> {
        let _ = self.0.send(Message::Serving).await;
        settle(&mut self.0, Message::Bye).await
    }
}

/// Waits for a message, or for the end of the process that should send it: then only this process
/// can serve.
async fn settle(messages: &mut MessageStream, expected: Message) -> io::Result<()> {
    match messages.receive(RESPONSE_TIMEOUT).await? {
        Some(message) if message == expected => Ok(()),
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
