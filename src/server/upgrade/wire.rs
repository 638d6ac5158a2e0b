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
use std::os::fd::{AsFd, BorrowedFd};
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
    /// Successor: it could serve, if it had a certificate. The first one is still to come.
    ReadyWithoutCertificate,
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
    const ALL: [Self; 6] = [
        Self::Ready,
        Self::ReadyWithoutCertificate,
        Self::Go,
        Self::No,
        Self::Serving,
        Self::Bye,
    ];

    fn parse(line: &str) -> io::Result<Self> {
        let mut known = Self::ALL.into_iter();
        known
            .find(|message| message.as_str() == line)
            .ok_or_else(|| invalid(format!("unexpected message {line:?}")))
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready\n",
            Self::ReadyWithoutCertificate => "ready without certificate\n",
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
        let Ok(read) = timeout(limit, self.reader.read_line(&mut line)).await else {
            return Err(no_message(limit));
        };
        match read {
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(None),
            Err(error) => Err(error),
            Ok(0) => Ok(None),
            Ok(_) => Message::parse(&line).map(Some),
        }
    }
}

fn no_message(limit: Duration) -> io::Error {
    let message = format!("no message within {limit:?}");
    io::Error::new(io::ErrorKind::TimedOut, message)
}

/// Checks that the process at the other end belongs to the same user. Returns its id, if it has one
/// in this namespace.
pub(super) fn same_user(stream: &UnixStream) -> io::Result<Option<u32>> {
    let peer = stream.peer_cred()?;
    let user = peer.uid();
    if user != geteuid().as_raw() {
        return Err(another_user(user));
    }
    let pid = peer.pid().and_then(|pid| u32::try_from(pid).ok());
    Ok(pid.filter(|pid| *pid != 0))
}

fn another_user(user: u32) -> io::Error {
    let message = format!("the process at the other end belongs to another user ({user})");
    io::Error::new(io::ErrorKind::PermissionDenied, message)
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
    let line = address_line(sockets);
    match send_with_descriptors(to, &line, sockets)? == line.len() {
        true => Ok(()),
        false => Err(io::ErrorKind::WriteZero.into()),
    }
}

/// Sends `line` with the sockets attached. Returns how much of it was sent.
fn send_with_descriptors(
    to: impl AsFd,
    line: &str,
    sockets: &[(SocketAddr, TcpListener)],
) -> io::Result<usize> {
    let listeners = sockets.iter().map(|(_, listener)| listener);
    let descriptors: Vec<BorrowedFd<'_>> = listeners.map(AsFd::as_fd).collect();
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MAX_SOCKETS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&descriptors));
    let message = [IoSlice::new(line.as_bytes())];
    Ok(sendmsg(to, &message, &mut control, SendFlags::NOSIGNAL)?)
}

fn address_line(sockets: &[(SocketAddr, TcpListener)]) -> String {
    let addresses = sockets.iter().map(|(address, _)| address.to_string());
    format!("{}\n", addresses.collect::<Vec<_>>().join(" "))
}

fn parse_addresses(line: &[u8]) -> Option<Vec<SocketAddr>> {
    let line = std::str::from_utf8(line).ok()?.strip_suffix('\n')?;
    let addresses = line.split_whitespace();
    addresses.map(|address| address.parse().ok()).collect()
}

/// Receives the message, which arrives in one piece because it was sent in one.
fn receive(from: impl AsFd) -> io::Result<Vec<(SocketAddr, TcpListener)>> {
    let mut line = vec![0; MAX_MESSAGE];
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MAX_SOCKETS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut message = [IoSliceMut::new(&mut line)];
    let received = recvmsg(from, &mut message, &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let listeners = received_listeners(&mut control);
    match parse_addresses(&line[..received.bytes]) {
        Some(addresses) if addresses.len() == listeners.len() => {
            Ok(addresses.into_iter().zip(listeners).collect())
        }
        _ => Err(invalid(
            "the message does not hold sockets with their addresses".into(),
        )),
    }
}

fn received_listeners(control: &mut RecvAncillaryBuffer<'_>) -> Vec<TcpListener> {
    let descriptors = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
        _ => None,
    });
    descriptors.flatten().map(TcpListener::from).collect()
}

fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
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
