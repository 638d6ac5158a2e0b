//! Time for a refused client to read the TLS alert.

use super::log_failed;
use crate::http::timeout::timeout;
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Time that a refused client has to read the TLS alert.
const LINGER: Duration = Duration::from_secs(1);

/// A second handle to a connection, for use after a failed handshake has dropped the first one.
///
/// A client of TLS 1.3 may have sent its request by the time it is refused. Closing with that
/// unread would reset the connection, and the client would see the reset instead of the alert that
/// says why.
pub(super) struct AlertLinger(OwnedFd);

impl AlertLinger {
    pub(super) fn of(stream: &TcpStream) -> Option<Self> {
        let spare = stream.as_fd().try_clone_to_owned();
        spare.map(Self).map_err(|error| log_failed(&error)).ok()
    }

    /// Reads and discards until the client closes the connection, within [`LINGER`].
    pub(super) async fn linger(self) {
        let Ok(stream) = TcpStream::from_std(std::net::TcpStream::from(self.0)) else {
            return;
        };
        // Ignore the result: there is nothing left to do either way.
        let _ = timeout(LINGER, read_out(stream)).await;
    }
}

async fn read_out(mut stream: TcpStream) -> std::io::Result<()> {
    stream.shutdown().await?;
    let mut discarded = [0; 4096];
    while stream.read(&mut discarded).await? > 0 {}
    Ok(())
}
