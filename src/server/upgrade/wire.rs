//! The protocol of an upgrade: the sockets with their addresses, and then one-word messages.

use rustix::cmsg_space;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use rustix::process::geteuid;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;
use tokio::io::{
    AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Interest, Take,
};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::timeout;

/// Maximum number of descriptors in one message (`SCM_MAX_FD` of Linux).
const MAX_SOCKETS: usize = 253;

/// Maximum length of the line of addresses, in bytes.
const MAX_MESSAGE: usize = 64 * MAX_SOCKETS;

/// Maximum length of all messages of one side together, in bytes.
const MAX_MESSAGES_LENGTH: u64 = 1024;

/// A message of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Message {
    /// Successor: it can serve.
    Ready,
    /// Running process: the successor may serve.
    Go,
    /// Running process: the upgrade is cancelled.
    No,
    /// Successor: it serves new connections.
    Serving,
    /// Running process: the service manager has been notified.
    Bye,
}

impl Message {
    const ALL: [Self; 5] = [Self::Ready, Self::Go, Self::No, Self::Serving, Self::Bye];

    fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready\n",
            Self::Go => "go\n",
            Self::No => "no\n",
            Self::Serving => "serving\n",
            Self::Bye => "bye\n",
        }
    }
}

/// Sends and receives messages, once the sockets are transferred.
pub(super) struct MessageStream {
    reader: BufReader<Take<OwnedReadHalf>>,
    writer: OwnedWriteHalf,
}

impl MessageStream {
    pub(super) fn new(stream: UnixStream) -> Self {
        let (reader, writer) = stream.into_split();
        Self {
            reader: BufReader::new(reader.take(MAX_MESSAGES_LENGTH)),
            writer,
        }
    }

    pub(super) async fn send(&mut self, message: Message) -> io::Result<()> {
        self.writer.write_all(message.as_str().as_bytes()).await
    }

    /// Waits for the next message. Returns `None` if the other process has closed the connection.
    pub(super) async fn receive(&mut self, limit: Duration) -> io::Result<Option<Message>> {
        let mut line = String::new();
        match timeout(limit, self.reader.read_line(&mut line)).await {
            Err(_) => Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("no message within {limit:?}"),
            )),
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionReset => Ok(None),
            Ok(Err(error)) => Err(error),
            Ok(Ok(0)) => Ok(None),
            Ok(Ok(_)) => match Message::ALL
                .into_iter()
                .find(|message| message.as_str() == line)
            {
                Some(message) => Ok(Some(message)),
                None => Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!("unexpected message {line:?}"),
                )),
            },
        }
    }
}

/// Checks that the process at the other end belongs to the same user. Returns its id, if it has one
/// in this namespace.
pub(super) fn same_user(stream: &UnixStream) -> io::Result<Option<u32>> {
    let peer = stream.peer_cred()?;
    match peer.uid() == geteuid().as_raw() {
        true => Ok(peer
            .pid()
            .and_then(|pid| u32::try_from(pid).ok())
            .filter(|pid| *pid != 0)),
        false => Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!(
                "the process at the other end belongs to another user ({})",
                peer.uid()
            ),
        )),
    }
}

/// Sends sockets, each with its address.
pub(super) async fn send_sockets(
    to: &UnixStream,
    sockets: &[(SocketAddr, TcpListener)],
) -> io::Result<()> {
    to.async_io(Interest::WRITABLE, || send(to, sockets)).await
}

/// Receives what [`send_sockets`] sent.
pub(super) async fn receive_sockets(
    from: &UnixStream,
) -> io::Result<Vec<(SocketAddr, TcpListener)>> {
    from.async_io(Interest::READABLE, || receive(from)).await
}

/// Sends one message: the addresses as a line of text, with the descriptors attached.
fn send(to: impl AsFd, sockets: &[(SocketAddr, TcpListener)]) -> io::Result<()> {
    if sockets.len() > MAX_SOCKETS {
        return Err(io::Error::other(format!(
            "at most {MAX_SOCKETS} sockets can be handed over"
        )));
    }
    let addresses: Vec<String> = sockets
        .iter()
        .map(|(address, _)| address.to_string())
        .collect();
    let line = format!("{}\n", addresses.join(" "));
    let descriptors: Vec<BorrowedFd<'_>> = sockets
        .iter()
        .map(|(_, listener)| listener.as_fd())
        .collect();
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MAX_SOCKETS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&descriptors));
    let sent = sendmsg(
        to,
        &[IoSlice::new(line.as_bytes())],
        &mut control,
        SendFlags::NOSIGNAL,
    )?;
    match sent == line.len() {
        true => Ok(()),
        false => Err(io::ErrorKind::WriteZero.into()),
    }
}

/// Receives the message, which arrives in one piece because it was sent in one.
fn receive(from: impl AsFd) -> io::Result<Vec<(SocketAddr, TcpListener)>> {
    let mut line = vec![0; MAX_MESSAGE];
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MAX_SOCKETS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(
        from,
        &mut [IoSliceMut::new(&mut line)],
        &mut control,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    let descriptors: Vec<OwnedFd> = control
        .drain()
        .filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
            _ => None,
        })
        .flatten()
        .collect();
    let line = std::str::from_utf8(&line[..received.bytes])
        .ok()
        .and_then(|line| line.strip_suffix('\n'));
    let addresses: Option<Vec<SocketAddr>> = line.and_then(|line| {
        line.split_whitespace()
            .map(|address| address.parse().ok())
            .collect()
    });
    match addresses {
        Some(addresses) if addresses.len() == descriptors.len() => Ok(addresses
            .into_iter()
            .zip(descriptors.into_iter().map(TcpListener::from))
            .collect()),
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "the message does not hold sockets with their addresses",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;
    use std::net::TcpStream;
    use std::os::unix::net::UnixStream;

    fn listeners(count: usize) -> Vec<(SocketAddr, TcpListener)> {
        let listen = |index| {
            let address = SocketAddr::from(([10, 0, 0, 1], 1000 + index as u16));
            (address, TcpListener::bind("127.0.0.1:0").unwrap())
        };
        (0..count).map(listen).collect()
    }

    #[test]
    fn sockets_arrive_with_their_names_and_still_listen() {
        for count in [1, 2, MAX_SOCKETS] {
            let (here, there) = UnixStream::pair().unwrap();
            let sent = listeners(count);
            let address = sent[count - 1].1.local_addr().unwrap();
            send(&here, &sent).unwrap();
            let names: Vec<_> = sent.iter().map(|(name, _)| *name).collect();
            drop(sent);
            let received = receive(&there).unwrap();
            assert_eq!(
                received.iter().map(|(name, _)| *name).collect::<Vec<_>>(),
                names
            );
            let _connection = TcpStream::connect(address).unwrap();
            assert!(received[count - 1].1.accept().is_ok());
        }
    }

    #[test]
    fn more_than_fit_are_refused_before_anything_is_sent() {
        let (here, there) = UnixStream::pair().unwrap();
        assert!(send(&here, &listeners(MAX_SOCKETS + 1)).is_err());
        there.set_nonblocking(true).unwrap();
        assert_eq!(
            receive(&there).unwrap_err().kind(),
            io::ErrorKind::WouldBlock
        );
    }

    #[test]
    fn whatever_else_comes_is_an_error() {
        for sent in [
            &b"127.0.0.1:1\n"[..],
            b"x\n",
            b"\xff\n",
            b"127.0.0.1:1",
            b"",
        ] {
            let (mut here, there) = UnixStream::pair().unwrap();
            here.write_all(sent).unwrap();
            drop(here);
            assert_eq!(
                receive(&there).unwrap_err().kind(),
                io::ErrorKind::InvalidData,
                "{sent:?}"
            );
        }
    }
}
