//! A TLS client that writes its hellos byte by byte, as no library would.

use super::PATIENCE;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

/// The random of a ServerHello that asks for another hello (RFC 8446, section 4.1.3).
const RETRY: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91,
    0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];

const X25519: [u8; 2] = [0x00, 0x1d];

/// A hello to send.
#[derive(Clone, Debug)]
pub(crate) struct Hello {
    pub(crate) server_name: Option<Vec<u8>>,
    /// Absent: there is no such extension.
    pub(crate) protocols: Option<Vec<Vec<u8>>>,
    /// Without one, a server of TLS 1.3 asks for another hello.
    pub(crate) has_key_share: bool,
    pub(crate) is_tls12: bool,
    /// Bytes of an extension that says nothing.
    pub(crate) padding: usize,
    pub(crate) has_early_data: bool,
}

/// The first record that a server sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// The handshake goes on.
    GoesOn,
    /// Another hello is asked for.
    Retry,
    /// It is refused, with this alert.
    Alert(u8),
    /// The connection is closed.
    Closed,
}

impl Hello {
    /// The hello of a validation.
    pub(crate) fn validation(server_name: &str) -> Self {
        Self {
            server_name: Some(server_name.into()),
            protocols: Some(vec![b"acme-tls/1".to_vec()]),
            has_key_share: true,
            is_tls12: false,
            padding: 0,
            has_early_data: false,
        }
    }

    pub(crate) fn protocols(mut self, protocols: &[&[u8]]) -> Self {
        self.protocols = Some(protocols.iter().map(|protocol| protocol.to_vec()).collect());
        self
    }

    /// Sends it, and reads the reply.
    pub(crate) fn send(&self, address: SocketAddr) -> Reply {
        let mut socket = connect(address);
        self.write(&mut socket);
        read(&mut socket)
    }

    /// Sends it, and another one if that is asked for.
    pub(crate) fn send_then(&self, address: SocketAddr, second: &Self) -> Reply {
        let mut socket = connect(address);
        self.write(&mut socket);
        assert_eq!(read(&mut socket), Reply::Retry, "{self:?}");
        second.write(&mut socket);
        loop {
            match read_record(&mut socket) {
                // What makes old boxes on the way believe that this is TLS 1.2.
                Some((0x14, _)) => {}
                record => return judge(record),
            }
        }
    }

    fn write(&self, socket: &mut TcpStream) {
        // An error says that it was refused before the end.
        let _ = socket.write_all(&self.records(16 * 1024));
    }

    /// The bytes, in records of at most `size` bytes of it.
    pub(crate) fn records(&self, size: usize) -> Vec<u8> {
        let message = self.message();
        let record = |part: &[u8]| [&[0x16, 3, 1][..], &length(part.len(), 2), part].concat();
        message.chunks(size).flat_map(record).collect()
    }

    fn message(&self) -> Vec<u8> {
        let suites: &[u8] = match self.is_tls12 {
            true => &[0xc0, 0x2b, 0xc0, 0x2f],
            false => &[0x13, 0x01, 0x13, 0x02],
        };
        let extensions = vector(2, &self.extensions());
        let body = [
            &[3, 3][..],
            &[7; 32],
            &vector(1, &[9; 32]),
            &vector(2, suites),
            &vector(1, &[0]),
            &extensions,
        ]
        .concat();
        [&[1][..], &vector(3, &body)].concat()
    }

    fn extensions(&self) -> Vec<u8> {
        let extension =
            |kind: u16, content: &[u8]| [&kind.to_be_bytes()[..], &vector(2, content)].concat();
        let mut all = Vec::new();
        if let Some(name) = &self.server_name {
            let name = [&[0][..], &vector(2, name)].concat();
            all.extend(extension(0, &vector(2, &name)));
        }
        if let Some(protocols) = &self.protocols {
            let list: Vec<u8> = protocols
                .iter()
                .flat_map(|protocol| vector(1, protocol))
                .collect();
            all.extend(extension(16, &vector(2, &list)));
        }
        all.extend(extension(10, &vector(2, &X25519)));
        all.extend(extension(13, &vector(2, &[4, 3, 8, 4, 5, 3])));
        all.extend(extension(23, &[]));
        if self.is_tls12 {
            all.extend(extension(11, &vector(1, &[0])));
        } else {
            all.extend(extension(43, &vector(1, &[3, 4])));
            let share = match self.has_key_share {
                true => [&X25519[..], &vector(2, &[9; 32])].concat(),
                false => Vec::new(),
            };
            all.extend(extension(51, &vector(2, &share)));
        }
        if self.has_early_data {
            all.extend(extension(42, &[]));
        }
        if self.padding > 0 {
            all.extend(extension(21, &vec![0; self.padding]));
        }
        if self.has_early_data {
            // A session that the server cannot know: it comes last.
            let identity = [&vector(2, &[5; 32])[..], &[0; 4]].concat();
            let binder = vector(1, &[6; 32]);
            all.extend(extension(45, &vector(1, &[1])));
            all.extend(extension(
                41,
                &[vector(2, &identity), vector(2, &binder)].concat(),
            ));
        }
        all
    }
}

pub(super) fn connect(address: SocketAddr) -> TcpStream {
    let socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.set_nodelay(true).unwrap();
    socket
}

/// Reads what a server says first.
pub(crate) fn read(socket: &mut TcpStream) -> Reply {
    judge(read_record(socket))
}

fn judge(record: Option<(u8, Vec<u8>)>) -> Reply {
    match record {
        None => Reply::Closed,
        Some((0x15, alert)) => Reply::Alert(alert[1]),
        Some((0x16, message)) if message[0] == 2 && message[6..38] == RETRY => Reply::Retry,
        Some((0x16, message)) if message[0] == 2 => Reply::GoesOn,
        other => panic!("{other:?}"),
    }
}

fn read_record(socket: &mut TcpStream) -> Option<(u8, Vec<u8>)> {
    let mut head = [0; 5];
    socket.read_exact(&mut head).ok()?;
    let mut content = vec![0; usize::from(u16::from_be_bytes([head[3], head[4]]))];
    socket.read_exact(&mut content).ok()?;
    Some((head[0], content))
}

fn length(length: usize, bytes: usize) -> Vec<u8> {
    length.to_be_bytes()[8 - bytes..].to_vec()
}

fn vector(bytes: usize, content: &[u8]) -> Vec<u8> {
    [&length(content.len(), bytes)[..], content].concat()
}
