//! Text that is safe to show, whoever it comes from.

/// Characters of a text.
const MAX_TEXT: usize = 600;

/// Without what could move a cursor or fill a screen.
pub(crate) fn plain(text: &str) -> String {
    let shown = text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c });
    let mut plain: String = shown.take(MAX_TEXT).collect();
    if plain.len() < text.len() && text.chars().nth(MAX_TEXT).is_some() {
        plain.push('…');
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_say_moves_no_cursor_and_fills_no_screen() {
        assert_eq!(plain("a\x1b[2Jb\r\nc\u{9b}"), "a\u{fffd}[2Jb\u{fffd}\u{fffd}c\u{fffd}");
        assert_eq!(plain("üß"), "üß");
        assert_eq!(plain(&"ü".repeat(MAX_TEXT)).chars().count(), MAX_TEXT);
        assert_eq!(plain(&"ü".repeat(MAX_TEXT + 1)).chars().count(), MAX_TEXT + 1);
    }
}
