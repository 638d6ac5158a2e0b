//! The message to the application, as it is stored and as it is sent again.

use super::store::StoredMessage;
use crate::auth::digest::sha256_hex;
use crate::upstream::exchange::{Message, Signing};
use crate::utc::UtcClock;
use crate::webhook::signer::Signer;
use bytes::{BufMut as _, BytesMut};
use std::cell::RefCell;
use std::fmt::Write as _;
use std::time::Duration;

/// The names of the header lines about a receipt and an attempt, which come first.
const RECEIPT_LINES: [&[u8]; 4] = [
    b"X-Netdata-Received:",
    b"X-Netdata-Attempt:",
    b"X-Netdata-Term:",
    b"X-Netdata-Unordered:",
];

thread_local! {
    /// Most attempts are those of now.
    static CLOCK: RefCell<UtcClock> = RefCell::default();
}

/// Appends the header lines about a receipt and an attempt. They are the first of their message, so
/// that they can be replaced. Where machines share the store, they name the term: an application that
/// has seen a higher one knows that the message is late.
pub(super) fn put_receipt_lines(
    head: &mut BytesMut,
    received: i64,
    attempt: u32,
    term: Option<i64>,
) {
    let received = Duration::from_nanos(received.unsigned_abs());
    head.put_slice(b"X-Netdata-Received: ");
    // Ignore the errors, here and below: there is room for more in memory.
    let _ = CLOCK.with_borrow_mut(|clock| clock.write_nanos(head, received));
    let _ = write!(head, "\r\nX-Netdata-Attempt: {attempt}\r\n");
    if let Some(term) = term {
        let _ = write!(head, "X-Netdata-Term: {term}\r\n");
    }
}

/// Returns a message that is sent although it may overtake another one: it says so.
pub(crate) fn unordered(message: &Message) -> Message {
    let at = line_end(&message.head, 0);
    let line = b"X-Netdata-Unordered: 1\r\n";
    let mut head = BytesMut::with_capacity(message.head.len() + line.len());
    head.extend_from_slice(&message.head[..at]);
    head.extend_from_slice(line);
    head.extend_from_slice(&message.head[at..]);
    Message {
        head,
        body: message.body.clone(),
        signing: message.signing.as_ref().map(|signing| Signing {
            signer: signing.signer.clone(),
            id: signing.id.clone(),
            body: signing.body.clone(),
            fields_end: signing.fields_end + line.len(),
        }),
    }
}

/// Returns the `Idempotency-Key` of what has no id of its own: one for each receipt, so that an
/// application may remember it for ever.
pub(crate) fn idempotency_key(body: &[u8], received: i64) -> String {
    let hash = sha256_hex(body);
    sha256_hex(format!("{hash} {received}").as_bytes())
}

/// Returns a stored message for another attempt, which `signer` signs.
pub(super) fn again(
    stored: &StoredMessage,
    attempt: u32,
    term: Option<i64>,
    signer: Option<Signer>,
) -> Message {
    let (head, body) = (
        stored.head.min(stored.message.len()),
        stored.message.clone(),
    );
    let bytes = &stored.message[..head];
    let request_line = line_end(bytes, 0);
    let is_of_receipt = |at: usize| {
        RECEIPT_LINES
            .iter()
            .any(|name| bytes[at..].starts_with(name))
    };
    let mut rest = request_line;
    while is_of_receipt(rest) {
        rest = line_end(bytes, rest);
    }
    let mut again = BytesMut::with_capacity(head + 64);
    again.extend_from_slice(&bytes[..request_line]);
    put_receipt_lines(&mut again, stored.received, attempt, term);
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

    fn receipt_lines(received: i64, attempt: u32, term: Option<i64>) -> String {
        let mut lines = BytesMut::new();
        put_receipt_lines(&mut lines, received, attempt, term);
        String::from_utf8(lines.to_vec()).unwrap()
    }

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
        assert!(first.contains(&receipt_lines(received, 1, None)));
        let stored = StoredMessage {
            receipt: 0,
            received,
            attempts: 1,
            idempotency: "t-1".into(),
            head: first.len(),
            message: format!("{first}body").into(),
        };
        let again = again(&stored, 12, None, None);
        assert_eq!(again.head, head(12));
        assert_eq!(&again.body[..], b"body");
    }

    #[test]
    fn the_term_is_that_of_the_attempt_and_a_mark_is_not_repeated() {
        let head = |lines: &str| format!("POST /a HTTP/1.1\r\n{lines}Host: a\r\n\r\n");
        let first = head(&receipt_lines(0, 1, Some(7)));
        let message = Message {
            head: BytesMut::from(&*first),
            body: "body".into(),
            signing: None,
        };
        let marked = unordered(&message);
        let lines = receipt_lines(0, 1, Some(7));
        assert_eq!(
            marked.head,
            head(&format!("X-Netdata-Unordered: 1\r\n{lines}"))
        );
        let stored = StoredMessage {
            receipt: 0,
            received: 0,
            attempts: 1,
            idempotency: "t-1".into(),
            head: marked.head.len(),
            message: [&marked.head[..], b"body"].concat().into(),
        };
        let again = again(&stored, 2, Some(8), None);
        assert_eq!(again.head, head(&receipt_lines(0, 2, Some(8))));
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
