//! Decodes the chunked coding of a request's body (RFC 9112 section 7.1), if it can be read in one
//! way only.
//!
//! Extensions and trailers are checked and dropped: they are not part of the body, and no
//! application expects them.

use crate::http::framing;
use bytes::{Buf as _, Bytes, BytesMut};

/// The number of bytes of a request's chunked coding that may be extensions and trailers. A body
/// could otherwise be hidden under a thousand times as much.
const MAX_EXTRA: usize = 16 * 1024;

/// The largest length of a line in bytes.
const MAX_LINE: usize = 4 * 1024;

/// The error of a coding that other programs may read differently; contains the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed(pub(super) &'static str);

/// A body in chunks, as far as it has been read.
#[derive(Debug)]
pub(super) struct Chunked {
    next: Next,
    /// The bytes of extensions and trailers so far.
    extra: usize,
}

/// The element of the coding that is expected next.
#[derive(Debug)]
enum Next {
    /// The line with a chunk's size.
    Size,
    /// The rest of a chunk: `n` bytes remain.
    Chunk(u64),
    /// The end of the line that contains a chunk.
    ChunkEnd,
    /// A line after the last chunk.
    Trailer,
    Nothing,
    /// The coding is malformed.
    Broken(Malformed),
}

impl Chunked {
    pub(super) fn new() -> Self {
        Self {
            next: Next::Size,
            extra: 0,
        }
    }

    /// Returns `true` if the body has been read to its end.
    pub(super) fn is_done(&self) -> bool {
        matches!(self.next, Next::Nothing)
    }

    /// Takes the next part of the body from the beginning of `input`, if there is one. Every call
    /// after an error returns that error.
    pub(super) fn take(&mut self, input: &mut BytesMut) -> Result<Option<Bytes>, Malformed> {
        self.take_next(input)
            .inspect_err(|error| self.next = Next::Broken(*error))
    }

    fn take_next(&mut self, input: &mut BytesMut) -> Result<Option<Bytes>, Malformed> {
        loop {
            let has_advanced = match &mut self.next {
                Next::Broken(error) => return Err(*error),
                Next::Nothing => return Ok(None),
                Next::Chunk(_) if input.is_empty() => return Ok(None),
                Next::Chunk(left) => {
                    let part = split(input, left);
                    if *left == 0 {
                        self.next = Next::ChunkEnd;
                    }
                    return Ok(Some(part));
                }
                Next::ChunkEnd => self.take_chunk_end(input)?,
                Next::Size => self.take_size(input)?,
                Next::Trailer => self.take_trailer(input)?,
            };
            if !has_advanced {
                return Ok(None);
            }
        }
    }

    /// Takes the end of a chunk's line; returns `false` if it has not arrived yet.
    fn take_chunk_end(&mut self, input: &mut BytesMut) -> Result<bool, Malformed> {
        match &input[..] {
            [b'\r', b'\n', ..] => {
                input.advance(2);
                self.next = Next::Size;
                Ok(true)
            }
            [] | [b'\r'] => Ok(false),
            _ => Err(Malformed("A chunk is longer than its size.")),
        }
    }

    /// Takes the line with a chunk's size; returns `false` if it has not arrived yet.
    fn take_size(&mut self, input: &mut BytesMut) -> Result<bool, Malformed> {
        let Some(line) = line(input)? else {
            return Ok(false);
        };
        let (size, extension) = size(&line)?;
        self.count(extension)?;
        self.next = match size {
            0 => Next::Trailer,
            size => Next::Chunk(size),
        };
        Ok(true)
    }

    /// Takes a line after the last chunk; returns `false` if it has not arrived yet.
    fn take_trailer(&mut self, input: &mut BytesMut) -> Result<bool, Malformed> {
        let Some(line) = line(input)? else {
            return Ok(false);
        };
        if line.is_empty() {
            self.next = Next::Nothing;
        } else {
            framing::field(&line).map_err(|_| Malformed("A trailer is not a header field."))?;
            self.count(line.len())?;
        }
        Ok(true)
    }

    fn count(&mut self, extra: usize) -> Result<(), Malformed> {
        self.extra += extra;
        match self.extra > MAX_EXTRA {
            true => Err(Malformed("There is more around the chunks than in them.")),
            false => Ok(()),
        }
    }
}

/// Takes at most `left` bytes of `input`, which is not empty.
pub(super) fn split(input: &mut BytesMut, left: &mut u64) -> Bytes {
    let length = usize::try_from(*left)
        .unwrap_or(usize::MAX)
        .min(input.len());
    *left -= length as u64;
    input.split_to(length).freeze()
}

/// Takes the line at the beginning of `input` without its end, if it is complete.
fn line(input: &mut BytesMut) -> Result<Option<BytesMut>, Malformed> {
    let end = memchr::memchr(b'\n', input);
    if end.unwrap_or(input.len()) > MAX_LINE {
        return Err(Malformed("A line of the chunked coding is too long."));
    }
    let Some(end) = end else {
        return Ok(None);
    };
    let mut line = input.split_to(end + 1);
    if !line.ends_with(b"\r\n") {
        return Err(Malformed(
            "A line of the chunked coding ends in LF instead of CRLF.",
        ));
    }
    line.truncate(end - 1);
    Ok(Some(line))
}

/// Reads `chunk-size [ chunk-ext ]`: the size, and how many bytes the extension has.
fn size(line: &[u8]) -> Result<(u64, usize), Malformed> {
    let digits = line.iter().take_while(|b| b.is_ascii_hexdigit()).count();
    let (size, extension) = line.split_at(digits);
    let size = number(size).ok_or(Malformed("A chunk has no size."))?;
    check_extension(extension)?;
    Ok((size, extension.len()))
}

/// Parses hexadecimal digits, of which more than 16 would not fit, unless they were zeros.
fn number(digits: &[u8]) -> Option<u64> {
    let digits = std::str::from_utf8(digits).ok()?;
    let digits = Some(digits).filter(|digits| digits.len() <= 16)?;
    u64::from_str_radix(digits, 16).ok()
}

fn check_extension(extension: &[u8]) -> Result<(), Malformed> {
    if !extension.is_empty() && !extension.trim_ascii_start().starts_with(b";") {
        return Err(Malformed("A chunk's size is not a number."));
    }
    match extension.iter().any(is_bad_control) {
        true => Err(Malformed("A chunk's extension holds a control character.")),
        false => Ok(()),
    }
}

fn is_bad_control(byte: &u8) -> bool {
    byte.is_ascii_control() && *byte != b'\t'
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The body, and what came after it.
    type Split = (Vec<u8>, Vec<u8>);

    /// Reads `wire` in two pieces, of which the first has `cut` bytes.
    fn read(wire: &[u8], cut: usize) -> Result<Option<Split>, Malformed> {
        let (first, second) = wire.split_at(cut.min(wire.len()));
        let (mut body, mut input, mut read) = (Chunked::new(), BytesMut::new(), Vec::new());
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
            ("000\r\n\r\nGET", Some(("", "GET"))),
            ("3\r\nabc\r\n0\r\n\r\n", Some(("abc", ""))),
            (
                "03;x=\"y\"\r\nabc\r\nA ;z\r\n0123456789\r\n0;end\r\nX: y\r\nz:\r\n\r\nGET",
                Some(("abc0123456789", "GET")),
            ),
            ("", None),
            ("3\r\nab", None),
            ("3\r\nabc\r\n", None),
            ("3\r\nabc\r\n0\r\n", None),
            ("3\r\nabc\r\n0\r\nX: y\r\n", None),
        ] {
            for cut in 0..=wire.len() {
                let expected = expected
                    .map(|(body, rest)| (body.as_bytes().to_vec(), rest.as_bytes().to_vec()));
                assert_eq!(
                    read(wire.as_bytes(), cut),
                    Ok(expected),
                    "{wire:?} cut at {cut}"
                );
            }
        }
    }

    #[test]
    fn what_others_may_read_differently_is_refused() {
        let long = format!("3;{}", "x".repeat(MAX_LINE));
        let extensions = format!("1;{}\r\na\r\n", "x".repeat(1000)).repeat(17);
        let trailers = format!("0\r\n{}", format!("X: {}\r\n", "x".repeat(1000)).repeat(17));
        for wire in [
            "\r\n",
            "\r\n3\r\nabc\r\n0\r\n\r\n",
            "x\r\n",
            "-1\r\n",
            "+1\r\n",
            "0x1\r\n",
            " 1\r\n",
            "1 \r\n",
            "1 1\r\n",
            "1;\0\r\n",
            "1;a\rb\r\n",
            "1;a\nb\r\n",
            "1\n",
            "0\n\n",
            "00000000000000001\r\n",
            "10000000000000000\r\n",
            "3\r\nabcd\r\n",
            "3\r\nabc\n0\r\n\r\n",
            "0\r\nX\r\n\r\n",
            "0\r\n: y\r\n\r\n",
            "0\r\nX : y\r\n\r\n",
            "0\r\n X: y\r\n\r\n",
            "0\r\nX: y\n\r\n",
            "0\r\nX: a\0\r\n\r\n",
            "0\r\n\n",
            &long,
            &extensions,
            &trailers,
        ] {
            for cut in 0..=wire.len().min(20) {
                assert!(read(wire.as_bytes(), cut).is_err(), "{wire:?} cut at {cut}");
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
            prop_assert_eq!(read(&wire, cut), Ok(Some((parts.concat(), Vec::new()))));
        }

        #[test]
        fn nothing_panics(wire in proptest::collection::vec(prop_oneof![any::<u8>(), Just(b'\r'), Just(b'\n'), Just(b'0')], 0..100), cut in 0_usize..100) {
            let _ = read(&wire, cut);
        }
    }

    /// The bounds of a line, of what is around the chunks, and of a size, and one more than each.
    #[test]
    fn bounds_are_where_they_are_said_to_be() {
        let passes = |wire: &str| read(wire.as_bytes(), 0).is_ok();
        let line = |length: usize| format!("1;{}\r\na\r\n", "x".repeat(length - 3));
        assert!(passes(&line(MAX_LINE)) && !passes(&line(MAX_LINE + 1)));
        let unfinished = |length: usize| format!("1;{}", "x".repeat(length - 2));
        assert!(passes(&unfinished(MAX_LINE)) && !passes(&unfinished(MAX_LINE + 1)));
        // Four extensions of 4 KiB less what a line has besides.
        let extra = |last: usize| {
            let extension = |length: usize| format!("1;{}\r\na\r\n", "x".repeat(length - 1));
            extension(MAX_EXTRA / 8).repeat(7) + &extension(last)
        };
        assert!(passes(&extra(MAX_EXTRA / 8)) && !passes(&extra(MAX_EXTRA / 8 + 1)));
        assert!(passes("FFFFFFFFFFFFFFFF\r\n") && !passes("0FFFFFFFFFFFFFFFF\r\n"));
    }
}
