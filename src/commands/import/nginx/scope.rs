//! Which directives are in effect somewhere, as NGINX inherits them.

use crate::commands::import::directive::{Directive, InEffect};

/// The blocks around a place, the outermost first.
#[derive(Clone, Debug)]
pub(super) struct Scope<'t>(Vec<&'t [Directive]>);

impl<'t> Scope<'t> {
    /// Of `http`.
    pub(super) fn of(http: &'t [Directive]) -> Self {
        Self(vec![http])
    }

    /// One block further in.
    pub(super) fn within(&self, block: &'t Directive) -> Self {
        let mut blocks = self.0.clone();
        blocks.push(block.children());
        Self(blocks)
    }

    /// Several that are inherited together.
    pub(super) fn all_of(&self, names: &[&str]) -> Vec<&'t Directive> {
        let named = |block: &'t [Directive]| {
            block
                .iter()
                .filter(|it| names.contains(&it.name.as_str()))
                .collect::<Vec<_>>()
        };
        self.0
            .iter()
            .rev()
            .map(|block| named(block))
            .find(|found| !found.is_empty())
            .unwrap_or_default()
    }

    /// The one that is in effect, unless that is off. With a `*`, `name` is how it begins.
    pub(super) fn innermost_with(&self, name: &str) -> Option<&'t Directive> {
        let is = |it: &Directive| match name.strip_suffix('*') {
            Some(start) => it.name.starts_with(start),
            None => it.name == name,
        };
        let found = self
            .0
            .iter()
            .rev()
            .find_map(|block| block.iter().rfind(|it| is(it)));
        found.filter(|it| it.value() != "off")
    }

    /// Everything around the place, but for blocks that are other places.
    pub(super) fn directives(&self) -> impl Iterator<Item = &'t Directive> {
        let all = self.0.clone().into_iter().flatten();
        all.filter(|it| {
            !matches!(
                it.name.as_str(),
                "http" | "server" | "location" | "upstream" | "map" | "geo" | "types"
            )
        })
    }

    /// Its first argument, or nothing.
    pub(super) fn value(&self, name: &str) -> &'t str {
        self.one(name).map_or("", Directive::value)
    }

    /// What is run for each request, in its order: `if`, `set`, `return`, `rewrite` of the server
    /// and of the location.
    pub(super) fn steps(&self) -> impl Iterator<Item = &'t Directive> {
        let blocks = self.0.iter().skip(1).copied();
        blocks
            .flatten()
            .filter(|it| matches!(it.name.as_str(), "if" | "set" | "return" | "rewrite"))
    }

    /// What stands in the innermost block itself.
    pub(super) fn innermost(&self) -> &'t [Directive] {
        self.0.last().copied().unwrap_or_default()
    }
}

impl<'t> InEffect<'t> for Scope<'t> {
    /// A block that has any of its own inherits none.
    fn all(&self, name: &str) -> Vec<&'t Directive> {
        self.all_of(&[name])
    }
}
