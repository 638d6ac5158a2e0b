//! Encodes bodies in chunks (RFC 9112 section 7.1).

use bytes::{BufMut as _, Bytes, BytesMut};
use std::io::Write as _;

/// The chunk that ends a body without trailers.
pub(crate) const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// The end of every chunk's line.
pub(crate) const CHUNK_END: &[u8] = b"\r\n";

/// The largest length of the line with a chunk's size.
const MAX_SIZE_LINE: usize = 18;

/// Appends `part`, which is not empty, as a chunk.
pub(crate) fn put_chunk(output: &mut BytesMut, part: &[u8]) {
    put_size(output, part.len());
    output.put_slice(part);
    output.put_slice(CHUNK_END);
}

/// Encodes `part`, which is not empty, as a chunk.
pub(crate) fn chunk(part: &[u8]) -> Bytes {
    let mut chunk = BytesMut::with_capacity(MAX_SIZE_LINE + part.len() + CHUNK_END.len());
    put_chunk(&mut chunk, part);
    chunk.freeze()
}

/// Encodes the line before a chunk of `length` bytes.
pub(crate) fn size_line(length: usize) -> Bytes {
    let mut line = BytesMut::with_capacity(MAX_SIZE_LINE);
    put_size(&mut line, length);
    line.freeze()
}

fn put_size(output: &mut BytesMut, length: usize) {
    // Ignore the result: writing to memory cannot fail.
    let _ = write!(output.writer(), "{length:x}\r\n");
}
