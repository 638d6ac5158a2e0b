//! Sanitizes untrusted text for terminals, logs and pages.

use std::borrow::Cow;

/// The maximum length of a text in the output of commands, in characters.
pub(crate) const MAX_TEXT: usize = 600;

/// The maximum length of a string from the wire wherever it is shown, in characters: on a line of
/// the log, on the status page, in an error.
pub(crate) const MAX_WIRE: usize = 240;

/// Sanitizes a string from the wire and truncates it to [`MAX_WIRE`] characters: see
/// [`sanitize_to`].
pub(crate) fn sanitize(text: &str) -> Cow<'_, str> {
    sanitize_and_truncate(text, MAX_WIRE)
}

/// Returns `true` if [`sanitize`] does not change `text`.
pub(crate) fn is_sanitized(text: &str) -> bool {
    matches!(sanitize(text), Cow::Borrowed(_))
}

/// Replaces control characters, line separators and bidirectional controls with U+FFFD, so that
/// `text` cannot move a cursor, break a line or reorder what follows. Truncates it to `limit`
/// characters, with `…` behind them.
pub(crate) fn sanitize_to(text: &str, limit: usize) -> String {
    sanitize_and_truncate(text, limit).into_owned()
}

fn sanitize_and_truncate(text: &str, limit: usize) -> Cow<'_, str> {
    let is_kept = |(index, c): (usize, char)| index < limit && is_harmless(c);
    if is_short_and_plain(text, limit) || text.chars().enumerate().all(is_kept) {
        return text.into();
    }
    let mut chars = text.chars().map(replace_harmful);
    let mut sanitized: String = chars.by_ref().take(limit).collect();
    if chars.next().is_some() {
        sanitized.push('…');
    }
    sanitized.into()
}

/// Returns `true` for what most texts are: short, and of spaces and visible characters of ASCII. All
/// bytes are counted, because that is done many at a time: a text takes 14 ns instead of 36.
fn is_short_and_plain(text: &str, limit: usize) -> bool {
    let is_harmful = |byte: &u8| !matches!(byte, b' '..=b'~');
    text.len() <= limit && text.bytes().filter(|byte| is_harmful(byte)).count() == 0
}

fn replace_harmful(c: char) -> char {
    match is_harmless(c) {
        true => c,
        false => char::REPLACEMENT_CHARACTER,
    }
}

/// Returns `true` unless `c` is a control character, a line separator or one of Unicode's
/// Bidi_Control characters, which change the order in which text is shown.
pub(crate) fn is_harmless(c: char) -> bool {
    !c.is_control()
        && !matches!(c, '\u{2028}' | '\u{2029}')
        && !matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_say_moves_no_cursor_and_fills_no_screen() {
        assert_eq!(
            sanitize_to("a\x1b[2Jb\r\nc\u{9b}", MAX_TEXT),
            "a\u{fffd}[2Jb\u{fffd}\u{fffd}c\u{fffd}"
        );
        assert_eq!(
            sanitize_to("a\u{202e}b\u{2066}c\u{200f}d\u{61c}", MAX_TEXT),
            "a\u{fffd}b\u{fffd}c\u{fffd}d\u{fffd}"
        );
        assert_eq!(
            sanitize_to("a\u{2028}b\u{2029}c\u{85}", MAX_TEXT),
            "a\u{fffd}b\u{fffd}c\u{fffd}"
        );
        assert_eq!(
            sanitize_to("a\u{200d}\u{2065}b", MAX_TEXT),
            "a\u{200d}\u{2065}b"
        );
        assert_eq!(sanitize_to("üß", 2), "üß");
        assert_eq!(sanitize_to("üß", 1), "ü…");
        assert_eq!(
            sanitize_to(&"ü".repeat(MAX_TEXT), MAX_TEXT).chars().count(),
            MAX_TEXT
        );
        assert_eq!(
            sanitize_to(&"ü".repeat(MAX_TEXT + 1), MAX_TEXT)
                .chars()
                .count(),
            MAX_TEXT + 1
        );
    }

    #[test]
    fn what_can_be_shown_as_it_is_is_not_copied() {
        assert!(is_sanitized("") && is_sanitized("a<b> ü") && is_sanitized(&"ü".repeat(MAX_WIRE)));
        for text in [
            "a\n",
            "\0",
            "\u{202e}",
            "\u{2029}",
            &"x".repeat(MAX_WIRE + 1),
        ] {
            assert!(!is_sanitized(text), "{text}");
        }
        let long = "ä".repeat(100_000);
        assert_eq!(sanitize(&long), format!("{}…", "ä".repeat(MAX_WIRE)));
    }

    /// Every control character, both separators of lines, and all of Bidi_Control (UAX #9), each alone.
    #[test]
    fn each_character_that_does_something_is_replaced_and_no_other() {
        let does_something = |c: char| {
            let number = u32::from(c);
            number < 0x20
                || (0x7f..0xa0).contains(&number)
                || [0x2028, 0x2029].contains(&number)
                || [0x61c, 0x200e, 0x200f].contains(&number)
                || [0x202a, 0x202b, 0x202c, 0x202d, 0x202e].contains(&number)
                || [0x2066, 0x2067, 0x2068, 0x2069].contains(&number)
        };
        for c in '\0'..=char::MAX {
            assert_eq!(is_harmless(c), !does_something(c), "{c:?}");
        }
    }
}
