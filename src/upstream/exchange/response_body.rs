//! The body of an answer, by whichever of HTTP/1.1's ways its end is told (RFC 9112 sections 6 and
//! 7).

use super::response_reader::AnswerError;
use bytes::{Buf as _, Bytes, BytesMut};
use httparse::Status;

/// How long the line of a chunk's size, or the trailers after the last chunk, may be, in bytes.
const MAX_LINE: usize = 16 * 1024;

/// What is still to be read of a body.
pub(super) enum Body {
    /// So many bytes.
    Length(u64),
    /// Chunks, the next one's size first. After a chunk, a line must end before it.
    ChunkSize { after_chunk: bool },
    /// So many bytes of a chunk, and more chunks.
    Chunk(u64),
    /// The fields after the last chunk, which are dropped.
    Trailers,
    /// All that comes.
    UntilClose,
}

impl Body {
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

    /// Whether nothing is left.
    pub(super) fn is_done(&self) -> bool {
        matches!(self, Self::Length(0))
    }

    /// Whether the end of the connection is its end, and not a break.
    pub(super) fn ends_with_connection(&self) -> bool {
        matches!(self, Self::UntilClose)
    }

    /// Takes the next part from the beginning of `input`, if there is one.
    pub(super) fn take(&mut self, input: &mut BytesMut) -> Result<Option<Bytes>, AnswerError> {
        loop {
            match self {
                _ if input.is_empty() => return Ok(None),
                Self::Length(0) => return Ok(None),
                Self::Length(left) => return Ok(Some(split(input, left))),
                Self::Chunk(left) => {
                    let part = split(input, left);
                    if *left == 0 {
                        *self = Self::ChunkSize { after_chunk: true };
                    }
                    return Ok(Some(part));
                }
                Self::UntilClose => return Ok(Some(input.split().freeze())),
                Self::ChunkSize { after_chunk: true } => match &input[..] {
                    [b'\r', b'\n', ..] => {
                        input.advance(2);
                        *self = Self::chunked();
                    }
                    [b'\r'] => return Ok(None),
                    _ => return Err(AnswerError::Malformed("a chunk is longer than its size")),
                },
                // To httparse, no digit at all is a size of 0, which would be the end.
                Self::ChunkSize { after_chunk: false } if !input[0].is_ascii_hexdigit() => {
                    return Err(AnswerError::Malformed("a chunk has no size"));
                }
                Self::ChunkSize { after_chunk: false } => match httparse::parse_chunk_size(input) {
                    Ok(Status::Complete((length, size))) => {
                        input.advance(length);
                        *self = if size == 0 {
                            Self::Trailers
                        } else {
                            Self::Chunk(size)
                        };
                    }
                    Ok(Status::Partial) if input.len() <= MAX_LINE => return Ok(None),
                    _ => return Err(AnswerError::Malformed("a chunk's size cannot be read")),
                },
                Self::Trailers => match trailers_length(input) {
                    Some(length) => {
                        input.advance(length);
                        *self = Self::none();
                    }
                    None if input.len() <= MAX_LINE => return Ok(None),
                    None => return Err(AnswerError::Malformed("its trailers are too long")),
                },
            }
        }
    }
}

/// At most `left` bytes of `input`, which is not empty.
fn split(input: &mut BytesMut, left: &mut u64) -> Bytes {
    let length = usize::try_from(*left)
        .unwrap_or(usize::MAX)
        .min(input.len());
    *left -= length as u64;
    input.split_to(length).freeze()
}

/// Where the trailers end that start at the beginning of `input`, with their empty line.
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

    /// A body, and what came after it.
    type Split = (Vec<u8>, Vec<u8>);

    /// Reads `wire` in two pieces, of which the first has `cut` bytes.
    fn read(mut body: Body, wire: &[u8], cut: usize) -> Result<Option<Split>, AnswerError> {
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
                let read = read(Body::chunked(), wire.as_bytes(), cut).unwrap();
                let expected = expected
                    .map(|(body, rest)| (body.as_bytes().to_vec(), rest.as_bytes().to_vec()));
                assert_eq!(read, expected, "{wire:?} cut at {cut}");
            }
        }
        let cut = read(Body::of_length(3), b"abcd", 2).unwrap().unwrap();
        assert_eq!(cut, (b"abc".to_vec(), b"d".to_vec()));
        assert!(read(Body::of_length(3), b"ab", 1).unwrap().is_none());
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
                    read(Body::chunked(), wire.as_bytes(), cut).is_err(),
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
            prop_assert_eq!(read(Body::chunked(), &wire, cut).unwrap(), Some((parts.concat(), Vec::new())));
        }

        #[test]
        fn nothing_panics(wire in proptest::collection::vec(prop_oneof![any::<u8>(), Just(b'\r'), Just(b'\n'), Just(b'0')], 0..100), cut in 0_usize..100) {
            let _ = read(Body::chunked(), &wire, cut);
        }
    }
}
