//! Decodes the strings of distinguished names.

use x509_parser::asn1_rs::{Any, Tag};

/// Decodes a `DirectoryString` (RFC 5280 section 4.1.2.4). Names that differ in their encoding only
/// must be equal. Returns `None` for any other type, and for contents that are not of their type.
pub(super) fn directory_string(value: &Any<'_>) -> Option<String> {
    let bytes = value.data;
    match value.tag() {
        Tag::Utf8String => String::from_utf8(bytes.to_vec()).ok(),
        Tag::PrintableString | Tag::Ia5String => bytes.is_ascii().then(|| latin1(bytes)),
        // T61 strings in certificates are Latin-1 in practice.
        Tag::T61String => Some(latin1(bytes)),
        Tag::BmpString => utf16(bytes),
        Tag::UniversalString => utf32(bytes),
        _ => None,
    }
}

fn latin1(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

fn utf16(bytes: &[u8]) -> Option<String> {
    let (units, rest) = bytes.as_chunks();
    let units: Vec<u16> = units.iter().copied().map(u16::from_be_bytes).collect();
    String::from_utf16(&units).ok().filter(|_| rest.is_empty())
}

fn utf32(bytes: &[u8]) -> Option<String> {
    let (units, rest) = bytes.as_chunks();
    let characters = units.iter().copied().map(u32::from_be_bytes);
    let text: Option<String> = characters.map(char::from_u32).collect();
    text.filter(|_| rest.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The types of strings that are read, and what makes each of them unreadable; no other type is a
    /// name.
    #[test]
    fn a_name_is_read_by_its_type_or_not_at_all() {
        for (tag, bytes, expected) in [
            (Tag::Utf8String, "a\u{e9}".as_bytes(), Some("a\u{e9}")),
            (Tag::Utf8String, b"a\xe9", None),
            (Tag::PrintableString, b"a", Some("a")),
            (Tag::PrintableString, b"a\xe9", None),
            (Tag::Ia5String, b"a", Some("a")),
            (Tag::Ia5String, b"a\xe9", None),
            (Tag::T61String, b"a\xe9", Some("a\u{e9}")),
            (Tag::BmpString, b"\0a\0\xe9", Some("a\u{e9}")),
            (Tag::BmpString, b"\0a\0", None),
            (Tag::BmpString, b"\xd8\0", None),
            (Tag::UniversalString, b"\0\0\0a", Some("a")),
            (Tag::UniversalString, b"\0\0\0a\0\0\0", None),
            (Tag::UniversalString, b"\0\x11\0\0", None),
            (Tag::NumericString, b"1", None),
            (Tag::VisibleString, b"a", None),
            (Tag::GeneralString, b"a", None),
            (Tag::GraphicString, b"a", None),
            (Tag::OctetString, b"a", None),
            (Tag::BitString, b"\0a", None),
            (Tag::Sequence, b"", None),
            (Tag::Null, b"", None),
        ] {
            let value = Any::from_tag_and_data(tag, bytes);
            assert_eq!(
                directory_string(&value).as_deref(),
                expected,
                "{tag:?} {bytes:?}"
            );
        }
    }
}
