//! Finds the route of a path.

mod pattern;
mod reading;
mod tree;

use crate::rejection::Rejection;
use reading::Reading;
use std::sync::Arc;
use tree::PathTree;

pub use pattern::PathPattern;

/// An item that is found by its path, and that guards access to it.
pub trait Guarded {
    /// Returns the path pattern of this item.
    fn path(&self) -> &PathPattern;

    /// Returns `true` if every request that this item admits would be admitted by `other`, too.
    fn demands_at_least(&self, other: &Self) -> bool;
}

impl<G: Guarded> Guarded for Arc<G> {
    fn path(&self) -> &PathPattern {
        G::path(self)
    }

    fn demands_at_least(&self, other: &Self) -> bool {
        G::demands_at_least(self, other)
    }
}

impl<G: Guarded> Guarded for &G {
    fn path(&self) -> &PathPattern {
        G::path(self)
    }

    fn demands_at_least(&self, other: &Self) -> bool {
        G::demands_at_least(self, other)
    }
}

/// Routes, to be found by their paths.
#[derive(Debug)]
pub struct Routes<R> {
    routes: Vec<R>,
    /// By their paths as they come over the wire.
    spelt: PathTree,
    /// By their paths as applications may read them.
    read: PathTree,
    /// All of them demand the same.
    is_uniform: bool,
}

impl<R: Guarded> Routes<R> {
    /// Creates the routes, of which no two have the same path.
    pub fn new(routes: Vec<R>) -> Self {
        let (mut spelt, mut read) = (PathTree::new(), PathTree::new());
        for (index, pattern) in routes.iter().map(R::path).enumerate() {
            let has_below = pattern.has_below();
            spelt.insert(segments(pattern.text()), has_below, index);
            let normalized = reading::normalize_path(pattern.text());
            read.insert(normalized.iter().map(String::as_str), has_below, index);
        }
        Self {
            is_uniform: is_uniform(&routes),
            routes,
            spelt,
            read,
        }
    }

    /// Returns all routes, in the order in which they were given.
    pub fn iter(&self) -> impl Iterator<Item = &R> {
        self.routes.iter()
    }

    /// Returns the most specific route for `path`.
    ///
    /// Paths are compared as they came over the wire: nothing is decoded or normalised, so that no
    /// spelling of a path reaches a route that another program would not have found. Neither does
    /// one pass by a route that an application would find: where one could read the path as that of
    /// another route, which demands more, there is none.
    pub fn find(&self, path: &str) -> Result<&R, Rejection> {
        let mut found = None;
        if path.starts_with('/') {
            self.spelt.walk(segments(path), |more_specific, _| {
                found = more_specific.last().copied().or(found)
            });
        }
        let found = found.ok_or(Rejection::NotFound)?;
        match !self.is_uniform && reading::is_any(path, |reading| self.passes_by(found, reading)) {
            true => Err(Rejection::NotFound),
            false => Ok(&self.routes[found]),
        }
    }

    /// Returns `true` if an application could read `path` as that of a route.
    pub fn has_reading_of(&self, path: &str) -> bool {
        reading::is_any(path, |reading| {
            let mut is_one = false;
            let segments = reading.segments.iter().copied();
            self.read
                .walk(segments, |routes, _| is_one |= !routes.is_empty());
            is_one
        })
    }

    /// Returns `true` if a request to the route `found` bypasses a route that demands more, when
    /// its path is read like this.
    fn passes_by(&self, found: usize, reading: &Reading<'_>) -> bool {
        let route = &self.routes[found];
        if reading.lacks_extension && !route.path().has_below() {
            // It has a path with an extension of its own.
            return false;
        }
        let demands_more = |other: &usize| !route.demands_at_least(&self.routes[*other]);
        let mut passes_by = false;
        let segments = reading.segments.iter().copied();
        self.read.walk(segments, |more_specific, depth| {
            // Where the route itself matches, those that are less specific do not count.
            passes_by &= !more_specific.contains(&found);
            // What is above an extension does not depend on it.
            let depends = !reading.lacks_extension || depth == reading.segments.len();
            passes_by |= depends && more_specific.iter().any(demands_more);
        });
        passes_by
    }
}

/// Returns `true` if all routes demand the same.
fn is_uniform<R: Guarded>(routes: &[R]) -> bool {
    let [first, others @ ..] = routes else {
        return true;
    };
    let mut others = others.iter();
    others.all(|other| first.demands_at_least(other) && other.demands_at_least(first))
}

/// Returns the parts of a path between its slashes; none for the empty path, which contains every
/// other one.
fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').skip(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One that demands as much as this number says.
    struct Demanding(PathPattern, u8);

    impl Guarded for Demanding {
        fn path(&self) -> &PathPattern {
            &self.0
        }

        fn demands_at_least(&self, other: &Self) -> bool {
            self.1 >= other.1
        }
    }

    fn routes(patterns: &[(&str, u8)]) -> Routes<Demanding> {
        let route = |(pattern, demands): &(&str, u8)| {
            Demanding(PathPattern::parse(pattern).unwrap(), *demands)
        };
        Routes::new(patterns.iter().map(route).collect())
    }

    fn found(patterns: &[(&str, u8)], path: &str) -> Option<String> {
        routes(patterns)
            .find(path)
            .ok()
            .map(|route| route.0.to_string())
    }

    #[test]
    fn the_most_specific_route_wins() {
        for demands in [[0, 0, 0, 0], [0, 1, 2, 3], [3, 2, 1, 0]] {
            let patterns = ["/*", "/hooks/*", "/hooks/netdata/*", "/hooks/netdata"];
            let patterns: Vec<_> = patterns.into_iter().zip(demands).collect();
            for (path, route) in [
                ("/", "/*"),
                ("/hook", "/*"),
                ("/hooksy", "/*"),
                ("/hooks", "/hooks/*"),
                ("/hooks/", "/hooks/*"),
                ("/hooks/x", "/hooks/*"),
                ("/hooks/netdata", "/hooks/netdata"),
                ("/hooks/netdata/x", "/hooks/netdata/*"),
                ("/hooks/netdata/x/y/z", "/hooks/netdata/*"),
            ] {
                assert_eq!(
                    found(&patterns, path).as_deref(),
                    Some(route),
                    "{path} {demands:?}"
                );
            }
        }
        let patterns = [("/hooks/netdata/*", 1), ("/hooks/netdata", 0)];
        assert_eq!(
            found(&patterns, "/hooks/netdata/").as_deref(),
            Some("/hooks/netdata/*")
        );
    }

    #[test]
    fn no_other_spelling_of_a_path_is_the_path() {
        for path in [
            "/webhooks/Netdata",
            "/webhooks/netdata/",
            "//webhooks/netdata",
            "/webhooks/%6eetdata",
            "/",
            "",
            "*",
        ] {
            assert_eq!(found(&[("/webhooks/netdata", 0)], path), None, "{path}");
        }
    }

    /// Ways to spell `/hooks/netdata`; `reading` has more.
    const SPELLINGS: [&str; 32] = [
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
        "/hooks/netdata;",
        "/hooks\\netdata",
        "/hooks%5cnetdata",
        "/hooks%5Cnetdata",
        "/hooks%2Fnetdata",
        "/hooks/netdata/",
        "/hooks/netdata//",
        "/hooks/netdata%2f",
        "/hooks/netdata\\",
        "/hooks/./netdata/",
        "/Hooks/netdata",
        "/hooks/Netdata",
        "/HOOKS/NETDATA/",
        "/hooks/netdata.",
        "/hooks/netdata%2e",
        "/hooks/netdata%20",
        "/hooks./netdata",
        "/hooks/netdata.json",
        "/hooks/%256eetdata",
        "/x/..;/hooks/netdata",
        "/hooks//../netdata",
        "/../hooks/netdata",
    ];

    #[test]
    fn no_other_spelling_of_a_path_passes_by_a_route_that_demands_more() {
        for path in SPELLINGS {
            assert_eq!(
                found(&[("/*", 0), ("/hooks/netdata", 1)], path),
                None,
                "{path}"
            );
            assert_eq!(
                found(&[("/*", 0), ("/hooks/*", 1)], path),
                if path.starts_with("/hooks/") {
                    Some("/hooks/*".into())
                } else {
                    None
                },
                "{path}"
            );
            // Nothing is passed by where as much is demanded.
            for demands in [0, 1] {
                let patterns = [("/*", demands), ("/hooks/netdata", 0)];
                assert_eq!(found(&patterns, path).as_deref(), Some("/*"), "{path}");
            }
            // Neither is what the path is not read as.
            assert_eq!(
                found(&[("/*", 0), ("/hooks/netdata/x", 1)], path).as_deref(),
                Some("/*"),
                "{path}"
            );
        }
    }

    #[test]
    fn what_is_within_a_route_stays_there() {
        let patterns = [
            ("/*", 0),
            ("/hooks/netdata", 2),
            ("/admin/*", 2),
            ("/admin/open/*", 1),
            ("/admin/login", 0),
        ];
        for (path, route) in [
            ("/a%20b", Some("/*")),
            ("/a//b/../c/./d;e", Some("/*")),
            ("/..", Some("/*")),
            ("/%ff%", Some("/*")),
            ("/.well-known/x", Some("/*")),
            ("/app.js", Some("/*")),
            ("/admin/%41/b%2fc", Some("/admin/*")),
            ("/admin/x/../y", Some("/admin/*")),
            ("/admin/../x", Some("/admin/*")),
            ("/hooks/netdata", Some("/hooks/netdata")),
            ("/hooks/netdata/x", Some("/*")),
            ("/admin/open/X.html", Some("/admin/open/*")),
            ("/admin/open/x/", Some("/admin/open/*")),
            ("/admin/open/../x", None),
            ("/admin/open/..%2fx", None),
            ("/admin/login", Some("/admin/login")),
            ("/admin/Login", Some("/admin/*")),
            // The application may know no case of what demands more, and one of what does not.
            ("/Admin/login", None),
            ("/Admin/open/x", None),
            ("/Admin/../x", None),
            ("/x/../../../../x", None),
        ] {
            assert_eq!(found(&patterns, path).as_deref(), route, "{path}");
        }
    }

    #[test]
    fn a_path_with_an_encoding_is_a_route_like_any_other() {
        let patterns = [("/*", 0), ("/a%20b/*", 1), ("/c%C3%A9", 1), ("/D", 1)];
        for (path, route) in [
            ("/a%20b/x", Some("/a%20b/*")),
            ("/a%20b", Some("/a%20b/*")),
            ("/c%C3%A9", Some("/c%C3%A9")),
            ("/D", Some("/D")),
            ("/d", None),
            ("/%61%20b/x", None),
            ("/c%c3%a9", None),
            ("/C%C3%89", None),
            ("/a%20c", Some("/*")),
        ] {
            assert_eq!(found(&patterns, path).as_deref(), route, "{path}");
        }
    }

    #[test]
    fn an_extension_hides_no_route_and_makes_none_unreachable() {
        let patterns = [
            ("/*", 1),
            ("/500.html", 0),
            ("/assets/*", 0),
            ("/app.d/*", 0),
            ("/hook", 2),
            ("/hook.js", 1),
        ];
        for (path, route) in [
            ("/500.html", Some("/500.html")),
            ("/assets/app.js", Some("/assets/*")),
            ("/app.d/x", Some("/app.d/*")),
            ("/app.d", Some("/app.d/*")),
            ("/x.html", Some("/*")),
            ("/hook.json", None),
            ("/hook.js", Some("/hook.js")),
            ("/hook.js/", None),
        ] {
            assert_eq!(found(&patterns, path).as_deref(), route, "{path}");
        }
    }

    #[test]
    fn among_many_routes_one_is_found_as_fast_as_among_few() {
        let paths: Vec<_> = (0..20_000)
            .map(|number| format!("/a/b{number}/c"))
            .collect();
        let patterns = paths.iter().enumerate().map(|(number, path)| {
            let demands = u8::try_from(number % 7).unwrap();
            Demanding(PathPattern::parse(path).unwrap(), demands)
        });
        let routes = Routes::new(
            patterns
                .chain([Demanding(PathPattern::parse("/*").unwrap(), 0)])
                .collect(),
        );
        let started = std::time::Instant::now();
        for (number, path) in paths.iter().enumerate() {
            assert_eq!(routes.find(path).unwrap().0.text(), path);
            let other = routes.find(&path.to_uppercase());
            assert_eq!(other.is_ok(), number % 7 == 0, "{path}");
        }
        // One by one, it takes minutes.
        assert!(
            started.elapsed() < std::time::Duration::from_secs(10),
            "{:?}",
            started.elapsed()
        );
    }
}
