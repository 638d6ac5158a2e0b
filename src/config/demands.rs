//! Which of two routes demands more of a request.

use super::{Route, RouteKind, Tests};
use crate::http::header_class::is_same;
use crate::http::path::{Guarded, PathPattern};
use crate::webhook::notification::SchemaPolicy;

impl Guarded for Route {
    fn path(&self) -> &PathPattern {
        &self.path
    }

    /// Returns `true` if an application that takes a request of this route for one of `other` gets
    /// nothing that it would not have got there.
    fn demands_at_least(&self, other: &Self) -> bool {
        self.requirements.are_at_least(&other.requirements)
            && bound(self.max_body) <= bound(other.max_body)
            && (other.kind == RouteKind::Proxy
                || (self.kind == RouteKind::Webhook && self.verifies_at_least(other)))
            && other
                .set_headers
                .iter()
                .all(|(name, _)| self.replaces(name.as_str()))
            && self
                .pass_headers
                .iter()
                .all(|name| other.pass_headers.contains(name))
    }
}

impl Route {
    /// Returns `true` if this webhook checks the contents of notifications at least as strictly as
    /// `other`.
    fn verifies_at_least(&self, other: &Self) -> bool {
        let names_fewer =
            !self.spaces.is_empty() && self.spaces.iter().all(|space| other.spaces.contains(space));
        strictness(self.schema) >= strictness(other.schema)
            && (other.spaces.is_empty() || names_fewer)
            && (other.tests == Tests::Forward || self.tests == Tests::Answer)
    }

    /// Returns `true` if the application gets no header of this name that the sender made up.
    fn replaces(&self, header: &str) -> bool {
        self.set_headers
            .iter()
            .any(|(name, _)| is_same(name.as_str().as_bytes(), header.as_bytes()))
    }
}

/// Returns the maximum size of a body, where 0 is no limit.
fn bound(max_body: u64) -> u64 {
    if max_body == 0 { u64::MAX } else { max_body }
}

fn strictness(schema: SchemaPolicy) -> u8 {
    match schema {
        SchemaPolicy::Off => 0,
        SchemaPolicy::Warn => 1,
        SchemaPolicy::Enforce => 2,
        SchemaPolicy::Strict => 3,
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, Route};
    use crate::http::path::Guarded as _;
    use std::path::Path;

    fn route(keys: &str) -> Route {
        let text = format!(
            "[listen]\nhttp = \"127.0.0.1:0\"\n[[routes]]\npath = \"/a\"\nupstream = \"http://127.0.0.1:1\"\n{keys}\n"
        );
        let config =
            Config::from_toml(&text, Path::new("")).unwrap_or_else(|error| panic!("{text}{error}"));
        config.config.routes.into_iter().next().unwrap()
    }

    /// Demands of a route that every client may use.
    const OPEN: &str = "auth = \"none\"\n";

    fn token(digits: &[char]) -> String {
        let tokens = digits.iter().map(|digit| {
            format!(
                "{{ token = {{ sha256 = \"{}\" }} }}",
                digit.to_string().repeat(64)
            )
        });
        format!(
            "auth.bearer = [{}]\n",
            tokens.collect::<Vec<_>>().join(", ")
        )
    }

    fn password(user: &str, digit: char) -> String {
        let digest = digit.to_string().repeat(64);
        format!(
            "auth.basic = [{{ username = \"{user}\", password = {{ sha256 = \"{digest}\" }} }}]\n"
        )
    }

    #[test]
    fn each_demand_counts() {
        let with = |keys: &str| OPEN.to_owned() + keys;
        // What demands more, and what demands less.
        for (more, less) in [
            (token(&['a']), OPEN.to_owned()),
            (token(&['a']), token(&['a', 'b'])),
            (token(&['b']), token(&['a', 'b'])),
            (token(&['a']), token(&['a']) + &password("u", 'c')),
            (password("u", 'c'), token(&['a']) + &password("u", 'c')),
            (with(""), with("kind = \"proxy\"\nmax_body = \"1MiB\"")),
            (with(""), with("kind = \"proxy\"")),
            (with("schema = \"strict\""), with("schema = \"enforce\"")),
            (with("schema = \"enforce\""), with("schema = \"warn\"")),
            (with("schema = \"warn\""), with("schema = \"off\"")),
            (with("spaces = [\"a\"]"), with("")),
            (with("spaces = [\"a\"]"), with("spaces = [\"b\", \"a\"]")),
            (with("tests = \"answer\""), with("tests = \"forward\"")),
            (with("max_body = \"1KiB\""), with("max_body = \"2KiB\"")),
            (
                with("kind = \"proxy\"\nmax_body = 1"),
                with("kind = \"proxy\"\nmax_body = 0"),
            ),
            (with("set_headers = { \"X-A\" = \"\" }"), with("")),
            (with(""), with("pass_headers = [\"X-Auth-User\"]")),
        ] {
            let routes = [route(&more), route(&less)];
            assert!(routes[0].demands_at_least(&routes[1]), "{more} {less}");
            assert!(!routes[1].demands_at_least(&routes[0]), "{more} {less}");
        }
    }

    #[test]
    fn demands_that_differ_are_neither_more_nor_less() {
        for (one, other) in [
            (token(&['a']), token(&['b'])),
            (token(&['a', 'c']), token(&['a', 'b'])),
            (token(&['a']), password("u", 'a')),
            (password("u", 'c'), password("v", 'c')),
            (password("u", 'c'), password("u", 'd')),
            (
                OPEN.to_owned() + "spaces = [\"a\"]",
                OPEN.to_owned() + "spaces = [\"b\"]",
            ),
            (OPEN.to_owned(), token(&['a']) + "kind = \"proxy\""),
        ] {
            let routes = [route(&one), route(&other)];
            assert!(!routes[0].demands_at_least(&routes[1]), "{one} {other}");
            assert!(!routes[1].demands_at_least(&routes[0]), "{one} {other}");
        }
    }

    #[test]
    fn demands_that_are_the_same_are_enough() {
        for (one, other) in [
            (token(&['a', 'b']), token(&['b', 'a'])),
            (
                OPEN.to_owned() + "set_headers = { \"X-A\" = \"1\" }",
                OPEN.to_owned() + "set_headers = { \"x_a\" = \"2\" }",
            ),
            (
                OPEN.to_owned() + "spaces = [\"a\", \"b\"]",
                OPEN.to_owned() + "spaces = [\"b\", \"a\"]",
            ),
            (
                OPEN.to_owned() + "forward_authorization = true",
                OPEN.to_owned(),
            ),
        ] {
            let routes = [route(&one), route(&other)];
            assert!(
                routes[0].demands_at_least(&routes[1]) && routes[1].demands_at_least(&routes[0]),
                "{one} {other}"
            );
        }
    }
}
