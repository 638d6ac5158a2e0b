//! An application of which a test plays every step itself.

use super::{PATIENCE, eventually};
use super::{origin::reset, strict};
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};

/// The listening socket of the application.
pub(crate) struct Application {
    listener: TcpListener,
    pub(crate) url: String,
}

/// A connection from the proxy, seen from the application.
pub(crate) struct ServerConnection {
    socket: TcpStream,
    read: Vec<u8>,
    framing: Framing,
}

enum Framing {
    Length(usize),
    /// So much of the chunk.
    Chunk(usize),
}

impl Application {
    pub(crate) fn listen() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        Self { listener, url }
    }

    /// Waits for the next connection.
    #[track_caller]
    pub(crate) fn accept(&self) -> ServerConnection {
        eventually("a connection to the application", || self.next())
    }

    /// Accepts a waiting connection, if there is one.
    pub(crate) fn next(&self) -> Option<ServerConnection> {
        self.listener
            .accept()
            .ok()
            .map(|(socket, _)| ServerConnection::new(socket))
    }

    /// Asserts that no connection is waiting to be accepted.
    pub(crate) fn assert_no_connection(&self) {
        assert!(self.listener.accept().is_err());
    }
}

impl ServerConnection {
    fn new(socket: TcpStream) -> Self {
        socket.set_nonblocking(false).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_nodelay(true).unwrap();
        Self {
            socket,
            read: Vec::new(),
            framing: Framing::Length(0),
        }
    }

    /// The head of the next request.
    #[track_caller]
    pub(crate) fn head(&mut self) -> String {
        let end = loop {
            match self
                .read
                .windows(4)
                .position(|window| window == b"\r\n\r\n")
            {
                Some(end) => break end + 4,
                None => assert!(self.fill().unwrap() > 0, "the connection was closed"),
            }
        };
        let head = String::from_utf8(self.read.drain(..end).collect()).unwrap();
        assert_eq!(strict::complaint(&head), None, "{head}");
        let fields = || head.lines().filter_map(|line| line.split_once(": "));
        let field = |wanted: &str| {
            fields()
                .find(|(name, _)| name.eq_ignore_ascii_case(wanted))
                .map(|(_, value)| value)
        };
        self.framing = match (field("transfer-encoding"), field("content-length")) {
            (Some("chunked"), None) => Framing::Chunk(0),
            (None, length) => Framing::Length(length.map_or(0, |length| length.parse().unwrap())),
            ambiguous => panic!("{ambiguous:?}"),
        };
        head
    }

    fn fill(&mut self) -> std::io::Result<usize> {
        let mut buffer = [0; 65536];
        let count = self.socket.read(&mut buffer)?;
        self.read.extend_from_slice(&buffer[..count]);
        Ok(count)
    }

    fn line(&mut self) -> std::io::Result<String> {
        loop {
            if let Some(end) = self.read.windows(2).position(|window| window == b"\r\n") {
                let line = self.read.drain(..end + 2).take(end).collect();
                return String::from_utf8(line).map_err(std::io::Error::other);
            }
            if self.fill()? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Some of the body; none at its end. An error says that the request broke off.
    pub(crate) fn some(&mut self) -> std::io::Result<Vec<u8>> {
        let left = match &mut self.framing {
            Framing::Length(0) => return Ok(Vec::new()),
            Framing::Chunk(0) => {
                let size =
                    usize::from_str_radix(&self.line()?, 16).map_err(std::io::Error::other)?;
                self.framing = Framing::Chunk(size);
                if size == 0 {
                    assert_eq!(self.line()?, "", "there are no trailers");
                    self.framing = Framing::Length(0);
                }
                return self.some();
            }
            Framing::Length(left) | Framing::Chunk(left) => *left,
        };
        if self.read.is_empty() && self.fill()? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let part: Vec<u8> = self.read.drain(..left.min(self.read.len())).collect();
        match &mut self.framing {
            Framing::Length(left) => *left -= part.len(),
            Framing::Chunk(left) => {
                *left -= part.len();
                if *left == 0 {
                    assert_eq!(self.line()?, "");
                }
            }
        }
        Ok(part)
    }

    /// Exactly so many bytes of the body.
    #[track_caller]
    pub(crate) fn take(&mut self, count: usize) -> Vec<u8> {
        let mut body = Vec::new();
        while body.len() < count {
            let part = self.some().unwrap();
            assert!(
                !part.is_empty(),
                "the body ended after {} bytes",
                body.len()
            );
            body.extend_from_slice(&part);
        }
        assert_eq!(body.len(), count, "the rest was not to be there yet");
        body
    }

    /// What is left of the body.
    pub(crate) fn rest(&mut self) -> std::io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            match &self.some()?[..] {
                [] => return Ok(body),
                part => body.extend_from_slice(part),
            }
        }
    }

    /// Sends bytes as they are.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.socket.write_all(bytes.as_ref()).unwrap();
    }

    /// Answers 200 with `body`.
    pub(crate) fn answer(&mut self, body: &str) {
        self.send(format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ));
    }

    /// Says that nothing more is to be sent; the proxy may still do so.
    pub(crate) fn close_half(&self) {
        self.socket.shutdown(Shutdown::Write).unwrap();
    }

    /// The proxy closes its side, too, and has sent nothing before.
    #[track_caller]
    pub(crate) fn is_closed(&mut self) {
        match self.fill() {
            Ok(0) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
            other => panic!("{other:?}: {:?}", String::from_utf8_lossy(&self.read)),
        }
    }

    /// It has not.
    pub(crate) fn is_open(&mut self) {
        self.socket.set_nonblocking(true).unwrap();
        let open = self.fill();
        assert!(
            open.as_ref()
                .is_err_and(|error| error.kind() == ErrorKind::WouldBlock),
            "{open:?}"
        );
    }

    /// Cuts the connection, as the end of a process does that has not read everything.
    pub(crate) fn reset(self) {
        reset(&self.socket);
    }

    /// A second handle on the connection.
    pub(crate) fn socket(&self) -> TcpStream {
        self.socket.try_clone().unwrap()
    }
}
