//! Fields whose values are lists, separated by commas (RFC 9110 section 5.6.1).

/// Returns the elements of a list, without the white space around them.
pub(crate) fn elements(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    list.split(|b| *b == b',').map(<[u8]>::trim_ascii)
}

/// Returns `true` if `token` is an element of one of the lists, in whatever case.
pub(crate) fn has_token<'l>(mut lists: impl Iterator<Item = &'l [u8]>, token: &str) -> bool {
    lists.any(|list| elements(list).any(|element| element.eq_ignore_ascii_case(token.as_bytes())))
}
