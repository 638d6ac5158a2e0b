//! The side that hands over: it serves on until somebody else does.

use super::socket;
use super::wire::{Conversation, Word, same_user, send_sockets};
use crate::server::systemd;
use rustix::fs::Mode;
use rustix::process::umask;
use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;
use tracing::{info, warn};

/// How long a process that received SIGQUIT waits for its successor.
const ARRIVAL: Duration = Duration::from_secs(30);

/// How long a successor may take to read its configuration and test itself.
const STARTUP: Duration = Duration::from_secs(60);

/// How long a process that listens where this one is to may take to show it.
const ANSWER: Duration = Duration::from_secs(1);

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
        let meeting = Meeting::open(&self.path).await?;
        info!(event = "upgrade_waiting_for_successor", path = %self.path.display(), "waiting for a successor: start it with `run --upgrade`");
        let arrival = timeout(ARRIVAL, meeting.arrival()).await;
        let (stream, successor) =
            arrival.map_err(|_| other(format!("no successor came within {ARRIVAL:?}")))??;
        drop(meeting);
        info!(
            event = "upgrade_sockets_sent",
            successor, "passing the listening sockets to the successor"
        );
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

async fn expect(
    conversation: &mut Conversation,
    expected: Word,
    limit: Duration,
) -> io::Result<()> {
    match conversation.hear(limit).await? {
        Some(word) if word == expected => Ok(()),
        Some(word) => Err(other(format!(
            "the successor said {word:?} instead of {expected:?}"
        ))),
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
    async fn open(path: &'p Path) -> io::Result<Self> {
        let explain = |error| other(format!("cannot listen at {}: {error}", path.display()));
        socket::make(path).map_err(explain)?;
        remove_stale(path).await.map_err(explain)?;
        // From the beginning it is this user's alone. To change it by its name afterwards would
        // follow a link.
        let mask = umask(Mode::from_bits_truncate(0o177));
        let listener = UnixListener::bind(path);
        umask(mask);
        Ok(Self {
            listener: listener.map_err(explain)?,
            path,
        })
    }

    /// The first that comes and may.
    async fn arrival(&self) -> io::Result<(UnixStream, Option<u32>)> {
        loop {
            let (stream, _) = self.listener.accept().await?;
            match same_user(&stream) {
                Ok(pid) => return Ok((stream, pid)),
                Err(error) => {
                    warn!(event = "upgrade_denied", %error, "refused a request for the listening sockets")
                }
            }
        }
    }
}

impl Drop for Meeting<'_> {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(self.path) {
            warn!(event = "upgrade_socket_failed", path = %self.path.display(), %error, "cannot remove the upgrade socket");
        }
    }
}

/// Removes what a process that crashed has left there, and nothing else.
async fn remove_stale(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Err(_) => Ok(()),
        Ok(file) if !file.file_type().is_socket() => {
            Err(other("there is a file that is no socket".into()))
        }
        // One that listens and accepts nothing has no room in its queue some time, which is an
        // answer, too.
        Ok(_) => match timeout(ANSWER, UnixStream::connect(path)).await {
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
                fs::remove_file(path)
            }
            _ => Err(other("another process listens there".into())),
        },
    }
}
