//! Text of others that is safe to show.

use std::borrow::Cow;

/// Characters of a text, where nothing else is said.
pub(crate) const MAX_TEXT: usize = 600;

/// Characters of a string that came over the wire, wherever it is shown: on a line of the log, on
/// the status page, in an error.
pub(crate) const MAX_WIRE: usize = 240;

/// A string that came over the wire, as it may be shown: [`plain`], of at most [`MAX_WIRE`]
/// characters.
pub(crate) fn clean(text: &str) -> Cow<'_, str> {
    shown(text, MAX_WIRE)
}

/// Whether `text` can be shown as it is, and whole.
pub(crate) fn is_clean(text: &str) -> bool {
    matches!(clean(text), Cow::Borrowed(_))
}

/// Without what could move a cursor, fill a screen, break a line or put what follows in another
/// order: at most `limit` characters, and `…` where there were more.
pub(crate) fn plain(text: &str, limit: usize) -> String {
    shown(text, limit).into_owned()
}

fn shown(text: &str, limit: usize) -> Cow<'_, str> {
    let is_fine = |(number, c): (usize, char)| number < limit && is_harmless(c);
    if text.chars().enumerate().all(is_fine) {
        return text.into();
    }
    let mut chars = text.chars().map(|c| {
        if is_harmless(c) {
            c
        } else {
            char::REPLACEMENT_CHARACTER
        }
    });
    let mut shown: String = chars.by_ref().take(limit).collect();
    if chars.next().is_some() {
        shown.push('…');
    }
    shown.into()
}

/// Neither a control character nor a separator of lines, nor one of Unicode's Bidi_Control, which
/// show text in another order than the one in which it is written.
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
            plain("a\x1b[2Jb\r\nc\u{9b}", MAX_TEXT),
            "a\u{fffd}[2Jb\u{fffd}\u{fffd}c\u{fffd}"
        );
        assert_eq!(
            plain("a\u{202e}b\u{2066}c\u{200f}d\u{61c}", MAX_TEXT),
            "a\u{fffd}b\u{fffd}c\u{fffd}d\u{fffd}"
        );
        assert_eq!(
            plain("a\u{2028}b\u{2029}c\u{85}", MAX_TEXT),
            "a\u{fffd}b\u{fffd}c\u{fffd}"
        );
        assert_eq!(plain("a\u{200d}\u{2065}b", MAX_TEXT), "a\u{200d}\u{2065}b");
        assert_eq!(plain("üß", 2), "üß");
        assert_eq!(plain("üß", 1), "ü…");
        assert_eq!(
            plain(&"ü".repeat(MAX_TEXT), MAX_TEXT).chars().count(),
            MAX_TEXT
        );
        assert_eq!(
            plain(&"ü".repeat(MAX_TEXT + 1), MAX_TEXT).chars().count(),
            MAX_TEXT + 1
        );
    }

    #[test]
    fn what_can_be_shown_as_it_is_is_not_copied() {
        assert!(is_clean("") && is_clean("a<b> ü") && is_clean(&"ü".repeat(MAX_WIRE)));
        for text in [
            "a\n",
            "\0",
            "\u{202e}",
            "\u{2029}",
            &"x".repeat(MAX_WIRE + 1),
        ] {
            assert!(!is_clean(text), "{text}");
        }
        let long = "ä".repeat(100_000);
        assert_eq!(clean(&long), format!("{}…", "ä".repeat(MAX_WIRE)));
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
