//! Checks the header fields that decide where a request ends.

use super::target::is_for;
use crate::http::list;
use crate::http::request_head::HttpVersion;
use crate::rejection::Rejection;

/// The largest number of fields of a head, which is more than any client sends.
pub(crate) const MAX_FIELDS: usize = 256;

/// The values of the fields that decide where the request ends and which host it is for.
#[derive(Default)]
pub(super) struct FramingFields<'h> {
    host: &'h [u8],
    hosts: usize,
    content_lengths: usize,
    transfer_codings: usize,
    /// The number of fields that `Connection` names.
    nominated: usize,
}

impl<'h> FramingFields<'h> {
    /// Counts a field, and checks its value.
    pub(super) fn note(&mut self, name: &[u8], value: &'h [u8]) -> Result<(), Rejection> {
        let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
        if is(b"host") {
            self.hosts += 1;
            self.host = value;
            return check_host(value);
        }
        if is(b"content-length") {
            self.content_lengths += 1;
            return check_content_length(value);
        }
        if is(b"transfer-encoding") {
            self.transfer_codings += 1;
            return check_transfer_coding(value);
        }
        if is(b"connection") {
            return self.note_connection(value);
        }
        Ok(())
    }

    fn note_connection(&mut self, value: &[u8]) -> Result<(), Rejection> {
        self.nominated += list::elements(value).count();
        match self.nominated > MAX_FIELDS {
            true => Rejection::malformed("Connection names more fields than a head may have."),
            false => Ok(()),
        }
    }

    /// Checks that the fields do not contradict each other (RFC 9112 sections 3.2, 6.1 and 6.3).
    pub(super) fn check(&self, version: HttpVersion) -> Result<(), Rejection> {
        if self.hosts > 1 || (self.hosts == 0 && version != HttpVersion::Http10) {
            return Rejection::malformed("There must be exactly one Host.");
        }
        if self.content_lengths > 1 {
            return Rejection::malformed("Content-Length is given twice.");
        }
        match self.transfer_codings {
            0 => Ok(()),
            1 if self.content_lengths == 1 => {
                Rejection::malformed("Both Content-Length and Transfer-Encoding are given.")
            }
            1 if version == HttpVersion::Http10 => {
                Rejection::malformed("HTTP/1.0 has no Transfer-Encoding.")
            }
            1 => Ok(()),
            _ => Rejection::malformed("Transfer-Encoding is given twice."),
        }
    }

    /// Checks an absolute target against the `Host` field.
    pub(super) fn check_target(&self, target: &[u8]) -> Result<(), Rejection> {
        match is_for(target, self.host) {
            true => Ok(()),
            false => Rejection::malformed("The request target names another host than Host."),
        }
    }
}

/// Splits a field into its name and its value, without the white space around the value.
///
/// # Errors
/// If the line could be read in another way.
pub(crate) fn field(line: &[u8]) -> Result<(&[u8], &[u8]), Rejection> {
    if line.first().is_some_and(|b| b" \t".contains(b)) {
        return Rejection::malformed("A header field is folded over two lines.");
    }
    let Some(colon) = memchr::memchr(b':', line) else {
        return Rejection::malformed("A header field has no colon.");
    };
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    if name.is_empty() || !name.iter().all(|b| is_token(*b)) {
        return Rejection::malformed(
            "The name of a header field is not a token directly before its colon.",
        );
    }
    check_value(value)?;
    Ok((name, value.trim_ascii()))
}

/// Checks that the value of a field holds no control characters but tabs.
pub(crate) fn check_value(value: &[u8]) -> Result<(), Rejection> {
    let is_bad = |b: &u8| b.is_ascii_control() && *b != b'\t';
    match value.iter().any(is_bad) {
        true => Rejection::malformed("A header field holds a control character."),
        false => Ok(()),
    }
}

fn check_transfer_coding(value: &[u8]) -> Result<(), Rejection> {
    match value.eq_ignore_ascii_case(b"chunked") {
        true => Ok(()),
        false => Rejection::malformed("Transfer-Encoding is not \"chunked\"."),
    }
}

/// Checks that the host of a request is a name, with or without a port.
pub(crate) fn check_host(host: &[u8]) -> Result<(), Rejection> {
    let is_allowed = |b: &u8| b.is_ascii_graphic() && !b"/?#@,".contains(b);
    match !host.is_empty() && host.iter().all(is_allowed) {
        true => Ok(()),
        false => Rejection::malformed("Host is not a name and a port."),
    }
}

/// Checks that the declared length of a body is a number that fits.
pub(crate) fn check_content_length(value: &[u8]) -> Result<(), Rejection> {
    match !value.is_empty() && value.len() <= 18 && value.iter().all(u8::is_ascii_digit) {
        true => Ok(()),
        false => Rejection::malformed("Content-Length is not one number."),
    }
}

const TOKEN: [bool; 256] = {
    let (mut table, mut byte) = ([false; 256], 0);
    while byte < 256 {
        table[byte] = matches!(byte as u8, b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'!' | b'#' | b'$' | b'%' | b'&')
            || matches!(
                byte as u8,
                b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
            );
        byte += 1;
    }
    table
};

/// Returns `true` for the characters of a token (RFC 9110 section 5.6.2).
pub(crate) fn is_token(byte: u8) -> bool {
    TOKEN[byte as usize]
}
