//! A table that is printed row by row, as the scenes end.

use crate::sanitize::{MAX_TEXT, sanitize_to};
use crate::telemetry;
use comfy_table::presets::NOTHING;
use comfy_table::{Attribute, Color, ColumnConstraint, ContentArrangement, Row, Width};
use std::io::{self, IsTerminal as _, Write};

/// Width of the table, unless the terminal is narrower.
const MAX_WIDTH: u16 = 80;

/// Width of the first column, which holds the mark.
const MARK_WIDTH: u16 = 2;

/// Parts that the other columns have of the rest of the width.
const SHARES: [u16; 3] = [24, 32, 22];

/// Spaces at the end of each column.
const GAPS: [u16; 4] = [1, 2, 2, 0];

/// Verdict on a scene, which its mark and its colour show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// A genuine request got its response.
    Served,
    /// A forgery was refused.
    Stopped,
    /// Something else happened than must.
    Failed,
}

impl Verdict {
    fn mark(self) -> char {
        match self {
            Self::Served => '✓',
            Self::Stopped => '⊘',
            Self::Failed => '✗',
        }
    }

    fn colour(self) -> Color {
        match self {
            Self::Served => Color::DarkGreen,
            Self::Stopped => Color::DarkYellow,
            Self::Failed => Color::DarkRed,
        }
    }
}

/// One column of a row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Cell {
    /// Text of the first line, truncated to the width of the column.
    pub(super) headline: String,
    /// Text below the headline, wrapped to the width of the column.
    pub(super) detail: String,
}

impl Cell {
    pub(super) fn new(headline: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            headline: headline.into(),
            detail: detail.into(),
        }
    }
}

/// A writer of rows and of lines between them.
pub(super) struct SceneTable<W> {
    out: W,
    coloured: bool,
    width: u16,
}

impl SceneTable<io::Stdout> {
    /// Creates a table on standard output. It is coloured if that is a terminal that has colours.
    pub(super) fn on_stdout() -> Self {
        let coloured = telemetry::is_coloured(io::stdout().is_terminal());
        let terminal_width = comfy_table::Table::new().width();
        let width = terminal_width.unwrap_or(MAX_WIDTH).min(MAX_WIDTH);
        Self::new(io::stdout(), coloured, width)
    }
}

impl<W: Write> SceneTable<W> {
    pub(super) fn new(out: W, coloured: bool, width: u16) -> Self {
        Self {
            out,
            coloured,
            width,
        }
    }

    /// Prints a line of its own, between rows.
    pub(super) fn line(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "{text}")?;
        self.out.flush()
    }

    /// Prints the titles of the columns.
    pub(super) fn head(&mut self, titles: [&str; 3]) -> io::Result<()> {
        let rules = [1, 2, 3].map(|column| {
            let text_width = self.column_width(column).saturating_sub(GAPS[column]);
            "─".repeat(usize::from(text_width))
        });
        let rules = rules.each_ref().map(String::as_str);
        let mut table = self.grid();
        for texts in [titles, rules] {
            table.add_row(row(blank(), cells(texts, Attribute::Dim)));
        }
        self.print(table)
    }

    /// Prints a row. The mark and the response of the proxy show the verdict.
    pub(super) fn row(&mut self, verdict: Verdict, columns: &[Cell; 3]) -> io::Result<()> {
        let details = columns.each_ref().map(|column| column.detail.as_str());
        let mut table = self.grid();
        table.add_row(headline(verdict, columns));
        if details.iter().any(|detail| !detail.is_empty()) {
            table.add_row(row(blank(), cells(details, Attribute::Dim)));
        }
        self.print(table)
    }

    /// Returns a table without rows, whose columns are as wide as those of all others.
    fn grid(&self) -> comfy_table::Table {
        let mut table = comfy_table::Table::new();
        // Whether there is a terminal, and how wide it is, has been decided.
        table.force_no_tty().set_width(self.width);
        if self.coloured {
            table.enforce_styling().style_text_only();
        }
        table
            .load_style(NOTHING)
            .set_content_arrangement(ContentArrangement::Dynamic);
        table
    }

    fn print(&mut self, mut table: comfy_table::Table) -> io::Result<()> {
        table.discover_columns();
        for (index, column) in table.column_iter_mut().enumerate() {
            column.set_padding((0, GAPS[index]));
            let width = Width::Fixed(self.column_width(index));
            column.set_constraint(ColumnConstraint::Absolute(width));
        }
        writeln!(self.out, "{}", table.trim_fmt())?;
        self.out.flush()
    }

    fn column_width(&self, index: usize) -> u16 {
        let Some(text_column) = index.checked_sub(1) else {
            return MARK_WIDTH;
        };
        let all_shares: u16 = SHARES.iter().sum();
        self.width.saturating_sub(MARK_WIDTH) * SHARES[text_column] / all_shares
    }
}

/// Returns the first line of a row, which is not wrapped.
fn headline(verdict: Verdict, columns: &[Cell; 3]) -> Row {
    let headlines = columns.each_ref().map(|column| column.headline.as_str());
    let mark = comfy_table::Cell::new(verdict.mark()).fg(verdict.colour());
    let [sent, response, received] = cells(headlines, Attribute::Bold);
    let mut headline = row(mark, [sent, response.fg(verdict.colour()), received]);
    headline.max_height(1);
    headline
}

fn blank() -> comfy_table::Cell {
    comfy_table::Cell::new("")
}

/// Returns cells with these texts. Some are those of the other side: they must not control the
/// terminal.
fn cells(texts: [&str; 3], look: Attribute) -> [comfy_table::Cell; 3] {
    texts.map(|text| comfy_table::Cell::new(sanitize_to(text, MAX_TEXT)).add_attribute(look))
}

fn row(mark: comfy_table::Cell, columns: [comfy_table::Cell; 3]) -> Row {
    Row::from([mark].into_iter().chain(columns).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(coloured: bool, width: u16) -> String {
        let mut table = SceneTable::new(Vec::new(), coloured, width);
        let long = "an application that has a long name and more to say than there is room for";
        table
            .head(["Client sends", "Client receives", "Application receives"])
            .unwrap();
        table
            .row(
                Verdict::Served,
                &[
                    Cell::new("a", long),
                    Cell::new(long, "\x1b[2J"),
                    Cell::new("c", long),
                ],
            )
            .unwrap();
        for verdict in [Verdict::Stopped, Verdict::Failed] {
            let columns = [Cell::new("b", ""), Cell::new("c", ""), Cell::default()];
            table.row(verdict, &columns).unwrap();
        }
        String::from_utf8(table.out).unwrap()
    }

    #[test]
    fn columns_are_aligned_and_fit() {
        for width in [80, 60] {
            let text = rendered(false, width);
            let fits = |line: &str| line.chars().count() <= usize::from(width);
            assert!(text.lines().all(fits), "{text}");
            assert!(
                !text.contains('\x1b') && !text.lines().any(|line| line.ends_with(' ')),
                "{text}"
            );
            let title = text
                .lines()
                .next()
                .and_then(|line| line.find("Application"));
            let marked = text.lines().find(|line| line.starts_with('✓'));
            let third_text = marked.and_then(|line| line.chars().nth(title.unwrap()));
            assert_eq!(third_text, Some('c'), "{text}");
            let marks: Vec<_> = text
                .lines()
                .filter_map(|line| line.chars().next())
                .collect();
            assert!(marks.ends_with(&['⊘', '✗']), "{text}");
        }
    }

    #[test]
    fn colour_is_only_where_it_is_wanted() {
        let text = rendered(true, 80);
        for (verdict, code) in [
            (Verdict::Served, "\x1b[38;5;2m"),
            (Verdict::Stopped, "\x1b[38;5;3m"),
            (Verdict::Failed, "\x1b[38;5;1m"),
        ] {
            let row = text.lines().find(|line| line.contains(verdict.mark()));
            assert_eq!(row.unwrap().matches(code).count(), 2, "{text:?}");
        }
        assert!(
            !text.contains("\x1b[2J"),
            "text of the other side does not control the terminal"
        );
    }
}
