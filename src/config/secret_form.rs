//! Judges the bytes of a secret, without a word of what they are: what an editor or a shell puts
//! into its file, and what is easily guessed.

use crate::webhook::signer;

/// A challenge secret shorter than this can be guessed from one answered challenge.
const SHORT_SECRET: usize = 16;

/// A secret that a person made up has fewer bits of information than this.
const GUESSABLE: f64 = 40.0;

const UTF_8_MARK: &[u8] = b"\xef\xbb\xbf";

/// Returns why a file or a variable cannot hold a secret as it was meant.
pub(super) fn fault(bytes: &[u8]) -> Option<&'static str> {
    if bytes.starts_with(UTF_8_MARK) {
        return Some(
            "begins with a byte order mark (BOM), which would be part of the secret: save it as UTF-8 without BOM",
        );
    }
    is_utf_16(bytes).then_some(
        "is UTF-16, so every character would have a zero byte beside it: save it as UTF-8",
    )
}

/// Returns `true` for ASCII text in UTF-16, with or without its mark.
fn is_utf_16(bytes: &[u8]) -> bool {
    let text = match bytes {
        [0xff, 0xfe, text @ ..] | [0xfe, 0xff, text @ ..] => text,
        text => text,
    };
    let is_half_zero = |first: usize| text.iter().skip(first).step_by(2).all(|byte| *byte == 0);
    text.len() >= 2 && text.len().is_multiple_of(2) && (is_half_zero(0) != is_half_zero(1))
}

/// Returns what is part of a secret and was perhaps not meant to be.
pub(super) fn suspicions(secret: &[u8]) -> impl Iterator<Item = &'static str> {
    [
        is_quoted(secret).then_some(
            "the secret is in quotes, which are part of it: remove them, unless the other side has them, too",
        ),
        has_blank_edge(secret).then_some(
            "the secret begins or ends with a blank, which is part of it: remove it, unless the other side has it, too",
        ),
        ends_line(secret).then_some(
            "the secret ends with a line end, which is part of it: write it with printf, or remove the empty line",
        ),
        has_lines(secret).then_some(
            "the secret has several lines, all of which are part of it: keep only the line that is the secret",
        ),
    ]
    .into_iter()
    .flatten()
}

fn is_quoted(secret: &[u8]) -> bool {
    matches!(secret.trim_ascii(), [b'"', .., b'"'] | [b'\'', .., b'\''])
}

fn has_blank_edge(secret: &[u8]) -> bool {
    let is_blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    is_blank(secret.first()) || is_blank(secret.last())
}

fn ends_line(secret: &[u8]) -> bool {
    matches!(secret.last(), Some(b'\n' | b'\r'))
}

fn has_lines(secret: &[u8]) -> bool {
    secret.trim_ascii().contains(&b'\n')
}

/// Returns why a challenge secret might be guessed.
pub(super) fn weakness(secret: &[u8]) -> Option<String> {
    if secret.len() < SHORT_SECRET {
        return Some(format!(
            "the secret has {} bytes; with fewer than {SHORT_SECRET} it can be guessed from one answered challenge: make \
             one with \"openssl rand -hex 32\"",
            secret.len()
        ));
    }
    repetition(secret, "one answered challenge", "\"openssl rand -hex 32\"")
}

/// Returns why the key of signatures might be guessed.
pub(super) fn signing_weakness(key: &[u8]) -> Option<String> {
    repetition(key, "one signature", signer::NEW_SECRET)
}

fn repetition(secret: &[u8], evidence: &str, remedy: &str) -> Option<String> {
    (information(secret) < GUESSABLE).then(|| {
        format!(
            "the secret repeats itself so much that it can be guessed from {evidence}; make one with {remedy}"
        )
    })
}

/// Estimates the bits of information that there are at most: by how often each byte occurs, and
/// once for what is repeated.
fn information(secret: &[u8]) -> f64 {
    let is_period = |length: &usize| secret.iter().zip(&secret[*length..]).all(|(a, b)| a == b);
    let period = (1..=secret.len()).find(is_period).unwrap_or(secret.len());
    let unit = &secret[..period];
    let total = unit.len() as f64;
    let mut counts = [0_u32; 256];
    unit.iter().for_each(|byte| counts[usize::from(*byte)] += 1);
    let occurring = counts
        .iter()
        .filter(|count| **count > 0)
        .map(|count| f64::from(*count));
    // A byte that never varies says nothing, but for how often it is repeated.
    occurring.map(|count| count * (total / count).log2()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_editor_adds_is_a_fault() {
        let utf_16 = |mark: &[u8], order: fn(u16) -> [u8; 2]| {
            let text = "s3cret\n".encode_utf16().flat_map(order);
            mark.iter().copied().chain(text).collect::<Vec<u8>>()
        };
        for (bytes, expected) in [
            (b"s3cret".to_vec(), ""),
            (b"\xff\xfe\x01\x02\x03\x04".to_vec(), ""),
            (b"\0\0\0\0".to_vec(), ""),
            (b"\xef\xbb\xbfs3cret".to_vec(), "BOM"),
            (utf_16(b"\xff\xfe", u16::to_le_bytes), "UTF-16"),
            (utf_16(b"\xfe\xff", u16::to_be_bytes), "UTF-16"),
            (utf_16(b"", u16::to_le_bytes), "UTF-16"),
        ] {
            let found = fault(&bytes).unwrap_or_default();
            assert!(found.contains(expected), "{bytes:?}: {found}");
            assert_eq!(found.is_empty(), expected.is_empty(), "{bytes:?}");
        }
    }

    #[test]
    fn what_was_perhaps_not_meant_is_named() {
        for (secret, expected) in [
            ("a \"b\" c", &[][..]),
            ("\"s3cret\"", &["in quotes"]),
            ("'s3cret'", &["in quotes"]),
            ("'", &[]),
            (" s3cret", &["a blank"]),
            ("s3cret\t", &["a blank"]),
            ("s3cret\n", &["a line end"]),
            ("s3cret\r", &["a line end"]),
            ("a\nb", &["several lines"]),
            ("'s3cret' \n", &["in quotes", "a line end"]),
        ] {
            let found: Vec<_> = suspicions(secret.as_bytes()).collect();
            assert_eq!(found.len(), expected.len(), "{secret:?}: {found:?}");
            assert!(
                found
                    .iter()
                    .zip(expected)
                    .all(|(found, it)| found.contains(it)),
                "{secret:?}: {found:?}"
            );
        }
    }

    #[test]
    fn secrets_that_repeat_themselves_are_weak() {
        for (secret, is_weak) in [
            ("short", true),
            ("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", true),
            ("abababababababababababab", true),
            ("passwordpasswordpassword", true),
            ("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab", true),
            ("0123456789abcdef", false),
            ("YOUR_CHALLENGE_SECRET", false),
            ("correct horse battery staple", false),
            ("9f86d081884c7d659a2feaa0c55ad015", false),
        ] {
            let advice = weakness(secret.as_bytes());
            assert_eq!(advice.is_some(), is_weak, "{secret}: {advice:?}");
            assert!(!advice.is_some_and(|advice| advice.contains(secret)));
        }
    }

    #[test]
    fn a_secret_is_short_up_to_15_bytes_and_guessable_below_40_bits() {
        for (secret, is_weak) in [
            ("0123456789abcde", true),
            ("0123456789abcdef", false),
            // 20 bytes of two kinds are 20 bits; of four kinds, 40.
            ("aaaaaaaaaabbbbbbbbbb", true),
            ("aaaaabbbbbcccccddddd", false),
            ("aaaaaabbbbbcccccdddd", true),
        ] {
            assert_eq!(weakness(secret.as_bytes()).is_some(), is_weak, "{secret}");
        }
    }
}
