//! The side that hands over: it serves on until somebody else does.

use super::wire::{Conversation, Word, same_user, send_sockets};
use crate::server::systemd;
use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;
use tracing::{info, warn};

/// How long a process that received SIGQUIT waits for its successor.
const ARRIVAL: Duration = Duration::from_secs(30);

/// How long a successor may take to read its configuration and test itself.
const STARTUP: Duration = Duration::from_secs(60);

/// How long it may take from being allowed to serve to serving.
const START: Duration = Duration::from_secs(10);

/// What a successor gets, and where.
#[derive(Debug)]
pub(in crate::server) struct Legacy {
    pub(in crate::server) path: PathBuf,
    pub(in crate::server) sockets: Vec<(SocketAddr, TcpListener)>,
}

impl Legacy {
    /// Waits for a successor, and returns when it serves.
    ///
    /// # Errors
    /// Says why nobody does.
    pub(in crate::server) async fn hand_over(&self) -> io::Result<()> {
        let meeting = Meeting::open(&self.path)?;
        info!(path = %self.path.display(), "waiting for a successor: start it with run --upgrade");
        let arrival = timeout(ARRIVAL, meeting.arrival()).await;
        let (stream, successor) = arrival.map_err(|_| other(format!("no successor came within {ARRIVAL:?}")))??;
        drop(meeting);
        info!(successor, "handing the listening sockets over");
        send_sockets(&stream, &self.sockets).await?;
        let mut conversation = Conversation::new(stream);
        if let Err(error) = see_it_serve(&mut conversation).await {
            // If it does not hear that, it is gone.
            let _ = conversation.say(Word::No).await;
            return Err(error);
        }
        if let Some(successor) = successor {
            systemd::main_process_is(successor);
        }
        // It serves, whether it hears that or not.
        let _ = conversation.say(Word::Bye).await;
        Ok(())
    }
}

async fn see_it_serve(conversation: &mut Conversation) -> io::Result<()> {
    expect(conversation, Word::Ready, STARTUP).await?;
    conversation.say(Word::Go).await?;
    expect(conversation, Word::Serving, START).await
}

async fn expect(conversation: &mut Conversation, expected: Word, limit: Duration) -> io::Result<()> {
    match conversation.hear(limit).await? {
        Some(word) if word == expected => Ok(()),
        Some(word) => Err(other(format!("the successor said {word:?} instead of {expected:?}"))),
        None => Err(other("the successor ended; its log says why".into())),
    }
}

fn other(message: String) -> io::Error {
    io::Error::other(message)
}

/// The socket at which the two meet. It is there only while somebody waits at it.
struct Meeting<'p> {
    listener: UnixListener,
    path: &'p Path,
}

impl<'p> Meeting<'p> {
    fn open(path: &'p Path) -> io::Result<Self> {
        let explain = |error| other(format!("cannot listen at {}: {error}", path.display()));
        remove_stale(path).map_err(explain)?;
        if let Some(directory) = path.parent() {
            // An error shows when the socket cannot be made in it.
            let _ = DirBuilder::new().mode(0o700).create(directory);
        }
        let listener = UnixListener::bind(path).map_err(explain)?;
        let meeting = Self { listener, path };
        fs::set_permissions(path, Permissions::from_mode(0o600)).map_err(explain)?;
        Ok(meeting)
    }

    /// The first that comes and may.
    async fn arrival(&self) -> io::Result<(UnixStream, Option<u32>)> {
        loop {
            let (stream, _) = self.listener.accept().await?;
            match same_user(&stream) {
                Ok(pid) => return Ok((stream, pid)),
                Err(error) => warn!(%error, "somebody asked for the listening sockets and did not get them"),
            }
        }
    }
}

impl Drop for Meeting<'_> {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(self.path) {
            warn!(path = %self.path.display(), %error, "cannot remove the upgrade socket");
        }
    }
}

/// Removes what a process that crashed has left there, and nothing else.
fn remove_stale(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Err(_) => Ok(()),
        Ok(file) if !file.file_type().is_socket() => Err(other("there is a file that is no socket".into())),
        Ok(_) => match StdUnixStream::connect(path) {
            Ok(_) => Err(other("another process listens there".into())),
            Err(_) => fs::remove_file(path),
        },
    }
}
