//! A header block (RFC 9113 section 4.3) that arrives in one or more frames.

use bytes::{BufMut as _, BytesMut};
use h2::Reason;

/// Types of frames (RFC 9113 section 6).
pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const CONTINUATION: u8 = 9;

/// Flags of frames (RFC 9113 section 6).
pub(super) const END_STREAM: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;
pub(super) const PADDED: u8 = 8;
pub(super) const PRIORITY: u8 = 0x20;

/// The largest length of an encoded header block. Up to this limit, the refusal of a large head is
/// a response.
const MAX_BLOCK: usize = 64 * 1024;

/// The largest number of frames of a header block.
const MAX_BLOCK_FRAMES: usize = 64;

/// A header block that is arriving.
#[derive(Debug)]
pub(super) struct HeaderBlock {
    pub(super) stream: u32,
    /// The stream has nothing after it.
    pub(super) is_last: bool,
    pub(super) bytes: Vec<u8>,
    frames: usize,
}

impl HeaderBlock {
    pub(super) fn new(stream: u32, is_last: bool) -> Self {
        Self {
            stream,
            is_last,
            bytes: Vec::new(),
            frames: 0,
        }
    }

    /// Adds the payload of a frame. `max_head` is the largest head that is accepted, whose block may
    /// be larger still, so that its refusal is a response.
    pub(super) fn push(
        &mut self,
        kind: u8,
        flags: u8,
        payload: &[u8],
        max_head: usize,
    ) -> Result<(), Reason> {
        let fragment = match kind {
            HEADERS => fragment(payload, flags)?,
            _ => payload,
        };
        self.bytes.extend_from_slice(fragment);
        self.frames += 1;
        let max_block = MAX_BLOCK.max(4 * max_head);
        match self.bytes.len() > max_block || self.frames > MAX_BLOCK_FRAMES {
            true => Err(Reason::ENHANCE_YOUR_CALM),
            false => Ok(()),
        }
    }
}

/// Appends a HEADERS frame with another block, for h2.
pub(super) fn replace(stream: u32, is_last: bool, replacement: &[u8], output: &mut BytesMut) {
    let flags = END_HEADERS | if is_last { END_STREAM } else { 0 };
    output.put_slice(&[0, 0, replacement.len() as u8, HEADERS, flags]);
    output.put_u32(stream);
    output.put_slice(replacement);
}

/// Returns the part of a header block in a HEADERS frame, which may have a priority before it and padding
/// around it.
pub(super) fn fragment(payload: &[u8], flags: u8) -> Result<&[u8], Reason> {
    let (padding, payload) = match (flags & PADDED != 0, payload) {
        (false, payload) => (0, payload),
        (true, [padding, payload @ ..]) => (usize::from(*padding), payload),
        (true, []) => return Err(Reason::FRAME_SIZE_ERROR),
    };
    let skipped = if flags & PRIORITY == 0 { 0 } else { 5 };
    let end = payload.len().checked_sub(padding);
    let fragment = end.and_then(|end| payload.get(skipped..end));
    fragment.ok_or(Reason::PROTOCOL_ERROR)
}
