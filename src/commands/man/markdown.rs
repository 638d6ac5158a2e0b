//! Converts a page of the manual to the markup of manual pages.
//!
//! Supports what the pages use: headings, paragraphs, lists, tables, fenced blocks, code spans,
//! strong text and links.

use clap_mangen::roff::{Inline, Roff, bold, roman};

/// Returns the content of `markdown`. Its title and its sections become sections.
pub(super) fn to_roff(markdown: &str) -> Roff {
    let mut page = Roff::new();
    let lines: Vec<&str> = markdown.lines().collect();
    let mut rest = &lines[..];
    while let Some(line) = rest.first() {
        let length = match MarkdownBlock::starting_with(line) {
            MarkdownBlock::Blank => 1,
            MarkdownBlock::Heading => heading(&mut page, line),
            MarkdownBlock::Fence => fence(&mut page, rest),
            MarkdownBlock::Table => table(&mut page, rest),
            MarkdownBlock::Item => item(&mut page, rest),
            MarkdownBlock::Paragraph => paragraph(&mut page, rest),
        };
        rest = &rest[length..];
    }
    page
}

/// The kinds of blocks.
#[derive(PartialEq)]
enum MarkdownBlock {
    /// An empty line, or the definition of a link.
    Blank,
    Heading,
    Fence,
    Table,
    Item,
    Paragraph,
}

impl MarkdownBlock {
    fn starting_with(line: &str) -> Self {
        let is_definition = line.starts_with('[') && line.contains("]: ");
        match line {
            _ if line.is_empty() || is_definition => Self::Blank,
            _ if line.starts_with('#') => Self::Heading,
            _ if line.starts_with("```") => Self::Fence,
            _ if line.starts_with('|') => Self::Table,
            _ if line.starts_with("- ") => Self::Item,
            _ => Self::Paragraph,
        }
    }
}

fn heading(page: &mut Roff, line: &str) -> usize {
    match line.strip_prefix("### ") {
        Some(part) => page.control("SS", [part]),
        None => {
            let section = line.trim_start_matches(['#', ' ']).to_uppercase();
            page.control("SH", [section.as_str()])
        }
    };
    1
}

fn fence(page: &mut Roff, lines: &[&str]) -> usize {
    let content = lines[1..].iter().take_while(|line| **line != "```");
    page.control("PP", [])
        .control("RS", ["4"])
        .control("nf", []);
    let mut length = 2;
    for line in content {
        page.text([roman(ascii(line))]);
        length += 1;
    }
    page.control("fi", []).control("RE", []);
    length
}

/// A table becomes a list: the first column has the terms, the others describe them.
fn table(page: &mut Roff, lines: &[&str]) -> usize {
    let rows: Vec<Vec<&str>> = lines
        .iter()
        .take_while(|line| line.starts_with('|'))
        .map(|line| cells(line))
        .collect();
    if let [head, _, rows @ ..] = &rows[..] {
        for row in rows {
            page.control("TP", []).text(inlines(row[0]));
            page.text(inlines(&description(head, row)));
        }
    }
    rows.len()
}

fn cells(row: &str) -> Vec<&str> {
    row.trim_matches('|').split(" | ").map(str::trim).collect()
}

/// The columns that describe the first.
const DESCRIPTIONS: [&str; 4] = ["meaning", "value", "forwards", "effect"];

/// Joins the cells of a row after the first, of which each but the description is named.
fn description(head: &[&str], row: &[&str]) -> String {
    let columns = || head.iter().zip(row).skip(1);
    let descriptions = columns()
        .filter(|(name, _)| DESCRIPTIONS.contains(name))
        .map(|(_, cell)| format!("{cell}."));
    let notes = columns().filter_map(|(name, cell)| note(name, cell));
    descriptions.chain(notes).collect::<Vec<_>>().join(" ")
}

fn note(name: &str, cell: &str) -> Option<String> {
    match name {
        _ if cell == "–" => None,
        "default" => Some(format!("(default: {cell})")),
        "NGINX" | "Apache" => Some(format!("{name}: {cell}.")),
        _ => None,
    }
}

fn item(page: &mut Roff, lines: &[&str]) -> usize {
    let length = 1 + count(&lines[1..], |line| line.starts_with("  "));
    let text: Vec<&str> = lines[..length]
        .iter()
        .map(|line| line[2..].trim())
        .collect();
    page.control("IP", ["\\(bu", "2"]);
    page.text(inlines(&text.join(" ")));
    length
}

fn paragraph(page: &mut Roff, lines: &[&str]) -> usize {
    let length = count(lines, |line| {
        MarkdownBlock::starting_with(line) == MarkdownBlock::Paragraph
    });
    page.control("PP", [])
        .text(inlines(&lines[..length].join(" ")));
    length
}

fn count(lines: &[&str], belongs: impl Fn(&str) -> bool) -> usize {
    lines.iter().take_while(|line| belongs(line)).count()
}

/// Code and strong text are bold; of links, only the text is kept.
fn inlines(text: &str) -> Vec<Inline> {
    let mut parts = Vec::new();
    for (index, part) in text.split('`').enumerate() {
        match index % 2 {
            0 => parts.extend(prose(part)),
            _ => parts.push(bold(ascii(part))),
        }
    }
    parts
}

fn prose(text: &str) -> Vec<Inline> {
    without_links(text)
        .split("**")
        .enumerate()
        .filter(|(_, part)| !part.is_empty())
        .map(|(index, part)| match index % 2 {
            0 => roman(ascii(part)),
            _ => bold(ascii(part)),
        })
        .collect()
}

/// A link's text may contain code, so its brackets may be in different parts of a line.
fn without_links(text: &str) -> String {
    let mut kept = String::new();
    let mut rest = text;
    while let Some(start) = rest.find(']') {
        kept += &rest[..start];
        rest = &rest[start + 1..];
        let end = match rest.chars().next() {
            Some('[') => rest.find(']'),
            Some('(') => rest.find(')'),
            _ => None,
        };
        rest = end.map_or(rest, |end| &rest[end + 1..]);
    }
    (kept + rest).replace('[', "")
}

/// Characters for which some formatters have no glyph are written out.
fn ascii(text: &str) -> String {
    text.replace('…', "...").replace('–', "-")
}
