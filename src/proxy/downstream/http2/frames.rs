//! Follows the frames of a client: takes the header blocks out, and passes everything else on to h2.

use super::allowance::{Allowance, IDLE_FRAMES_PER_REQUEST};
use super::head::FieldBlock;
use super::header_block::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, HeaderBlock, fragment, replace,
};
use super::hpack::Decoder;
use super::inbox::Inbox;
use bytes::{BufMut as _, BytesMut};
use h2::Reason;
use std::cell::RefCell;
use tokio::time::Instant;

/// The length of the client's preface (RFC 9113 section 3.4).
const PREFACE: usize = 24;

/// The length of a frame's header (RFC 9113 section 4.1).
const FRAME_HEADER: usize = 9;

/// The largest length of a frame, as no other is announced (RFC 9113 section 4.2).
const MAX_FRAME: usize = 16_384;

/// The block that h2 reads for a request: `:method: POST`, `:scheme: https` and `:path: /` from the
/// static table.
const REQUEST: [u8; 3] = [0x83, 0x87, 0x84];

thread_local! {
    /// The fields of the block that is being read, in memory that is used again.
    static FIELDS: RefCell<FieldBlock> = RefCell::default();
}

/// The position in the frames of a client.
#[derive(Debug)]
pub(super) struct Frames {
    /// The number of bytes of the preface that are still to arrive.
    preface: usize,
    header: [u8; FRAME_HEADER],
    /// The number of bytes of the next frame's header that have arrived.
    known: usize,
    /// The number of bytes of a frame's payload that are still to arrive.
    missing: usize,
    /// The payload of a frame of a header block, which h2 does not get, as far as it has arrived.
    payload: Option<Vec<u8>>,
    in_data: bool,
    block: Option<HeaderBlock>,
    last_request: u32,
    decoder: Decoder,
    max_head: usize,
    allowance: Allowance,
    inbox: Inbox,
}

impl Frames {
    pub(super) fn new(max_head: usize, inbox: Inbox) -> Self {
        Self {
            preface: PREFACE,
            header: [0; FRAME_HEADER],
            known: 0,
            missing: 0,
            payload: None,
            in_data: false,
            block: None,
            last_request: 0,
            decoder: Decoder::new(),
            max_head,
            allowance: Allowance::new(Instant::now()),
            inbox,
        }
    }

    pub(super) fn inbox(&self) -> &Inbox {
        &self.inbox
    }

    /// Credits bytes that were sent to the client with frames that it may send in return.
    pub(super) fn wrote(&mut self, bytes: usize) {
        self.allowance.wrote(bytes);
    }

    /// Processes bytes that were read, and appends those that h2 is to read. Returns `true` if they
    /// completed an element.
    pub(super) fn read(&mut self, mut bytes: &[u8], output: &mut BytesMut) -> Result<bool, Reason> {
        let mut finished = false;
        while !bytes.is_empty() {
            if self.preface > 0 {
                let taken = take(&mut bytes, self.preface);
                self.preface -= taken.len();
                output.put_slice(taken);
            } else if self.missing == 0 {
                self.read_header(&mut bytes, output)?;
            } else {
                self.read_payload(&mut bytes, output)?;
            }
            finished |= !self.is_unfinished();
        }
        Ok(finished)
    }

    fn read_header(&mut self, bytes: &mut &[u8], output: &mut BytesMut) -> Result<(), Reason> {
        let taken = take(bytes, FRAME_HEADER - self.known);
        self.header[self.known..self.known + taken.len()].copy_from_slice(taken);
        self.known += taken.len();
        if self.known < FRAME_HEADER {
            return Ok(());
        }
        self.known = 0;
        self.begin_frame(output)
    }

    fn read_payload(&mut self, bytes: &mut &[u8], output: &mut BytesMut) -> Result<(), Reason> {
        let taken = take(bytes, self.missing);
        self.missing -= taken.len();
        let Some(mut payload) = self.payload.take() else {
            output.put_slice(taken);
            return Ok(());
        };
        // Most have arrived in one piece, which is not copied.
        if self.missing == 0 && payload.is_empty() {
            return self.end_frame(taken, output);
        }
        payload.reserve_exact(taken.len() + self.missing);
        payload.extend_from_slice(taken);
        if self.missing == 0 {
            return self.end_frame(&payload, output);
        }
        self.payload = Some(payload);
        Ok(())
    }

    /// Returns `true` if the next bytes, as many as given, belong to a body and nothing else. They
    /// count as processed then.
    pub(super) fn pass(&mut self, bytes: usize) -> bool {
        let is_body = self.in_data && self.known == 0 && self.missing >= bytes;
        self.missing -= if is_body { bytes } else { 0 };
        is_body
    }

    fn begin_frame(&mut self, output: &mut BytesMut) -> Result<(), Reason> {
        let [a, b, c, kind, flags, ..] = self.header;
        self.missing = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        self.in_data = kind == DATA;
        self.check_continuation(kind)?;
        if matches!(kind, HEADERS | CONTINUATION) {
            return self.begin_block_frame(output);
        }
        if kind != DATA || (self.missing == 0 && flags & END_STREAM == 0) {
            self.allowance.spend(Instant::now())?;
        }
        output.put_slice(&self.header);
        Ok(())
    }

    /// Checks that the frames of a header block follow each other without others in between.
    fn check_continuation(&self, kind: u8) -> Result<(), Reason> {
        let is_in_sequence = match &self.block {
            Some(block) => kind == CONTINUATION && block.stream == self.stream(),
            None => kind != CONTINUATION,
        };
        is_in_sequence.then_some(()).ok_or(Reason::PROTOCOL_ERROR)
    }

    fn begin_block_frame(&mut self, output: &mut BytesMut) -> Result<(), Reason> {
        // The streams of a client are odd.
        if self.stream().is_multiple_of(2) {
            return Err(Reason::PROTOCOL_ERROR);
        }
        if self.missing > MAX_FRAME {
            return Err(Reason::FRAME_SIZE_ERROR);
        }
        if self.missing == 0 {
            return self.end_frame(&[], output);
        }
        self.payload = Some(Vec::new());
        Ok(())
    }

    fn stream(&self) -> u32 {
        let [.., a, b, c, d] = self.header;
        u32::from_be_bytes([a & 0x7f, b, c, d])
    }

    /// Processes the payload of a frame of a header block.
    fn end_frame(&mut self, payload: &[u8], output: &mut BytesMut) -> Result<(), Reason> {
        let [_, _, _, kind, flags, ..] = self.header;
        let (stream, is_last) = (self.stream(), flags & END_STREAM != 0);
        let is_whole = flags & END_HEADERS != 0;
        // Most blocks are one frame, and are not copied.
        if is_whole && self.block.is_none() {
            return self.end_block(stream, is_last, fragment(payload, flags)?, output);
        }
        let begin = || HeaderBlock::new(stream, is_last);
        let mut block = self.block.take().unwrap_or_else(begin);
        block.push(kind, flags, payload, self.max_head)?;
        if is_whole {
            return self.end_block(stream, block.is_last, &block.bytes, output);
        }
        self.block = Some(block);
        Ok(())
    }

    fn end_block(
        &mut self,
        stream: u32,
        is_last: bool,
        block: &[u8],
        output: &mut BytesMut,
    ) -> Result<(), Reason> {
        FIELDS.with_borrow_mut(|fields| {
            fields.clear(self.max_head);
            let push = |name: &[u8], value: &[u8]| fields.push(name, value);
            let decoded = self.decoder.decode(block, push);
            decoded.map_err(|_| Reason::COMPRESSION_ERROR)?;
            self.end_fields(stream, is_last, fields, output)
        })
    }

    fn end_fields(
        &mut self,
        stream: u32,
        is_last: bool,
        fields: &FieldBlock,
        output: &mut BytesMut,
    ) -> Result<(), Reason> {
        if stream > self.last_request {
            self.last_request = stream;
            self.allowance.earn(IDLE_FRAMES_PER_REQUEST);
            self.inbox.add(stream, fields.request(is_last));
            replace(stream, is_last, &REQUEST, output);
        } else {
            if !fields.are_trailers() {
                self.inbox.add_bad_trailers(stream)?;
            }
            replace(stream, is_last, &[], output);
        }
        Ok(())
    }

    pub(super) fn is_unfinished(&self) -> bool {
        self.preface > 0
            || self.block.is_some()
            || self.known > 0
            || (self.missing > 0 && !self.in_data)
    }
}

/// Takes at most `limit` bytes from the beginning of `bytes`.
fn take<'b>(bytes: &mut &'b [u8], limit: usize) -> &'b [u8] {
    let (taken, rest) = bytes.split_at(limit.min(bytes.len()));
    *bytes = rest;
    taken
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::downstream::http2::header_block::{PADDED, PRIORITY};
    use crate::proxy::downstream::http2::inbox::MAX_STREAMS;

    /// A block that says what [`REQUEST`] does, for an authority.
    const BLOCK: &[u8] = b"\x83\x87\x84\x41\x01h";

    fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![0, 0, payload.len() as u8, kind, flags, 0, 0, 0, stream];
        frame.extend_from_slice(payload);
        frame
    }

    fn headers(flags: u8, payload: &[u8]) -> Vec<u8> {
        frame(HEADERS, flags, 1, payload)
    }

    fn frames() -> Frames {
        Frames::new(4096, Inbox::default())
    }

    /// Returns what h2 reads of the preface and `bytes`, cut into parts of `size`.
    fn read(frames: &mut Frames, bytes: &[u8], size: usize) -> Result<Vec<u8>, Reason> {
        let mut output = BytesMut::new();
        for part in [&[0; PREFACE], bytes].concat().chunks(size) {
            frames.read(part, &mut output)?;
        }
        Ok(output[PREFACE.min(output.len())..].to_vec())
    }

    #[test]
    fn h2_gets_nothing_of_a_head() {
        let (data, ping) = (frame(DATA, 0, 1, b"body"), frame(6, 0, 0, &[0; 8]));
        let request = headers(END_HEADERS, &REQUEST);
        let end = headers(END_HEADERS | END_STREAM, &[]);
        let padded = [&[3, 0, 0, 0, 0, 9][..], BLOCK, b"pad"].concat();
        for (bytes, expected) in [
            (vec![], vec![]),
            (headers(END_HEADERS, BLOCK), request.clone()),
            (
                headers(END_HEADERS | PADDED | PRIORITY, &padded),
                request.clone(),
            ),
            (
                [
                    headers(0, &BLOCK[..2]),
                    frame(CONTINUATION, 0, 1, &[]),
                    frame(CONTINUATION, END_HEADERS, 1, &BLOCK[2..]),
                ]
                .concat(),
                request.clone(),
            ),
            (
                [
                    &ping[..],
                    &headers(END_HEADERS, BLOCK),
                    &data,
                    &headers(END_HEADERS | END_STREAM, b"\0\x01t\x01v"),
                    &ping,
                ]
                .concat(),
                [&ping[..], &request, &data, &end, &ping].concat(),
            ),
        ] {
            for size in 1..=bytes.len() + PREFACE {
                let mut frames = frames();
                assert_eq!(
                    read(&mut frames, &bytes, size),
                    Ok(expected.clone()),
                    "{bytes:?} in parts of {size}"
                );
                let received = frames.inbox.take(1);
                assert_eq!(
                    received.is_some_and(|received| received.rejection.is_none()),
                    !bytes.is_empty()
                );
                assert!(frames.inbox.has_good_trailers(1));
            }
        }
    }

    #[test]
    fn what_breaks_the_connection_is_told_from_what_breaks_a_request() {
        let long = vec![0; 255];
        for (bytes, reason) in [
            (headers(END_HEADERS, &[0x80]), Reason::COMPRESSION_ERROR),
            (headers(END_HEADERS | PADDED, &[]), Reason::FRAME_SIZE_ERROR),
            (
                headers(END_HEADERS | PADDED, &[9, 0]),
                Reason::PROTOCOL_ERROR,
            ),
            (
                headers(END_HEADERS | PRIORITY, &[0; 4]),
                Reason::PROTOCOL_ERROR,
            ),
            (
                frame(HEADERS, END_HEADERS, 0, BLOCK),
                Reason::PROTOCOL_ERROR,
            ),
            (
                frame(HEADERS, END_HEADERS, 2, BLOCK),
                Reason::PROTOCOL_ERROR,
            ),
            (
                frame(CONTINUATION, END_HEADERS, 1, BLOCK),
                Reason::PROTOCOL_ERROR,
            ),
            (
                [headers(0, BLOCK), frame(DATA, 0, 1, b"")].concat(),
                Reason::PROTOCOL_ERROR,
            ),
            (
                [headers(0, BLOCK), headers(0, BLOCK)].concat(),
                Reason::PROTOCOL_ERROR,
            ),
            (
                [headers(0, BLOCK), frame(CONTINUATION, 0, 3, BLOCK)].concat(),
                Reason::PROTOCOL_ERROR,
            ),
            (
                vec![0, 0x40, 1, HEADERS, END_HEADERS, 0, 0, 0, 1],
                Reason::FRAME_SIZE_ERROR,
            ),
            (
                [headers(0, BLOCK), frame(CONTINUATION, 0, 1, &[]).repeat(64)].concat(),
                Reason::ENHANCE_YOUR_CALM,
            ),
            (
                [
                    headers(0, BLOCK),
                    frame(CONTINUATION, 0, 1, &long).repeat(300),
                ]
                .concat(),
                Reason::ENHANCE_YOUR_CALM,
            ),
            (
                frame(6, 0, 0, &[0; 8]).repeat(2000),
                Reason::ENHANCE_YOUR_CALM,
            ),
            (
                frame(DATA, 0, 1, &[]).repeat(2000),
                Reason::ENHANCE_YOUR_CALM,
            ),
        ] {
            assert_eq!(read(&mut frames(), &bytes, 1000), Err(reason), "{bytes:?}");
        }
        let mut frames = frames();
        read(
            &mut frames,
            &headers(END_HEADERS, b"\x83\x87\x84\x41\x01h\0\x01X\x01y"),
            9,
        )
        .unwrap();
        assert!(frames.inbox.take(1).unwrap().rejection.is_some());
        frames
            .read(
                &headers(END_HEADERS | END_STREAM, b"\x84"),
                &mut BytesMut::new(),
            )
            .unwrap();
        assert!(!frames.inbox.has_good_trailers(1));
    }

    #[test]
    fn heads_that_nothing_asks_for_are_bounded() {
        let mut frames = frames();
        let requests = (0..120_u8)
            .map(|index| frame(HEADERS, END_HEADERS, 2 * index + 1, BLOCK))
            .collect::<Vec<_>>();
        read(&mut frames, &requests.concat(), 1000).unwrap();
        assert_eq!(frames.inbox.len(), MAX_STREAMS);
        assert!(frames.inbox.take(5).is_some());
        assert!(
            frames.inbox.take(3).is_none()
                && frames.inbox.take(7).is_some()
                && frames.inbox.take(239).is_none()
        );
    }

    #[test]
    fn what_is_begun_must_be_finished_but_for_data() {
        let settings = frame(4, 0, 0, &[0; 6]);
        for (bytes, unfinished) in [
            (&[][..], false),
            (&settings, false),
            (&settings[..3], true),
            (&settings[..FRAME_HEADER + 1], true),
            (&headers(END_HEADERS, BLOCK), false),
            (&headers(0, BLOCK), true),
            (
                &[headers(0, BLOCK), frame(CONTINUATION, 0, 1, &[])].concat(),
                true,
            ),
            (
                &[headers(0, BLOCK), frame(CONTINUATION, END_HEADERS, 1, &[])].concat(),
                false,
            ),
            (&frame(DATA, 0, 1, &[0; 200])[..20], false),
            (&frame(DATA, 0, 1, &[0; 200])[..5], true),
        ] {
            for size in 1..=bytes.len() + PREFACE {
                let mut frames = frames();
                read(&mut frames, bytes, size).unwrap();
                assert_eq!(
                    frames.is_unfinished(),
                    unfinished,
                    "{bytes:?} in parts of {size}"
                );
            }
        }
    }

    #[test]
    fn the_next_one_has_a_deadline_of_its_own() {
        let (mut frames, mut output) = (frames(), BytesMut::new());
        assert_eq!(
            frames.read(&[0; PREFACE - 1], &mut output),
            Ok(false),
            "the preface is not complete"
        );
        let next = [&[0], &frame(4, 0, 0, &[0; 6])[..10]].concat();
        assert_eq!(
            frames.read(&next, &mut output),
            Ok(true),
            "the preface is, another frame begun"
        );
        assert_eq!(
            frames.read(&[0], &mut output),
            Ok(false),
            "and not finished by this"
        );
    }

    proptest::proptest! {
        #[test]
        fn nothing_panics(bytes: Vec<u8>, kind in 0_u8..10, flags: u8, size in 1_usize..50) {
            let _ = read(&mut frames(), &[frame(kind, flags, 1, &bytes[..bytes.len().min(255)]), bytes].concat(), size);
        }
    }
}
