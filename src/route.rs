//! Finds the route of a path, and decides what a request on a webhook asks for.

use crate::challenge;
use crate::rejection::Rejection;
use http::Method;
use percent_encoding::percent_decode_str;

/// A path as a configuration names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathPattern {
    /// This path and no other.
    Exact(String),
    /// `/prefix` and everything below it; holds `/prefix` without a slash at its end.
    Subtree(String),
}

impl PathPattern {
    /// Reads `/path` or `/prefix/*`; the error says what to write instead.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if !text.starts_with('/') {
            return Err("must start with \"/\"");
        }
        if text.bytes().any(|b| !b.is_ascii_graphic() || b"?#".contains(&b)) {
            return Err("must be a plain path, without query or fragment, percent-encoded as it comes over the wire");
        }
        match text.strip_suffix("/*") {
            Some(prefix) if prefix.contains('*') => Err("may have \"*\" only at its end, as \"/prefix/*\""),
            Some(prefix) => Ok(Self::Subtree(prefix.to_owned())),
            None if text.contains('*') => Err("may have \"*\" only at its end, as \"/prefix/*\""),
            None => Ok(Self::Exact(text.to_owned())),
        }
    }

    /// The same for paths as applications may read them.
    fn plain(&self) -> Self {
        let plain = |path: &String| plainly(path).unwrap_or_else(|| path.clone());
        match self {
            Self::Exact(path) => Self::Exact(plain(path)),
            Self::Subtree(prefix) => Self::Subtree(plain(prefix)),
        }
    }

    /// How specific the match is; the largest wins. An exact match beats every subtree.
    fn specificity(&self, path: &str) -> Option<usize> {
        match self {
            Self::Exact(exact) => (exact == path).then_some(usize::MAX),
            Self::Subtree(prefix) => {
                let below = path.strip_prefix(prefix.as_str())?;
                (below.is_empty() || below.starts_with('/')).then_some(prefix.len())
            }
        }
    }
}

impl std::fmt::Display for PathPattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exact(path) => f.write_str(path),
            Self::Subtree(prefix) => write!(f, "{prefix}/*"),
        }
    }
}

/// The most specific of `routes` for `path`.
///
/// Paths are compared as they came over the wire: nothing is decoded or normalised, so that no spelling of a path
/// reaches a route that another program would not have found. Neither does one pass by a route that an application
/// would find: where that would read the path as one of another route, there is none.
pub fn find<'r, R>(routes: &'r [R], pattern: impl Fn(&R) -> &PathPattern, path: &str) -> Result<&'r R, Rejection> {
    let found =
        most_specific(routes.iter().map(|route| pattern(route).specificity(path))).ok_or(Rejection::NotFound)?;
    let Some(plain) = plainly(path) else { return Ok(&routes[found]) };
    let read = most_specific(routes.iter().map(|route| pattern(route).plain().specificity(&plain)));
    if read == Some(found) { Ok(&routes[found]) } else { Err(Rejection::NotFound) }
}

/// Where the largest is.
fn most_specific(specificities: impl Iterator<Item = Option<usize>>) -> Option<usize> {
    let matches = specificities.enumerate().filter_map(|(at, specificity)| Some((specificity?, at)));
    matches.max_by_key(|(specificity, _)| *specificity).map(|(_, at)| at)
}

/// A path as applications may read it, where that is not as it is spelt: decoded, without empty segments, dots and
/// parameters (`;…`), and with `/` for a backslash.
fn plainly(path: &str) -> Option<String> {
    let is_plain =
        !path.bytes().any(|byte| matches!(byte, b'%' | b';' | b'\\')) && !path.contains("//") && !path.contains("/.");
    if is_plain {
        return None;
    }
    let decoded = percent_decode_str(path).decode_utf8_lossy().replace('\\', "/");
    let mut segments: Vec<&str> = Vec::new();
    for segment in decoded.split('/').map(|segment| segment.split(';').next().unwrap_or_default()) {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            segment => segments.push(segment),
        }
    }
    let is_directory = !segments.is_empty() && decoded.ends_with(['/', '.']) && !ends_with_name(&decoded);
    Some(format!("/{}{}", segments.join("/"), if is_directory { "/" } else { "" }))
}

/// Whether the last segment of a path is neither empty nor dots.
fn ends_with_name(path: &str) -> bool {
    !matches!(path.rsplit('/').next(), None | Some("" | "." | ".."))
}

/// What a request on a webhook asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Ask {
    /// A challenge, to be answered here.
    Challenge {
        /// As Netdata generated it: the query's percent-encoding is undone.
        crc_token: String,
    },
    /// A notification, to be verified and passed upstream.
    Notification,
}

/// Decides what a request on a webhook asks for; `answers_challenges` says whether the route has a secret.
pub fn classify(method: &Method, query: Option<&[u8]>, answers_challenges: bool) -> Result<Ask, Rejection> {
    match *method {
        Method::GET => {
            let crc_token = challenge::crc_token(query.unwrap_or_default());
            if !answers_challenges && crc_token != Err(Rejection::CrcTokenMissing) {
                return Err(Rejection::ChallengeDisabled);
            }
            Ok(Ask::Challenge { crc_token: crc_token? })
        }
        Method::POST => Ok(Ask::Notification),
        _ => Err(Rejection::MethodNotAllowed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(patterns: &[&str], path: &str) -> Option<String> {
        let patterns: Vec<_> = patterns.iter().map(|p| PathPattern::parse(p).unwrap()).collect();
        find(&patterns, |p| p, path).ok().map(ToString::to_string)
    }

    #[test]
    fn the_most_specific_route_wins() {
        let patterns = ["/*", "/hooks/*", "/hooks/netdata", "/hooks/netdata/*"];
        for (path, route) in [
            ("/", "/*"),
            ("/hook", "/*"),
            ("/hooksy", "/*"),
            ("/hooks", "/hooks/*"),
            ("/hooks/", "/hooks/*"),
            ("/hooks/netdata", "/hooks/netdata"),
            ("/hooks/netdata/", "/hooks/netdata/*"),
            ("/hooks/netdata/x", "/hooks/netdata/*"),
        ] {
            assert_eq!(found(&patterns, path).as_deref(), Some(route), "{path}");
        }
    }

    #[test]
    fn no_other_spelling_of_a_path_is_the_path() {
        for path in ["/webhooks/Netdata", "/webhooks/netdata/", "//webhooks/netdata", "/webhooks/%6eetdata", "/", ""] {
            assert_eq!(found(&["/webhooks/netdata"], path), None, "{path}");
        }
    }

    #[test]
    fn no_other_spelling_of_a_path_passes_its_route_by() {
        let patterns = ["/*", "/hooks/netdata", "/admin/*"];
        for path in [
            "/hooks/%6eetdata",
            "/hooks/%6Eetdata",
            "/hooks%2fnetdata",
            "//hooks/netdata",
            "/hooks//netdata",
            "/./hooks/netdata",
            "/x/../hooks/netdata",
            "/x/%2e%2e/hooks/netdata",
            "/hooks;x=y/netdata",
            "/hooks/netdata;x",
            "/hooks\\netdata",
            "/%61dmin",
            "/admin%2fx",
            "/x/..;/admin/",
            // Likewise out of one.
            "/admin/../x",
            "/admin/..",
        ] {
            assert_eq!(found(&patterns, path), None, "{path}");
        }
        for (path, route) in [
            ("/a%20b", "/*"),
            ("/a//b/../c/./d;e", "/*"),
            ("/..", "/*"),
            ("/%ff%", "/*"),
            ("/.well-known/x", "/*"),
            ("/admin/%41/b%2fc", "/admin/*"),
            ("/admin/x/../y", "/admin/*"),
            ("/hooks/netdata", "/hooks/netdata"),
            // As it is without any of that.
            ("/hooks/netdata/", "/*"),
            ("/hooks/./netdata/", "/*"),
        ] {
            assert_eq!(found(&patterns, path).as_deref(), Some(route), "{path}");
        }
    }

    #[test]
    fn a_path_with_an_encoding_is_a_route_like_any_other() {
        let patterns = ["/*", "/a%20b/*", "/c%C3%A9"];
        for (path, route) in [
            ("/a%20b/x", Some("/a%20b/*")),
            ("/a%20b", Some("/a%20b/*")),
            ("/c%C3%A9", Some("/c%C3%A9")),
            ("/%61%20b/x", None),
            ("/c%c3%a9", None),
            ("/a%20c", Some("/*")),
        ] {
            assert_eq!(found(&patterns, path).as_deref(), route, "{path}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_plain_is_read_as_it_is(path in "/([a-z./%;\\\\]|\\PC){0,20}") {
            if let Some(plain) = plainly(&path) {
                proptest::prop_assert!(plain.starts_with('/') && !plain.contains("//") && !plain.contains("/../"));
            }
        }
    }

    #[test]
    fn patterns_that_cannot_match_are_refused() {
        for text in ["", "x", "*", "/a*", "/*/b", "/a?b", "/a b", "/a#b", "/*/*", "/é"] {
            assert!(PathPattern::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_webhook_takes_challenges_and_notifications() {
        let check = |method, query: Option<&str>, secret| classify(&method, query.map(str::as_bytes), secret);
        let challenge = Ok(Ask::Challenge { crc_token: "abc".into() });
        assert_eq!(check(Method::GET, Some("crc_token=abc"), true), challenge);
        assert_eq!(check(Method::GET, Some("crc_token=abc"), false), Err(Rejection::ChallengeDisabled));
        assert_eq!(check(Method::GET, None, true), Err(Rejection::CrcTokenMissing));
        assert_eq!(check(Method::GET, None, false), Err(Rejection::CrcTokenMissing));
        assert_eq!(check(Method::POST, None, true), Ok(Ask::Notification));
        assert_eq!(check(Method::POST, Some("crc_token=abc"), true), Ok(Ask::Notification));
        for method in [Method::HEAD, Method::PUT, Method::OPTIONS, Method::TRACE, Method::DELETE] {
            assert_eq!(check(method, Some("crc_token=abc"), true), Err(Rejection::MethodNotAllowed));
        }
    }
}
