//! Reads the escapes in strings.

use super::reader::Fault;

/// Reads the escape at the beginning of `bytes`, after its backslash. Returns the character, and the
/// number of bytes.
pub(super) fn escape(bytes: &[u8]) -> Result<(char, usize), Fault> {
    let character = match bytes.first() {
        Some(plain @ (b'"' | b'\\' | b'/')) => char::from(*plain),
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'n') => '\n',
        Some(b'r') => '\r',
        Some(b't') => '\t',
        Some(b'u') => return unicode_escape(&bytes[1..]),
        _ => return Err(Fault::Escape),
    };
    Ok((character, 1))
}

/// Reads the digits of `\u`, and a second escape where the first one is half of a character (RFC
/// 8259 section 7).
fn unicode_escape(bytes: &[u8]) -> Result<(char, usize), Fault> {
    let first = code_unit(bytes)?;
    if let Some(character) = char::from_u32(first.into()) {
        return Ok((character, 5));
    }
    let second = bytes[4..].strip_prefix(b"\\u").ok_or(Fault::Surrogate)?;
    let units = [first, code_unit(second)?];
    match char::decode_utf16(units).next() {
        Some(Ok(character)) => Ok((character, 11)),
        _ => Err(Fault::Surrogate),
    }
}

/// Reads four hexadecimal digits.
fn code_unit(bytes: &[u8]) -> Result<u16, Fault> {
    let digits = bytes.first_chunk::<4>().ok_or(Fault::Escape)?;
    digits.iter().try_fold(0, |unit, digit| {
        let digit = char::from(*digit).to_digit(16).ok_or(Fault::Escape)?;
        Ok(unit << 4 | digit as u16)
    })
}
