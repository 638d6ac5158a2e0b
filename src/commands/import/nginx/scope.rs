//! Which directives are in effect somewhere, as NGINX inherits them.

use crate::commands::import::directive::{Directive, InEffect};

/// The blocks around a place, the outermost first.
#[derive(Clone, Debug, Default)]
pub(super) struct NginxScope<'t>(Vec<&'t [Directive]>);

impl<'t> NginxScope<'t> {
    /// Returns the scope one block further in.
    pub(super) fn within(&self, block: &'t [Directive]) -> Self {
        let mut blocks = self.0.clone();
        blocks.push(block);
        Self(blocks)
    }

    /// Returns the directives with one of these names that are in effect: a block that has any of
    /// its own inherits none.
    pub(super) fn all_of(&self, names: &[&str]) -> Vec<&'t Directive> {
        let named = |it: &&Directive| names.contains(&it.name.as_str());
        let blocks = self.0.iter().rev();
        let mut found = blocks.map(|block| block.iter().filter(named).collect());
        found.find(|it: &Vec<_>| !it.is_empty()).unwrap_or_default()
    }

    /// Returns the first argument of the directive that is in effect, or an empty text.
    pub(super) fn value(&self, name: &str) -> &'t str {
        self.one(name).map_or("", Directive::value)
    }

    /// Returns the directives with this name in the innermost block.
    pub(super) fn own<'n>(
        &self,
        name: &'n str,
    ) -> impl Iterator<Item = &'t Directive> + use<'n, 't> {
        let innermost = self.0.last().copied().unwrap_or_default();
        innermost.iter().filter(move |it| it.name == name)
    }

    /// Returns every directive around the place, but for blocks that are other places.
    pub(super) fn directives(&self) -> impl Iterator<Item = &'t Directive> + use<'t> {
        let others = "http server location upstream map geo types";
        let all = self.0.clone().into_iter().flatten();
        all.filter(move |it| others.split(' ').all(|other| it.name != other))
    }

    /// Returns what runs for each request, in order, in the server and in the location.
    pub(super) fn steps(&self) -> impl Iterator<Item = &'t Directive> {
        let inner = self.0.iter().skip(1).copied().flatten();
        inner.filter(|it| matches!(&*it.name, "if" | "set" | "return" | "rewrite"))
    }
}

impl<'t> InEffect<'t> for NginxScope<'t> {
    fn all(&self, name: &str) -> Vec<&'t Directive> {
        self.all_of(&[name])
    }
}
