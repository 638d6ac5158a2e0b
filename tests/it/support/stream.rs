//! A request whose body is sent in parts, and whose answer is read in parts, whatever carries them.

use super::http2::{Failure, Http2Stream};
use super::{Answer, Connection, Http2, Sender};
use bytes::Bytes;
use http::Request;

/// How a body is carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carrier {
    /// HTTP/1.1 with a `Content-Length`.
    Sized,
    /// HTTP/1.1 in chunks.
    Chunked,
    /// HTTP/2.
    Http2,
}

impl Carrier {
    pub(crate) const ALL: [Self; 3] = [Self::Sized, Self::Chunked, Self::Http2];
}

/// One request and its answer.
pub(crate) enum Stream {
    Http1 {
        connection: Box<Connection>,
        is_chunked: bool,
        framing: Framing,
    },
    Http2(Box<Http2Stream>),
}

/// How much of an answer's body is left.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Framing {
    Length(usize),
    /// So much of the chunk.
    Chunk(usize),
    UntilClose,
}

impl Stream {
    /// Begins a request, whose body will be `length` bytes long. `headers` have the form `name:
    /// value`.
    pub(crate) fn begin(
        sender: &Sender,
        carrier: Carrier,
        method: &str,
        target: &str,
        headers: &[&str],
        length: u64,
    ) -> Self {
        if carrier == Carrier::Http2 {
            let mut request = Request::builder()
                .method(method)
                .uri(format!("https://localhost{target}"));
            for (name, value) in headers.iter().filter_map(|header| header.split_once(": ")) {
                request = request.header(name, value);
            }
            let stream = Http2::connect(sender)
                .unwrap()
                .begin(request.body(()).unwrap())
                .unwrap();
            return Self::Http2(Box::new(stream));
        }
        let is_chunked = carrier == Carrier::Chunked;
        let framing = if is_chunked {
            "Transfer-Encoding: chunked".to_owned()
        } else {
            format!("Content-Length: {length}")
        };
        let headers: String = headers
            .iter()
            .map(|header| format!("{header}\r\n"))
            .collect();
        let mut connection = sender.connect().unwrap();
        let head =
            format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n{headers}{framing}\r\n\r\n");
        connection.write(head.as_bytes()).unwrap();
        Self::Http1 {
            connection: Box::new(connection),
            is_chunked,
            framing: Framing::UntilClose,
        }
    }

    /// Sends a part of the body, no faster than it is taken.
    pub(crate) fn send(&mut self, part: &[u8]) -> Result<(), Failure> {
        match self {
            Self::Http1 {
                connection,
                is_chunked: false,
                ..
            } => Ok(connection.write(part)?),
            Self::Http1 { connection, .. } => {
                let chunk = [format!("{:x}\r\n", part.len()).as_bytes(), part, b"\r\n"].concat();
                Ok(connection.write(&chunk)?)
            }
            Self::Http2(stream) => stream.send(Bytes::copy_from_slice(part)),
        }
    }

    /// Ends the request.
    pub(crate) fn end(&mut self) -> Result<(), Failure> {
        match self {
            Self::Http1 {
                is_chunked: false, ..
            } => Ok(()),
            Self::Http1 { connection, .. } => Ok(connection.write(b"0\r\n\r\n")?),
            Self::Http2(stream) => stream.end(),
        }
    }

    /// Leaves in the middle of everything.
    pub(crate) fn leave(self) {
        if let Self::Http2(mut stream) = self {
            stream.reset();
        }
    }

    /// The head of the answer.
    pub(crate) fn head(&mut self) -> Result<Answer, Failure> {
        match self {
            Self::Http2(stream) => stream.head(),
            Self::Http1 {
                connection,
                framing,
                ..
            } => {
                let head = connection.read_head()?;
                *framing = match (
                    head.header("transfer-encoding"),
                    head.header("content-length"),
                ) {
                    (Some(_), _) => Framing::Chunk(0),
                    (None, Some(length)) => Framing::Length(length.parse()?),
                    (None, None) => Framing::UntilClose,
                };
                Ok(head)
            }
        }
    }

    /// Some of the answer's body; none at its end.
    pub(crate) fn some(&mut self) -> Result<Bytes, Failure> {
        let (connection, framing) = match self {
            Self::Http2(stream) => return stream.some(),
            Self::Http1 {
                connection,
                framing,
                ..
            } => (connection, framing),
        };
        match framing {
            Framing::UntilClose => Ok(connection.some(usize::MAX)?.into()),
            Framing::Length(0) => Ok(Bytes::new()),
            Framing::Chunk(0) => {
                let size = usize::from_str_radix(&line(connection)?, 16)?;
                if size == 0 {
                    line(connection)?;
                    *framing = Framing::Length(0);
                } else {
                    *framing = Framing::Chunk(size);
                }
                self.some()
            }
            Framing::Length(left) | Framing::Chunk(left) => {
                let part = connection.some(*left)?;
                if part.is_empty() {
                    return Err("the answer broke off".into());
                }
                *left -= part.len();
                if let Framing::Chunk(0) = framing {
                    line(connection)?;
                }
                Ok(part.into())
            }
        }
    }

    /// Exactly so many bytes of it.
    pub(crate) fn take(&mut self, count: usize) -> Result<Vec<u8>, Failure> {
        let mut body = Vec::new();
        while body.len() < count {
            let part = self.some()?;
            if part.is_empty() {
                return Err(format!("the answer ended after {} bytes", body.len()).into());
            }
            body.extend_from_slice(&part);
        }
        assert_eq!(body.len(), count, "the rest was not to be there yet");
        Ok(body)
    }

    /// The length of what is left of it.
    pub(crate) fn rest(&mut self) -> Result<u64, Failure> {
        let mut length = 0;
        loop {
            match self.some()?.len() {
                0 => return Ok(length),
                more => length += more as u64,
            }
        }
    }
}

fn line(connection: &mut Connection) -> Result<String, Failure> {
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        line.push(connection.byte()?.ok_or("the answer broke off")?);
    }
    line.truncate(line.len() - 2);
    Ok(String::from_utf8(line)?)
}
