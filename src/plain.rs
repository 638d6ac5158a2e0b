//! Text of others that is safe to show.

/// Characters of a text, where nothing else is said.
pub(crate) const MAX_TEXT: usize = 600;

/// Without what could move a cursor or fill a screen: at most `limit` characters, none of which is a control character.
pub(crate) fn plain(text: &str, limit: usize) -> String {
    let shown = text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c });
    let mut plain: String = shown.take(limit).collect();
    if plain.len() < text.len() && text.chars().nth(limit).is_some() {
        plain.push('…');
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_say_moves_no_cursor_and_fills_no_screen() {
        assert_eq!(plain("a\x1b[2Jb\r\nc\u{9b}", MAX_TEXT), "a\u{fffd}[2Jb\u{fffd}\u{fffd}c\u{fffd}");
        assert_eq!(plain("üß", 2), "üß");
        assert_eq!(plain("üß", 1), "ü…");
        assert_eq!(plain(&"ü".repeat(MAX_TEXT), MAX_TEXT).chars().count(), MAX_TEXT);
        assert_eq!(plain(&"ü".repeat(MAX_TEXT + 1), MAX_TEXT).chars().count(), MAX_TEXT + 1);
    }
}
