//! What a strict application says of a request, as Node's does: nothing that can be read in two
//! ways, and nothing that was for the proxy alone.

/// End at the hop before (RFC 9110 section 7.6.1), with `-` for every sign.
const HOP_BY_HOP: [&str; 9] = [
    "connection",
    "expect",
    "http2-settings",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "upgrade",
];

/// Are there once, if they are there.
const SINGLE: [&str; 17] = [
    "client-cert",
    "content-length",
    "forwarded",
    "host",
    "idempotency-key",
    "transfer-encoding",
    "webhook-id",
    "webhook-signature",
    "webhook-timestamp",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-netdata-client-cn",
    "x-netdata-notification",
    "x-netdata-severity",
    "x-netdata-verified",
    "x-request-id",
];

/// What is wrong with the head of a request, if anything is.
pub(crate) fn complaint(head: &str) -> Option<String> {
    let head = head.strip_suffix("\r\n\r\n").unwrap_or(head);
    let (request_line, lines) = head.split_once("\r\n").unwrap_or((head, ""));
    let words: Vec<_> = request_line.split(' ').collect();
    let is_request = matches!(words[..], [method, target, "HTTP/1.1"] if !method.is_empty() && target.starts_with('/'));
    if !is_request {
        return Some(format!("{request_line:?} is not a request line"));
    }
    if head.replace("\r\n", "").contains(['\r', '\n', '\0']) {
        return Some("a line ends in something else than CRLF".into());
    }
    let mut names = Vec::new();
    for line in lines.split("\r\n") {
        let Some((name, value)) = line.split_once(": ") else {
            return Some(format!("{line:?} is not a field"));
        };
        let is_token =
            |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if name.is_empty() || !name.bytes().all(is_token) {
            return Some(format!("{name:?} is not a name"));
        }
        let name = name
            .to_ascii_lowercase()
            .replace(|sign: char| !sign.is_ascii_alphanumeric(), "-");
        let is_right = match &*name {
            "content-length" => {
                !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit())
            }
            "transfer-encoding" => value == "chunked",
            _ => true,
        };
        if !is_right {
            return Some(format!("{line:?} cannot be right"));
        }
        if HOP_BY_HOP.contains(&&*name) {
            return Some(format!("{line:?} was for the proxy"));
        }
        if SINGLE.contains(&&*name) && names.contains(&name) {
            return Some(format!("{name} is there twice"));
        }
        names.push(name);
    }
    let has = |name: &str| names.iter().any(|other| other == name);
    match (
        has("host"),
        has("content-length") && has("transfer-encoding"),
    ) {
        (false, _) => Some("there is no Host".into()),
        (_, true) => Some("there are Content-Length and Transfer-Encoding".into()),
        _ => None,
    }
}

#[test]
fn a_strict_application_says_what_is_wrong() {
    let good = "POST /a HTTP/1.1\r\nHost: x\r\nX-A: b\r\nX-A: c\r\nContent-Length: 1\r\n\r\n";
    assert_eq!(complaint(good), None);
    for (from, to) in [
        ("POST /a HTTP/1.1", "POST  HTTP/1.1"),
        ("POST /a HTTP/1.1", "POST http://x/a HTTP/1.1"),
        ("POST /a HTTP/1.1", "POST /a b HTTP/1.1"),
        ("POST /a HTTP/1.1", "POST /a HTTP/1.0"),
        ("Host: x\r\n", ""),
        ("Host: x", "Host: x\r\nhost: x"),
        ("Host: x", "Host: x\r\n folded"),
        ("Host: x", "Host : x"),
        ("Host: x", "Host:x"),
        ("X-A: b", "X A: b"),
        ("X-A: b", "X-A: b\nX-B: c"),
        ("X-A: b", "X-A: b\0"),
        ("X-A: b", "Content-Length: 1"),
        ("X-A: b", "content_length: 1"),
        ("X-A: b", "Transfer-Encoding: chunked"),
        ("Content-Length: 1", "Content-Length: +1"),
        ("Content-Length: 1", "Content-Length: 1, 1"),
        ("Content-Length: 1", "Transfer-Encoding: gzip"),
        ("X-A: b", "Connection: close"),
        ("X-A: b", "keep_alive: x"),
        ("X-A: b", "X-Request-Id: a\r\nX.Request.Id: b"),
    ] {
        let head = good.replacen(from, to, 1);
        assert!(complaint(&head).is_some(), "{head:?}");
    }
    for name in HOP_BY_HOP {
        assert!(
            complaint(&good.replacen("X-A", name, 1)).is_some(),
            "{name}"
        );
    }
    for name in SINGLE {
        let twice = format!("{name}: 1\r\n{name}: 1\r\nX-A: b");
        assert!(
            complaint(&good.replacen("X-A: b", &twice, 1)).is_some(),
            "{name}"
        );
    }
}
