//! The challenge: Netdata Cloud asks whether the receiver knows the shared secret.
//!
//! When an integration is created or changed, Netdata Cloud sends `GET
//! <webhook>?crc_token=<random>` and expects the HMAC-SHA256 of the token under the challenge
//! secret, base64-encoded, within five seconds (Netdata's documentation of the webhook integration,
//! section "Challenge secret").

use crate::auth::secret::Secret;
use crate::rejection::Rejection;
use base64::prelude::{BASE64_STANDARD, Engine as _};
use hmac::{Hmac, KeyInit as _, Mac as _};
use percent_encoding::percent_decode;
use sha2::Sha256;
use std::borrow::Cow;

/// The longest token that is answered, in bytes. The GET is an oracle for the secret's HMAC, so it
/// has a bound.
pub const MAX_TOKEN: usize = 1024;

/// Returns the token in a raw query, its form-encoding undone exactly once.
pub fn crc_token(query: &[u8]) -> Result<String, Rejection> {
    let mut values = query.split(|b| *b == b'&').filter_map(|pair| {
        let (name, value) = split_pair(pair);
        (*form_decode(name) == b"crc_token"[..]).then_some(value)
    });
    let first = form_decode(values.next().ok_or(Rejection::CrcTokenMissing)?);
    match values.any(|other| form_decode(other) != first) {
        true => invalid("crc_token is given twice, with different values."),
        false => check_token(first.into_owned()),
    }
}

fn check_token(token: Vec<u8>) -> Result<String, Rejection> {
    match String::from_utf8(token) {
        Ok(token) if token.is_empty() => invalid("crc_token is empty."),
        Ok(token) if token.len() > MAX_TOKEN => invalid("crc_token is longer than 1 KiB."),
        Ok(token) => Ok(token),
        Err(_) => invalid("crc_token is not UTF-8."),
    }
}

fn invalid<T>(reason: &'static str) -> Result<T, Rejection> {
    Err(Rejection::CrcTokenInvalid(reason))
}

fn split_pair(pair: &[u8]) -> (&[u8], &[u8]) {
    match pair.iter().position(|b| *b == b'=') {
        Some(equals) => (&pair[..equals], &pair[equals + 1..]),
        None => (pair, b""),
    }
}

/// Undoes `application/x-www-form-urlencoded`: `+` is a space, and then `%XX` is a byte (WHATWG URL
/// section 5.1).
fn form_decode(text: &[u8]) -> Cow<'_, [u8]> {
    if !text.contains(&b'+') {
        return percent_decode(text).into();
    }
    let spaced: Vec<u8> = text
        .iter()
        .map(|b| if *b == b'+' { b' ' } else { *b })
        .collect();
    Cow::Owned(percent_decode(&spaced).collect())
}

/// Returns the value of `response_token`: `sha256=` and the padded standard base64 of the HMAC, 51
/// characters.
pub fn response_token(secret: &Secret, crc_token: &str) -> String {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(secret.expose()).expect("HMAC takes a key of any length");
    mac.update(crc_token.as_bytes());
    format!(
        "sha256={}",
        BASE64_STANDARD.encode(mac.finalize().into_bytes())
    )
}

/// Returns the body of the response. Base64 needs no escaping in JSON.
pub fn answer(secret: &Secret, crc_token: &str) -> String {
    format!(
        "{{\"response_token\":\"{}\"}}",
        response_token(secret, crc_token)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(key: &str, query: &str, expected: &str) {
        let token = crc_token(query.as_bytes()).unwrap();
        assert_eq!(
            response_token(&Secret::new(key.into()), &token),
            expected,
            "{query}"
        );
    }

    #[test]
    fn answers_are_those_that_python_and_openssl_compute() {
        let key = "YOUR_CHALLENGE_SECRET";
        check(
            key,
            "crc_token=abc",
            "sha256=igirIzhbd6iobXEwWgppO5ngqEUUC/mDt+r/dfCbeGk=",
        );
        check(
            key,
            "crc_token=a+b",
            "sha256=+FYBgGG2E9SKTubKuapUoiczJR7C3m438PSfuwB9bpA=",
        );
        check(
            key,
            "crc_token=a%20b",
            "sha256=+FYBgGG2E9SKTubKuapUoiczJR7C3m438PSfuwB9bpA=",
        );
        check(
            key,
            "crc_token=a%2Bb",
            "sha256=BvpYePUUn9Wp+7+og3jHYXgKdZOI/zn4SiQ1e0UQJU8=",
        );
        check(
            "s3crét",
            "crc_token=NDhlZjk0",
            "sha256=NU0JH6TYFxeaRPcm9o7OI/ZOagx1Df8k0gOP8GV7dBA=",
        );
    }

    #[test]
    fn other_parameters_in_any_order_are_normal() {
        for query in [
            "nonce=1&crc_token=abc",
            "crc_token=abc&nonce=1",
            "&&crc_token=abc&",
            "crc%5Ftoken=abc",
        ] {
            assert_eq!(crc_token(query.as_bytes()), Ok("abc".into()), "{query}");
        }
        assert_eq!(
            crc_token(b"crc_token=abc&crc_token=%61bc"),
            Ok("abc".into()),
            "the same value twice"
        );
    }

    #[test]
    fn tokens_that_cannot_be_answered_are_refused() {
        for query in [
            "",
            "x=1",
            "CRC_TOKEN=abc",
            "token=abc",
            "crc_tokens=abc",
            "%",
        ] {
            assert_eq!(
                crc_token(query.as_bytes()),
                Err(Rejection::CrcTokenMissing),
                "{query}"
            );
        }
        let long = format!("crc_token={}", "x".repeat(MAX_TOKEN + 1));
        for query in [
            "crc_token",
            "crc_token=",
            "crc_token=a&crc_token=b",
            "crc_token=%ff",
            &long,
        ] {
            assert!(
                matches!(
                    crc_token(query.as_bytes()),
                    Err(Rejection::CrcTokenInvalid(_))
                ),
                "{query}"
            );
        }
        assert!(
            crc_token(&long.as_bytes()[..long.len() - 1]).is_ok(),
            "1 KiB is not too long"
        );
    }

    proptest::proptest! {
        #[test]
        fn no_query_makes_it_panic(query in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
            let _ = crc_token(&query);
            let _ = crc_token(&[b"crc_token=", &query[..]].concat());
        }

        #[test]
        fn what_form_urlencoded_encodes_is_decoded(token in "\\PC{1,100}", before in "[a-z=&+%]{0,20}", after in "\\PC{0,20}") {
            let mut query = form_urlencoded::Serializer::new(before.replace("crc", ""));
            let query = query.append_pair("crc_token", &token).append_pair("after", &after).finish();
            proptest::prop_assert_eq!(crc_token(query.as_bytes()), Ok(token));
        }

        #[test]
        fn form_urlencoded_reads_the_same(query in "(crc_token=)?[ -~]{0,40}(&crc_token=[a-z%0-9+]{0,9})?") {
            if let Ok(token) = crc_token(query.as_bytes()) {
                let theirs = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "crc_token");
                proptest::prop_assert_eq!(theirs.map(|(_, value)| value.into_owned()), Some(token));
            }
        }
    }
}
