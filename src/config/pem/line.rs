//! The lines of a file in PEM, of which some begin or end a section.

use super::fault::Fault;

const BEGIN: &[u8] = b"-----BEGIN ";
const END: &[u8] = b"-----END ";
const DASHES: &[u8] = b"-----";

/// Some editors put it at the beginning of a file, from where it gets into the middle of others.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Returns a line without the byte order mark that it may begin with.
pub(super) fn without_mark(line: &[u8]) -> &[u8] {
    line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line)
}

pub(super) fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"+/=".contains(&byte) || byte.is_ascii_whitespace()
}

pub(super) struct Line<'p> {
    /// Number of the line, from 1.
    pub(super) number: usize,
    /// Offset of the line in the file.
    pub(super) start: usize,
    pub(super) text: &'p [u8],
}

/// Returns the lines, whether they end with LF, CR LF or CR.
pub(super) fn lines(pem: &[u8]) -> impl Iterator<Item = Line<'_>> {
    let (mut number, mut start) = (0, 0);
    std::iter::from_fn(move || {
        let rest = pem.get(start..).filter(|rest| !rest.is_empty())?;
        let ending = rest.iter().position(|byte| b"\r\n".contains(byte));
        let length = ending.unwrap_or(rest.len());
        number += 1;
        let line = Line {
            number,
            start,
            text: &rest[..length],
        };
        start += length
            + if rest[length..].starts_with(b"\r\n") {
                2
            } else {
                1
            };
        Some(line)
    })
}

/// A line with dashes.
pub(super) enum Marker<'p> {
    Begin(&'p str),
    End(&'p str),
}

impl<'p> Marker<'p> {
    /// Reads a line; `None` if it does not look like one with dashes.
    pub(super) fn of(line: &'p [u8], is_open: bool, number: usize) -> Result<Option<Self>, Fault> {
        let line = without_mark(line).trim_ascii_end();
        if let Some(label) = label(line, BEGIN) {
            return Ok(Some(Self::Begin(label)));
        }
        if let Some(label) = label(line, END) {
            return Ok(Some(Self::End(label)));
        }
        let is_comment = !is_open && line.trim_ascii_start().starts_with(b"#");
        match is_comment || !looks_like_marker(line) {
            true => Ok(None),
            false => Err(Fault::at(number, explain(line))),
        }
    }
}

/// Says what is wrong with a line that looks like one with dashes.
fn explain(line: &[u8]) -> &'static str {
    match line.first().is_some_and(u8::is_ascii_whitespace) {
        true => {
            "an indented BEGIN or END line: its dashes must be the first characters of the line"
        }
        false => {
            "looks like a BEGIN or END line but is not one: it must have five dashes on each side, on a line \
             of its own"
        }
    }
}

/// Returns the label between `prefix` and the dashes at the end of a line.
fn label<'p>(line: &'p [u8], prefix: &[u8]) -> Option<&'p str> {
    as_label(line.strip_prefix(prefix)?.strip_suffix(DASHES)?)
}

fn as_label(label: &[u8]) -> Option<&str> {
    let is_plain =
        |byte: &u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || b" #".contains(byte);
    let is_label = label.iter().all(is_plain);
    std::str::from_utf8(label).ok().filter(|_| is_label)
}

/// Returns `true` if there is `BEGIN` or `END` behind dashes, of whatever kind: word processors
/// make long ones of two.
fn looks_like_marker(line: &[u8]) -> bool {
    let line = String::from_utf8_lossy(line);
    let dashes = line.match_indices(is_dash);
    let mut places = dashes.map(|(at, dash)| line.split_at(at + dash.len()));
    places.any(|(before, behind)| ends_in_dashes(before) && begins_with_keyword(behind))
}

fn is_dash(c: char) -> bool {
    c == '-' || matches!(c, '\u{2010}'..='\u{2015}' | '\u{2212}')
}

fn ends_in_dashes(text: &str) -> bool {
    text.chars().rev().take_while(|c| is_dash(*c)).count() >= 2
}

fn begins_with_keyword(text: &str) -> bool {
    let letters = text.trim_start().chars();
    let letters = letters.take_while(char::is_ascii_alphabetic);
    let word: String = letters.take(6).collect();
    word.eq_ignore_ascii_case("begin") || word.eq_ignore_ascii_case("end")
}
