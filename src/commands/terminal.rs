//! Text for people at a terminal: with colours, and with lines that end between words. Elsewhere it
//! is left as it is.

use crate::telemetry;
use nu_ansi_term::Style;
use rustix::termios::tcgetwinsize;
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use unicode_width::UnicodeWidthStr as _;

/// Lines of more columns are hard to read.
const MAX_WIDTH: usize = 120;

/// The look of text on one output.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Terminal {
    is_coloured: bool,
    /// The columns of a line. Elsewhere than on a terminal, lines have any length.
    width: Option<usize>,
}

impl Terminal {
    /// Returns the look of standard output.
    pub(crate) fn stdout() -> Self {
        Self::of(&io::stdout())
    }

    /// Returns the look of standard error.
    pub(crate) fn stderr() -> Self {
        Self::of(&io::stderr())
    }

    fn of(stream: &(impl IsTerminal + AsFd)) -> Self {
        let is_terminal = stream.is_terminal();
        let columns = || Some(tcgetwinsize(stream).ok()?.ws_col.into());
        let width = columns().filter(|columns| is_terminal && *columns > 0);
        Self {
            is_coloured: telemetry::is_coloured(is_terminal),
            width: width.map(|width: usize| width.min(MAX_WIDTH)),
        }
    }

    /// Colours `text`.
    pub(crate) fn paint(self, style: impl Into<Style>, text: &str) -> String {
        match self.is_coloured {
            true => style.into().paint(text).to_string(),
            false => text.to_owned(),
        }
    }

    /// Returns `text`, which begins in the column `indent`, with further lines where it does not
    /// fit into one. Words stay whole.
    pub(crate) fn wrap(self, text: &str, indent: usize) -> String {
        let Some(width) = self.width else {
            return text.to_owned();
        };
        let mut wrapped = String::with_capacity(text.len());
        let mut column = indent;
        for word in text.split(' ') {
            let taken = word.width();
            if wrapped.is_empty() {
                column += taken;
            } else if column + 1 + taken > width {
                wrapped.push('\n');
                wrapped.extend(std::iter::repeat_n(' ', indent));
                column = indent + taken;
            } else {
                wrapped.push(' ');
                column += 1 + taken;
            }
            wrapped.push_str(word);
        }
        wrapped
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nu_ansi_term::Color;

    #[test]
    fn lines_end_between_words() {
        let terminal = |width| Terminal {
            width,
            is_coloured: false,
        };
        let text = "one two three fourteen-letters five";
        assert_eq!(terminal(None).wrap(text, 4), text);
        assert_eq!(
            terminal(Some(14)).wrap(text, 4),
            "one two\n    three\n    fourteen-letters\n    five"
        );
        assert_eq!(terminal(Some(80)).wrap("a  b", 4), "a  b");
    }

    #[test]
    fn there_are_no_colours_elsewhere() {
        let coloured = Terminal {
            is_coloured: true,
            width: None,
        };
        assert_eq!(coloured.paint(Color::Red, "a"), "\u{1b}[31ma\u{1b}[0m");
        assert_eq!(Terminal::default().paint(Color::Red, "a"), "a");
    }
}
