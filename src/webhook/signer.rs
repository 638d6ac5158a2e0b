//! Signs what is delivered, so that an application can tell it from requests of other origins.
//!
//! The scheme is that of Standard Webhooks 1.0.0 with symmetric keys
//! (<https://github.com/standard-webhooks/standard-webhooks>): an HMAC-SHA256 over the id of the
//! message, the time of the attempt, and the body.

use crate::auth::secret::Secret;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, Engine as _, GeneralPurpose, GeneralPurposeConfig};
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use thiserror::Error;

/// The begin of a key in base64.
const PREFIX: &[u8] = b"whsec_";

/// A command that prints a secret.
pub(crate) const NEW_SECRET: &str = "echo \"whsec_$(openssl rand -base64 32)\"";

/// The sizes of keys that the specification allows, in bytes.
const KEY_SIZES: RangeInclusive<usize> = 24..=64;

/// Padding is optional, as in the specification's library for Python.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The reason why a secret is no key for signatures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum KeyError {
    /// The text after `whsec_` is not base64.
    #[error("begins with whsec_, but base64 does not follow")]
    NotBase64,
    /// The key is too short or too long.
    #[error(
        "is a key of {0} bytes; Standard Webhooks requires 24 to 64: make one with {NEW_SECRET}"
    )]
    Size(usize),
}

/// The keys that messages are signed with: one, or several during a rotation.
#[derive(Clone, Debug)]
pub struct Signer {
    keys: Arc<[Secret]>,
}

impl Signer {
    /// Returns a signer with these keys; `None` if there are none.
    pub fn new(keys: Vec<Secret>) -> Option<Self> {
        (!keys.is_empty()).then(|| Self { keys: keys.into() })
    }

    /// Returns the number of signatures that each message has.
    pub fn signatures(&self) -> usize {
        self.keys.len()
    }

    /// Returns the headers of an attempt to deliver a message that is made at this time.
    pub fn headers(&self, id: &str, at: SystemTime, body: &[u8]) -> [(&'static str, String); 3] {
        let elapsed = at.duration_since(UNIX_EPOCH).unwrap_or_default();
        let timestamp = elapsed.as_secs();
        let signatures = self.keys.iter().map(|key| sign(key, id, timestamp, body));
        let signatures: Vec<_> = signatures.collect();
        [
            ("webhook-id", id.to_owned()),
            ("webhook-timestamp", timestamp.to_string()),
            ("webhook-signature", signatures.join(" ")),
        ]
    }
}

fn sign(key: &Secret, id: &str, timestamp: u64, body: &[u8]) -> String {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(key.expose()).expect("HMAC takes a key of any length");
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(body);
    format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes()))
}

/// Reads a key as the specification's libraries do: from base64, with or without `whsec_`. Other
/// bytes are the key themselves.
///
/// # Errors
/// Contains nothing of the secret.
pub(crate) fn key(secret: &Secret) -> Result<Secret, KeyError> {
    let bytes = secret.expose();
    let key = match bytes.strip_prefix(PREFIX) {
        Some(encoded) => BASE64.decode(encoded).map_err(|_| KeyError::NotBase64)?,
        None => BASE64.decode(bytes).unwrap_or_else(|_| bytes.to_vec()),
    };
    let key = Secret::new(key);
    match key.expose().len() {
        size if KEY_SIZES.contains(&size) => Ok(key),
        size => Err(KeyError::Size(size)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn key_of(text: &str) -> Result<Secret, KeyError> {
        key(&Secret::new(text.as_bytes().to_vec()))
    }

    fn signature(keys: &[&str], id: &str, timestamp: u64, body: &str) -> String {
        let keys = keys.iter().map(|text| key_of(text).unwrap()).collect();
        let headers = Signer::new(keys).unwrap().headers(
            id,
            UNIX_EPOCH + Duration::from_secs(timestamp),
            body.as_bytes(),
        );
        let [(_, got_id), (_, got_timestamp), (_, signature)] = headers;
        assert_eq!(
            (got_id, got_timestamp),
            (id.to_owned(), timestamp.to_string())
        );
        signature
    }

    /// The vectors of the libraries in the specification's repository. That of the text of the
    /// specification comes without its key.
    const VECTORS: [(&str, &str, u64, &str, &str); 2] = [
        (
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            r#"{"test": 2432232314}"#,
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        ),
        (
            "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
            "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
            1_649_367_553,
            r#"{"email":"test@example.com","username":"test_user"}"#,
            "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=",
        ),
    ];

    #[test]
    fn signatures_are_those_of_the_published_vectors() {
        for (secret, id, timestamp, body, expected) in VECTORS {
            assert_eq!(signature(&[secret], id, timestamp, body), expected);
            let bare = secret.trim_start_matches("whsec_");
            assert_eq!(signature(&[bare], id, timestamp, body), expected);
        }
    }

    #[test]
    fn each_key_signs_in_its_order() {
        let [(first, id, timestamp, body, _), (second, ..)] = VECTORS;
        let alone = |secret| signature(&[secret], id, timestamp, body);
        assert_eq!(
            signature(&[first, second], id, timestamp, body),
            format!("{} {}", alone(first), alone(second))
        );
        assert!(Signer::new(Vec::new()).is_none());
    }

    #[test]
    fn each_part_changes_the_signature() {
        let (secret, id, timestamp, body, expected) = VECTORS[0];
        assert_ne!(signature(&[secret], "msg_q", timestamp, body), expected);
        assert_ne!(signature(&[secret], id, timestamp + 1, body), expected);
        assert_ne!(signature(&[secret], id, timestamp, "{}"), expected);
        assert_ne!(signature(&[VECTORS[1].0], id, timestamp, body), expected);
    }

    #[test]
    fn keys_are_read_as_the_libraries_read_them() {
        let check = |text: &str, expected: Result<&[u8], KeyError>| {
            let key = key_of(text);
            let key = key.as_ref().map(Secret::expose).map_err(|error| *error);
            assert_eq!(key, expected, "{text}");
        };
        let bytes = [b'k'; 32];
        let base64 = BASE64_STANDARD.encode(bytes);
        check(&format!("whsec_{base64}"), Ok(&bytes));
        check(&base64, Ok(&bytes));
        check(base64.trim_end_matches('='), Ok(&bytes));
        let phrase = "correct horse battery staple";
        check(phrase, Ok(phrase.as_bytes()));
        check(&format!("whsec_{phrase}"), Err(KeyError::NotBase64));
        check("whsec_", Err(KeyError::Size(0)));
        let raw = [0xff; 24];
        assert_eq!(key(&Secret::new(raw.to_vec())).unwrap().expose(), raw);
    }

    #[test]
    fn keys_have_24_to_64_bytes() {
        for (size, is_key) in [(1, false), (23, false), (24, true), (64, true), (65, false)] {
            let text = format!("whsec_{}", BASE64_STANDARD.encode(vec![b'k'; size]));
            let expected = if is_key {
                Ok(size)
            } else {
                Err(KeyError::Size(size))
            };
            assert_eq!(key_of(&text).map(|key| key.expose().len()), expected);
        }
        let error = key_of("hunter2hunter2-").unwrap_err().to_string();
        assert!(!error.contains("hunter2"), "{error}");
    }
}
