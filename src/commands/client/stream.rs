//! A stream of bytes that records how it broke.

use super::ClientFailure;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A plain or encrypted stream of bytes.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// The first error of a stream in each direction, and of the protocol on it.
#[derive(Debug, Default)]
pub(super) struct Breakage {
    reading: OnceLock<ClientFailure>,
    writing: OnceLock<ClientFailure>,
    protocol: OnceLock<ClientFailure>,
}

impl Breakage {
    /// Returns the failure: read errors, such as alerts, take precedence over write errors.
    pub(super) fn failure(&self) -> Option<ClientFailure> {
        self.reading
            .get()
            .or(self.writing.get())
            .or(self.protocol.get())
            .cloned()
    }

    /// Records an error of the protocol on the stream.
    pub(super) fn record_protocol_error(&self, failure: ClientFailure) {
        // Only the first error is kept: it is the cause of the others.
        let _ = self.protocol.set(failure);
    }
}

/// A stream that is read to its end although it cannot be written.
///
/// In TLS 1.3 a refusal arrives after the client has finished its handshake: a write may fail while
/// the alert with the reason is still unread. So failed writes pretend to succeed, and the error
/// comes from reading.
pub(super) struct DrainingStream<S> {
    stream: S,
    breakage: Arc<Breakage>,
}

impl<S> DrainingStream<S> {
    pub(super) fn new(stream: S) -> (Self, Arc<Breakage>) {
        let breakage = Arc::<Breakage>::default();
        (
            Self {
                stream,
                breakage: breakage.clone(),
            },
            breakage,
        )
    }

    /// Returns `instead` in place of a write error, which is recorded.
    fn forgive<T>(&self, written: io::Result<T>, instead: T) -> Poll<io::Result<T>> {
        Poll::Ready(Ok(written.unwrap_or_else(|error| {
            // Only the first error is kept: it is the cause of the others.
            let _ = self.breakage.writing.set(error.into());
            instead
        })))
    }

    fn can_write(&self) -> bool {
        self.breakage.writing.get().is_none()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for DrainingStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = ready!(Pin::new(&mut self.stream).poll_read(cx, buffer));
        if let Err(error) = &read {
            let _ = self.breakage.reading.set(error.into());
        }
        Poll::Ready(read)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for DrainingStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if !self.can_write() {
            return Poll::Ready(Ok(bytes.len()));
        }
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes));
        self.forgive(written, bytes.len())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.can_write() {
            return Poll::Ready(Ok(()));
        }
        let flushed = ready!(Pin::new(&mut self.stream).poll_flush(cx));
        self.forgive(flushed, ())
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    /// A stream that fails all writes, and ends with this error.
    struct Broken(Option<io::ErrorKind>);

    impl AsyncRead for Broken {
        fn poll_read(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            Poll::Ready(self.0.map_or(Ok(()), |kind| Err(kind.into())))
        }
    }

    impl AsyncWrite for Broken {
        fn poll_write(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &[u8],
        ) -> Poll<io::Result<usize>> {
            Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn what_is_said_last_is_heard_though_nothing_can_be_written() {
        let (mut stream, breakage) =
            DrainingStream::new(Broken(Some(io::ErrorKind::UnexpectedEof)));
        stream.write_all(b"request").await.unwrap();
        stream.flush().await.unwrap();
        assert_eq!(
            breakage.failure(),
            Some(ClientFailure::HungUp("the connection was reset"))
        );
        stream.read(&mut [0; 1]).await.unwrap_err();
        assert_eq!(
            breakage.failure(),
            Some(ClientFailure::HungUp("the connection was closed"))
        );
    }

    #[tokio::test]
    async fn an_end_without_a_word_leaves_what_could_not_be_written() {
        let (mut stream, breakage) = DrainingStream::new(Broken(None));
        assert_eq!(breakage.failure(), None);
        stream.write_all(b"request").await.unwrap();
        assert_eq!(stream.read(&mut [0; 1]).await.unwrap(), 0);
        assert_eq!(
            breakage.failure(),
            Some(ClientFailure::HungUp("the connection was reset"))
        );
    }
}
