//! A request to an upstream, complete before its first byte is sent.

use crate::webhook::signer::Signer;
use bytes::{Buf, Bytes, BytesMut};
use std::time::SystemTime;

/// A request: its head and its body.
#[derive(Debug)]
pub(crate) struct Message {
    /// The head, with a small body, so that both are sent in one piece.
    pub head: BytesMut,
    /// The rest of a body that is too large to be copied.
    pub body: Bytes,
    /// The signature, if the application expects one.
    pub signing: Option<Signing>,
}

/// How a message is signed. Each attempt has its own signature, because its time is signed as well.
#[derive(Debug)]
pub(crate) struct Signing {
    pub signer: Signer,
    /// The id, which is the same in every attempt.
    pub id: String,
    /// The whole body.
    pub body: Bytes,
    /// The length of the head without the empty line at its end.
    pub fields_end: usize,
}

impl Signing {
    fn fields(&self, at: SystemTime) -> Bytes {
        let headers = self.signer.headers(&self.id, at, &self.body);
        let lines = headers.map(|(name, value)| format!("{name}: {value}\r\n"));
        lines.concat().into()
    }
}

impl Message {
    /// Returns the bytes of an attempt that is made at this time.
    pub(super) fn encode(&self, at: SystemTime) -> impl Buf {
        let (fields_end, signature) = match &self.signing {
            Some(signing) => (signing.fields_end, signing.fields(at)),
            None => (0, Bytes::new()),
        };
        let (fields, rest) = self.head.split_at(fields_end);
        fields.chain(signature).chain(rest).chain(&self.body[..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::secret::Secret;
    use std::time::{Duration, UNIX_EPOCH};

    const HEAD: &str = "POST /a HTTP/1.1\r\nHost: a\r\n\r\n";

    fn message(is_signed: bool) -> Message {
        let signer = Signer::new(vec![Secret::new(vec![b'k'; 24])]).unwrap();
        Message {
            head: BytesMut::from(format!("{HEAD}{{\"a\"").as_str()),
            body: Bytes::from_static(b":1}"),
            signing: is_signed.then(|| Signing {
                signer,
                id: "t-1".into(),
                body: Bytes::from_static(b"{\"a\":1}"),
                fields_end: HEAD.len() - 2,
            }),
        }
    }

    fn encoded(message: &Message, timestamp: u64) -> String {
        let mut bytes = message.encode(UNIX_EPOCH + Duration::from_secs(timestamp));
        String::from_utf8(bytes.copy_to_bytes(bytes.remaining()).to_vec()).unwrap()
    }

    #[test]
    fn a_message_that_is_not_signed_stays_as_it_is() {
        assert_eq!(encoded(&message(false), 1), format!("{HEAD}{{\"a\":1}}"));
    }

    #[test]
    fn each_attempt_is_signed_at_its_time_at_the_end_of_the_head() {
        let message = message(true);
        let [first, second] = [7, 8].map(|timestamp| encoded(&message, timestamp));
        let start = "POST /a HTTP/1.1\r\nHost: a\r\nwebhook-id: t-1\r\nwebhook-timestamp: 7\r\n";
        let signature = first.strip_prefix(start).unwrap();
        let signature = signature.strip_prefix("webhook-signature: v1,").unwrap();
        assert_eq!(&signature[44..], "\r\n\r\n{\"a\":1}");
        assert!(second.contains("webhook-id: t-1\r\nwebhook-timestamp: 8\r\n"));
        assert!(!second.contains(&signature[..44]));
    }
}
