//! The running process's side: hands the sockets over, and serves until the successor does.

use super::socket;
use super::wire::{Message, MessageStream, same_user, send_sockets};
use crate::delivery::Delivery;
use crate::server::systemd;
use crate::tls::PresentedCertificate;
use rustix::fs::Mode;
use rustix::process::umask;
use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;
use tracing::{info, warn};

/// Time to wait for a successor to connect after SIGQUIT.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// Time within which a successor must have read its configuration and passed its self-test.
const READY_TIMEOUT: Duration = Duration::from_secs(60);

/// Time to wait for a connection to an existing socket that may be stale.
const STALE_CHECK_TIMEOUT: Duration = Duration::from_secs(1);

/// Time within which a successor must serve once it is allowed to.
const SERVING_TIMEOUT: Duration = Duration::from_secs(10);

/// The listening sockets for a successor, and the path of the upgrade socket.
pub(in crate::server) struct ListenSockets {
    pub(in crate::server) path: PathBuf,
    pub(in crate::server) sockets: Vec<(SocketAddr, TcpListener)>,
    /// The queue, in which a successor stores as soon as it may serve.
    pub(in crate::server) delivery: Option<Arc<Delivery>>,
    /// The certificate of this process, if it has one.
    pub(in crate::server) certificate: PresentedCertificate,
}

impl ListenSockets {
    /// Waits for a successor, and returns when it serves.
    ///
    /// # Errors
    /// If no successor comes, or if it fails.
    pub(in crate::server) async fn hand_over(&self) -> io::Result<()> {
        let (stream, successor) = self.wait_for_successor().await?;
        info!(
            event = "upgrade_sockets_sent",
            successor, "passing the listening sockets to the successor"
        );
        send_sockets(&stream, &self.sockets).await?;
        let mut messages = MessageStream::new(stream);
        if let Err(error) = self.until_serving(&mut messages).await {
            if let Some(delivery) = &self.delivery {
                delivery.release();
            }
            // Ignore the error: then the successor has ended.
            let _ = messages.send(Message::No).await;
            return Err(error);
        }
        if let Some(successor) = successor {
            systemd::main_process_is(successor);
        }
        // Ignore the error: the successor serves either way.
        let _ = messages.send(Message::Bye).await;
        Ok(())
    }

    async fn wait_for_successor(&self) -> io::Result<(UnixStream, Option<u32>)> {
        let upgrade_socket = UpgradeSocket::open(&self.path).await?;
        info!(event = "upgrade_waiting_for_successor", path = %self.path.display(), "waiting for a successor: start it with `run --upgrade`");
        let arrival = timeout(CONNECT_TIMEOUT, upgrade_socket.accept()).await;
        arrival.map_err(|_| other(format!("no successor came within {CONNECT_TIMEOUT:?}")))?
    }

    /// Exchanges the messages up to the one that the successor serves.
    ///
    /// A successor without a certificate is none, unless there is no certificate yet.
    async fn until_serving(&self, messages: &mut MessageStream) -> io::Result<()> {
        let ready = match self.certificate.get() {
            Some(_) => &[Message::Ready][..],
            None => &[Message::Ready, Message::ReadyWithoutCertificate],
        };
        expect(messages, ready, READY_TIMEOUT).await?;
        if let Some(delivery) = &self.delivery {
            // From here on, the successor may store what must not be overtaken.
            delivery.hold();
        }
        messages.send(Message::Go).await?;
        expect(messages, &[Message::Serving], SERVING_TIMEOUT).await
    }
}

/// Waits for one of the messages in `expected`.
async fn expect(
    messages: &mut MessageStream,
    expected: &[Message],
    limit: Duration,
) -> io::Result<()> {
    match messages.receive(limit).await? {
        Some(message) if expected.contains(&message) => Ok(()),
        Some(Message::ReadyWithoutCertificate) => Err(other(
            "the successor has no certificate, and this process has one".into(),
        )),
        Some(message) => Err(other(format!(
            "the successor sent {message:?} instead of {expected:?}"
        ))),
        None => Err(other("the successor ended; its log says why".into())),
    }
}

fn other(message: String) -> io::Error {
    io::Error::other(message)
}

/// The socket for the successor's connection. It exists only while this process waits for one.
struct UpgradeSocket<'p> {
    listener: UnixListener,
    path: &'p Path,
}

impl<'p> UpgradeSocket<'p> {
    async fn open(path: &'p Path) -> io::Result<Self> {
        let explain = |error| other(format!("cannot listen at {}: {error}", path.display()));
        socket::create_directory(path).map_err(explain)?;
        remove_stale(path).await.map_err(explain)?;
        let listener = bind_privately(path).map_err(explain)?;
        Ok(Self { listener, path })
    }

    /// Accepts the first connection of a process that belongs to the same user.
    async fn accept(&self) -> io::Result<(UnixStream, Option<u32>)> {
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

/// Binds a socket that is accessible to this user only, by the mask and so from the beginning.
/// Changing its mode afterwards, by its path, would follow a link.
fn bind_privately(path: &Path) -> io::Result<UnixListener> {
    let mask = umask(Mode::from_bits_truncate(0o177));
    let listener = UnixListener::bind(path);
    umask(mask);
    listener
}

impl Drop for UpgradeSocket<'_> {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(self.path) {
            warn!(event = "upgrade_socket_failed", path = %self.path.display(), %error, "cannot remove the upgrade socket");
        }
    }
}

/// Removes the socket of a process that crashed. Anything else at this path is an error.
async fn remove_stale(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Err(_) => Ok(()),
        Ok(file) if !file.file_type().is_socket() => {
            Err(other("the file there is not a socket".into()))
        }
        // Only a refused connection shows that no process listens. A full queue means that one does.
        Ok(_) => match timeout(STALE_CHECK_TIMEOUT, UnixStream::connect(path)).await {
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
                fs::remove_file(path)
            }
            _ => Err(other("another process listens there".into())),
        },
    }
}
