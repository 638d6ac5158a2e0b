//! Checks the target of a request.

use crate::http::url::absolute;
use crate::rejection::Rejection;

/// Checks that a target is a path, an absolute URL or `*`, and contains only characters that a URL
/// may have there.
pub(crate) fn check_target(target: &[u8]) -> Result<(), Rejection> {
    if !target.iter().all(u8::is_ascii_graphic) {
        return Rejection::malformed(
            "The request target holds characters that must be percent-encoded.",
        );
    }
    if !(target.starts_with(b"/") || absolute(target).is_some() || target == b"*") {
        return Rejection::malformed("The request target is neither a path nor an absolute URL.");
    }
    if target.contains(&b'#') {
        return Rejection::malformed("The request target holds a fragment.");
    }
    let path = target.split(|b| *b == b'?').next().unwrap_or_default();
    match path.contains(&b'%') && NULS.iter().any(|nul| holds(path, nul)) {
        true => Rejection::malformed("The path holds a NUL."),
        false => Ok(()),
    }
}

/// The ways in which a path may contain a NUL: encoded once or twice, in two bytes, or in the
/// notation of IIS. Some programs end the path there.
const NULS: [&[u8]; 4] = [b"%00", b"%2500", b"%c0%80", b"%u0000"];

/// Returns `true` if `text` contains `part`, which is in lower case, in any case.
fn holds(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len())
        .any(|window| window.eq_ignore_ascii_case(part))
}

/// Returns an authority without its port, where that is the default one or empty (RFC 3986 section 6.2.3).
fn without_port<'a>(authority: &'a [u8], default: &[u8]) -> &'a [u8] {
    let Some(colon) = authority.iter().rposition(|b| *b == b':') else {
        return authority;
    };
    let (host, port) = (&authority[..colon], &authority[colon + 1..]);
    match port.is_empty() || port == default {
        true => host,
        false => authority,
    }
}

/// Returns `true` unless `target` is an absolute URL for another host than `host`.
pub(super) fn is_for(target: &[u8], host: &[u8]) -> bool {
    let Some((port, rest)) = absolute(target) else {
        return true;
    };
    let authority = rest.split(|b| b"/?".contains(b)).next().unwrap_or_default();
    without_port(authority, port).eq_ignore_ascii_case(without_port(host, port))
}
