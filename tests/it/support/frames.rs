//! A sender that writes HTTP/2 frames by hand, also those that no client would send.

use super::{Sender, WEBHOOK};
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;

/// Types of frames (RFC 9113 section 6).
pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;

/// Flags of frames.
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

/// A good request's pseudo-header fields.
pub(crate) const POST: [(&str, &str); 4] = [
    (":method", "POST"),
    (":scheme", "https"),
    (":authority", "localhost"),
    (":path", WEBHOOK),
];

/// A connection that speaks HTTP/2.
pub(crate) struct Frames {
    stream: StreamOwned<ClientConnection, TcpStream>,
    read: Vec<u8>,
}

/// A frame that was received.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    /// The error code of a reset or a GOAWAY.
    pub(crate) fn code(&self) -> u32 {
        let code = if self.kind == GOAWAY {
            &self.payload[4..8]
        } else {
            &self.payload[..4]
        };
        u32::from_be_bytes(code.try_into().unwrap())
    }
}

/// What came back on a stream.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// An answer with this body.
    Answer(String),
    /// The stream was reset, with this code.
    Reset(u32),
    /// The connection ended.
    Closed,
}

impl End {
    /// The status and the code of a refusal.
    #[track_caller]
    pub(crate) fn refuses(&self, status: u16, code: &str) {
        let Self::Answer(body) = self else {
            panic!("it is not answered: {self:?}")
        };
        let problem: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
        assert_eq!(
            (problem["status"].as_u64(), problem["code"].as_str()),
            (Some(status.into()), Some(code)),
            "{body}"
        );
    }
}

/// A frame.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    frame.extend_from_slice(&[kind, flags]);
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// A HEADERS frame, with every field as a literal that is not remembered (RFC 7541 section 6.2.2).
pub(crate) fn headers(flags: u8, stream: u32, fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            number(text.len(), &mut block);
            block.extend_from_slice(text.as_bytes());
        }
    }
    frame(HEADERS, flags | END_HEADERS, stream, &block)
}

/// The length of a string (RFC 7541 section 5.1).
fn number(mut number: usize, block: &mut Vec<u8>) {
    if number < 127 {
        return block.push(number as u8);
    }
    block.push(127);
    number -= 127;
    while number >= 128 {
        block.push((number % 128) as u8 | 128);
        number /= 128;
    }
    block.push(number as u8);
}

/// A whole request.
pub(crate) fn request(stream: u32, fields: &[(&str, &str)], body: &str) -> Vec<u8> {
    [
        headers(0, stream, fields),
        frame(DATA, END_STREAM, stream, body.as_bytes()),
    ]
    .concat()
}

impl Frames {
    /// A connection on which the preface and empty settings have been sent.
    pub(crate) fn connect(sender: &Sender) -> Self {
        let mut frames = Self {
            stream: Self::silent(sender),
            read: Vec::new(),
        };
        frames
            .send(
                &[
                    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
                    &frame(SETTINGS, 0, 0, &[])[..],
                ]
                .concat(),
            )
            .unwrap();
        frames
    }

    /// One on which nothing has been sent.
    pub(crate) fn silent(sender: &Sender) -> StreamOwned<ClientConnection, TcpStream> {
        let mut config = (*sender.config).clone();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let tls =
            ClientConnection::new(Arc::new(config), ServerName::try_from("localhost").unwrap())
                .unwrap();
        let socket = TcpStream::connect(sender.address).unwrap();
        socket.set_read_timeout(Some(super::PATIENCE)).unwrap();
        socket.set_nodelay(true).unwrap();
        StreamOwned::new(tls, socket)
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes)?;
        self.stream.flush()
    }

    /// The next frame; `None` at the end of the connection.
    #[track_caller]
    pub(crate) fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some((header, rest)) = self.read.split_at_checked(9) {
                let length = usize::from(header[0]) << 16
                    | usize::from(header[1]) << 8
                    | usize::from(header[2]);
                if rest.len() >= length {
                    let (kind, flags) = (header[3], header[4]);
                    let stream = u32::from_be_bytes(header[5..].try_into().unwrap());
                    let payload = rest[..length].to_vec();
                    self.read.drain(..9 + length);
                    return Some(Frame {
                        kind,
                        flags,
                        stream,
                        payload,
                    });
                }
            }
            let mut buffer = [0; 16384];
            match self.stream.read(&mut buffer) {
                Ok(0) => return None,
                Ok(read) => self.read.extend_from_slice(&buffer[..read]),
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    panic!("nothing comes")
                }
                Err(_) => return None,
            }
        }
    }

    /// What comes back on `stream`. What comes on others before its end is dropped.
    #[track_caller]
    pub(crate) fn end_of(&mut self, stream: u32) -> End {
        let mut body = Vec::new();
        while let Some(frame) = self.next() {
            if frame.stream != stream {
                continue;
            }
            match frame.kind {
                RST_STREAM => return End::Reset(frame.code()),
                DATA => body.extend_from_slice(&frame.payload),
                _ => {}
            }
            if matches!(frame.kind, DATA | HEADERS) && frame.flags & END_STREAM != 0 {
                return End::Answer(String::from_utf8(body).unwrap());
            }
        }
        End::Closed
    }

    /// The reason with which the connection ends.
    #[track_caller]
    pub(crate) fn goes_away(&mut self) -> Option<u32> {
        let mut reason = None;
        while let Some(frame) = self.next() {
            if frame.kind == GOAWAY {
                reason = Some(frame.code());
            }
        }
        reason
    }
}
