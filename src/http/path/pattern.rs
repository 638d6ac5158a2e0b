//! The paths of routes.

use std::fmt;

/// The path of a route, as the configuration has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathPattern {
    /// A single path, without anything below it.
    Exact(String),
    /// `/prefix` and everything below it; holds `/prefix` without a slash at its end.
    Subtree(String),
}

impl PathPattern {
    /// Parses `/path` or `/prefix/*`. The error says which syntax is expected.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if !text.starts_with('/') {
            return Err("must start with \"/\"");
        }
        let is_plain = |b: u8| b.is_ascii_graphic() && !b"?#".contains(&b);
        if !text.bytes().all(is_plain) {
            return Err(
                "must be a plain path, without query or fragment, percent-encoded as it comes over the wire",
            );
        }
        let pattern = match text.strip_suffix("/*") {
            Some(prefix) => Self::Subtree(prefix.to_owned()),
            None => Self::Exact(text.to_owned()),
        };
        match pattern.text().contains('*') {
            true => Err("may have \"*\" only at its end, as \"/prefix/*\""),
            false => Ok(pattern),
        }
    }

    /// Returns the path, or the prefix of a subtree.
    pub(super) fn text(&self) -> &str {
        match self {
            Self::Exact(path) | Self::Subtree(path) => path,
        }
    }

    /// Returns `true` if the pattern matches paths below its own.
    pub(super) fn has_below(&self) -> bool {
        matches!(self, Self::Subtree(_))
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(path) => f.write_str(path),
            Self::Subtree(prefix) => write!(f, "{prefix}/*"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_that_cannot_match_are_refused() {
        for text in [
            "", "x", "*", "/a*", "/*/b", "/a?b", "/a b", "/a#b", "/*/*", "/é",
        ] {
            assert!(PathPattern::parse(text).is_err(), "{text}");
        }
        for sign in (0..=255).map(char::from) {
            let passes = sign.is_ascii_graphic() && !"?#*".contains(sign);
            let text = format!("/a{sign}b");
            assert_eq!(PathPattern::parse(&text).is_ok(), passes, "{text:?}");
        }
    }
}
