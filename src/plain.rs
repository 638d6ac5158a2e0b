//! Text of others that is safe to show.

/// Characters of a text, where nothing else is said.
pub(crate) const MAX_TEXT: usize = 600;

/// Without what could move a cursor, fill a screen or put what follows in another order: at most `limit` characters, none
/// of which is a control character.
pub(crate) fn plain(text: &str, limit: usize) -> String {
    let shown = text.chars().map(|c| if c.is_control() || is_bidi_control(c) { '\u{fffd}' } else { c });
    let mut plain: String = shown.take(limit).collect();
    if plain.len() < text.len() && text.chars().nth(limit).is_some() {
        plain.push('…');
    }
    plain
}

/// Unicode's Bidi_Control: shows text in another order than the one in which it is written.
fn is_bidi_control(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_say_moves_no_cursor_and_fills_no_screen() {
        assert_eq!(plain("a\x1b[2Jb\r\nc\u{9b}", MAX_TEXT), "a\u{fffd}[2Jb\u{fffd}\u{fffd}c\u{fffd}");
        assert_eq!(plain("a\u{202e}b\u{2066}c\u{200f}d\u{61c}", MAX_TEXT), "a\u{fffd}b\u{fffd}c\u{fffd}d\u{fffd}");
        assert_eq!(plain("a\u{200d}\u{2065}b", MAX_TEXT), "a\u{200d}\u{2065}b");
        assert_eq!(plain("üß", 2), "üß");
        assert_eq!(plain("üß", 1), "ü…");
        assert_eq!(plain(&"ü".repeat(MAX_TEXT), MAX_TEXT).chars().count(), MAX_TEXT);
        assert_eq!(plain(&"ü".repeat(MAX_TEXT + 1), MAX_TEXT).chars().count(), MAX_TEXT + 1);
    }
}
