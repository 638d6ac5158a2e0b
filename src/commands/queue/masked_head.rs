//! The head of a stored message as it may be shown: without credentials.

/// The header fields whose values are credentials.
const CREDENTIALS: [&str; 2] = ["authorization", "proxy-authorization"];

/// Returns the head as text, with `…` in place of credentials.
pub(super) fn masked_head(head: &[u8]) -> String {
    let text = String::from_utf8_lossy(head);
    text.split_inclusive('\n').map(masked).collect()
}

fn masked(line: &str) -> String {
    let is_secret = |name: &str| CREDENTIALS.iter().any(|it| name.eq_ignore_ascii_case(it));
    match line.split_once(':') {
        Some((name, _)) if is_secret(name.trim()) => format!("{name}: …\r\n"),
        _ => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_not_shown() {
        let head = b"POST /a HTTP/1.1\r\nauthorization: Bearer t\r\nHost: a\r\n\r\n";
        assert_eq!(
            masked_head(head),
            "POST /a HTTP/1.1\r\nauthorization: …\r\nHost: a\r\n\r\n"
        );
    }
}
