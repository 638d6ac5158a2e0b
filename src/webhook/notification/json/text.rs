//! Reads strings.

use super::reader::Fault;

/// The number of bytes that are looked at in one step.
const STEP: usize = 8;

/// Returns the number of bytes at the beginning of `bytes` that stand for themselves in a string:
/// they are neither quotes nor backslashes nor control characters.
///
/// Eight bytes at a time: most strings have 10 to 40.
#[inline]
pub(super) fn plain_length(bytes: &[u8]) -> usize {
    let (words, rest) = bytes.as_chunks::<STEP>();
    for (index, word) in words.iter().enumerate() {
        let special = specials(u64::from_le_bytes(*word));
        if special != 0 {
            return index * STEP + special.trailing_zeros() as usize / 8;
        }
    }
    let plain = rest.iter().take_while(|byte| is_plain(**byte)).count();
    words.len() * STEP + plain
}

fn is_plain(byte: u8) -> bool {
    byte >= b' ' && byte != b'"' && byte != b'\\'
}

/// Returns a word whose lowest bit that is set is in the lowest byte of `word` that is not plain.
/// Above that, bits may be set for other bytes, because subtraction borrows from them.
fn specials(word: u64) -> u64 {
    const ONES: u64 = every(1);
    let zeros_of = |word: u64| word.wrapping_sub(ONES) & !word;
    let controls = word.wrapping_sub(every(b' ')) & !word;
    let quotes = zeros_of(word ^ every(b'"'));
    let backslashes = zeros_of(word ^ every(b'\\'));
    (controls | quotes | backslashes) & every(0x80)
}

/// Returns a word of this byte only.
const fn every(byte: u8) -> u64 {
    u64::from_ne_bytes([byte; STEP])
}

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
