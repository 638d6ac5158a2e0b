//! Judges the answer to a challenge, as Netdata Cloud does, and says what is wrong with it.

use crate::auth::secret::Secret;
use crate::webhook::challenge::response_token;
use base64::prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD, Engine as _};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use std::fmt::Write as _;
use subtle::ConstantTimeEq as _;

/// Why an answer is not the right one, and what to do about it.
pub(crate) type Mistake = (&'static str, &'static str);

const FORM: &str = "answer with {\"response_token\": \"sha256=…\"}, as JSON";

/// What is wrong with the body of an answer to a challenge with `token`; nothing if it is right.
///
/// Of usual mistakes it says which it is. Nothing that would help to compute the secret is shown.
pub(crate) fn mistake(secret: &Secret, token: &str, body: &[u8]) -> Option<Mistake> {
    let given = match given(body) {
        Ok(given) => given,
        Err(mistake) => return Some(mistake),
    };
    let right = response_token(secret, token);
    if same(&given, &right) {
        return None;
    }
    let made = |secret: &Secret, text: &str| same(&given, &response_token(secret, text));
    let with_newline = Secret::new([secret.expose(), b"\n"].concat());
    let still_encoded = utf8_percent_encode(token, NON_ALPHANUMERIC).to_string();
    if made(&with_newline, token) {
        return Some((
            "the answer was made with the secret and a newline after it",
            "remove the newline at the end of the secret",
        ));
    }
    if made(secret, &still_encoded) {
        return Some((
            "the HMAC is that of the token as it stands in the URL",
            "undo the percent-encoding of crc_token before the HMAC",
        ));
    }
    if made(secret, &token.replace('+', " ")) {
        return Some((
            "the HMAC is that of the token decoded twice",
            "decode crc_token exactly once",
        ));
    }
    if made(secret, "") {
        return Some((
            "the HMAC is that of an empty text",
            "read the query parameter crc_token",
        ));
    }
    Some(misspelt(&given, &right))
}

/// How an HMAC that may be right is not written as it must be.
fn misspelt(given: &str, right: &str) -> Mistake {
    let bytes = BASE64_STANDARD
        .decode(right.trim_start_matches("sha256="))
        .unwrap_or_default();
    let bare = given.strip_prefix("sha256=").unwrap_or(given);
    if same(&bare.to_ascii_lowercase(), &hex(&bytes)) {
        (
            "the HMAC is right, but in hexadecimal",
            "encode it in Base64",
        )
    } else if same(&format!("sha256={given}"), right) {
        (
            "the HMAC is right, but \"sha256=\" is missing before it",
            "write it before the HMAC",
        )
    } else if same(&standard(bare), &BASE64_STANDARD_NO_PAD.encode(&bytes)) {
        (
            "the HMAC is right, but not in standard Base64 with padding",
            "use the standard alphabet, with padding",
        )
    } else if BASE64_STANDARD
        .decode(bare)
        .is_ok_and(|bytes| bytes.len() == 32)
        && bare != given
    {
        (
            "the answer is wrong: it was made with another secret, or of another text",
            "let both have the secret that stands in Netdata's UI; the HMAC is of the decoded value of crc_token",
        )
    } else {
        (
            "the answer is wrong: response_token is not \"sha256=\" and the Base64 of 32 bytes, nor was it made with \
             another secret",
            "write the HMAC-SHA256 in standard Base64, with padding, after \"sha256=\"",
        )
    }
}

/// The standard alphabet without padding.
fn standard(base64: &str) -> String {
    base64
        .replace('-', "+")
        .replace('_', "/")
        .trim_end_matches('=')
        .to_owned()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// Compares in constant time.
fn same(one: &str, other: &str) -> bool {
    one.as_bytes().ct_eq(other.as_bytes()).into()
}

/// The value of `response_token`.
fn given(body: &[u8]) -> Result<String, Mistake> {
    match serde_json::from_slice(body) {
        Ok(Value::Object(mut members)) => match members.remove("response_token") {
            Some(Value::String(token)) => Ok(token),
            Some(_) => Err(("the answer is not right: response_token is no string", FORM)),
            None => Err(("the answer is not right: it has no response_token", FORM)),
        },
        Ok(Value::String(text)) if given(text.as_bytes()).is_ok() => Err((
            "the answer is not right: it is JSON that was encoded twice",
            "encode the object once",
        )),
        Ok(_) => Err(("the answer is not a JSON object", FORM)),
        Err(_) => Err(("the answer is not JSON", FORM)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "a+b/c=";

    fn secret(bytes: &str) -> Secret {
        Secret::new(bytes.as_bytes().to_vec())
    }

    fn found(body: &str) -> Option<&'static str> {
        mistake(&secret("YOUR_CHALLENGE_SECRET"), TOKEN, body.as_bytes()).map(|(text, _)| text)
    }

    fn of(token: &str) -> String {
        format!("{{\"response_token\":\"{token}\"}}")
    }

    #[test]
    fn the_right_answer_has_no_mistake() {
        let right = response_token(&secret("YOUR_CHALLENGE_SECRET"), TOKEN);
        assert_eq!(found(&of(&right)), None);
        assert_eq!(
            found(&format!(" {{\"more\":1,\"response_token\":\"{right}\"}}\n")),
            None
        );
    }

    #[test]
    fn usual_mistakes_are_named() {
        let right = response_token(&secret("YOUR_CHALLENGE_SECRET"), TOKEN);
        let bare = right.strip_prefix("sha256=").unwrap();
        let bytes = BASE64_STANDARD.decode(bare).unwrap();
        let made = |key: &str, text: &str| response_token(&secret(key), text);
        let (hex, url_safe) = (
            hex(&bytes),
            format!("sha256={}", bare.replace('+', "-").replace('/', "_")),
        );
        assert_ne!(
            url_safe, right,
            "the token was chosen so that the alphabets differ"
        );
        for (token, expected) in [
            (bare, "\"sha256=\" is missing"),
            (&hex, "hexadecimal"),
            (&format!("sha256={}", hex.to_uppercase()), "hexadecimal"),
            (&url_safe, "standard Base64"),
            (right.trim_end_matches('='), "standard Base64"),
            (&made("YOUR_CHALLENGE_SECRET\n", TOKEN), "a newline"),
            (
                &made("YOUR_CHALLENGE_SECRET", "a%2Bb%2Fc%3D"),
                "as it stands in the URL",
            ),
            (&made("YOUR_CHALLENGE_SECRET", "a b/c="), "decoded twice"),
            (&made("YOUR_CHALLENGE_SECRET", ""), "an empty text"),
            (
                &made("ANOTHER_SECRET", TOKEN),
                "another secret, or of another text",
            ),
            ("sha256=AAAA", "the Base64 of 32 bytes"),
            ("", "the Base64 of 32 bytes"),
        ] {
            let found = found(&of(token));
            assert!(
                found.is_some_and(|text| text.contains(expected)),
                "{token}: {found:?}"
            );
        }
    }

    #[test]
    fn what_is_no_answer_is_told_from_a_wrong_one() {
        let twice = Value::from(of("sha256=AAAA")).to_string();
        for (body, expected) in [
            ("", "not JSON"),
            ("<html>", "not JSON"),
            ("[]", "not a JSON object"),
            ("\"x\"", "not a JSON object"),
            ("{}", "no response_token"),
            ("{\"token\":\"x\"}", "no response_token"),
            ("{\"response_token\":1}", "no string"),
            (twice.as_str(), "encoded twice"),
        ] {
            let found = found(body);
            assert!(
                found.is_some_and(|text| text.contains(expected)),
                "{body}: {found:?}"
            );
        }
    }
}
