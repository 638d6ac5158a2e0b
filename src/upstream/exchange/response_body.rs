//! Reads the body of a response, whose end HTTP/1.1 marks in several ways (RFC 9112 sections 6 and
//! 7).

use super::error::ResponseError;
use bytes::{Buf as _, Bytes, BytesMut};
use httparse::Status;

/// The maximum length of the line of a chunk's size, and of the trailers, in bytes.
const MAX_LINE: usize = 16 * 1024;

/// The rest of a body that is being read.
pub(super) enum ResponseBody {
    /// The number of bytes that remain.
    Length(u64),
    /// The size of a chunk is next. After a chunk, the end of its line comes first.
    ChunkSize { after_chunk: bool },
    /// `n` bytes of the current chunk remain.
    Chunk(u64),
    /// The fields after the last chunk are next. They are dropped.
    Trailers,
    /// The body ends when the connection closes.
    UntilClose,
}

impl ResponseBody {
    pub(super) fn none() -> Self {
        Self::Length(0)
    }

    pub(super) fn of_length(length: u64) -> Self {
        Self::Length(length)
    }

    pub(super) fn chunked() -> Self {
        Self::ChunkSize { after_chunk: false }
    }

    pub(super) fn until_close() -> Self {
        Self::UntilClose
    }

    /// Returns `true` if the body has been read completely.
    pub(super) fn is_done(&self) -> bool {
        matches!(self, Self::Length(0))
    }

    /// Returns `true` if the end of the connection is the end of the body, and not an error.
    pub(super) fn ends_with_connection(&self) -> bool {
        matches!(self, Self::UntilClose)
    }

    /// Takes the next part of the body from the start of `input`. Returns `None` if the body is
    /// done or more input is needed.
    pub(super) fn take(&mut self, input: &mut BytesMut) -> Result<Option<Bytes>, ResponseError> {
        while !input.is_empty() && !self.is_done() {
            match self {
                Self::Length(left) => return Ok(Some(split(input, left))),
                Self::Chunk(left) => {
                    let part = split(input, left);
                    if *left == 0 {
                        *self = Self::ChunkSize { after_chunk: true };
                    }
                    return Ok(Some(part));
                }
                Self::UntilClose => return Ok(Some(input.split().freeze())),
                Self::ChunkSize { .. } | Self::Trailers => match self.after_line(input)? {
                    Some(next) => *self = next,
                    None => return Ok(None),
                },
            }
        }
        Ok(None)
    }

    /// Skips the line between two chunks, a chunk's size or the trailers at the start of `input`.
    /// Returns what follows, or `None` if more input is needed.
    fn after_line(&self, input: &mut BytesMut) -> Result<Option<Self>, ResponseError> {
        let line = match self {
            Self::ChunkSize { after_chunk: true } => end_of_chunk(input)?,
            Self::ChunkSize { after_chunk: false } => chunk_size(input)?,
            _ => trailers(input)?,
        };
        Ok(line.map(|(length, next)| {
            input.advance(length);
            next
        }))
    }
}

/// The length of a line, and the state after it.
type Line = Option<(usize, ResponseBody)>;

fn end_of_chunk(input: &[u8]) -> Result<Line, ResponseError> {
    match input {
        [b'\r', b'\n', ..] => Ok(Some((2, ResponseBody::chunked()))),
        [b'\r'] => Ok(None),
        _ => Err(malformed("a chunk is longer than its size")),
    }
}

fn chunk_size(input: &[u8]) -> Result<Line, ResponseError> {
    // httparse reads a missing digit as a size of 0, which would end the body.
    if !input[0].is_ascii_hexdigit() {
        return Err(malformed("a chunk has no size"));
    }
    match httparse::parse_chunk_size(input) {
        Ok(Status::Complete((length, 0))) => Ok(Some((length, ResponseBody::Trailers))),
        Ok(Status::Complete((length, size))) => Ok(Some((length, ResponseBody::Chunk(size)))),
        Ok(Status::Partial) if input.len() <= MAX_LINE => Ok(None),
        _ => Err(malformed("the size of a chunk is invalid")),
    }
}

fn trailers(input: &[u8]) -> Result<Line, ResponseError> {
    match trailers_length(input) {
        Some(length) => Ok(Some((length, ResponseBody::none()))),
        None if input.len() <= MAX_LINE => Ok(None),
        None => Err(malformed("the trailers are too long")),
    }
}

fn malformed(problem: &'static str) -> ResponseError {
    ResponseError::Malformed(problem)
}

/// Takes at most `left` bytes of `input`, which is not empty.
fn split(input: &mut BytesMut, left: &mut u64) -> Bytes {
    let length = usize::try_from(*left)
        .unwrap_or(usize::MAX)
        .min(input.len());
    *left -= length as u64;
    input.split_to(length).freeze()
}

/// Returns the length of the trailers at the start of `input`, with their empty line.
fn trailers_length(input: &[u8]) -> Option<usize> {
    if input.starts_with(b"\r\n") {
        return Some(2);
    }
    memchr::memmem::find(input, b"\r\n\r\n").map(|start| start + 4)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A body, and the bytes after it.
    type Split = (Vec<u8>, Vec<u8>);

    /// Reads `wire` in two pieces, of which the first has `cut` bytes.
    fn read(
        mut body: ResponseBody,
        wire: &[u8],
        cut: usize,
    ) -> Result<Option<Split>, ResponseError> {
        let (first, second) = wire.split_at(cut.min(wire.len()));
        let (mut input, mut read) = (BytesMut::new(), Vec::new());
        for piece in [first, second] {
            input.extend_from_slice(piece);
            while let Some(part) = body.take(&mut input)? {
                read.extend_from_slice(&part);
            }
        }
        Ok(body.is_done().then(|| (read, input.to_vec())))
    }

    #[test]
    fn it_ends_where_it_should() {
        for (wire, expected) in [
            ("0\r\n\r\n", Some(("", ""))),
            ("3\r\nabc\r\n0\r\n\r\n", Some(("abc", ""))),
            (
                "3;x=y\r\nabc\r\nA\r\n0123456789\r\n0\r\nX: y\r\n\r\nHTTP",
                Some(("abc0123456789", "HTTP")),
            ),
            ("3\r\nabc\r\n0\r\n", None),
            ("3\r\nab", None),
            ("3\r\nabc\r\n", None),
        ] {
            for cut in 0..=wire.len() {
                let read = read(ResponseBody::chunked(), wire.as_bytes(), cut).unwrap();
                let expected = expected
                    .map(|(body, rest)| (body.as_bytes().to_vec(), rest.as_bytes().to_vec()));
                assert_eq!(read, expected, "{wire:?} cut at {cut}");
            }
        }
        let cut = read(ResponseBody::of_length(3), b"abcd", 2)
            .unwrap()
            .unwrap();
        assert_eq!(cut, (b"abc".to_vec(), b"d".to_vec()));
        assert!(
            read(ResponseBody::of_length(3), b"ab", 1)
                .unwrap()
                .is_none()
        );
    }

    #[test]
    fn nonsense_is_refused() {
        let long = format!("3;{}", "x".repeat(MAX_LINE));
        let trailers = format!("0\r\nX: {}", "x".repeat(MAX_LINE));
        for wire in [
            "x\r\n",
            "\r\n",
            "3\r\nabcd\r\n",
            "3\r\nabc\n0\r\n\r\n",
            "10000000000000000\r\n",
            &long,
            &trailers,
        ] {
            for cut in 0..=wire.len().min(20) {
                assert!(
                    read(ResponseBody::chunked(), wire.as_bytes(), cut).is_err(),
                    "{wire:?} cut at {cut}"
                );
            }
        }
    }

    proptest! {
        #[test]
        fn chunks_are_what_was_cut_into_them(
            parts in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..50), 0..5),
            cut in 0_usize..300,
        ) {
            let mut wire = Vec::new();
            for part in &parts {
                wire.extend_from_slice(format!("{:X}\r\n", part.len()).as_bytes());
                wire.extend_from_slice(part);
                wire.extend_from_slice(b"\r\n");
            }
            wire.extend_from_slice(b"0\r\n\r\n");
            prop_assert_eq!(read(ResponseBody::chunked(), &wire, cut).unwrap(), Some((parts.concat(), Vec::new())));
        }

        #[test]
        fn nothing_panics(wire in proptest::collection::vec(prop_oneof![any::<u8>(), Just(b'\r'), Just(b'\n'), Just(b'0')], 0..100), cut in 0_usize..100) {
            let _ = read(ResponseBody::chunked(), &wire, cut);
        }
    }
}
