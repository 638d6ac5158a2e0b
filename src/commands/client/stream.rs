//! A stream of bytes that remembers how it broke.

use super::ClientFailure;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream of bytes, encrypted or not.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// How a stream broke: in each direction, or for what was said on it.
#[derive(Debug, Default)]
pub(super) struct Breakage {
    reading: OnceLock<ClientFailure>,
    writing: OnceLock<ClientFailure>,
    speaking: OnceLock<ClientFailure>,
}

impl Breakage {
    /// What the other side said last goes before what could not be said to it.
    pub(super) fn failure(&self) -> Option<ClientFailure> {
        self.reading
            .get()
            .or(self.writing.get())
            .or(self.speaking.get())
            .cloned()
    }

    /// Notes what was wrong with what was said.
    pub(super) fn speaking(&self, failure: ClientFailure) {
        // The first is the cause of those that follow.
        let _ = self.speaking.set(failure);
    }
}

/// A stream of which the other side is heard out.
///
/// In TLS 1.3 a refusal comes when the client thinks that it is through: what is written may fail,
/// and the reason is still to be read. So what cannot be written is as good as written, and the end
/// comes from reading.
pub(super) struct HeardOut<S> {
    stream: S,
    breakage: Arc<Breakage>,
}

impl<S> HeardOut<S> {
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

    /// `instead`, unless writing works.
    fn forgive<T>(&self, written: io::Result<T>, instead: T) -> Poll<io::Result<T>> {
        Poll::Ready(Ok(written.unwrap_or_else(|error| {
            // The first error is the cause of those that follow.
            let _ = self.breakage.writing.set(error.into());
            instead
        })))
    }

    fn can_write(&self) -> bool {
        self.breakage.writing.get().is_none()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for HeardOut<S> {
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

impl<S: AsyncWrite + Unpin> AsyncWrite for HeardOut<S> {
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

    /// Takes nothing, and has nothing to say but how it ends.
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
        let (mut stream, breakage) = HeardOut::new(Broken(Some(io::ErrorKind::UnexpectedEof)));
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
        let (mut stream, breakage) = HeardOut::new(Broken(None));
        assert_eq!(breakage.failure(), None);
        stream.write_all(b"request").await.unwrap();
        assert_eq!(stream.read(&mut [0; 1]).await.unwrap(), 0);
        assert_eq!(
            breakage.failure(),
            Some(ClientFailure::HungUp("the connection was reset"))
        );
    }
}
