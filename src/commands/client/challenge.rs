//! Verification of the response to a challenge, as Netdata Cloud does it, with a diagnosis.

use crate::auth::secret::Secret;
use crate::webhook::challenge::response_token;
use base64::prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD, Engine as _};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use subtle::ConstantTimeEq as _;

/// Reason why a response is wrong, and its remedy.
pub(crate) type Mistake = (&'static str, &'static str);

const FORM: &str = "respond with {\"response_token\": \"sha256=…\"}, as JSON";

/// Returns the mistake in the body of a response to a challenge with `token`; `None` if it is right.
///
/// Common mistakes are named. The result holds nothing that would help to compute the secret.
pub(crate) fn mistake(secret: &Secret, token: &str, body: &[u8]) -> Option<Mistake> {
    let given = match response_token_of(body) {
        Ok(given) => given,
        Err(mistake) => return Some(mistake),
    };
    let right = response_token(secret, token);
    if same(&given, &right) {
        return None;
    }
    let mistake = wrong_input(&given, secret, token)
        .or_else(|| wrong_encoding(&given, &right))
        .unwrap_or_else(|| unrelated(&given));
    Some(mistake)
}

/// Returns the mistake of a response that is the HMAC of something else.
fn wrong_input(given: &str, secret: &Secret, token: &str) -> Option<Mistake> {
    let with_newline = Secret::new([secret.expose(), b"\n"].concat());
    let still_encoded = utf8_percent_encode(token, NON_ALPHANUMERIC).to_string();
    let inputs = [
        (&with_newline, token, NEWLINE),
        (secret, &still_encoded, STILL_ENCODED),
        (secret, &token.replace('+', " "), DECODED_TWICE),
        (secret, "", EMPTY),
    ];
    let mut inputs = inputs.into_iter();
    let found = inputs.find(|(secret, text, _)| same(given, &response_token(secret, text)));
    found.map(|(_, _, mistake)| mistake)
}

const NEWLINE: Mistake = (
    "the response was made with the secret and a newline after it",
    "remove the newline at the end of the secret",
);

const STILL_ENCODED: Mistake = (
    "the HMAC is that of the token as it appears in the URL",
    "decode the percent-encoding of crc_token before the HMAC",
);

const DECODED_TWICE: Mistake = (
    "the HMAC is that of the token decoded twice",
    "decode crc_token exactly once",
);

const EMPTY: Mistake = (
    "the HMAC is that of an empty string",
    "read the query parameter crc_token",
);

/// Returns the mistake of a response that is the right HMAC in another encoding.
fn wrong_encoding(given: &str, right: &str) -> Option<Mistake> {
    let hmac = BASE64_STANDARD.decode(right.trim_start_matches("sha256="));
    let hmac = hmac.unwrap_or_default();
    let bare = given.strip_prefix("sha256=").unwrap_or(given);
    if same(&bare.to_ascii_lowercase(), &hex::encode(&hmac)) {
        return Some(HEXADECIMAL);
    }
    if same(&format!("sha256={given}"), right) {
        return Some(NO_PREFIX);
    }
    same(&standard(bare), &BASE64_STANDARD_NO_PAD.encode(&hmac)).then_some(OTHER_BASE64)
}

const HEXADECIMAL: Mistake = (
    "the HMAC is right, but in hexadecimal",
    "encode it in Base64",
);

const NO_PREFIX: Mistake = (
    "the HMAC is right, but \"sha256=\" is missing before it",
    "write it before the HMAC",
);

const OTHER_BASE64: Mistake = (
    "the HMAC is right, but not in standard Base64 with padding",
    "use the standard alphabet, with padding",
);

/// Returns the mistake of a response that has nothing to do with the right one.
fn unrelated(given: &str) -> Mistake {
    let base64 = given.strip_prefix("sha256=");
    let hmac = base64.and_then(|base64| BASE64_STANDARD.decode(base64).ok());
    match hmac.is_some_and(|hmac| hmac.len() == 32) {
        true => OTHER_SECRET,
        false => NO_HMAC,
    }
}

const OTHER_SECRET: Mistake = (
    "the response is wrong: it was made with another secret, or of another token",
    "use the secret that Netdata's UI shows, on both sides; the HMAC is of the decoded value of crc_token",
);

const NO_HMAC: Mistake = (
    "the response is wrong: response_token is not \"sha256=\" and the Base64 of 32 bytes, nor was it made with \
     another secret",
    "write the HMAC-SHA256 in standard Base64, with padding, after \"sha256=\"",
);

/// Returns `base64` in the standard alphabet, without padding.
fn standard(base64: &str) -> String {
    base64
        .replace('-', "+")
        .replace('_', "/")
        .trim_end_matches('=')
        .to_owned()
}

/// Compares two strings in constant time.
fn same(one: &str, other: &str) -> bool {
    one.as_bytes().ct_eq(other.as_bytes()).into()
}

fn response_token_in(member: Option<Value>) -> Result<String, Mistake> {
    match member {
        Some(Value::String(token)) => Ok(token),
        Some(_) => Err((
            "the response is wrong: response_token is not a string",
            FORM,
        )),
        None => Err(("the response is wrong: it has no response_token", FORM)),
    }
}

/// Returns the value of `response_token` in a body.
fn response_token_of(body: &[u8]) -> Result<String, Mistake> {
    match serde_json::from_slice(body) {
        Ok(Value::Object(mut members)) => response_token_in(members.remove("response_token")),
        Ok(Value::String(text)) if response_token_of(text.as_bytes()).is_ok() => Err((
            "the response is wrong: its JSON was encoded twice",
            "encode the object once",
        )),
        Ok(_) => Err(("the response is not a JSON object", FORM)),
        Err(_) => Err(("the response is not JSON", FORM)),
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
            hex::encode(&bytes),
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
                "as it appears in the URL",
            ),
            (&made("YOUR_CHALLENGE_SECRET", "a b/c="), "decoded twice"),
            (&made("YOUR_CHALLENGE_SECRET", ""), "an empty string"),
            (
                &made("ANOTHER_SECRET", TOKEN),
                "another secret, or of another token",
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
            ("{\"response_token\":1}", "not a string"),
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
