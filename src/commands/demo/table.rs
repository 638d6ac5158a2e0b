//! A table that is printed row by row, as things happen.

use std::io::{self, IsTerminal as _, Write};

/// The width of each column. With the mark and the gaps it is 100.
const WIDTHS: [usize; 3] = [30, 36, 28];
/// What stands before the first column: the mark and a space.
const INDENT: usize = 2;
const GAP: &str = "  ";

/// One column of a row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Cell {
    /// One line, cut if need be.
    pub(super) headline: String,
    /// As many lines below it as it takes.
    pub(super) detail: String,
}

impl Cell {
    /// A cell of these texts.
    pub(super) fn new(headline: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            headline: headline.into(),
            detail: detail.into(),
        }
    }
}

/// Writes rows, in colour where that can be seen.
pub(super) struct Table<W> {
    out: W,
    coloured: bool,
}

/// How a piece of text looks on a terminal (ECMA-48, "select graphic rendition").
#[derive(Clone, Copy)]
enum Look {
    Plain,
    Bold,
    Dim,
    Green,
    Red,
}

impl Table<io::Stdout> {
    /// Coloured if standard output is a terminal and `NO_COLOR` is not set.
    pub(super) fn on_stdout() -> Self {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self::new(io::stdout(), io::stdout().is_terminal() && !refused)
    }
}

impl<W: Write> Table<W> {
    /// A table on `out`.
    pub(super) fn new(out: W, coloured: bool) -> Self {
        Self { out, coloured }
    }

    /// A line of its own, between rows.
    pub(super) fn line(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "{text}")?;
        self.out.flush()
    }

    /// Says what the columns are.
    pub(super) fn head(&mut self, titles: [&str; 3]) -> io::Result<()> {
        let rule = WIDTHS.map(|width| "─".repeat(width));
        self.columns(' ', Look::Plain, titles, Look::Dim)?;
        self.columns(
            ' ',
            Look::Plain,
            rule.each_ref().map(String::as_str),
            Look::Dim,
        )?;
        self.out.flush()
    }

    /// A row, marked good or bad.
    pub(super) fn row(&mut self, good: bool, cells: &[Cell; 3]) -> io::Result<()> {
        let (mark, look) = if good {
            ('✓', Look::Green)
        } else {
            ('✗', Look::Red)
        };
        let headlines = cells.each_ref().map(|cell| cell.headline.as_str());
        self.columns(mark, look, headlines, Look::Bold)?;
        let details: [Vec<String>; 3] =
            std::array::from_fn(|column| wrap(&cells[column].detail, WIDTHS[column]));
        for line in 0..details.iter().map(Vec::len).max().unwrap_or(0) {
            let texts = details
                .each_ref()
                .map(|lines| lines.get(line).map_or("", String::as_str));
            self.columns(' ', Look::Plain, texts, Look::Dim)?;
        }
        self.out.flush()
    }

    fn columns(
        &mut self,
        mark: char,
        mark_look: Look,
        texts: [&str; 3],
        look: Look,
    ) -> io::Result<()> {
        let mut line = self.styled(&mark.to_string(), mark_look);
        line.push_str(&" ".repeat(INDENT - 1));
        // What follows the last text needs no room.
        let last = texts.iter().rposition(|text| !text.is_empty()).unwrap_or(0);
        for (column, text) in texts.iter().enumerate().take(last + 1) {
            let text = fit(text, WIDTHS[column]);
            line.push_str(&self.styled(&text, look));
            if column < last {
                line.push_str(&" ".repeat(WIDTHS[column] - text.chars().count()));
                line.push_str(GAP);
            }
        }
        writeln!(self.out, "{line}")
    }

    fn styled(&self, text: &str, look: Look) -> String {
        let code = match look {
            Look::Bold => 1,
            Look::Dim => 2,
            Look::Green => 32,
            Look::Red => 31,
            Look::Plain => return text.to_owned(),
        };
        if self.coloured && !text.is_empty() {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

/// `text` on one line of at most `width` characters. What comes from elsewhere may not steer the
/// terminal.
fn fit(text: &str, width: usize) -> String {
    let printable = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    if text.chars().count() <= width {
        return printable.collect();
    }
    printable.take(width - 1).chain(['…']).collect()
}

/// `text` in lines of whole words, where the words allow it.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(coloured: bool) -> String {
        let mut table = Table::new(Vec::new(), coloured);
        let long = "an application that has a long name and more to say than there is room for";
        table
            .head([
                "The sender sends",
                "The sender gets",
                "The application receives",
            ])
            .unwrap();
        table
            .row(
                true,
                &[
                    Cell::new("a", long),
                    Cell::new(long, "\x1b[2J"),
                    Cell::new("c", long),
                ],
            )
            .unwrap();
        table
            .row(
                false,
                &[Cell::new("b", ""), Cell::default(), Cell::default()],
            )
            .unwrap();
        String::from_utf8(table.out).unwrap()
    }

    #[test]
    fn columns_are_aligned_and_fit() {
        let text = rendered(false);
        assert!(
            text.lines().all(|line| line.chars().count() <= 100),
            "{text}"
        );
        assert!(
            !text.contains('\x1b') && !text.lines().any(|line| line.ends_with(' ')),
            "{text}"
        );
        let third_column = |line: &str| line.chars().skip(100 - WIDTHS[2]).collect::<String>();
        assert_eq!(
            text.lines().next().map(third_column).as_deref(),
            Some("The application receives")
        );
        assert_eq!(text.lines().nth(2).map(third_column).as_deref(), Some("c"));
        assert_eq!(text.lines().last(), Some("✗ b"));
    }

    #[test]
    fn colour_is_only_where_it_is_wanted() {
        let text = rendered(true);
        assert!(
            text.contains("\x1b[32m✓\x1b[0m") && text.contains("\x1b[31m✗\x1b[0m"),
            "{text}"
        );
        assert!(
            !text.contains("\x1b[2J"),
            "what comes from elsewhere is not obeyed"
        );
    }

    #[test]
    fn words_stay_whole() {
        assert_eq!(wrap("two words  and more", 9), ["two words", "and more"]);
        assert!(wrap("", 9).is_empty());
    }
}
