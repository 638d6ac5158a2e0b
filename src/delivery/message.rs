//! The message to the application, as it is stored and as it is sent again.

use super::store::StoredMessage;
use crate::auth::digest::sha256_hex;
use crate::upstream::exchange::{Message, Signing};
use crate::webhook::signer::Signer;
use bytes::BytesMut;
use std::time::{Duration, UNIX_EPOCH};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// The number of header lines that [`receipt_lines`] returns.
const RECEIPT_LINES: usize = 2;

/// Returns the header lines about a receipt and an attempt. They are the first of their message, so
/// that they can be replaced.
pub(crate) fn receipt_lines(received: i64, attempt: u32) -> String {
    let received = UNIX_EPOCH + Duration::from_nanos(received.unsigned_abs());
    let text = OffsetDateTime::from(received).format(&Rfc3339);
    let text = text.unwrap_or_default();
    format!("X-Netdata-Received: {text}\r\nX-Netdata-Attempt: {attempt}\r\n")
}

/// Returns the `Idempotency-Key` of what has no id of its own: one for each receipt, so that an
/// application may remember it for ever.
pub(crate) fn idempotency_key(body: &[u8], received: i64) -> String {
    let hash = sha256_hex(body);
    sha256_hex(format!("{hash} {received}").as_bytes())
}

/// Returns a stored message for another attempt, which `signer` signs.
pub(super) fn again(stored: &StoredMessage, attempt: u32, signer: Option<Signer>) -> Message {
    let (head, body) = (
        stored.head.min(stored.message.len()),
        stored.message.clone(),
    );
    let bytes = &stored.message[..head];
    let request_line = line_end(bytes, 0);
    let rest = (0..RECEIPT_LINES).fold(request_line, |at, _| line_end(bytes, at));
    let mut again = BytesMut::with_capacity(head + 16);
    again.extend_from_slice(&bytes[..request_line]);
    again.extend_from_slice(receipt_lines(stored.received, attempt).as_bytes());
    again.extend_from_slice(&bytes[rest..]);
    let body = body.slice(head..);
    Message {
        signing: signer.map(|signer| Signing {
            signer,
            id: stored.idempotency.clone(),
            body: body.clone(),
            fields_end: again.len().saturating_sub(b"\r\n".len()),
        }),
        head: again,
        body,
    }
}

/// Returns the end of the line that begins at `start`.
fn line_end(bytes: &[u8], start: usize) -> usize {
    memchr::memchr(b'\n', &bytes[start..]).map_or(bytes.len(), |length| start + length + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_lines_about_the_attempt_are_replaced() {
        let received = 1_700_000_000_123_456_789;
        let head = |attempt| {
            format!(
                "POST /a HTTP/1.1\r\nX-Netdata-Received: 2023-11-14T22:13:20.123456789Z\r\n\
                 X-Netdata-Attempt: {attempt}\r\nHost: a\r\nContent-Length: 4\r\n\r\n"
            )
        };
        let first = head(1);
        assert!(first.contains(&receipt_lines(received, 1)));
        let stored = StoredMessage {
            receipt: 0,
            received,
            attempts: 1,
            idempotency: "t-1".into(),
            head: first.len(),
            message: format!("{first}body").into(),
        };
        let again = again(&stored, 12, None);
        assert_eq!(again.head, head(12));
        assert_eq!(&again.body[..], b"body");
    }

    #[test]
    fn each_receipt_has_a_key_of_its_own() {
        let key = idempotency_key(b"{}", 1);
        assert_eq!((key.len(), &key), (64, &idempotency_key(b"{}", 1)));
        assert_ne!(key, idempotency_key(b"{}", 2));
        assert_ne!(key, idempotency_key(b"[]", 1));
    }
}
